"""Kill runs at random moments, resume them, and compare every stored array with a run that nobody killed.

    python benchmarks/crash.py --kills 200

Small runs of several procedures and optimisers are started, killed with SIGKILL, resumed, killed again, until they are
complete. TensorFlow is imported once, and each attempt is a fork of that process, made before TensorFlow computes.
Checkpoints are written far more often than in a real run, so that most resumes start inside a round.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import hashlib
import importlib
import os
import random
import select
import signal
import sys
import tempfile
import time
from pathlib import Path

import tfimp
from tfimp.config import RunConfig
from tfimp.errors import TfimpError
from tfimp.progress import Block, Event
from tfimp.store import open_run
from tfimp.training.batches import BLOCK
from tfimp.verify import verify

SMALL = {
    "data": {"source": "nlgp", "side": 6, "train": 300, "validation": 50, "test": 50},
    "model": {"hidden": [12, 8]},
    "train": {"batch_size": 10, "steps": 600, "checkpoint_seconds": 0.001},
    "prune": {"rounds": 5, "rewind_step": 50},
    "probe": {"samples": 32},
    "export": {"rounds": []},
}
VARIANTS = {
    "imp, sgd": {},
    "imp, adam, biases": {"train": {"optimizer": "adam", "learning_rate": 0.01}, "prune": {"include_bias": True}},
    "imp, momentum, global": {"train": {"momentum": 0.9, "weight_decay": 1e-4}, "prune": {"scope": "global"}},
    "sparse": {"train": {"engine": "sparse"}},
    "sparse, pixels": {"data": {"source": "photos"}, "train": {"engine": "sparse"}},
    "dense, then sparse": {},
    "fine_tune": {"prune": {"procedure": "fine_tune"}},
    "random": {"prune": {"procedure": "random"}},
    "reinitialise": {"prune": {"procedure": "reinitialise"}},
    "one_shot": {"prune": {"procedure": "one_shot"}},
}
BRIEF = {"model": {"hidden": [8]}, "probe": {"samples": 32, "what": ["ipr"]}}
ATTEMPTS = 60
# "dense, then sparse": rounds of densities 1 and 0.7 are dense. Later starts would measure another crossover, as they
# may on a real machine; what counts is the one in run.json.
CROSSOVER, OTHER_CROSSOVER = 0.6, 0.3
STEPPED, RESUMED = b".", b"r"


@dataclasses.dataclass
class Attempt:
    """How one start or resume of a run ended.

    Args:
        was_killed: It was, before it had ended.
        was_inside: Its first block of steps was not the first one of a round.
    """

    was_killed: bool
    was_inside: bool


def configuration(variant: str, seed: int, brief: bool) -> RunConfig:
    """A small run of one of the variants; a brief one has less to compile."""
    base = {**SMALL, **BRIEF} if brief else SMALL
    sections = {name: {**values, **VARIANTS[variant].get(name, {})} for name, values in base.items()}
    return RunConfig.from_dict({**sections, "seed": seed})


def attempt(config: RunConfig, path: Path, wait: tuple[int, float] | None, crossover: float | None = None) -> Attempt:
    """Run or resume in a child process; kill it some time after its n-th event."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os._exit(_child(config, path, writing, crossover))
    os.close(writing)
    said = _kill(child, reading, *wait) if wait is not None else b""
    _, status = os.waitpid(child, 0)
    while received := os.read(reading, 4096):
        said += received
    os.close(reading)
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status) != 0:
        raise SystemExit(f"{path} could not be continued")
    return Attempt(os.WIFSIGNALED(status), RESUMED in said)


def _child(config: RunConfig, path: Path, writing: int, crossover: float | None) -> int:
    from tfimp import checkpoints
    from tfimp.laboratory import Laboratory

    checkpoints.LARGEST_SHARE = 1.0
    if crossover is not None:
        Laboratory.sparse_below = crossover  # type: ignore[assignment]
    is_first = True

    def tell(event: Event) -> None:
        nonlocal is_first
        # A round's own first block ends at its step BLOCK, or earlier where it is rewound to a step inside a block.
        inside = isinstance(event, Block) and is_first and event.step > BLOCK
        is_first = is_first and not isinstance(event, Block)
        os.write(writing, RESUMED if inside else STEPPED)

    os.chdir(path.parent)
    try:
        tfimp.run(config, path, resume=(path / "run.json").exists(), progress=tell)
        return 0
    except TfimpError as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 1


