"""One number for one name: `tfimp show`, the report and the README print the same ones."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from tfimp import report, store
from tfimp.cli._main import group as command_line
from tfimp.display import table

ROOT = Path(__file__).parent.parent
STORED = ROOT / "docs" / "photos.json"
"""`tfimp show runs/photos --json` of the run whose table is in the README."""
README = (ROOT / "README.md").read_text(encoding="utf-8")


def table_of(text: str) -> list[list[str]]:
    """The rows of a printed table of rounds, as cells."""
    lines = text.splitlines()
    first = next(index for index, line in enumerate(lines) if line.split()[:2] == ["round", "density"])
    rows = [line.split() for line in lines[first + 1 :]]
    return [row for row in rows if row and row[0].isdigit()]


def test_the_readme_has_the_table_of_the_stored_numbers() -> None:
    metrics = json.loads(STORED.read_text(encoding="utf-8"))
    shown = README[README.index("## What to expect") :]
    rows = table_of(re.search(r"```text\n(.*?)```", shown, re.DOTALL)[1])
    assert rows == [table.row(stored).split() for stored in metrics]
    dense, last = metrics[0], metrics[-1]
    for number in (100 * dense["test_accuracy"], 100 * last["test_accuracy"]):
        assert f"{number:.1f}%" in shown
    assert f"{last['layers']['dense_0']['locality']['ratio']:.2f}" in shown


def test_show_and_report_print_the_same_numbers(fake_run: Callable[..., store.Run]) -> None:
    run = fake_run(rounds=4)
    printed = CliRunner().invoke(command_line, ["show", str(run.path)], catch_exceptions=False).output
    page = report.render([run])
    body = re.search(r'<table class="rounds">.*?<tbody>(.*?)</tbody>', page, re.DOTALL)[1]
    cells = [
        [html.unescape(cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
        for row in re.findall(r"<tr[^>]*>(.*?)</tr>", body, re.DOTALL)
    ]
    assert [" ".join(row).split() for row in cells] == table_of(printed)
    assert len(cells) == 4


@pytest.fixture
def fake_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., store.Run]:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "plots"))
    import fake_run as made_up

    return lambda **options: made_up.write_run(tmp_path / "run", **options)
