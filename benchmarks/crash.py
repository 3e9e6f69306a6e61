"""Kill runs at random moments, resume them, and compare every stored array with a run that nobody killed.

    python benchmarks/crash.py --kills 200

Small runs of several procedures and optimisers are started, killed with SIGKILL, resumed, killed again, until they are
complete. TensorFlow is imported once, and each attempt is a fork of that process, made before TensorFlow computes.
"""

from __future__ import annotations

import argparse
import collections
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
from tfimp.progress import Event
from tfimp.store import open_run
from tfimp.verify import verify

SMALL = {
    "data": {"source": "nlgp", "side": 6, "train": 300, "validation": 50, "test": 50},
    "model": {"hidden": [12, 8]},
    "train": {"batch_size": 10, "steps": 300},
    "prune": {"rounds": 5, "rewind_step": 50},
    "probe": {"samples": 32},
    "export": {"rounds": []},
}
VARIANTS = {
    "imp, sgd": {},
    "imp, adam, biases": {"train": {"optimizer": "adam", "learning_rate": 0.01}, "prune": {"include_bias": True}},
    "imp, momentum, global": {"train": {"momentum": 0.9, "weight_decay": 1e-4}, "prune": {"scope": "global"}},
    "sparse": {"train": {"engine": "sparse"}},
    "fine_tune": {"prune": {"procedure": "fine_tune"}},
    "random": {"prune": {"procedure": "random"}},
    "reinitialise": {"prune": {"procedure": "reinitialise"}},
    "one_shot": {"prune": {"procedure": "one_shot"}},
}
BRIEF = {"model": {"hidden": [8]}, "probe": {"samples": 32, "what": ["ipr"]}}
ATTEMPTS = 60


def configuration(variant: str, seed: int, brief: bool) -> RunConfig:
    """A small run of one of the variants; a brief one has less to compile."""
    base = {**SMALL, **BRIEF} if brief else SMALL
    sections = {name: {**values, **VARIANTS[variant].get(name, {})} for name, values in base.items()}
    return RunConfig.from_dict({**sections, "seed": seed})


def attempt(config: RunConfig, path: Path, wait: tuple[int, float] | None) -> bool:
    """Run or resume in a child process; kill it some time after its n-th event. Says whether it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os._exit(_child(config, path, writing))
    os.close(writing)
    killed = wait is not None and _kill(child, reading, *wait)
    _, status = os.waitpid(child, 0)
    os.close(reading)
    if os.WIFSIGNALED(status):
        return killed
    if os.WEXITSTATUS(status) != 0:
        raise SystemExit(f"{path} could not be continued")
    return False


def _child(config: RunConfig, path: Path, writing: int) -> int:
    def tell(event: Event) -> None:
        os.write(writing, b".")

    os.chdir(path.parent)
    try:
        tfimp.run(config, path, resume=(path / "run.json").exists(), progress=tell)
        return 0
    except TfimpError as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 1


def _kill(child: int, reading: int, events: int, delay: float) -> bool:
    """Wait for so many events and a while longer, then kill; False if the child ended before."""
    seen = 0
    while seen < events:
        select.select([reading], [], [])
        received = os.read(reading, 1)
        if not received:
            return False
        seen += 1
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    return True


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
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variant", choices=VARIANTS, action="append", help="only these; can be repeated")
    parser.add_argument("--brief", action="store_true", help="one hidden layer and one measure: less to compile")
    options = parser.parse_args()

    variants = options.variant or list(VARIANTS)
    preload()
    dice, began = random.Random(options.seed), time.perf_counter()
    kills = runs = longest = 0
    counts: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        while kills < options.kills:
            variant = variants[runs % len(variants)]
            config = configuration(variant, options.seed + runs, options.brief)
            whole, broken = Path(folder, f"{runs}-whole"), Path(folder, f"{runs}-broken")
            attempt(config, whole, None)
            expected = contents(whole)
            attempts = 0
            while True:
                wait = (dice.randrange(0, 8), dice.random() * dice.choice([0.01, 0.1, 1.0]))
                if kills >= options.kills or attempts >= ATTEMPTS:
                    wait = None
                if not attempt(config, broken, wait):
                    break
                kills, attempts = kills + 1, attempts + 1
                counts[variant] += 1
            found, problems = contents(broken), verify(broken)
            if found != expected or problems:
                different = [name for name in expected if found.get(name) != expected[name]]
                raise SystemExit(f"{variant}, seed {config.seed}, {attempts} kills: {different} differ; {problems}")
            runs, longest = runs + 1, max(longest, attempts)
            print(
                f"{variant}, seed {config.seed}: {attempts} kills, {len(expected)} arrays and metrics equal", flush=True
            )
    seconds = time.perf_counter() - began
    print(f"{kills} kills over {runs} runs (at most {longest} in one) in {seconds:.0f} s: 0 differences")


if __name__ == "__main__":
    main()
