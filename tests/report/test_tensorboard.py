"""Events of a round: the stored numbers and pictures, one file per round however often it is written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from fake_run import write_run
from PIL import Image

from tfimp.progress import Note
from tfimp.store import Run


def events(run: Run) -> dict[tuple[str, int], Any]:
    """Every summary of a run by tag and step, as arrays."""
    import tensorflow as tf

    found = {}
    for file in sorted((run.path / "events").iterdir()):
        for record in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                found[value.tag, event.step] = (tf.make_ndarray(value.tensor), value.metadata)
    return found


def test_events_hold_the_rounds_numbers_spreads_and_pictures(tmp_path: Path) -> None:
    from tfimp import tensorboard

    run = write_run(tmp_path / "run", rounds=2, hidden=(12,))
    for index in (0, 1, 1):
        folder = tensorboard.write_round(run, index)
    assert len(list(folder.iterdir())) == 2
    found = events(run)
    for stored in run.rounds:
        for tag, number in {
            "test_accuracy": stored.metrics["test_accuracy"],
            "dense_0/cavity/auc": stored.metrics["layers"]["dense_0"]["cavity"]["auc"],
        }.items():
            value, metadata = found[tag, stored.index]
            np.testing.assert_allclose(value, number, rtol=1e-6)
            assert metadata.plugin_data.plugin_name == "scalars"
        rows, _ = found["dense_0/ipr", stored.index]
        assert rows[:, 2].sum() == 12
        (width, height, png), metadata = found["receptive_fields/weights", stored.index]
        assert metadata.plugin_data.plugin_name == "images"
        with Image.open(io.BytesIO(png)) as picture:
            assert picture.size == (int(width), int(height))


def test_what_goes_wrong_is_said_once_and_ends_nothing(tmp_path: Path) -> None:
    from tfimp.tensorboard import Events

    run = write_run(tmp_path / "run", rounds=2, hidden=(12,))
    said: list[Any] = []
    with Events(False, said.append) as unwanted:
        unwanted.write(run, 0)
    assert not (run.path / "events").exists()
    (run.path / "events").write_text("in the way")
    with Events(True, said.append) as events:
        for index in (0, 1):
            events.write(run, index)
    assert [type(event) for event in said] == [Note]
    assert "TensorBoard" in said[0].text
    assert "\n" not in said[0].text


def test_a_bare_round_and_a_signal_have_events_too(tmp_path: Path) -> None:
    from tfimp import tensorboard

    run = write_run(tmp_path / "run", rounds=1, image_shape=(1, 20, 1), hidden=(5,), bare=True)
    tensorboard.write_round(run, 0)
    assert {("density", 0), ("receptive_fields/masks", 0)} <= events(run).keys()
