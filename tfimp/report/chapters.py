"""Which figures the report shows, and in which chapter: one question each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Chapter:
    """A chapter that unfolds: its place in the page, its heading, what it asks, and its figures in order."""

    slug: str
    title: str
    question: str
    figures: tuple[str, ...]


CHAPTERS = (
    Chapter("performance", "Accuracy", "Does the sparse network do as well as the dense one?", ("accuracy",)),
    Chapter(
        "locality",
        "Locality",
        "Do the inputs that a unit keeps lie close together?",
        ("locality", "displacement-enrichment", "field-size", "input-usage"),
    ),
    Chapter(
        "gaussianity",
        "Non-Gaussianity",
        "How far from a Gaussian are the pre-activations, and where does it come from?",
        ("within-classes", "stages", "untrained-weights"),
    ),
    Chapter(
        "cavity",
        "Cavity",
        "What does a single weight do to its unit, and does pruning remove those that hold it back?",
        ("within-class-cavity", "cavity-beyond-magnitude", "cavity-signs", "deeper-effects"),
    ),
    Chapter(
        "connections",
        "Connections",
        "How are the surviving weights shared out?",
        ("inverse-participation-ratio", "connectivity", "connectivity-out", "mask-overlap", "deeper-fields"),
    ),
    Chapter(
        "classes", "Classes", "What do units answer to, and which does the network need?",
        ("class-selectivity", "node-ablation"),
    ),
)  # fmt: skip
OTHER = Chapter("more", "More", "What else was measured.", ())
# The first screen shows the fields themselves; the others ask what a figure above asks, or take long to draw.
LEFT_OUT = {
    "receptive-fields", "receptive-field-masks", "receptive-fields-channels", "displacements", "radial-profile",
    "pairs-by-connectivity", "field-fits", "translation", "kurtosis", "negentropy", "cavity", "cavity-statistics",
    "cavity-by-magnitude", "set-cavity",
}  # fmt: skip


def chapters(names: Iterable[str]) -> list[Chapter]:
    """The chapters with those of their figures that there are; figures of no chapter in a last one."""
    known = list(names)
    found = [dataclasses.replace(c, figures=tuple(name for name in c.figures if name in known)) for c in CHAPTERS]
    placed = {name for chapter in CHAPTERS for name in chapter.figures} | LEFT_OUT
    found.append(dataclasses.replace(OTHER, figures=tuple(name for name in known if name not in placed)))
    return [chapter for chapter in found if chapter.figures]
