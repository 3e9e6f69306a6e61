"""What tests of arrays in files share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_helpers import load

from tfimp.data import Dataset


@pytest.fixture
def archive(tmp_path: Path) -> Callable[..., Dataset]:
    """Write an archive and load it with some keys."""

    def use(arrays: dict[str, Any], **keys: Any) -> Dataset:
        np.savez(tmp_path / "x.npz", **arrays)
        return load(f"npz:{tmp_path}/x.npz", **keys)

    return use
