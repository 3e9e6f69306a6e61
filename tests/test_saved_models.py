"""The exported networks in the repository are what their tickets and the README say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tfimp
from tfimp.config import read_preset, resolve

SHIPPED = Path(__file__).parent.parent / "saved_models"
NETWORKS = sorted((SHIPPED / "photos-example").iterdir())


@pytest.fixture(scope="module")
def dataset() -> tfimp.data.Dataset:
    return tfimp.data.load(resolve(read_preset("photos"), ["data.train=4000"]).data)


def test_a_dense_and_a_sparse_network_are_shipped_and_small() -> None:
    assert NETWORKS[0].name == "round-00-trained"
    assert len(NETWORKS) == 2
    assert sum(file.stat().st_size for file in SHIPPED.glob("photos-*/**/*")) < 3e6


@pytest.mark.parametrize("folder", NETWORKS, ids=lambda folder: folder.name)
def test_a_shipped_network_reaches_the_accuracy_of_its_ticket(folder: Path, dataset: tfimp.data.Dataset) -> None:
    network = tfimp.load_saved_model(folder)
    assert network.ticket["fingerprint"] == dataset.fingerprint
    correct = network(dataset.test.images).logits.argmax(axis=1) == dataset.test.labels
    assert correct.mean() == network.test_accuracy
    for layer, facts in network.layers.items():
        kernel = network.weights[f"{layer}/kernel"]
        assert (kernel != 0).sum() <= facts["survivors"] == round(facts["density"] * kernel.size)


def test_the_readme_loads_them_as_it_says(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(SHIPPED.parent)
    for program in re.findall(r"```python\n(.*?)```", (SHIPPED / "README.md").read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(program, "README.md", "exec"), {})
    assert "(1, 8) (1, 8)" in capsys.readouterr().out
