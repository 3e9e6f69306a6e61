"""The report is one page without anything from outside, says what the numbers say, and escapes every name."""

from __future__ import annotations

import base64
import html.parser
import json
import re
from pathlib import Path

import numpy as np
import pytest
from fake_run import write_run

from tfimp import report
from tfimp.errors import ConfigError
from tfimp.plots import FIGURES
from tfimp.plots.captions import CAPTIONS
from tfimp.report import facts
from tfimp.report.browser import LEVELS, pack
from tfimp.store import Run

EVIL = ("<script>alert(1)</script>", "\"' onload=alert(2) ", "</script><b>", "{{ 7*7 }}", "]]>&amp;", "\u2028☃")


class Page(html.parser.HTMLParser):
    """Collects what a page refers to, its ids and its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.data: dict[str, str] = {}
        self._script: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self._script = (dict(attributes).get("id") or "") if tag == "script" else None

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            self.data[self._script] = self.data.get(self._script, "") + data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return write_run(tmp_path_factory.mktemp("runs") / "<i>name", class_names=EVIL)


@pytest.fixture(scope="module")
def text(run: Run) -> str:
    return report.write([run]).read_text(encoding="utf-8")


def test_every_figure_has_a_caption_and_is_in_the_page(text: str) -> None:
    assert set(CAPTIONS) == set(FIGURES)
    ids = {attributes.get("id") for tag, attributes in Page(text).tags if tag == "figure"}
    assert ids == {f"run-0-{name}" for name in FIGURES}


def test_the_page_refers_to_nothing_outside_itself_and_its_links_lead_somewhere(text: str) -> None:
    page = Page(text)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        for key in ("src", "href"):
            target = attributes.get(key) or "data:"
            assert target.startswith("data:") or target[1:] in ids, target
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org)", text)


def test_names_are_escaped_in_the_page_and_in_its_data(text: str) -> None:
    page = Page(text)
    assert sum(tag == "script" for tag, _ in page.tags) == 3  # colour scales, the fields, the browser
    assert "<i>name" not in text
    assert "{{ 7*7 }}" in text
    assert not any(key.startswith("on") for _, attributes in page.tags for key in attributes)
    assert tuple(json.loads(page.data["run-0-data"])["classes"]) == EVIL


def test_the_fields_in_the_page_are_those_of_the_run(run: Run) -> None:
    data = pack(run)
    assert data is not None
    for stored, packed in zip(run.rounds, data["rounds"], strict=True):
        mask = stored.masks["dense_0/kernel"][:, data["units"]].T
        bits = np.unpackbits(np.frombuffer(base64.b64decode(packed["mask"]), np.uint8))[: mask.size]
        np.testing.assert_array_equal(bits.reshape(mask.shape), mask)
        kernel, delta = stored.weights["dense_0/kernel"], np.zeros(mask.T.shape)
        delta[stored.masks["dense_0/kernel"]] = stored.probes["dense_0/cavity_delta"]
        for name, full in (("weights", kernel[:, data["units"]]), ("cavity", delta[:, data["units"]])):
            largest = np.array(packed[name]["largest"], float)
            values = np.zeros(mask.shape)
            values[mask] = np.frombuffer(base64.b64decode(packed[name]["values"]), np.int8)
            np.testing.assert_allclose(values * largest[:, None] / LEVELS, full.T, atol=0.005 * largest.max())
        assert packed["connections"] == mask.sum(axis=1).tolist()


def test_a_run_too_large_for_a_page_shows_its_most_connected_units(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfimp.report.browser.BUDGET", 5000)
    data = pack(run)
    assert data is not None
    assert 0 < len(data["units"]) < 24
    connections = run.rounds[-1].masks["dense_0/kernel"].sum(axis=0)
    assert min(connections[data["units"]]) >= max(np.delete(connections, data["units"]))


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (1.0, 1.8, "rose from 1.00 to 1.80, 1.8 times as much"),
        (2.0, 1.0, "fell from 2.00 to 1.00"),
        (1.0, 1.04, "hardly changed, from 1.00 to 1.04"),
        (0.001, 0.004, "rose from 0.00100 to 0.00400, 4.0 times as much"),
        (-0.33, -0.2, "rose from −0.330 to −0.200"),
    ],
)
def test_a_change_is_called_what_it_is(first: float, last: float, expected: str) -> None:
    assert facts._change(first, last) == expected


def test_the_sentences_state_the_stored_numbers(run: Run) -> None:
    accuracy, localisation, non_gaussianity = facts.result(run)
    best = max(run.rounds[1:], key=lambda stored: stored.metrics["validation_accuracy"])
    assert f"round {best.index}, chosen by validation accuracy" in accuracy
    assert f"{100 * best.metrics['test_accuracy']:.1f}% test accuracy" in accuracy
    assert "rose from 1.00 to 1.60" in localisation
    assert "in 3 of 4 rounds" in non_gaussianity


def test_the_sentences_say_what_is_missing(tmp_path: Path) -> None:
    text = " ".join(facts.result(write_run(tmp_path / "bare", rounds=1, bare=True)))
    for words in ("no sparse round", "locality ratio was not stored", "participation ratio was not stored", "cavity"):
        assert words in text


@pytest.mark.parametrize(
    "case",
    [
        {"rounds": 0, "status": "running"},
        {"rounds": 1},
        {"rounds": 2, "image_shape": (1, 20, 1), "status": "running"},
        {"rounds": 3, "dead_from": 1, "hidden": (9,)},
        {"rounds": 2, "bare": True, "image_shape": (3, 4, 2)},
    ],
)
def test_degenerate_runs_have_a_report(case: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "FIGURES", {"accuracy": FIGURES["accuracy"]})  # figures have their own tests
    run = write_run(tmp_path / "run", **case)
    assert "tfimp report" in report.render([run])


def test_several_runs_are_compared_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "FIGURES", {"accuracy": FIGURES["accuracy"]})
    runs = [write_run(tmp_path / f"seed-{seed}", seed=seed, rounds=3) for seed in range(2)]
    runs.append(write_run(tmp_path / "random", rounds=3, settings={"prune": {"procedure": "random"}}))
    file = report.write(runs)
    assert file == tmp_path / "comparison" / "report.html"
    page = file.read_text(encoding="utf-8")
    assert page.index('id="comparison"') < page.index('id="run-0"') < page.index('id="run-2"')
    assert "procedure=random" in page
    assert "seed-0, seed-1" in page


def test_nothing_to_report_on_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="at least one run"):
        report.write([])
