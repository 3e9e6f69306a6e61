"""Compile and time exported programs on whatever device JAX has (a CUDA GPU, or a CPU as a check).

    python gpu_run.py DIR [--precision tf32] [--repeats 5] [--json FILE]

DIR is what ``python -m benchmarks.gpu export DIR`` wrote. Only NumPy and JAX are needed: this file and ``gpu.py``
beside it are enough there. Large arguments are drawn again instead of copied. Each program's results are compared with
TensorFlow's, then it is timed: milliseconds per step (best of the repeats; arguments are on the device before the clock
starts) and FLOP/s of its products, as a share of the rate of a large matrix product measured on the same device.
``--precision float32`` (the default) asks for full products, ``tf32`` leaves the device its fast ones (10-bit factors
on NVIDIA).
"""

from __future__ import annotations

import argparse
import json
import re
import time
from pathlib import Path
from typing import Any

import jax
import jax.extend.backend
import numpy as np
from gpu import Draw, sample
from jax._src.interpreters import mlir as jax_mlir
from jax._src.lib import xla_client
from jaxlib.mlir import ir

jax.config.update("jax_enable_x64", True)
CEILING = 4096


def load(text: str) -> Any:
    """Compile StableHLO for the first device."""
    backend = jax.extend.backend.get_backend()
    with jax_mlir.make_ir_context():
        module = ir.Module.parse(text)
        devices = xla_client.DeviceList((backend.local_devices()[0],))
        return backend.compile_and_load(module, devices, xla_client.CompileOptions())


def full_precision(text: str) -> str:
    """The program with every product in float32, whatever the device would do to be faster."""
    text = re.sub(r"precision = \[\w+, \w+\]", "precision = [HIGHEST, HIGHEST]", text)
    return re.sub(r"#stablehlo<precision DEFAULT>", "#stablehlo<precision HIGHEST>", text)


def arrays(path: Path) -> list[np.ndarray]:
    """The arrays of an npz file, in order."""
    with np.load(path) as stored:
        return [stored[name] for name in stored.files]


def run(folder: Path, name: str, facts: dict[str, Any], repeats: int, precision: str) -> dict[str, float]:
    """Compile, compare and time one program."""
    text = (folder / f"{name}.mlir").read_text()
    clock = time.perf_counter()
    program = load(full_precision(text) if precision == "float32" else text)
    compile_seconds = time.perf_counter() - clock
    stored, expected = iter(arrays(folder / f"{name}.arguments.npz")), arrays(folder / f"{name}.results.npz")
    arguments = [Draw(**draw).array() if draw else next(stored) for draw in facts["draws"]]

    def call() -> tuple[list[Any], float]:
        # a program may overwrite its arguments, so every call gets fresh ones
        fresh = [jax.device_put(argument) for argument in arguments]
        jax.block_until_ready(fresh)
        start = time.perf_counter()
        results = program.execute(fresh)
        jax.block_until_ready(results)
        return results, time.perf_counter() - start

    found = [sample(np.asarray(result, np.float64)) for result in call()[0][: facts["results"]]]
    if name.startswith("train"):  # of each replicate the sum of the losses of the block's steps
        difference = float(np.abs(found[0] - expected[0]).max() / facts["steps"])
    elif name.startswith("predict"):  # the share of other classes
        difference = float(np.mean(found[0] != expected[0]))
    else:
        difference = max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(found, expected, strict=True))
    seconds = min(call()[1] for _ in range(repeats))
    return {
        "difference": difference,
        "ms_per_step": seconds / facts["steps"] * 1e3,
        "gigaflops": facts["operations"] / seconds / 1e9,
        "compile_seconds": compile_seconds,
    }


def ceiling(size: int, precision: str) -> float:
    """GFLOP/s of a square matrix product, best of five."""
    with jax.default_matmul_precision("highest" if precision == "float32" else "default"):
        multiply = jax.jit(lambda a, b: a @ b)
        a = jax.device_put(np.random.default_rng(0).standard_normal((size, size)).astype(np.float32))
        multiply(a, a).block_until_ready()
        best = float("inf")
        for _ in range(5):
            clock = time.perf_counter()
            multiply(a, a).block_until_ready()
            best = min(best, time.perf_counter() - clock)
    return 2.0 * size**3 / best / 1e9


def measure(folder: Path, repeats: int = 5, precision: str = "float32") -> dict[str, Any]:
    """Compare and time every program of a folder."""
    device = jax.devices()[0]
    highest = ceiling(CEILING if device.platform != "cpu" else CEILING // 4, precision)
    programs = json.loads((folder / "programs.json").read_text())
    found = {name: run(folder, name, facts, repeats, precision) for name, facts in programs.items()}
    for row in found.values():
        row["share_of_ceiling"] = row["gigaflops"] / highest
    return {"device": str(device), "precision": precision, "ceiling_gigaflops": highest, "programs": found}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--precision", choices=["float32", "tf32"], default="float32")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = measure(options.folder, options.repeats, options.precision)
    print(f"{found['device']}, {found['precision']}: products reach {found['ceiling_gigaflops']:.0f} GFLOP/s")
    print(f"{'program':<16}{'difference':>12}{'ms per step':>13}{'GFLOP/s':>10}{'of ceiling':>12}{'compiled in':>13}")
    for name, row in found["programs"].items():
        print(
            f"{name:<16}{row['difference']:>12.1e}{row['ms_per_step']:>13.3f}{row['gigaflops']:>10.0f}"
            f"{row['share_of_ceiling']:>12.0%}{row['compile_seconds']:>11.1f} s"
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
