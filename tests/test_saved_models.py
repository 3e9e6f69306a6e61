"""The exported networks in the repository are what their tickets and the README say."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import tfimp
from tfimp.config import read_preset, resolve

SHIPPED = Path(__file__).parent.parent / "saved_models"
NETWORKS = sorted((SHIPPED / "photos-example").iterdir())


@pytest.fixture(scope="module")
def dataset() -> tfimp.data.Dataset:
    return tfimp.data.load(resolve(read_preset("photos")).data)


def test_a_dense_and_a_sparse_network_are_shipped_and_small() -> None:
    assert [folder.name for folder in NETWORKS] == ["round-00-trained", "round-11-trained-sparse"]
    dense, sparse = (sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) for folder in NETWORKS)
    assert sparse < dense / 5
    assert sum(file.stat().st_size for file in SHIPPED.glob("photos-*/**/*")) < 3e6


@pytest.mark.parametrize("folder", NETWORKS, ids=lambda folder: folder.name)
def test_a_shipped_network_reaches_the_accuracy_of_its_ticket(folder: Path, dataset: tfimp.data.Dataset) -> None:
    network = tfimp.load_saved_model(folder)
    assert network.ticket["fingerprint"] == dataset.fingerprint
    correct = network(dataset.test.images).logits.argmax(axis=1) == dataset.test.labels
    assert correct.mean() == network.test_accuracy
    for layer, facts in network.layers.items():
        # A sparse network holds the survivors of a sparse kernel as a list, and of the others what compaction leaves.
        kept = network.weights.get(f"{layer}/values", network.weights.get(f"{layer}/kernel"))
        assert (kept != 0).sum() <= facts["survivors"] == round(facts["density"] * np.prod(facts["shape"]))


def test_the_readme_loads_them_as_it_says(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(SHIPPED.parent)
    for program in re.findall(r"```python\n(.*?)```", (SHIPPED / "README.md").read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(program, "README.md", "exec"), {})
    assert "(1, 8) (1, 8)" in capsys.readouterr().out
