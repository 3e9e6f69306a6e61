"""The page in a real browser: no error, no request, and the fields change by keyboard and by click."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_run import write_run

from tfimp import report
from tfimp.plots import FIGURES

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

SETTLED = """new Promise((done) => {
  let last = -1;
  const look = () => (last === scrollY ? done() : ((last = scrollY), setTimeout(look, 200)));
  look();
})"""
PICTURES = "[...document.querySelectorAll('.pictures canvas')].map(c => c.toDataURL()).join()"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(params=[(6, 6, 3), (1, 20, 1)], ids=["images", "signals"])
def opened(
    request: pytest.FixtureRequest, browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """The report of a run, opened from its file; in the end nothing may have gone wrong or left the machine."""
    run = write_run(tmp_path / "<b>run", image_shape=request.param, rounds=3, hidden=(12, 6), class_names=("<i>",) * 5)
    monkeypatch.setattr(report, "FIGURES", {"accuracy": FIGURES["accuracy"]})  # figures have their own tests
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda asking: asked.append(asking.url.split(":", 1)[0]))
    page.goto(report.write([run]).as_uri() + "#run-0-unit")
    page.evaluate(SETTLED)  # a click must not be torn apart by the scrolling to the unit
    yield page
    page.close()
    assert said == []
    assert set(asked) <= {"file", "data"}


def test_units_and_rounds_change_the_pictures_by_keyboard(opened: Any) -> None:
    grid = opened.locator(".thumbnails")
    assert grid.locator("canvas").count() == 12
    seen = [opened.evaluate(PICTURES)]
    for key in ("ArrowRight", "PageUp", "End", "ArrowLeft"):
        grid.press(key)
        shown = opened.evaluate(PICTURES)
        assert shown not in seen, key
        seen.append(shown)
    grid.press("ArrowDown")
    assert grid.locator("canvas").last.get_attribute("aria-selected") == "true"
    grid.press("Home")
    assert grid.locator("canvas").first.get_attribute("aria-selected") == "true"
    thumbnails = "document.querySelector('.thumbnails canvas').toDataURL()"
    before = opened.evaluate(thumbnails)
    grid.press("m")
    assert opened.locator(".what").input_value() == "mask"
    assert opened.evaluate(thumbnails) != before


def test_units_and_rounds_change_the_pictures_by_click(opened: Any) -> None:
    before = opened.evaluate(PICTURES)
    opened.locator(".thumbnails canvas").nth(4).click()
    clicked = opened.evaluate(PICTURES)
    assert clicked != before
    unit = opened.locator(".unit").input_value()
    assert f"{unit} of dense_0" in opened.locator(".numbers").inner_text()
    opened.locator(".round").fill("0")
    assert "0 (dense)" in opened.locator(".round-text").inner_text()
    assert opened.evaluate(PICTURES) != clicked
    opened.locator(".pictures canvas").first.hover()
    assert "weight" in opened.locator(".pixel").inner_text()
    opened.locator(".unit").fill("3")
    opened.locator(".unit").press("Enter")
    assert "3 of dense_0" in opened.locator(".numbers").inner_text()


def test_the_first_screen_holds_fields_slider_curves_and_the_sentence(opened: Any) -> None:
    opened.set_viewport_size({"width": 1280, "height": 800})
    opened.evaluate("scrollTo(0, 0)")
    for part in (".headline", ".round", ".thumbnails canvas", ".curve"):
        for found in opened.locator(part).all()[:2]:
            box = found.bounding_box()
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= 800, part
    opened.locator(".round").first.fill("1")
    assert opened.locator(".curve circle.now").first.get_attribute("data-round") == "1"
    before = opened.evaluate("document.querySelector('.thumbnails canvas').toDataURL()")
    opened.locator(".what").select_option("twin")
    assert opened.evaluate("document.querySelector('.thumbnails canvas').toDataURL()") != before


def test_a_link_of_the_navigation_unfolds_its_chapter(opened: Any) -> None:
    assert not opened.locator("#run-0-performance").evaluate("it => it.open")
    opened.locator("nav a", has_text="Accuracy").click()
    opened.locator("#run-0-performance img").wait_for(state="visible")
    assert opened.locator("#run-0-performance").evaluate("it => it.open")


@pytest.mark.parametrize("width", [320, 390, 700])
def test_narrow_screens_need_no_sideways_scrolling(opened: Any, width: int) -> None:
    opened.set_viewport_size({"width": width, "height": 700})
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
