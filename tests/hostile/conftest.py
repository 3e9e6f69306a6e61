"""The made-up runs of the figures' tests and the helpers of the store's serve these tests too."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in ("plots", "store"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))
