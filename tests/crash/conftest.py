"""Lets the tests of this folder import the helper of the store's tests by name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))
