"""Every command on runs, made quick: what is drawn, measured and computed is made up, the files are not."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_run import write_run
from store_helpers import initial_state

from tfimp.cli import main
from tfimp.config import RunConfig
from tfimp.progress import Finished, RoundDone, Started

RUN = ("show {run}", "show {run} --json", "verify {run}", "verify {run} --repair", "plot {run} --figure accuracy")
RUN += ("plot {run} --figure accuracy --animation", "report {run}", "export {run} --round last")
RUN += (
    "probe {run} --what removal",
    "run --resume --out {run}",
    "events {run}",
    "load saved_models/run/round-02-trained",
)
GROUP = (
    "show {run}",
    "verify {run}",
    "plot {run} --figure accuracy",
    "report {run}",
    "compare {run}",
    "compare {run} --json",
)
SWEEP = (
    "show {run}",
    "show {run} --json",
    "plot {run}",
    "report {run}",
    "compare {run} --json",
    "sweep --resume --out {run}",
)
KINDS = {"run": RUN, "group": GROUP, "sweep": SWEEP}
SHAPE: dict[str, Any] = {"image_shape": (4, 4, 1), "hidden": (6, 4), "classes": 3, "rounds": 3}


class Figure:
    """What is drawn, in place of what takes Matplotlib a tenth of a second."""

    axes = (types.SimpleNamespace(get_gid=lambda: ""),)

    def savefig(self, target: Any, **_: object) -> None:
        target.write(b"drawn")


def build(folder: Path, class_names: tuple[str, ...] | None = None) -> None:
    """A run with everything that commands leave in and beside it, a group of two and what compares them."""
    plain = {"model": {"hidden": [6, 4], "batch_norm": False}}
    unfinished = {"prune": {"rounds": 4}, **plain}
    run = write_run(
        folder / "run", **SHAPE, settings=unfinished, requested=True, status="running", class_names=class_names
    )
    from tfimp.store import resume_run

    with resume_run(run.path) as writer:
        writer.write_checkpoint(initial_state(), {"step": 5})
    for seed in (0, 1):
        write_run(folder / "group" / f"seed-{seed}", **SHAPE, seed=seed, settings=plain, class_names=class_names)
    (folder / "group" / "config.toml").write_text(RunConfig.from_dict({"train": {"replicates": 2}}).to_toml())
    for command in (
        "plot {run} --figure accuracy --animation",
        "report {run}",
        "export {run} --round last",
        "events {run}",
    ):
        call(folder, command.format(run="run"))
    for command in ("compare {run}", "report {run}"):
        call(folder, command.format(run="group"))
    _build_sweep(folder / "sweep", class_names)


def _build_sweep(path: Path, class_names: tuple[str, ...] | None) -> None:
    """A sweep of two cells, the second of which has one more round to go, with its figure and report."""
    from tfimp.sweeps import read_grid
    from tfimp.sweeps.folder import driving, write_cell

    plain = {"model.hidden": [6, 4], "model.batch_norm": False, "prune.rounds": 4}
    grid, _ = read_grid({"preset": "photos", "set": plain, "over": {"seed": [0, 1]}})
    with driving(path, grid, resume=False):
        for cell in grid.cells:
            status = "running" if cell.seed else "complete"
            settings = cell.config.to_dict()
            write_run(
                path / cell.name, **SHAPE, seed=cell.seed, settings=settings, status=status, class_names=class_names
            )
            write_cell(path / cell.name, status=status, attempts=1)
    for command in ("plot {run}", "report {run}"):
        call(path.parent, command.format(run=path.name))


class Here:
    """An engine of sweeps that runs the cells in this process."""

    def __init__(self, root: Path, *_: object) -> None:
        self._root = root

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, cells: Any) -> Iterator[Any]:
        """Run them one after the other."""
        from tfimp.sweeps.cell import run_cell

        for cell in cells:
            yield cell, run_cell(str(self._root), cell.name, cell.config.to_toml())


def call(folder: Path, command: str, separator: str = " ") -> tuple[int, str]:
    """Call a command in a folder; its code, and all that it says. Nothing takes longer than a moment."""
    out, err = io.StringIO(), io.StringIO()
    before = os.getcwd()
    os.chdir(folder)
    try:
        with in_time(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = _call(command.split(separator))
    finally:
        os.chdir(before)
    said = err.getvalue()
    assert "Traceback" not in said
    assert "fault of tfimp" not in said, said
    assert said.count("\n") <= 1, said
    return code, said + out.getvalue()


def _call(arguments: list[str]) -> int:
    # two are what Python users call, with the errors that they would catch
    use = _call_python if arguments[0] in ("events", "load") else main
    with pytest.raises(SystemExit) as end:
        use(arguments)
    assert isinstance(end.value.code, int)
    return end.value.code


def _call_python(arguments: list[str]) -> None:
    from tfimp import store, tensorboard, tickets
    from tfimp.errors import TfimpError

    name, path = arguments
    try:
        if name == "events":
            tensorboard.write_round(store.open_run(path), 2)
        else:
            tickets.read_ticket(Path(path))
    except TfimpError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    except IndexError:
        raise SystemExit(2) from None
    raise SystemExit(0)


@contextlib.contextmanager
def in_time(seconds: int = 120) -> Iterator[None]:
    """A reader that waits for ever, for a pipe's other end, fails instead."""

    def late(*_: object) -> None:
        raise AssertionError(f"still waiting after {seconds} s")

    earlier = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, earlier)


