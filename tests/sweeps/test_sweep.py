"""A sweep's cells are the runs that ``tfimp.run`` makes, whatever happens to workers, drivers and other cells."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sweep_helpers import LONG, alive, arrays, checkpointed, everything, grid, process_of, wait_for, worker_killed

from tfimp.cli import main
from tfimp.errors import ConfigError, StoreError
from tfimp.experiment import run
from tfimp.store import open_run
from tfimp.sweeps import Sweep, open_sweep, read_grid, summary, sweep
from tfimp.sweeps.drive import CellDone, SweepEvent
from tfimp.sweeps.engines import DaskEngine, cores, worker_environments

OVER = {"seed": "0..1", "prune.procedure": ["imp", "random"]}
ALSO = [{"train.learning_rate": 1e9}, {"data.source": "npz:/there/is/no/such/file.npz"}]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sweep, list[SweepEvent]]:
    """Four cells that end well, one that diverges and one that fails, on two workers, one of which is killed."""
    path = tmp_path_factory.mktemp("swept") / "grid"
    # that cell takes long enough to be killed in the middle
    source = grid(OVER, ALSO)
    source["over"]["train.steps"] = [40]
    source["also"] = [*ALSO, {"seed": 0, **LONG}]
    events: list[SweepEvent] = []
    with worker_killed(path / read_grid(source)[0].cells[-1].name):
        found = sweep(source, path, workers=2, progress=events.append)
    return found, events


def test_cells_are_the_runs_of_the_same_configurations(swept: tuple[Sweep, Any], tmp_path: Path) -> None:
    found, _ = swept
    complete = [state.cell for state in found.states if state.status == "complete"]
    assert len(complete) == 5
    for cell in complete:
        run(cell.config, tmp_path / cell.name)
        assert arrays(found.path / cell.name) == arrays(tmp_path / cell.name)


def test_a_cell_whose_worker_died_went_on_from_its_checkpoint(swept: tuple[Sweep, Any]) -> None:
    attempts = {state.cell.name: state.attempts for state in swept[0].states}
    killed = next(name for name in attempts if "steps=15000" in name)
    assert attempts.pop(killed) == 2
    assert set(attempts.values()) == {1}


def test_a_cell_that_fails_or_diverges_stops_no_other(swept: tuple[Sweep, Any]) -> None:
    states = {state.status: state for state in swept[0].states if state.status != "complete"}
    assert set(states) == {"diverged", "failed"}
    assert "no such file" in states["failed"].error.lower() or "cannot" in states["failed"].error
    assert "\n" not in states["failed"].error
    ended = [event for event in swept[1] if isinstance(event, CellDone)]
    assert [event.number for event in ended] == list(range(1, 8))
    assert {event.state.cell.name for event in ended} == {cell.name for cell in swept[0].cells}


def test_going_on_repeats_no_result(swept: tuple[Sweep, Any]) -> None:
    found, _ = swept
    before = everything(found.path)
    events: list[SweepEvent] = []
    sweep(found.grid, found.path, workers=1, resume=True, progress=events.append)
    assert everything(found.path) == before
    assert not any(isinstance(event, CellDone) for event in events)


def test_adding_seeds_leaves_what_is_there_as_it_was(swept: tuple[Sweep, Any], tmp_path: Path) -> None:
    path, grid = shutil.copytree(swept[0].path, tmp_path / "grid"), swept[0].grid
    before = everything(path)
    del before["sweep.toml"]
    more = grid.extended({"seed": [7], "prune.procedure": ["imp"]})
    after = sweep(more, path, workers=1, resume=True)
    assert before.items() <= everything(path).items()
    assert [state.status for state in after.states if state.cell.seed == 7] == ["complete", "complete"]


def test_a_folder_that_holds_something_is_refused(swept: tuple[Sweep, Any], tmp_path: Path) -> None:
    found, _ = swept
    with pytest.raises(StoreError, match="already holds a sweep"):
        sweep(found.grid, found.path)
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(StoreError, match="not empty"):
        sweep(found.grid, tmp_path)
    with pytest.raises(StoreError, match="does not hold a sweep"):
        open_sweep(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["note.txt"]


def test_mistakes_are_found_before_anything_is_written(tmp_path: Path) -> None:
    for options, says in (
        ({"workers": 0}, "workers takes"),
        ({"on": "somewhere"}, "--on takes"),
        ({"slurm": {"partition": "gpu"}}, "belongs to --on slurm"),
    ):
        with pytest.raises(ConfigError, match=says):
            sweep(grid({"seed": [0]}), tmp_path / "grid", **options)  # type: ignore[arg-type]
        assert not (tmp_path / "grid").exists()


def test_a_killed_driver_takes_its_workers_along_and_the_sweep_goes_on(tmp_path: Path) -> None:
    path, source = tmp_path / "grid", grid({"seed": "0..1"}, train__steps=40, **{"prune.rounds": 3})
    source["also"] = [{"seed": 0, **LONG}]
    first, second, long = (path / cell.name for cell in read_grid(source)[0].cells)
    program = f"from tfimp.sweeps import sweep\nif __name__ == '__main__': sweep({source!r}, {str(path)!r}, workers=1)"
    script = tmp_path / "drive.py"
    script.write_text(program)
    driver = subprocess.Popen([sys.executable, script])
    try:
        wait_for(lambda: checkpointed(long))
        worker = process_of(long)
    finally:
        driver.kill()
        driver.wait()
    wait_for(lambda: not alive(worker), seconds=10)
    wait_for(lambda: open_sweep(path).states[2].status == "stopped", seconds=10)
    assert [state.status for state in open_sweep(path).states] == ["complete", "complete", "stopped"]
    before = [everything(folder) for folder in (first, second)]
    after = sweep(open_sweep(path).grid, path, workers=1, resume=True)
    assert [state.status for state in after.states] == ["complete"] * 3
    assert [everything(folder) for folder in (first, second)] == before
    run(after.cells[2].config, tmp_path / "alone")
    assert arrays(long) == arrays(tmp_path / "alone")


def test_workers_of_a_scheduler_elsewhere(tmp_path: Path) -> None:
    path, source = tmp_path / "grid", grid({"seed": "0..1"}, **LONG)
    file = tmp_path / "scheduler.json"
    launch = [sys.executable, "-m", "dask"]
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = [
        *launch,
        *["scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--dashboard-address", "127.0.0.1:0"],
    ]
    worker = [*launch, *["worker", "--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard", "--no-nanny"]]
    where = ["--scheduler-file", str(file)]
    processes = [subprocess.Popen([*scheduler, *where], **options)]
    try:
        wait_for(lambda: file.exists() and file.stat().st_size > 0)
        for _ in range(2):
            here = ["--local-directory", str(tmp_path), "--memory-limit", "0"]
            processes.append(subprocess.Popen([*worker, *where, *here], **options))
        victim = path / read_grid(source)[0].cells[0].name
        with worker_killed(victim):
            found = sweep(source, path, on=json.loads(file.read_text())["address"])
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [(state.status, state.attempts) for state in found.states] == [("complete", 2), ("complete", 1)]
    run(found.cells[0].config, tmp_path / "alone")
    assert arrays(victim) == arrays(tmp_path / "alone")


def test_workers_keep_their_gpu_when_they_are_started_again(tmp_path: Path) -> None:
    (tmp_path / "grid").mkdir()

    def devices() -> dict[Any, Any]:
        return {found: pid for pid, found in engine._client.run(device_and_process).values()}

    with DaskEngine(tmp_path / "grid", 2, ["0", "1"]) as engine:
        before, addresses = devices(), set(engine._client.nthreads())
        os.kill(before["1"], signal.SIGKILL)
        # asking a worker that is not there any more would wait for its answer
        wait_for(lambda: len(set(engine._client.nthreads()) | addresses) == 3 and len(engine._client.nthreads()) == 2)
        after = devices()
    assert set(before) == set(after) == {"0", "1"}
    assert after["0"] == before["0"]
    assert after["1"] != before["1"]


def device_and_process() -> tuple[int, str]:
    """What a worker says of itself."""
    return os.getpid(), os.environ["CUDA_VISIBLE_DEVICES"]


def test_workers_share_the_processors() -> None:
    environments = worker_environments(4, ["0", "1"])
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in environments] == ["0", "1", "0", "1"]
    assert all(environment["OMP_NUM_THREADS"] == str(max(1, cores() // 4)) for environment in environments)
    assert "CUDA_VISIBLE_DEVICES" not in worker_environments(1, [])[0]


def test_a_sweep_is_opened_as_its_runs(swept: tuple[Sweep, Any]) -> None:
    found, _ = swept
    assert set(found.runs) == {state.cell.name for state in found.states if state.rounds}
    for name, stored in found.runs.items():
        assert stored.path == open_run(found.path / name).path


def test_show_plot_report_and_compare_take_a_sweep(
    swept: tuple[Sweep, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path = swept[0].path
    commands = [
        ["show", str(path)],
        ["plot", str(path), "--heat", "prune.procedure,seed", "--measure", "inverse participation ratio"],
        ["report", str(path)],
        ["compare", str(path), "--json"],
    ]
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            main(command)
        assert not ended.value.code
    shown = capsys.readouterr().out
    assert "are complete" in shown
    assert "n = 2 of" in shown
    assert "procedure=random,steps=40 against procedure=imp,steps=40, 2 and 2 seeds, at density" in " ".join(
        shown.split()
    )
    assert {file.name for file in (path / "figures").iterdir()} == {"conditions.png", "heat-procedure-seed.png"}
    page = (path / "report.html").read_text(encoding="utf-8")
    assert all(state.cell.name in page for state in swept[0].states)
    assert page.index("data:image/png") < page.index("<table>")


def test_two_factors_are_the_means_of_their_cells(swept: tuple[Sweep, Any]) -> None:
    found, _ = swept
    name = "inverse participation ratio"
    drawn = summary.heat(found, ["prune.procedure", "seed"], name, density=1.0)
    for row, procedure in enumerate(drawn.labels[0]):
        for column, seed in enumerate(drawn.labels[1]):
            cells = [cell for cell in found.cells if found.grid.over.keys() <= cell.settings.keys()]
            here = [
                cell.name for cell in cells if cell.settings["prune.procedure"] == procedure and str(cell.seed) == seed
            ]
            numbers = [found.runs[cell].rounds[0].metrics["layers"]["dense_0"]["ipr"]["median"] for cell in here]
            if len(numbers) == drawn.count[row, column]:
                assert drawn.mean[row, column] == pytest.approx(np.mean(numbers))
    with pytest.raises(ConfigError, match=r"did you mean 'prune.procedure'"):
        summary.heat(found, ["prune.procedur", "seed"])
    with pytest.raises(ConfigError, match="two different keys"):
        summary.heat(found, ["seed"])


def test_what_conditions_show_is_said_with_the_intervals_of_scipy(swept: tuple[Sweep, Any]) -> None:
    from scipy import stats

    found, _ = swept
    (sentence,) = summary.sentences(found, density=1.0)
    name = "inverse participation ratio"
    first, second = (
        [
            found.runs[f"procedure={procedure},steps=40/seed-{seed}"]
            .rounds[0]
            .metrics["layers"]["dense_0"]["ipr"]["median"]
            for seed in (0, 1)
        ]
        for procedure in ("imp", "random")
    )
    interval = stats.ttest_ind(second, first, equal_var=False).confidence_interval(0.95)
    numbers = f"{np.mean(second):.3g} against {np.mean(first):.3g} ({interval.low:+.2g} to {interval.high:+.2g})"
    part = f"{name} {numbers}"
    assert part in sentence
    assert (part in sentence.partition("no difference shows in")[0]) == (interval.low > 0 or interval.high < 0)


def test_the_program_of_the_documentation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "sweeps.md", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.split("\n")[:2] == ["mnist1d/seed-0 complete 2", "mnist1d/seed-1 complete 2"]