def _kill(child: int, reading: int, events: int, delay: float) -> bytes:
    """Wait for so many events and a while longer, then kill, unless the child ends before; returns what it said."""
    said = b""
    while len(said) < events:
        select.select([reading], [], [])
        received = os.read(reading, 1)
        if not received:
            return said
        said += received
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    return said


def contents(path: Path) -> dict[str, str]:
    """SHA-256 of every file of arrays, and the metrics but for the seconds."""
    found = {}
    for stored in open_run(path).rounds:
        for name in stored.files:
            found[f"{stored.index}/{name}"] = hashlib.sha256(stored.read_checked(name)).hexdigest()
        numbers = {word: value for word, value in stored.metrics.items() if word != "seconds"}
        found[f"{stored.index}/metrics"] = repr(numbers)
    return found


def preload() -> None:
    """Import, before any fork, what every child needs; nothing is computed, as threads would not live on in a fork."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("tf_keras", "tensorflow_model_optimization", "tfimp.laboratory", "tfimp.experiment", "tfimp.export"):
        importlib.import_module(name)


def main() -> None:
    """Kill, resume, compare; exit code 1 at the first difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--most", type=int, default=ATTEMPTS, help="kills of one run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variant", choices=VARIANTS, action="append", help="only these; can be repeated")
    parser.add_argument("--brief", action="store_true", help="one hidden layer and one measure: less to compile")
    options = parser.parse_args()

    variants = options.variant or list(VARIANTS)
    preload()
    dice, began = random.Random(options.seed), time.perf_counter()
    runs = longest = 0
    counts: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        while counts["kills"] < options.kills:
            variant = variants[runs % len(variants)]
            config = configuration(variant, options.seed + runs, options.brief)
            left = min(options.most, options.kills - counts["kills"])
            found = broken_run(variant, config, Path(folder, str(runs)), left, dice)
            counts.update(found)
            runs, longest = runs + 1, max(longest, found["kills"])
            print(f"{variant}, seed {config.seed}: {dict(found)}", flush=True)
    seconds = time.perf_counter() - began
    print(f"{counts['resumes inside a round']} of {counts['resumes']} resumes started inside a round, ", end="")
    print(f"{counts['kills in a sparse round']} kills came in a sparse round")
    print(f"{counts['kills']} kills over {runs} runs (at most {longest} in one) in {seconds:.0f} s: 0 differences")


def broken_run(
    variant: str, config: RunConfig, folder: Path, kills: int, dice: random.Random
) -> collections.Counter[str]:
    """Do one run whole and once more with at most so many kills; counts what happened.

    Raises:
        SystemExit: an array differs, the run is not sound, or it could not be continued.
    """
    whole, broken = Path(f"{folder}-whole"), Path(f"{folder}-broken")
    crossover = CROSSOVER if variant == "dense, then sparse" else None
    attempt(config, whole, None, crossover)
    expected = contents(whole)
    counts: collections.Counter[str] = collections.Counter(kills=0)
    while True:
        wait = (dice.randrange(0, 12), dice.random() * dice.choice([0.01, 0.1, 1.0]))
        if counts["kills"] >= kills:
            wait = None
        resumes = (broken / "run.json").exists()
        done = attempt(config, broken, wait, crossover and (OTHER_CROSSOVER if resumes else crossover))
        counts["resumes"] += resumes
        counts["resumes inside a round"] += done.was_inside
        if not done.was_killed:
            break
        counts["kills"] += 1
        counts["kills in a sparse round"] += _is_sparse(broken)
    found, problems = contents(broken), verify(broken)
    if found != expected or problems:
        different = [name for name in expected if found.get(name) != expected[name]]
        raise SystemExit(f"{variant}, seed {config.seed}, {counts['kills']} kills: {different} differ; {problems}")
    counts["arrays and metrics equal"] = len(expected)
    return counts


def _is_sparse(path: Path) -> bool:
    """Whether the round that a killed run was in is one for the sparse engine."""
    if not (path / "run.json").exists():
        return False
    run = open_run(path)
    density = run.rounds[-1].metrics["density"] * (1 - run.config.prune.fraction) if run.rounds else 1.0
    return bool(density < run.info.get("sparse_below", 0.0))


if __name__ == "__main__":
    main()