@contextlib.contextmanager
def made_quick() -> Iterator[None]:
    """Commands do not load TensorFlow's parts, train, draw or measure."""
    from tfimp import _tensorflow, data, export, measures, plots, report

    dataset = types.SimpleNamespace(fingerprint="f" * 64, name="photos", scale=255.0, mean=np.zeros(16, np.float32))
    dataset.train = types.SimpleNamespace(images=np.zeros((4, 16), np.uint8))

    class Requested:
        def __init__(self, run: Any, *_: object) -> None:
            self.run = run

        def store(self, index: int, what: object) -> dict[str, Any]:
            self.run.rounds[index].later_measures.write({"dense_0": {"x": 1.0}}, {"dense_0/removal": np.zeros(3)})
            return {"dense_0": {"x": 1.0}}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_tensorflow, "start", lambda verbose=False: None)
        patch.setattr(data, "load", lambda config, progress=None: dataset)
        patch.setattr(plots, "figure", lambda run, name, **_: run.rounds[-1].weights and Figure())
        patch.setattr("tfimp.plots.comparison.compare_figure", lambda *_: Figure())
        patch.setattr("tfimp.plots.animation._gif", lambda pictures: b"moving")
        patch.setattr("tfimp.plots.animation.has_ffmpeg", lambda: False)
        patch.setattr("tfimp.sweeps.report.compare_figure", lambda *_: Figure())
        patch.setattr("tfimp.sweeps.drive.DaskEngine", Here)
        patch.setattr(report, "as_image", lambda figure: {})
        patch.setattr(report, "render", lambda runs, sweep=None, **_: "a page")
        patch.setattr(measures, "StoredNetworks", Requested)
        patch.setattr(export, "_network", lambda *_: None)
        made = types.SimpleNamespace(name="dense", bits=32, predict=None, files={("saved_model.pb",): b"a network"})
        patch.setattr(export, "_forms", lambda *_: (made, {}, {}))
        patch.setattr(export, "recommend", lambda *_: "dense")
        patch.setattr(export, "summary", lambda folder: "")
        patch.setattr(export, "_accuracies", lambda *_: {})
        patch.setitem(sys.modules, "tfimp.experiment", _experiment())
        yield


def _experiment() -> types.ModuleType:
    """One more round of a run, made up."""

    def run(config: Any, path: Path, *, resume: bool, progress: Any, **_: object) -> Any:
        from tfimp import store

        with store.resume_run(path, config) as writer:
            progress(Started(path, 4, 5, len(writer.run.rounds)))
            writer.read_checkpoint()
            last = writer.run.rounds[-1]
            metrics = {**last.metrics, "round": len(writer.run.rounds)}
            if metrics["round"] < config.prune.rounds:
                writer.write_checkpoint(initial_state(), {"step": 6})
                writer.write_round(
                    metrics["round"], weights=last.weights, masks=last.masks, probes=last.probes, metrics=metrics
                )
                progress(RoundDone(metrics))
            writer.finish("complete", reason="all rounds are done")
        progress(Finished(path, "complete", "all rounds are done", []))
        return store.open_run(path)

    module = types.ModuleType("tfimp.experiment")
    module.run = run  # type: ignore[attr-defined]
    return module


def entries(folder: Path) -> list[Path]:
    """Every file and folder below, relative, a folder before what is in it."""
    return sorted(path.relative_to(folder) for path in folder.rglob("*"))


def contents(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder with its bytes; None for what is no plain file."""
    found = {}
    for path in sorted(folder.rglob("*")):
        plain = path.is_file() and not path.is_symlink()
        found[str(path.relative_to(folder))] = path.read_bytes() if plain else None
    return found


def commands(entry: Path) -> list[str]:
    """The commands on the run, the group or the sweep to which an entry belongs."""
    name = entry.parts[0] if entry.parts[0] in KINDS else "run"
    return [command.format(run=name) for command in KINDS[name]]


def fresh(template: Path, folder: Path) -> Path:
    """A copy of what ``build`` has made, in ``folder/here``, with an empty ``folder/outside`` beside it."""
    for name in ("here", "outside"):
        shutil.rmtree(folder / name, ignore_errors=True)
    shutil.copytree(template, folder / "here")
    (folder / "outside").mkdir()
    return folder / "here"
