"""Flip single bits in the files of a run and see whether ``tfimp verify`` finds each of them.

    python benchmarks/flips.py runs/photos --flips 1000

The run itself is not touched; a copy is. One file is left out: `.lock`, whose text (the number of the process that
writes the run) is only shown to a second writer, and which is empty once the run has ended.
"""

from __future__ import annotations

import argparse
import collections
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from tfimp.verify import verify

UNREAD = {".lock"}


def main() -> None:
    """Print how many flips were made in each kind of file; exit code 1 if one was not found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, began = np.random.default_rng(options.seed), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "run")
        shutil.copytree(options.run, copy)
        if problems := verify(copy):
            raise SystemExit(f"{options.run} is not sound to begin with: {problems[0]}")
        files = [file for file in copy.rglob("*") if file.is_file() and file.relative_to(copy).parts[0] not in UNREAD]
        counts: collections.Counter[str] = collections.Counter()
        missed = []
        for _ in range(options.flips):
            # Every file has an equal chance: by size, the small ones that matter most would hardly be hit.
            file = files[rng.integers(len(files))]
            content = file.read_bytes()
            place, bit = int(rng.integers(len(content))), int(rng.integers(8))
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            file.write_bytes(changed)
            counts[file.name] += 1
            if not verify(copy):
                missed.append(f"{file.relative_to(copy)}, byte {place}, bit {bit}")
            file.write_bytes(content)
        print(f"{options.flips} flips in {len(files)} files: {dict(counts)}")
        print(f"{len(missed)} not found in {time.perf_counter() - began:.0f} s", *missed, sep="\n")
        raise SystemExit(bool(missed))


if __name__ == "__main__":
    main()
