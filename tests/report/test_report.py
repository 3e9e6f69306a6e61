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
from tfimp.report.chapters import CHAPTERS, LEFT_OUT
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


def test_every_figure_of_what_was_measured_is_in_a_chapter_once_and_the_navigation_lists_them(text: str) -> None:
    assert set(CAPTIONS) == set(FIGURES)
    page = Page(text)
    figures = [attributes["id"] for tag, attributes in page.tags if tag == "figure" and "id" in attributes]
    assert len(figures) == len(set(figures)) == text.count("data:image/png")
    shown = {str(name).removeprefix("run-0-figure-") for name in figures}
    assert {"accuracy", "locality", "stages"} <= shown
    assert not shown & (LEFT_OUT | {"node-ablation", "untrained-weights"})  # shown above, or not measured
    placed = [name for chapter in CHAPTERS for name in chapter.figures]
    assert len(placed) == len(set(placed))
    links = {attributes.get("href") for tag, attributes in page.tags if tag == "a"}
    unfolding = {f"#{attributes['id']}" for tag, attributes in page.tags if tag == "details"}
    assert unfolding <= links
    assert len(unfolding) >= 8


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


def test_a_run_too_large_for_a_page_shows_its_most_local_units(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = pack(run)
    monkeypatch.setattr("tfimp.report.browser.BUDGET", 5000)
    data = pack(run)
    assert data is not None
    assert everything is not None
    assert 0 < len(data["units"]) < 24
    assert data["units"] == everything["units"][: len(data["units"])]


@pytest.mark.parametrize(
    ("first", "last", "half", "expected"),
    [
        (1.0, 1.8, 0.3, "rose from 1.00 to 1.80 (±0.30)"),
        (2.0, 1.0, 0.3, "fell from 2.00 to 1.00 (±0.30)"),
        (1.0, 1.2, 0.3, "stayed within its spread (1.00 to 1.20, ±0.30)"),
        (-0.33, -0.2, 0.2, "stayed within its spread (−0.330 to −0.200, ±0.20)"),
        (1.0, 2.0, float("nan"), "went from 1.00 to 2.00, a spread is not known"),
    ],
)
def test_a_change_is_called_what_it_is(first: float, last: float, half: float, expected: str) -> None:
    assert facts._change(first, last, half) == expected


def test_the_headline_states_the_stored_numbers_with_their_spread(run: Run) -> None:
    dense, last = (run.rounds[index].metrics["test_accuracy"] for index in (0, -1))
    half = 1.96 * np.sqrt(last * (1 - last) / 200)
    words = facts.headline(run)
    assert f"{100 * last:.1f}% (±{100 * half:.1f}) of the test samples" in words
    assert f"the dense one {100 * dense:.1f}% (±" in words
    assert "no difference that 200 samples can tell" in words
    assert "near 1.60 times as often as chance" in words
    assert "(1 ± 0.13 by chance)" in words  # 1.96 of the standard deviations of which 1.6 - 1 is nine
    best = max(run.rounds[1:], key=lambda stored: stored.metrics["validation_accuracy"])
    assert f"round {best.index}, chosen by validation accuracy" in facts.sentences(run)["performance"]


def test_a_median_over_units_changes_only_beyond_the_spread_of_its_units(run: Run) -> None:
    values = [np.asarray(run.rounds[index].probes["dense_0/excess_kurtosis"]) for index in (0, -1)]
    rng = np.random.default_rng(0)
    drawn = [np.median(rng.choice(v, (4000, len(v))), axis=1) for v in values]
    assert facts._half(run, "dense_0/excess_kurtosis") == pytest.approx(1.96 * np.std(drawn[1] - drawn[0]), rel=0.5)


def test_what_is_missing_is_not_said(tmp_path: Path) -> None:
    bare = write_run(tmp_path / "bare", rounds=1, bare=True)
    assert "no sparse round yet" in facts.headline(bare)
    assert set(facts.sentences(bare).values()) == {""}
    assert "nothing to report" in facts.headline(write_run(tmp_path / "empty", rounds=0, status="running"))


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
