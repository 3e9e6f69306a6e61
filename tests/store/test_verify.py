"""`tfimp verify` finds what does not fit, and any flipped bit."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_helpers import CONFIG, INFO, make_run, round_contents

from tfimp.errors import StoreError
from tfimp.store import create_run, open_run
from tfimp.store.derived import deriving
from tfimp.verify import repair, verify

MASK = "dense_0/kernel"


def a_run_with(path: Path, change: Callable[[dict[str, Any]], None], index: int = 2) -> list[str]:
    """Problems of a run in which what one round stores was changed before it was written."""
    with create_run(path, CONFIG, INFO) as writer:
        for number in range(3):
            contents = round_contents(number)
            if number == index:
                contents = {name: dict(part) if isinstance(part, dict) else part for name, part in contents.items()}
                change(contents)
            writer.write_round(number, **contents)
        writer.finish("complete")
    return verify(path)


def test_a_sound_run_has_no_problems(tmp_path: Path) -> None:
    with make_run(tmp_path / "run") as writer:
        writer.write_checkpoint({"x/y": np.zeros(3)}, {"step": 1})
        assert verify(tmp_path / "run") == []
        writer.finish("complete")
    assert verify(tmp_path / "run") == []


def regrow(contents: dict[str, Any]) -> None:
    mask = contents["masks"][MASK].copy()
    before = round_contents(1)["masks"][MASK]
    mask.flat[np.flatnonzero(~before)[0]] = True
    mask.flat[np.flatnonzero(mask & before)[0]] = False
    contents["masks"][MASK] = mask
    contents["weights"][MASK] = contents["weights"][MASK] * mask


def prune_one_more(contents: dict[str, Any]) -> None:
    mask = contents["masks"][MASK].copy()
    mask.flat[np.flatnonzero(mask)[0]] = False
    contents["masks"][MASK] = mask


def prune_another(contents: dict[str, Any]) -> None:
    mask = contents["masks"][MASK].copy()
    lost = np.flatnonzero(round_contents(1)["masks"][MASK] & ~mask)[0]
    mask.flat[[np.flatnonzero(mask)[0], lost]] = False, True
    contents["masks"][MASK] = mask
    contents["weights"][MASK] = contents["weights"][MASK] * mask


def revive(contents: dict[str, Any]) -> None:
    kernel = contents["weights"][MASK].copy()
    kernel.flat[np.flatnonzero(~contents["masks"][MASK])[0]] = 1e-30
    contents["weights"][MASK] = kernel


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "a pruned weight came back": (regrow, "1 pruned weights came back"),
    "one weight too many went": (prune_one_more, "weights, fraction 0.3 is"),
    "the wrong weight went": (prune_another, "not the one that magnitude pruning of round 1 gives"),
    "a pruned weight is not zero": (revive, "1 pruned trained weights of dense_0/kernel are not zero"),
    "another start": (
        lambda c: c.update(initial={**round_contents(0)["initial"], "dense_0/bias": np.ones(6, np.float32)}),
        "dense_0/bias at the start of the round is not the rewound one",
    ),
    "another shape": (
        lambda c: c["weights"].update({"output/kernel": np.zeros((6, 4), np.float32)}),
        "weights output/kernel have shape (6, 4), the configuration says (6, 3)",
    ),
    "an array is missing": (lambda c: c["weights"].pop("output/bias"), "weights have no output/bias"),
    "another mask": (lambda c: c.update(masks={}), "masks are none, the configuration says dense_0/kernel"),
    "another density": (lambda c: c["metrics"].update(density=0.5), "metrics.json says density 0.5, the masks"),
    "another layer density": (
        lambda c: c["metrics"].update(layers={"dense_0": {"alive_units": 5}}),
        "metrics.json says alive_units 5 of dense_0, the mask 6",
    ),
    "a layer that is not there": (
        lambda c: c["metrics"].update(layers={"dense_7": {}}),
        "'dense_7', which is no layer",
    ),
    "other connections": (
        lambda c: c["probes"].update({"dense_0/connections": np.zeros(6, np.int32)}),
        "probe dense_0/connections is not what the mask says",
    ),
    "too few values of a probe": (
        lambda c: c["probes"].update({"dense_0/cavity_delta": np.zeros(3, np.float32)}),
        "probe dense_0/cavity_delta has shape (3,)",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_round_that_is_not_what_pruning_gives_is_found(name: str, tmp_path: Path) -> None:
    change, message = CHANGES[name]
    problems = a_run_with(tmp_path / "run", change)
    assert any(problem.startswith("round 2: ") and message in problem for problem in problems), problems
    assert all("\n" not in problem for problem in problems)


def test_a_configuration_that_the_arrays_contradict_is_found(tmp_path: Path) -> None:
    other = dataclasses.replace(CONFIG, prune=dataclasses.replace(CONFIG.prune, fraction=0.5, rounds=2))
    with create_run(tmp_path / "run", other, {**INFO, "seed": 3}) as writer:
        for index in range(3):
            writer.write_round(index, **round_contents(index))
        writer.finish("complete")
    problems = "\n".join(verify(tmp_path / "run"))
    assert "fraction 0.5 is 36" in problems
    assert "there are 3 rounds, the configuration asks for 2" in problems
    assert "run.json says seed 3, config.toml 0" in problems


def test_a_dense_round_is_as_dense_as_the_configuration_says(tmp_path: Path) -> None:
    problems = a_run_with(tmp_path / "run", prune_one_more, index=0)
    assert "round 0: mask dense_0/kernel of the dense round has 1 pruned entries, initial_sparsity says 0" in problems


def test_repair_drops_what_a_killed_writer_left(tmp_path: Path) -> None:
    path = tmp_path / "run"
    make_run(path).close()
    (path / "rounds" / "02" / "metrics.json").unlink()
    (path / ".run.json.1-2.tmp").write_text("{")
    problems = "\n".join(verify(path))
    assert "round 2 is unfinished" in problems
    assert ".run.json.1-2.tmp" in problems
    assert repair(path) == [2]
    assert verify(path) == []
    assert len(open_run(path).rounds) == 2
    assert repair(path) == []


def test_files_that_no_run_has_are_named(tmp_path: Path) -> None:
    make_run(tmp_path / "run").close()
    (tmp_path / "run" / "rounds" / "01" / "weights.pkl").write_bytes(b"")
    (tmp_path / "run" / "rounds" / "01" / "initial.safetensors").write_bytes(b"")
    problems = "\n".join(verify(tmp_path / "run"))
    assert "rounds/01 holds a file that no run has: 'weights.pkl'" in problems
    assert "initial.safetensors is there, but metrics.json does not name it" in problems


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with make_run(path) as writer:
        writer.write_checkpoint({"x/y": np.zeros(3)}, {"step": 1})
    derived = [path / "figures" / "accuracy.png", path / "events" / "of.round-00", path / "report.html"]
    with deriving(path, derived):
        for file in derived:
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(file.name.encode())
    # The lock's text is only ever shown to a second writer; all other files count.
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name != ".lock")
    assert len(files) == 1 + 1 + 3 * 4 + 1 + 2 + 3 + 1
    rng = np.random.default_rng(0)
    sizes = np.array([file.stat().st_size for file in files])
    for flip in range(150):
        file = files[flip % len(files)] if flip < 60 else files[rng.choice(len(files), p=sizes / sizes.sum())]
        original = file.read_bytes()
        content = bytearray(original)
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        file.write_bytes(content)
        assert verify(path), f"{file} was changed and nothing was found"
        file.write_bytes(original)
    assert verify(path) == []


def test_there_must_be_a_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"has no run\.json"):
        verify(tmp_path)


def test_checksums_of_what_is_derived_are_those_of_sha256sum(tmp_path: Path) -> None:
    path = tmp_path / "run"
    make_run(path).close()
    drawn, elsewhere = path / "figures" / "a b.png", tmp_path / "a.png"
    drawn.parent.mkdir()
    with deriving(path, [drawn, elsewhere, path / "figures" / "never-written.png"]):
        drawn.write_bytes(b"1")
        elsewhere.write_bytes(b"2")
    digest = hashlib.sha256(b"1").hexdigest()
    assert (path / "derived.sha256").read_text() == f"{digest}  figures/a b.png\n"
    assert verify(path) == []

    drawn.write_bytes(b"3")
    assert verify(path) == ["figures/a b.png is not what was written; figures are drawn again by `tfimp plot`"]
    # By another name of the run's folder, it is the same file.
    (tmp_path / "link").symlink_to(path)
    with deriving(path, [tmp_path / "link" / "figures" / "a b.png"]):
        pass
    assert verify(path) == []

    drawn.unlink()
    assert "is missing" in "".join(verify(path))
    drawn.parent.rmdir()  # figures that were removed as a whole are not missed
    assert verify(path) == []


def test_a_writer_of_figures_that_fails_leaves_no_checksum_of_them(tmp_path: Path) -> None:
    path = tmp_path / "run"
    make_run(path).close()
    drawn = path / "figures" / "a.png"
    drawn.parent.mkdir()
    drawn.write_bytes(b"half")
    with deriving(path, [drawn]):
        pass
    with pytest.raises(KeyError, match="a pen"), deriving(path, [drawn]):
        drawn.write_bytes(b"ha" if {}["a pen"] else b"never")
    assert verify(path) == []
    assert (path / "derived.sha256").read_bytes() == b""


@pytest.mark.parametrize("content", [b"\xff\n", b"0 figures/a.png\n", b"0" * 64 + b"  ../x\n", b"0" * 64 + b"  a"])
def test_a_damaged_list_of_checksums_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run"
    make_run(path).close()
    (path / "derived.sha256").write_bytes(content)
    assert "derived.sha256" in "".join(verify(path))
    with deriving(path, [path / "report.html"]):
        (path / "report.html").write_bytes(b"page")
    assert verify(path) == []
