"""The animation shows every round once, and keeps to formats that can be written here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fake_run import write_run
from PIL import Image

from tfimp.errors import ConfigError
from tfimp.plots.animation import animate, frames, has_ffmpeg


@pytest.mark.parametrize("image_shape", [(6, 5, 3), (1, 20, 1)], ids=["images", "signals"])
def test_a_gif_has_a_picture_per_round(image_shape: tuple[int, int, int], tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", image_shape=image_shape, rounds=3, hidden=(9,))
    (file,) = animate(run)
    assert file == run.path / "figures" / "receptive-fields.gif"
    with Image.open(file) as picture:
        assert picture.n_frames == 3
    drawn = frames(run)
    assert len({frame.shape for frame in drawn}) == 1
    assert all(side % 2 == 0 for side in drawn[0].shape[:2])
    assert not np.array_equal(drawn[0], drawn[1])


@pytest.mark.skipif(not has_ffmpeg(), reason="ffmpeg is not installed")
def test_an_mp4_is_written_where_ffmpeg_is(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", rounds=2, hidden=(4,))
    (file,) = animate(run, ("mp4",), tmp_path / "new")
    assert file.read_bytes()[4:8] == b"ftyp"


def test_formats_that_cannot_be_written_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path / "run", rounds=1, hidden=(4,))
    with pytest.raises(ConfigError, match="accepted: gif, mp4"):
        animate(run, ("avi",))
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ConfigError, match="needs the program ffmpeg"):
        animate(run, ("mp4",))


def test_a_run_without_rounds_has_nothing_to_animate(tmp_path: Path) -> None:
    assert animate(write_run(tmp_path / "run", rounds=0)) == []
