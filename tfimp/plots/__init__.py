"""Figures of a stored run: drawn from what is on disk, never from a live model. TensorFlow is never imported here."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from tfimp import catalogue
from tfimp.errors import ConfigError, nearest
from tfimp.plots import read
from tfimp.plots.ablations import node_ablation
from tfimp.plots.cavities import cavity, cavity_by_magnitude, set_cavity
from tfimp.plots.classes import class_selectivity
from tfimp.plots.connections import connectivity, connectivity_out, input_usage
from tfimp.plots.curves import accuracy, inverse_participation_ratio, kurtosis, locality, negentropy
from tfimp.plots.fields import receptive_field_masks, receptive_fields, receptive_fields_channels
from tfimp.plots.gaussianity import stages, untrained
from tfimp.plots.pairs import displacement_enrichment, displacements, radial_profile
from tfimp.plots.patterns import field_fits, pairs_by_connectivity, translation
from tfimp.plots.removals import beyond_magnitude, cavity_signs, cavity_statistics, deeper_effects
from tfimp.plots.structure import deeper_fields, field_size, mask_overlap
from tfimp.plots.style import DEFAULT, DPI, Layout, laid_out, missing_figure, says_nothing, styled
from tfimp.plots.within import headline_figure, within_class_cavity, within_classes
from tfimp.store import Run
from tfimp.store.derived import deriving
from tfimp.store.files import make_folder, write_whole

__all__ = ["CORE", "FIGURES", "FORMATS", "draw", "figure", "own_figures"]

FIGURES: dict[str, Callable[[Run], Figure]] = {
    "accuracy": accuracy,
    "within-classes": within_classes,
    "within-class-cavity": within_class_cavity,
    "kurtosis": kurtosis,
    "negentropy": negentropy,
    "stages": stages,
    "untrained-weights": untrained,
    "inverse-participation-ratio": inverse_participation_ratio,
    "locality": locality,
    "translation": translation,
    "receptive-fields": receptive_fields,
    "receptive-field-masks": receptive_field_masks,
    "receptive-fields-channels": receptive_fields_channels,
    "displacements": displacements,
    "displacement-enrichment": displacement_enrichment,
    "radial-profile": radial_profile,
    "pairs-by-connectivity": pairs_by_connectivity,
    "field-size": field_size,
    "field-fits": field_fits,
    "connectivity": connectivity,
    "connectivity-out": connectivity_out,
    "input-usage": input_usage,
    "cavity": cavity,
    "cavity-statistics": cavity_statistics,
    "cavity-by-magnitude": cavity_by_magnitude,
    "cavity-beyond-magnitude": beyond_magnitude,
    "cavity-signs": cavity_signs,
    "set-cavity": set_cavity,
    "deeper-effects": deeper_effects,
    "class-selectivity": class_selectivity,
    "node-ablation": node_ablation,
    "deeper-fields": deeper_fields,
    "mask-overlap": mask_overlap,
}
CORE = ("receptive-fields", "accuracy", "locality", "within-classes", "within-class-cavity")  # what a run ends with
FORMATS = ("png", "pdf", "svg")


def own_figures() -> dict[str, Callable[[Run], Figure]]:
    """The figures of users' own measures: what they draw, or their headlines against density."""
    found: dict[str, Callable[[Run], Figure]] = {}
    for measure in catalogue.registered():
        if callable(measure.figure):
            found[measure.name] = measure.figure
        elif not measure.figure and measure.headline:
            found[measure.name] = functools.partial(
                headline_figure, name=measure.name, lines=measure.headline, caption=measure.caption
            )
    return {name: draw_one for name, draw_one in found.items() if name not in FIGURES}


def figure(run: Run, name: str, *, rounds: Sequence[int] | None = None, layout: Layout = DEFAULT) -> Figure:
    """One figure in the project's style; it says what is missing where the run did not store it.

    Args:
        run: A stored run.
        name: One of ``FIGURES``.
        rounds: Those that figures of single rounds show; by default the dense, the middle and the last one.
        layout: Its width, and whether it has a title and a caption.

    Raises:
        ConfigError: an unknown name, or a round that the run does not have.
    """
    check_names([name])
    for index in rounds or ():
        if not 0 <= index < len(run.rounds):
            raise ConfigError(f"the run has rounds 0 to {len(run.rounds) - 1}, got round {index}")
    with styled(), laid_out(layout), read.choosing(rounds):
        if not run.rounds:
            return missing_figure(name.replace("-", " ").capitalize(), "This run has no complete round yet.")
        return {**FIGURES, **own_figures()}[name](run)


def draw(
    run: Run,
    figures: Iterable[str] | None = None,
    formats: Iterable[str] = ("png",),
    out: str | Path | None = None,
    *,
    rounds: Sequence[int] | None = None,
    layout: Layout = DEFAULT,
    empty: bool | None = None,
    at_hand: Mapping[str, Figure] | None = None,
) -> list[Path]:
    """Draw figures of a stored run into files NAME.FORMAT.

    Args:
        run: A stored run.
        figures: Names from ``FIGURES``; all of them by default.
        formats: png, pdf or svg.
        out: A folder; ``figures`` inside the run by default.
        rounds, layout: As for `figure`.
        empty: Whether figures are written that only say what the run did not store; by default those asked for by name.
        at_hand: Figures of the run by name that need not be drawn again.

    Returns:
        The files, in the order of the figures.

    Raises:
        ConfigError: an unknown figure or format.
        StoreError: the run holds links where its figures would be.
        OSError: the folder cannot be written.
    """
    names, kinds = list(figures or [*FIGURES, *own_figures()]), list(dict.fromkeys(formats))
    check_names(names)
    for kind in kinds:
        if kind not in FORMATS:
            raise ConfigError(f"unknown format {kind!r}{nearest(kind, FORMATS)}; accepted: {', '.join(FORMATS)}")
    root, parts = (run.path, ["figures"]) if out is None else (Path(out), [])
    make_folder(root)
    keep_empty, known = figures is not None if empty is None else empty, at_hand or {}
    content: dict[str, bytes] = {}
    for name in dict.fromkeys(names):
        # a figure holds what it shows, the bytes of its picture are few
        drawn = known.get(name) or figure(run, name, rounds=rounds, layout=layout)
        if keep_empty or not says_nothing(drawn):
            content |= {f"{name}.{kind}": encoded(drawn, kind) for kind in kinds}
    files = [root.joinpath(*parts, name) for name in content]
    with deriving(run.path, files):
        for name, picture in content.items():
            write_whole(root, *parts, name, content=picture)
    return files


def encoded(drawn: Figure, kind: str) -> bytes:
    """A figure as a file of a format; equal figures give equal bytes, without a date in them."""
    metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind, {"Software": "tfimp"})
    buffer = io.BytesIO()
    with styled():
        drawn.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
    return buffer.getvalue()


def save(drawn: Figure, root: Path, *parts: str) -> None:
    """Write a figure in the format of the file's ending.

    Args:
        drawn: The figure.
        root: A folder.
        parts: The way down from it, in which no link is followed; the file's name is the last.
    """
    write_whole(root, *parts, content=encoded(drawn, Path(parts[-1]).suffix[1:].lower()))


def check_names(names: Iterable[str]) -> None:
    """Refuse names of figures that there are not."""
    known = [*FIGURES, *own_figures()]
    for name in names:
        if name not in known:
            raise ConfigError(f"unknown figure {name!r}{nearest(name, known)}; accepted: {', '.join(known)}")
