"""A run on disk is written whole or not at all, read with checks, and written by one process at a time."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from store_helpers import CONFIG, INFO, initial_state, make_run, round_contents

from tfimp.errors import StoreError
from tfimp.store import create_run, open_run, resume_run
from tfimp.store.arrays import pack_arrays, pack_masks, unpack_arrays, unpack_masks
from tfimp.store.files import write_whole

IS_ROOT = os.geteuid() == 0
"""Permissions stop root from nothing."""


def snapshot(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    with make_run(tmp_path / "parents" / "run") as writer:
        writer.finish("complete", reason="all rounds are done")
    run = open_run(tmp_path / "parents" / "run")
    assert (run.status, run.config, len(run.rounds)) == ("complete", CONFIG, 3)
    assert run.info["data"] == INFO["data"]
    assert run.info["reason"] == "all rounds are done"
    for stored in run.rounds:
        expected = round_contents(stored.index)
        for kind in ("weights", "masks", "probes"):
            arrays = getattr(stored, kind)
            assert list(arrays) == list(expected[kind])
            for name, array in expected[kind].items():
                assert arrays[name].dtype == np.asarray(array).dtype
                np.testing.assert_array_equal(arrays[name], array)
                assert not arrays[name].flags.writeable
        assert stored.metrics["test_accuracy"] is None, "NaN is null"
        assert stored.metrics["train_loss"] == 0.5
        assert stored.metrics["layers"]["dense_0"]["density"] == expected["masks"]["dense_0/kernel"].mean()


def test_the_writers_own_run_is_what_a_reader_finds(tmp_path: Path) -> None:
    with make_run(tmp_path / "run") as writer:
        read = open_run(tmp_path / "run")
        for mine, found in zip(writer.run.rounds, read.rounds, strict=True):
            assert (mine.index, mine.files, mine.metrics) == (found.index, found.files, found.metrics)
            for kind in ("weights", "masks", "probes", "initial_state"):
                arrays = getattr(mine, kind)
                for name, array in getattr(found, kind).items():
                    np.testing.assert_array_equal(arrays[name], array, strict=True)
                    assert kind == "initial_state" or not arrays[name].flags.writeable


def test_a_round_starts_from_the_first_start_under_its_mask(tmp_path: Path) -> None:
    start = initial_state()
    with make_run(tmp_path / "run") as writer:
        for stored in writer.run.rounds:
            state, mask = stored.initial_state, stored.masks["dense_0/kernel"]
            assert set(state) == set(start)
            for name, array in start.items():
                # The optimiser's slot of a pruned weight is zero as well.
                expected = array * mask if name.endswith("dense_0/kernel") else array
                np.testing.assert_array_equal(state[name], expected)
            assert set(stored.initial_weights) == {name for name in start if not name.startswith("optimizer/")}


def test_a_round_with_its_own_start_gives_that_back(tmp_path: Path) -> None:
    with make_run(tmp_path / "run", rounds=1) as writer:
        own = initial_state(seed=5)
        writer.write_round(1, **{**round_contents(1), "initial": own})
        np.testing.assert_array_equal(writer.run.rounds[1].initial_state["dense_0/kernel"], own["dense_0/kernel"])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(hnp.arrays(bool, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9)))
def test_masks_are_one_bit_each_and_come_back(mask: np.ndarray) -> None:
    content = pack_masks({"dense/kernel": mask, "dense/bias": ~mask})
    masks = unpack_masks(content, "here")
    assert list(masks) == ["dense/kernel", "dense/bias"]
    np.testing.assert_array_equal(masks["dense/kernel"], mask)
    assert masks["dense/bias"].dtype == np.bool_
    assert len(content) < 400 + mask.size / 4


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    hnp.arrays(
        st.sampled_from(["f4", "f8", "i8", "u1", "?"]), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
    )
)
def test_arrays_come_back_in_order_with_type_and_shape(array: np.ndarray) -> None:
    names = ["dense_10/kernel", "dense_2/kernel", "optimizer/iteration"]
    arrays = {names[0]: array, names[1]: array.T, names[2]: np.int64(3)}
    content = pack_arrays(arrays)
    assert content == pack_arrays(arrays), "equal arrays give equal bytes"
    back = unpack_arrays(content, "here")
    assert list(back) == names
    for name, original in arrays.items():
        assert back[name].dtype == np.asarray(original).dtype
        np.testing.assert_array_equal(back[name], original)


def test_arrays_that_numpy_would_pickle_and_names_that_are_paths_are_refused() -> None:
    with pytest.raises(StoreError, match="has type object"):
        pack_arrays({"x": np.array([{}, []], dtype=object)})
    for name in ("../x", "/etc/passwd", "a//b", "", "a b", "<script>"):
        with pytest.raises(StoreError, match="not a name for an array"):
            pack_arrays({name: np.zeros(1)})


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    make_run(tmp_path / "run").close()
    before = snapshot(tmp_path)
    with pytest.raises(StoreError, match=r"holds another run.*resume=True.*another path"):
        create_run(tmp_path / "run", CONFIG, INFO)
    assert snapshot(tmp_path) == before


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match=r"cannot create the folder .*file"):
            create_run(path, CONFIG, INFO)
    (tmp_path / "closed").mkdir(mode=0o500)
    if not IS_ROOT:
        with pytest.raises(StoreError, match="Permission denied"):
            create_run(tmp_path / "closed", CONFIG, INFO)


def test_someone_elses_config_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("seed = 3")
    with pytest.raises(StoreError, match=r"already has another config\.toml"):
        create_run(tmp_path, CONFIG, INFO)
    assert (tmp_path / "config.toml").read_text() == "seed = 3"


def test_a_new_run_takes_no_checkpoint_that_it_finds(tmp_path: Path) -> None:
    with make_run(tmp_path / "old", rounds=0) as writer:
        writer.write_checkpoint({"x/y": np.zeros(1)}, {"step": 5})
    (tmp_path / "old" / "run.json").unlink()
    with pytest.raises(StoreError, match="already has a 'checkpoint'"):
        create_run(tmp_path / "old", CONFIG, INFO)


def test_an_unfinished_round_is_dropped_on_resuming(tmp_path: Path) -> None:
    make_run(tmp_path / "run").close()
    before = snapshot(tmp_path / "run")
    (tmp_path / "run" / "rounds" / "02" / "metrics.json").unlink()
    (tmp_path / "run" / "rounds" / ".x.json.12-3.tmp").write_text("torn")
    assert len(open_run(tmp_path / "run").rounds) == 2
    with resume_run(tmp_path / "run", CONFIG) as writer:
        assert writer.dropped == [2]
        assert not (tmp_path / "run" / "rounds" / "02").exists()
        writer.write_round(2, **round_contents(2))
    assert snapshot(tmp_path / "run") == before, "the same bytes as a run that was never stopped"


def test_a_damaged_last_round_is_dropped_and_earlier_damage_is_reported(tmp_path: Path) -> None:
    make_run(tmp_path / "run").close()
    last = tmp_path / "run" / "rounds" / "02" / "weights.safetensors"
    last.write_bytes(last.read_bytes()[:-1])
    with resume_run(tmp_path / "run") as writer:
        assert writer.dropped == [2]
        writer.write_round(2, **round_contents(2))
    first = tmp_path / "run" / "rounds" / "00" / "masks.safetensors"
    first.write_bytes(first.read_bytes()[:-1])
    with pytest.raises(StoreError, match=r"round 0's masks\.safetensors .* does not match its checksum"):
        resume_run(tmp_path / "run")
    assert (tmp_path / "run" / "rounds" / "02").exists()


def test_resuming_with_other_settings_names_them(tmp_path: Path) -> None:
    make_run(tmp_path / "run").close()
    other = dataclasses.replace(CONFIG, seed=4, prune=dataclasses.replace(CONFIG.prune, fraction=0.4))
    with pytest.raises(StoreError, match=r"seed is 0 there, 4 here; prune\.fraction is 0\.3 there, 0\.4 here"):
        resume_run(tmp_path / "run", other)


def test_resuming_with_other_versions_needs_force_and_other_data_never_does(tmp_path: Path) -> None:
    make_run(tmp_path / "run").close()
    newer = {**INFO, "tfimp": "9.9"}
    with pytest.raises(StoreError, match=r"tfimp was 0\.1\.0, now 9\.9; go on with force=True"):
        resume_run(tmp_path / "run", facts=newer)
    resume_run(tmp_path / "run", facts=newer, force=True).close()
    with pytest.raises(StoreError, match="the data are not those"):
        resume_run(tmp_path / "run", facts={**INFO, "data": {"fingerprint": "11"}}, force=True)


def test_rounds_are_stored_in_order(tmp_path: Path) -> None:
    with make_run(tmp_path / "run", rounds=1) as writer:
        with pytest.raises(StoreError, match="the next one is round 1"):
            writer.write_round(2, **round_contents(2))
        with pytest.raises(StoreError, match="status of a run must be one of"):
            writer.finish("finished")


def test_a_second_writer_is_told_who_writes(tmp_path: Path) -> None:
    with make_run(tmp_path / "run", rounds=1):
        for begin in (lambda: create_run(tmp_path / "run", CONFIG, INFO), lambda: resume_run(tmp_path / "run")):
            with pytest.raises(StoreError, match=f"written by process {os.getpid()}"):
                begin()
        assert len(open_run(tmp_path / "run").rounds) == 1, "reading needs no lock"
    resume_run(tmp_path / "run").close()


def test_a_killed_process_holds_no_lock(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[2]); from store_helpers import make_run\n"
        "writer = make_run(sys.argv[1]); os.kill(os.getpid(), signal.SIGKILL)"
    )
    path = tmp_path / "run"
    done = subprocess.run([sys.executable, "-c", script, path, Path(__file__).parent], check=False)
    assert done.returncode == -9
    assert (path / ".lock").read_text().split()[0].isdigit()
    with resume_run(path) as writer:
        assert len(writer.run.rounds) == 3


def test_reading_a_run_needs_no_tensorflow(tmp_path: Path) -> None:
    make_run(tmp_path / "run").close()
    script = (
        "import sys, tfimp; run = tfimp.open_run(sys.argv[1]); run.rounds[1].initial_weights; run.rounds[2].probes\n"
        "print([name for name in ('tensorflow', 'tf_keras', 'keras') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "run"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("broken", ["replace", "fsync", "open"])
def test_a_reader_never_sees_half_a_file(broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path, "file.json", content=b"old")
    original = getattr(os, broken)

    def fail(*given: Any, **options: Any) -> Any:
        if broken == "open" and not given[1] & os.O_CREAT:
            return original(*given, **options)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, broken, fail)
        with pytest.raises(StoreError, match=r"cannot write .*file\.json.*No space left on device"):
            write_whole(tmp_path, "file.json", content=b"new")
    assert (tmp_path / "file.json").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.json"]
    write_whole(tmp_path, "file.json", content=b"new")
    assert (tmp_path / "file.json").read_bytes() == b"new"


def test_a_checkpoint_replaces_the_one_before_only_when_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make_run(tmp_path / "run", rounds=1) as writer:
        assert writer.read_checkpoint() is None
        for step in range(3):
            writer.write_checkpoint({"x/y": np.full(4, step)}, {"step": step})

        def fail(*_: object, **__: object) -> None:
            raise OSError(5, "Input/output error")

        for name in ("fsync", "replace"):
            with monkeypatch.context() as patch:
                patch.setattr(os, name, fail)
                with pytest.raises(StoreError):
                    writer.write_checkpoint({"x/y": np.full(4, 9)}, {"step": 9})
    with resume_run(tmp_path / "run") as writer:
        found = writer.read_checkpoint()
        assert found is not None
        np.testing.assert_array_equal(found[0]["x/y"], np.full(4, 2))
        assert found[1] == {"step": 2}
        for file in (tmp_path / "run" / "checkpoint").glob("state-*"):
            file.write_bytes(b"damaged")
        assert writer.read_checkpoint() is None, "the round is computed from its start instead"
        writer.write_round(1, **round_contents(1))
        assert not (tmp_path / "run" / "checkpoint").exists()


def test_a_checkpoint_of_an_earlier_round_is_not_used(tmp_path: Path) -> None:
    with make_run(tmp_path / "run", rounds=1) as writer:
        writer.write_checkpoint({"x/y": np.zeros(1)}, {"step": 1})
        kept = snapshot(tmp_path / "run" / "checkpoint")
        writer.write_round(1, **round_contents(1))
    # As if the process had died between the round's last write and the removal of the checkpoint.
    (tmp_path / "run" / "checkpoint").mkdir()
    for name, content in kept.items():
        (tmp_path / "run" / "checkpoint" / name).write_bytes(content)
    with resume_run(tmp_path / "run") as writer:
        assert writer.read_checkpoint() is None


def test_metrics_say_the_files_of_the_round(tmp_path: Path) -> None:
    make_run(tmp_path / "run", rounds=1).close()
    metrics = json.loads((tmp_path / "run" / "rounds" / "00" / "metrics.json").read_text())
    assert set(metrics["files"]) == {
        "weights.safetensors",
        "masks.safetensors",
        "probes.safetensors",
        "initial.safetensors",
    }
    assert metrics["test_accuracy"] is None
    assert len(metrics["checksum"]) == 64
