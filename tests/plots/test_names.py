"""Names in any script can be drawn: by a font that has them, or written out, and never as a formula."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from tfimp import plots
from tfimp.data import Dataset, Split
from tfimp.plots import style
from tfimp.plots.data import preview

NAMES = ("猫", "😀", "قط", "кот", "$x^2$", "a\x1b[31m", "\udcff", "k_{1}^$", "\u200b", "naïve café")


def test_what_no_font_has_is_written_out() -> None:
    drawable = style._drawable()
    shown = style.legible("猫 кот\x07\udcff")
    assert shown.endswith("кот\\x07\\udcff")
    assert shown.startswith("猫" if ord("猫") in drawable else "\\u732b")
    assert style.legible("$a$") == r"\$a\$"
    assert style.legible("plain, naïve café") == "plain, naïve café"


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_a_preview_of_classes_in_any_script(kind: str, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 48), dtype=np.uint8)
    split = Split(images, (np.arange(40) % 10).astype(np.int32))
    dataset = Dataset("folder:猫 $5 {a}_b^c", split, split, split, (4, 4, 3), NAMES, 255.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.save(preview(dataset), tmp_path, f"x.{kind}")
    assert (tmp_path / f"x.{kind}").stat().st_size > 1000
