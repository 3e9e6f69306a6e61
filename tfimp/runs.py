"""A stored run as Python users meet it: it shows itself, becomes a table, draws its figures, writes its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tfimp import store
from tfimp._kinds import Record
from tfimp.display import table
from tfimp.display.notebook import html_table
from tfimp.errors import ConfigError
from tfimp.store.run import list_rounds

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped]
    from matplotlib.figure import Figure


class Round(store.Round):
    """A complete round; see `tfimp.store.Round` for its arrays. In a notebook it shows its numbers, layer by layer."""

    def to_dataframe(self) -> pandas.DataFrame:
        """The numbers of every layer, a row each."""
        layers = self.metrics.get("layers", {})
        return _frame([{"layer": name, **flat(numbers)} for name, numbers in layers.items()], "layer")

    def _repr_html_(self) -> str:
        heading = f"round {self.index} of {self.run.path}"
        layers = self.metrics.get("layers", {})
        rows = [table.layer_cells(name, numbers) for name, numbers in layers.items()]
        return html_table(heading, [table.headings(), table.cells(self.metrics)]) + html_table(
            "", [table.layer_headings(), *rows]
        )


class Run(store.Run):
    """A stored run, read-only. In a notebook it shows its table of rounds."""

    @property
    def rounds(self) -> list[Round]:  # type: ignore[override]
        """The complete rounds, 0 first, as they were when this was first asked for."""
        if self._rounds is None:
            self._rounds = [
                Round(self, found.index, found.metrics, found.files) for found in list_rounds(self)
            ]  # fmt: skip
        return self._rounds  # type: ignore[return-value]

    def to_dataframe(self) -> pandas.DataFrame:
        """The numbers of every round, a row each, indexed by ``round``.

        Columns are named as in metrics.json: ``density``, ``test_accuracy``, ``dense_0.locality.ratio`` …
        """
        rows = []
        for found in self.rounds:
            rows.append(flat({**found.metrics, "layers": None}) | flat(found.metrics.get("layers", {})))
        return _frame(rows, "round")

    def plot(self, name: str = "receptive-fields", *, round: int | Sequence[int] | None = None) -> Figure:
        """One figure of the run, which shows itself at the end of a notebook's cell.

        Args:
            name: One of `tfimp.plots.FIGURES`.
            round: The rounds that figures of single rounds show; by default the dense, the middle and the last one.

        Raises:
            ConfigError: an unknown name, or a round that the run does not have.
        """
        from tfimp import plots

        rounds = None if round is None else [round] if isinstance(round, int) else list(round)
        return plots.figure(self, name, rounds=rounds)

    def report(self, out: str | Path | None = None) -> Path:
        """Write the report, one HTML file that opens offline; by default ``report.html`` in the run's folder."""
        from tfimp import report

        return report.write([self], out)

    def export(
        self,
        round: int | str = "best",
        out: str | Path | None = None,
        *,
        ticket: bool = False,
        format: str = "savedmodel",
        form: str | None = None,
        int8: bool = False,
    ) -> Path:
        """Write a round as a network that others can load.

        Args:
            round: A number, ``"best"`` (the pruned round of highest validation accuracy) or ``"last"``.
            out: A folder; by default ``saved_models/NAME``.
            ticket: The mask with its rewound weights, in place of the trained network.
            format: ``savedmodel``, ``keras`` or ``tflite``.
            form: ``dense``, ``compact`` or ``sparse``; by default dense, but of TFLite files the smallest.
            int8: Weights and values of 8 bits, of TFLite files.

        Returns:
            The folder that was written.
        """
        from tfimp import _tensorflow

        _tensorflow.start()
        from tfimp import export

        if str(round) == "all":
            raise ConfigError("export takes one round, got 'all'; accepted: a number, 'best', 'last'")
        (index,) = export.pick_rounds(self, [str(round)])
        folder = export.default_directory(self, self.path.resolve().name) if out is None else Path(out)
        what = "ticket" if ticket else "trained"
        return export.export_round(self, index, folder, what=what, format=format, form=form, int8=int8)

    def _repr_html_(self) -> str:
        heading = f"{self.path}: {self.status}, {len(self.rounds)} rounds"
        rows = [table.headings(), *(table.cells(found.metrics) for found in self.rounds)]
        return html_table(heading, rows, table.legend([self.removes_by], test_part=table.has_test_part(self)))


def flat(numbers: Mapping[str, object], prefix: str = "") -> Record:
    """Nested numbers by dotted names: ``{"ipr": {"mean": 1}}`` as ``{"ipr.mean": 1}``."""
    found: Record = {}
    for name, value in numbers.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        elif not (prefix == "" and name == "layers"):
            found[prefix + name] = value
    return found


def _frame(rows: list[Record], index: str) -> pandas.DataFrame:
    try:
        import pandas
    except ImportError:
        raise ConfigError("to_dataframe needs the package pandas; install it with: pip install pandas") from None
    return pandas.DataFrame(rows).set_index(index) if rows else pandas.DataFrame()


def open_run(path: str | Path) -> Run:
    """Open a stored run for reading; TensorFlow is not needed.

    Args:
        path: The folder of the run.

    Raises:
        StoreError: there is no run, or what is there was damaged or edited.
    """
    return Run(path)
