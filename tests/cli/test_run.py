"""``tfimp run`` around the experiment: what it prints, how it stops, how it goes on."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

STAND_IN = Path(__file__).parent / "stand_in.py"


@contextlib.contextmanager
def started(
    folder: Path, *arguments: object, rounds: int = 3, pause: float = 0.0, figures: bool = False, **options: Any
) -> Iterator[subprocess.Popen[str]]:
    """The command line with its stand-in, as a process that does not outlive its test."""
    words = map(str, [STAND_IN, rounds, pause, "run", *([] if figures else ["--no-figures"]), *arguments])
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    with subprocess.Popen([sys.executable, *words], cwd=folder, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(folder: Path, *arguments: object, rounds: int = 3) -> tuple[int, str, str]:
    with started(folder, *arguments, rounds=rounds) as process:
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.02)


def test_on_a_pipe_there_are_plain_lines_with_a_row_per_round_and_what_was_written(tmp_path: Path) -> None:
    code, out, err = finish(tmp_path)
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    rows = [line.split() for line in out.splitlines() if re.match(r"\s+\d+ \s*[\d.]+ ", line)]
    assert [row[0] for row in rows] == ["0", "1", "2"]
    assert rows[2][1:] == ["0.4900", "0.3333", "52.0", "42.0", "0.0300", "2.50", "0.40", "-", "1.20", "0.1", "1.2", "s"]
    assert "a note" in out
    assert "all rounds are done" in out
    assert f"runs{os.sep}photos{os.sep}" in out
    assert "saved_models/x/round-01" in out
    assert "best sparse round 2: density 0.49, test accuracy 42.0% (dense: 40.0%)" in out


def test_on_a_terminal_the_rows_stand_above_a_live_line(tmp_path: Path) -> None:
    here, there = pty.openpty()
    terminal = {"stdout": there, "stderr": there, "env": {**os.environ, "TERM": "xterm-256color"}}
    with started(tmp_path, pause=0.1, **terminal) as process:
        os.close(there)
        shown = b"".join(until_gone(here))
        assert process.wait(timeout=60) == 0
    text = shown.decode()
    assert "step 2/5" in text
    assert re.search(r"\d+ steps/s", text)
    assert re.search(r"\d:\d\d left", text)
    assert text.count("loading TensorFlow") >= 1
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", text)
    assert re.search(r" +2 +0.4900 .*1.2 s\n", plain)
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is visible again"


def until_gone(terminal: int) -> Iterator[bytes]:
    """What is written to a pseudo terminal; reading it ends with an error when its last writer has gone."""
    with contextlib.suppress(OSError):
        while True:
            yield os.read(terminal, 4096)
    os.close(terminal)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_between_steps_and_says_how_to_go_on(tmp_path: Path, number: int, code: int) -> None:
    with started(tmp_path, "--out", "my runs/a", rounds=200, pause=0.05) as process:
        wait_for(tmp_path / "my runs" / "a" / "rounds" / "01" / "metrics.json", process)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Ctrl-C again ends at once" in err
    advice = re.search(r"go on with: tfimp (run --resume --out 'my runs/a' --no-figures)", err)
    assert advice is not None, err
    assert err.count("\n") == 2

    again = subprocess.run(
        f"{sys.executable} {STAND_IN} 4 0 {advice[1]}", shell=True, cwd=tmp_path, capture_output=True, text=True
    )
    assert again.returncode == 0, again.stderr
    assert "going on with round" in again.stdout
    assert re.search(r"^ +0 +1.0000", again.stdout, re.MULTILINE), "rows of the rounds before the stop are shown too"


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    with started(tmp_path, rounds=200, pause=100.0) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "loading TensorFlow and the data" in process.stdout.readline()
        assert "rounds 0 to 199" in process.stdout.readline()
        assert "density" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert "Ctrl-C again ends at once" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)  # far less than a step takes
    assert process.returncode == 130


def test_a_diverged_run_ends_with_1_and_says_what_is_kept(tmp_path: Path) -> None:
    code, _, err = finish(tmp_path, rounds=-3)
    assert code == 1
    assert err.count("\n") == 1
    assert "the loss became nan" in err
    assert "runs/photos" in err


def test_a_disk_that_fills_up_is_a_failed_run_that_can_go_on(tmp_path: Path) -> None:
    with started(tmp_path, rounds=200, pause=0.05) as process:
        wait_for(tmp_path / "runs" / "photos" / "rounds" / "00" / "metrics.json", process)
        (tmp_path / "runs" / "photos" / "full").touch()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.count("\n") == 1
    assert "No space left on device" in err
    assert "tfimp run --resume --out runs/photos" in err


def test_print_config_prints_toml_and_writes_nothing(tmp_path: Path) -> None:
    code, out, _ = finish(tmp_path, "--print-config", "--set", "prune.fraction=0.25", "--seed", "7")
    assert code == 0
    assert "fraction = 0.25" in out
    assert "seed = 7" in out
    assert not list(tmp_path.iterdir())
    (tmp_path / "printed.toml").write_text(out)
    assert finish(tmp_path, "--print-config", "--config", "printed.toml")[1] == out


def test_resuming_with_other_settings_is_refused(tmp_path: Path) -> None:
    finish(tmp_path)
    code, _, err = finish(tmp_path, "--resume", "--set", "train.steps=3")
    assert code == 2
    assert err.count("\n") == 1
    assert "train.steps" in err


def test_a_run_ends_with_its_figures_and_last_of_all_its_report(tmp_path: Path) -> None:
    with started(tmp_path, figures=True) as process:
        out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("runs/photos: photos, 256-256, seed 0")
    assert lines[-1] == "open in a browser: runs/photos/report.html"
    assert "<svg" in (tmp_path / "runs" / "photos" / "report.html").read_text(encoding="utf-8")
    drawn = sorted((tmp_path / "runs" / "photos" / "figures").iterdir())
    assert {file.stem for file in drawn} == {"receptive-fields", "accuracy", "locality", "within-classes"}  # no AUC
    for file in drawn:
        assert f"  runs/photos/figures/{file.name}" in lines
    assert max(map(len, lines)) <= 120
    assert max(len(line) for line in lines if "tfimp" not in line) <= 80


def test_a_failing_figure_does_not_fail_a_finished_run(tmp_path: Path) -> None:
    shutil.copy(STAND_IN, tmp_path / "stand_in.py")
    shutil.copy(STAND_IN.parent / "conftest.py", tmp_path / "conftest.py")
    (tmp_path / "broken.py").write_text(
        "import stand_in, tfimp.plots, tfimp.cli\n"
        "def draw(run, *_, **__): raise ValueError('no ink\\nat all')\n"
        "tfimp.plots.draw = draw\nstand_in.pretend(2, 0)\ntfimp.cli.main(['run'])\n"
    )
    ended = subprocess.run([sys.executable, "broken.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0
    assert "ValueError: no ink at all" in ended.stderr
    assert "tfimp report runs/photos" in ended.stderr
    assert ended.stderr.count("\n") == 1
