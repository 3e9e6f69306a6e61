"""Write the hot programs of tfimp as StableHLO, with arguments and the results that TensorFlow gives.

    python -m benchmarks.gpu export DIR [--small]

What is written is what ``tfimp run`` compiles: a block of training steps at batch 40 and 1000, for the network of
Pellegrini & Biroli 2022 (3072-1024-1024-1024-1000), alone and as 8 replicates of different seeds; prediction of a batch
of evaluation, and one batch of the cavity's sums. ``gpu_run.py``, which needs neither TensorFlow nor tfimp, compiles
and times them on any device that JAX has; it draws large arguments again, so that DIR stays small. ``--small`` writes
the same programs for a network that a CPU checks in seconds.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

CLASSES = 1000
IMAGES = 10**6
"""Seed of the images."""
REPLICATES = (1, 8)


@dataclasses.dataclass(frozen=True)
class Draw:
    """A large array that both machines draw for themselves: ``bytes``, ``half`` (True or False) or ``normal``."""

    kind: str
    shape: tuple[int, ...]
    seed: int
    deviation: float = 1.0

    def array(self) -> np.ndarray:
        """Draw it."""
        rng = np.random.default_rng(self.seed)
        if self.kind == "normal":
            return rng.standard_normal(self.shape, dtype=np.float32) * np.float32(self.deviation)
        values = rng.integers(0, 256, self.shape, dtype=np.uint8)
        return values if self.kind == "bytes" else values < 128


def sample(array: np.ndarray, most: int = 10_000) -> np.ndarray:
    """Evenly spaced entries, that stand for an array where results are compared."""
    return array.ravel()[:: max(1, array.size // most)]


@dataclasses.dataclass(frozen=True)
class Size:
    """Side of the images, hidden units, training images, steps per call of the training block, rows of the cavity."""

    side: int
    hidden: tuple[int, ...]
    images: int
    steps: int
    rows: int

    @property
    def widths(self) -> list[int]:
        """Units of every layer, from the pixels to the classes."""
        return [3 * self.side**2, *self.hidden, CLASSES]


PAPER = Size(32, (1024, 1024, 1024), 10_000, 100, 4096)
SMALL = Size(8, (64, 48, 32), 2000, 20, 256)


def export(folder: Path, size: Size) -> dict[str, Any]:
    """Write every program; returns what ``programs.json`` says of them."""
    folder.mkdir(parents=True, exist_ok=True)
    programs: dict[str, Any] = {}
    for batch_size, replicates in itertools.product((40, 1000), REPLICATES):
        name = f"train_{batch_size}" + (f"_x{replicates}" if replicates > 1 else "")
        programs[name] = _training(folder / name, size, batch_size, replicates)
    programs["predict_1000"] = _prediction(folder, size)
    programs["cavity"] = _cavity(folder, size)
    (folder / "programs.json").write_text(json.dumps(programs, indent=1))
    return programs


def _laboratory(size: Size, batch_size: int) -> Any:
    from benchmarks.subject import configuration
    from tfimp.data.dataset import Dataset, Split
    from tfimp.laboratory import Laboratory

    rng = np.random.default_rng(0)

    def split(count: int) -> Split:
        labels = rng.integers(CLASSES, size=count).astype(np.int32)
        return Split(rng.integers(0, 256, (count, size.widths[0]), dtype=np.uint8), labels)

    names = tuple(str(label) for label in range(CLASSES))
    data = Dataset("synthetic", split(size.images), split(10), split(10), (size.side, size.side, 3), names, 255.0)
    return Laboratory(configuration(batch_size, 1000, size.hidden), data)


def _training(path: Path, size: Size, batch_size: int, replicates: int) -> dict[str, Any]:
    import tensorflow as tf

    from tfimp.laboratory import fresh_weights
    from tfimp.training.batches import block_indices
    from tfimp.training.dense import fresh_state

    lab = _laboratory(size, batch_size)
    program, data, seeds = lab.dense.replicas.program, lab.dataset, itertools.count(1)
    state = {
        name: _kernel(next(seeds), replicates, *array.shape)
        if array.ndim == 2
        else tf.repeat(array[None], replicates, axis=0)
        for name, array in fresh_state(program, fresh_weights(lab.network, data, 0)).items()
        if name in program.network.variables
    }
    masks = {name: Draw("half", (replicates, *mask.shape), next(seeds)) for name, mask in lab.full_masks().items()}
    order = [block_indices(seed, 0, 0, batch_size, size.images) for seed in range(replicates)]
    images = Draw("bytes", (size.images, size.widths[0]), IMAGES)
    arguments = [
        [images, tf.constant(data.train.labels), tf.constant(data.mean, tf.float32)],
        tf.constant(np.stack(order)),
        tf.fill((replicates, len(order[0])), 0.1),
        tf.fill((replicates, len(order[0])), 1 - program.network.momentum),
        tf.zeros(replicates, tf.int32),
        tf.constant(size.steps),
        state,
        masks,
    ]
    weights = [a * b for a, b in itertools.pairwise(size.widths)]
    # the first layer has two products, the others three
    operations = 2.0 * replicates * batch_size * size.steps * (3 * sum(weights) - weights[0])
    # compared is the loss of each replicate; the new state, which comes after it, stays where it is
    return _write(path, program.block, arguments, operations, size.steps, results=1)


def _kernel(seed: int, *shape: int) -> Draw:
    """A kernel (..., fan_in, units) of the deviation that networks start with."""
    return Draw("normal", shape, seed, (2 / sum(shape[-2:])) ** 0.5)


def _prediction(folder: Path, size: Size) -> dict[str, Any]:
    replicas, rows, seeds = _laboratory(size, 40).dense.replicas, 1000, itertools.count(1)
    operations = 2.0 * rows * sum(a * b for a, b in itertools.pairwise(size.widths))
    weights = {
        name: _kernel(next(seeds), *array.shape) if array.ndim == 2 else array
        for name, array in replicas.weights(0).items()
    }
    arguments = [Draw("bytes", (rows, size.widths[0]), IMAGES), replicas.mean, weights]
    return _write(folder / "predict_1000", replicas.program.predict, arguments, operations)


def _cavity(folder: Path, size: Size) -> dict[str, Any]:
    import tensorflow as tf

    from tfimp.formulas import _cavity_graph

    fan_in, units = size.widths[:2]
    pairs = ("hx", "hhhx", "hhxx", "hxxx")
    shapes = {**dict.fromkeys(pairs, (fan_in, units)), "h": (3, units), "x": (3, fan_in)}
    batch, kernel = Draw("normal", (size.rows, fan_in), 1), Draw("normal", (fan_in, units), 2, fan_in**-0.5)
    mean, factor = tf.zeros(fan_in, tf.float64), tf.ones(fan_in, tf.float64)

    # on processors TensorFlow multiplies outside of XLA; here the whole batch is one program
    def sums(batch: Any, rows: Any, kernel: Any, mean: Any, factor: Any) -> Any:
        zeros = {name: tf.zeros(shape, tf.float64) for name, shape in shapes.items()}
        added = _cavity_graph._add_products.python_function(zeros, batch, rows, kernel, mean, factor)
        return [added[name] for name in shapes]

    arguments = [batch, tf.constant(size.rows), kernel, mean, factor]
    operations = 2.0 * size.rows * fan_in * units * 5
    return _write(folder / "cavity", tf.function(sums, jit_compile=True), arguments, operations)


def _write(
    path: Path,
    function: Any,
    arguments: Sequence[Any],
    operations: float,
    steps: int = 1,
    results: int | None = None,
) -> dict[str, Any]:
    """Write a program, those of its arguments that are not drawn, and a sample of its first results.

    A compiled program takes the function's arguments, then the variables that it reads; it returns the function's
    results, then the variables that it assigns, in the same order.
    """
    import tensorflow as tf

    given = tf.nest.flatten(arguments)
    arguments = tf.nest.map_structure(
        lambda leaf: tf.constant(leaf.array()) if isinstance(leaf, Draw) else leaf, arguments
    )
    captured = [read.numpy() for read in function.get_concrete_function(*arguments).captured_inputs]
    path.with_suffix(".mlir").write_text(_program(function, arguments))
    found = [sample(result.numpy()) for result in tf.nest.flatten(function(*arguments))[:results]]
    np.savez(
        path.with_suffix(".arguments.npz"), *(leaf.numpy() for leaf in given if not isinstance(leaf, Draw)), *captured
    )
    np.savez(path.with_suffix(".results.npz"), *found)
    draws = [dataclasses.asdict(leaf) if isinstance(leaf, Draw) else None for leaf in given] + [None] * len(captured)
    return {"operations": operations, "steps": steps, "results": len(found), "draws": draws}


def _program(function: Callable[..., Any], arguments: Sequence[Any]) -> str:
    text = function.experimental_get_compiler_ir(*arguments)(stage="stablehlo")  # type: ignore[attr-defined]
    return text if isinstance(text, str) else text.decode()


def main() -> None:
    """Write the programs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["export"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", action="store_true", help="a network that a CPU checks in seconds")
    options = parser.parse_args()
    programs = export(options.folder, SMALL if options.small else PAPER)
    print(f"{len(programs)} programs in {options.folder}; run them with python gpu_run.py {options.folder}")


if __name__ == "__main__":
    main()
