"""A grid says which cells there are, under which names; a mistake in it is found before anything starts."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfimp.config import parse_toml, read_preset, resolve
from tfimp.errors import ConfigError
from tfimp.sweeps import parse_values, read_grid
from tfimp.sweeps.grid import folder_name

PRESET = {"preset": "mnist1d"}


def test_cells_are_the_product_of_what_is_varied() -> None:
    grid, _ = read_grid({**PRESET, "over": {"seed": "0..2", "prune": {"fraction": [0.2, 0.5]}}})
    assert [cell.name for cell in grid.cells] == [
        f"fraction={fraction}/seed-{seed}" for seed, fraction in itertools.product(range(3), (0.2, 0.5))
    ]
    assert {(cell.config.seed, cell.config.prune.fraction) for cell in grid.cells} == set(
        itertools.product(range(3), (0.2, 0.5))
    )


def test_a_cell_is_the_run_of_the_same_settings_but_for_exports_and_events() -> None:
    grid, _ = read_grid({**PRESET, "set": {"train.steps": 70}, "over": {"seed": [4]}})
    (cell,) = grid.cells
    assert cell.name == "mnist1d/seed-4"
    plain = resolve(read_preset("mnist1d"), ["train.steps=70"], 4).settings()
    found = cell.config.settings()
    assert {key for key in plain if plain[key] != found[key]} == {"export.rounds", "export.tensorboard"}
    exporting, _ = read_grid({**PRESET, "set": {"export.rounds": ["last"]}})
    assert exporting.cells[0].config.export.rounds == ("last",)


def test_presets_can_be_varied_too() -> None:
    grid, _ = read_grid({"preset": "nlgp", "over": {"preset": ["nlgp", "mnist1d"], "seed": [0, 1]}})
    assert [cell.name for cell in grid.cells][:2] == ["preset=nlgp/seed-0", "preset=nlgp/seed-1"]
    assert [cell.config.data.source for cell in grid.cells] == ["nlgp", "nlgp", "mnist1d", "mnist1d"]


def test_cells_off_the_grid_and_equal_cells_once() -> None:
    source = {**PRESET, "over": {"seed": "0..1"}, "also": [{"seed": "0..1", "prune.procedure": ["imp", "random"]}]}
    grid, _ = read_grid(source)
    # imp is the preset's procedure: those two cells are in the grid already
    assert [cell.name for cell in grid.cells] == [
        "mnist1d/seed-0",
        "mnist1d/seed-1",
        "procedure=random/seed-0",
        "procedure=random/seed-1",
    ]


def test_keys_that_change_no_number_make_no_other_cell() -> None:
    over = {"train.checkpoint_seconds": [1.0, 2.0], "export.dir": ["a", "b"]}
    assert len(read_grid({**PRESET, "over": over})[0].cells) == 1


def test_lists_are_values_and_name_folders() -> None:
    grid, _ = read_grid({**PRESET, "over": {"model.hidden": [[8], [16, 16]], "data.condition": [[], ["fraction:0.5"]]}})
    assert [cell.condition for cell in grid.cells] == [
        "hidden=8,condition=none",
        "hidden=8,condition=fraction-0.5",
        "hidden=16+16,condition=none",
        "hidden=16+16,condition=fraction-0.5",
    ]


def test_a_stored_grid_is_read_as_it_was() -> None:
    source = {
        **PRESET,
        "title": "what it is about",
        "set": {"train": {"steps": 10}},
        "over": {"seed": "0..3", "data.condition": [[], ["shuffled-labels"]]},
        "also": [{"prune.procedure": "random"}],
    }
    grid, _ = read_grid(source)
    again, _ = read_grid(parse_toml(grid.to_toml(), "the grid"))
    assert again.to_toml() == grid.to_toml()
    assert again.cells == grid.cells


def test_adding_values_keeps_the_cells_that_are_there() -> None:
    grid, _ = read_grid({**PRESET, "over": {"seed": "0..1", "prune.fraction": [0.3]}})
    more = grid.extended({"seed": [1, 2], "prune.fraction": [0.5]})
    before, after = ({cell.name: cell for cell in found.cells} for found in (grid, more))
    assert before.items() <= after.items()
    assert len(after) == 6
    with pytest.raises(ConfigError, match=r"--add prune.fractoin: .*did you mean 'prune.fraction'"):
        grid.extended({"prune.fractoin": [0.1]})


def test_a_grid_of_presets_takes_further_presets() -> None:
    grid, _ = read_grid({"over": {"preset": ["nlgp"], "seed": [0]}})
    more = grid.extended({"preset": ["nlgp-gaussian"]})
    assert [cell.config.data.source for cell in more.cells] == ["nlgp", "nlgp-gaussian"]
    assert read_grid(parse_toml(more.to_toml(), "the grid"))[0] == more
    with pytest.raises(ConfigError, match=r"unknown preset 'nlgq'.*did you mean 'nlgp'"):
        grid.extended({"preset": ["nlgq"]})


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"over": {"prune.fractions": [0.1]}}, "did you mean 'prune.fraction'"),
        ({"over": {"prune.fraction": [0.1, 2.0]}}, "prune.fraction must be"),
        ({"over": {"seed": []}}, "varies over no value"),
        ({"over": {"seed": "4..0"}}, r"FIRST..LAST"),
        ({"over": {"seed": "0..99999999"}}, r"FIRST..LAST"),
        ({"over": {"seed": list(range(1000)), "data.seed": list(range(1000))}}, "1000000 cells"),
        ({"overs": {}}, "did you mean 'over'"),
        ({"set": 3}, "set is a table"),
        ({"also": {}}, "also is a list of tables"),
        ({"preset": "mnist1", "over": {}}, "did you mean 'mnist1d'"),
        ({"preset": "mnist1d", "config": "x.toml"}, "exclude each other"),
    ],
)
def test_mistakes_are_named(source: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read_grid({**PRESET, **source})[0].cells  # noqa: B018


def test_values_of_the_command_line() -> None:
    assert parse_values("seed=0..3") == ("seed", [0, 1, 2, 3])
    assert parse_values('data.source=["nlgp", "photos"]') == ("data.source", ["nlgp", "photos"])
    assert parse_values("prune.fraction=0.5") == ("prune.fraction", [0.5])
    assert parse_values("prune.procedure=random") == ("prune.procedure", ["random"])
    with pytest.raises(ConfigError, match="--over takes KEY=VALUES"):
        parse_values("seed")


@settings(deadline=None, max_examples=200)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8), st.text(max_size=120) | st.integers() | st.lists(st.text()), max_size=4
    )
)
def test_folder_names_are_plain_names(varied: dict[str, object]) -> None:
    name = folder_name(varied)
    assert Path(name).name == name
    assert name.isascii()
    assert not name.startswith(".")
    assert 0 < len(name) < 100


def test_the_grid_of_the_documentation_is_read() -> None:
    page = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    grid, _ = read_grid(parse_toml(example, "the page"))
    names = [cell.name for cell in grid.cells]
    assert len(names) == len(set(names)) == 5 * 2 + 5
