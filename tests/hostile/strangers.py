"""What tests of strangers' runs call, and how they change a document of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tfimp.store.documents import to_json

Call = Callable[..., tuple[int, str]]


def change_document(path: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads((path / name).read_text())
    change(document)
    (path / name).write_bytes(to_json(document))
