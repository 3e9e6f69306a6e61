"""The measures of a run: right within classes, stored as the catalogue says, and open to users' own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

import tfimp
from tfimp import catalogue, compare, data, plots, registry
from tfimp.config import RunConfig
from tfimp.data.dataset import Split
from tfimp.display import table
from tfimp.errors import ConfigError
from tfimp.plots import read
from tfimp.report import render
from tfimp.store import Run
from tfimp.verify import verify

SETTINGS: dict[str, Any] = {
    "data": {"source": "nlgp", "dimensions": 1, "side": 24, "xi": [1.0, 4.0], "periodic": True, "train": 900},
    "model": {"hidden": [9], "activation": "erf", "batch_norm": False},
    "train": {"steps": 60},
    "prune": {"rounds": 3, "fraction": 0.5},
    "probe": {"samples": 600, "radius": [1, 3]},
    "export": {"rounds": [], "tensorboard": False},
}
OWN = """
import numpy as np
import tfimp

@tfimp.measure("spread", arrays={"reach": "(units,)"}, headline="median", caption="How far inputs lie apart.")
def spread(layer):
    reach = np.array([np.ptp(np.flatnonzero(column)) if column.any() else 0 for column in layer.mask.T])
    return {"median": np.median(reach)}, {"reach": reach}
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file with a measure of one's own, known by name while these tests run."""
    file = tmp_path_factory.mktemp("plugin") / "mine.py"
    file.write_text(OWN)
    registry.load_plugin(file)
    yield file
    catalogue.MEASURES._found.pop("spread")
    registry._PLUGINS.pop(file.resolve())


@pytest.fixture(scope="module")
def run(own: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return tfimp.run(RunConfig.from_dict(SETTINGS), tmp_path_factory.mktemp("runs") / "measured")


def test_within_class_numbers_are_those_of_an_independent_computation(run: Run) -> None:
    dataset = data.load(run.config.data)
    stored = run.rounds[2]
    w, mask = stored.weights["dense_0/kernel"].astype(float), stored.masks["dense_0/kernel"]
    x, labels = dataset.normalise(dataset.train.images).astype(float), dataset.train.labels
    kurtosis, deltas = [], []
    for label in (0, 1):
        every = np.flatnonzero(labels == label)
        count = round(600 * len(every) / len(labels))
        own = x[every[np.arange(count) * len(every) // count]]
        h = own @ w
        kurtosis.append(scipy.stats.kurtosis(h))
        without = [scipy.stats.kurtosis(h[:, j] - own[:, i] * w[i, j]) for i, j in np.argwhere(mask)]
        deltas.append(np.array(without) - kurtosis[-1][np.nonzero(mask)[1]])
    np.testing.assert_allclose(stored.probes["dense_0/within_kurtosis"], np.mean(kurtosis, axis=0), atol=1e-5)
    np.testing.assert_allclose(stored.probes["dense_0/within_cavity_delta"], np.mean(deltas, axis=0), atol=1e-5)
    numbers = stored.metrics["layers"]["dense_0"]["within_class"]
    many = mask.sum(axis=0) >= 3
    assert numbers["units"] == many.sum() > 0
    assert numbers["absolute_kurtosis"] == pytest.approx(np.median(np.mean(np.abs(kurtosis), axis=0)[many]), abs=1e-5)
    null = numbers["absolute_kurtosis_null"]
    assert null["z"] == pytest.approx((numbers["absolute_kurtosis"] - null["mean"]) / null["sd"])
    assert numbers["cavity"]["auc_low"] <= numbers["cavity"]["auc"] <= numbers["cavity"]["auc_high"]


def test_every_stored_array_has_the_shape_that_the_catalogue_declares(run: Run) -> None:
    assert verify(run.path) == []
    for stored in run.rounds:
        for name, array in stored.probes.items():
            mask = stored.masks.get(
                f"{name.split('/')[0]}/kernel", np.ones(stored.weights["output/kernel"].shape, bool)
            )
            known = {"fan_in": mask.shape[0], "units": mask.shape[1], "survivors": int(mask.sum())}
            declared = catalogue.declared_shape(name)
            assert declared is not None, name
            assert catalogue.fits(array.shape, declared, **known, height=1, width=24), name


def test_locality_goes_round_periodic_inputs_with_every_radius(run: Run) -> None:
    stored = run.rounds[1]
    numbers, mask = stored.metrics["layers"]["dense_0"]["locality"], stored.masks["dense_0/kernel"]
    for radius in (1, 3):
        expected = tfimp.probes.locality(mask, (1, 24, 1), radius, periodic=True)
        found = numbers["radii"][str(radius)]
        assert (found["ratio"], found["z"]) == pytest.approx((expected.ratio, expected.z))
        many = mask.sum(axis=0) >= 3
        assert found["median_unit"] == pytest.approx(np.median(expected.per_unit[many]))
    assert numbers["ratio"] == numbers["radii"]["1"]["ratio"]


def test_a_users_measure_appears_in_table_figures_report_and_comparison(run: Run, own: Path) -> None:
    stored = run.rounds[1]
    assert "spread" in run.config.probe.what
    columns = stored.masks["dense_0/kernel"].T
    reach = [np.ptp(np.flatnonzero(column)) if column.any() else 0 for column in columns]
    np.testing.assert_array_equal(stored.probes["dense_0/reach"], reach)
    assert read.number(stored, "layers", "dense_0", "spread", "median") == np.median(reach)
    assert "spread" in table.heading()
    assert f"{np.median(reach):.3f}" in table.row(stored.metrics)
    assert len(table.heading()) <= 80
    lines = plots.figure(run, "spread").axes[0].lines
    assert any(np.median(reach) in line.get_ydata() for line in lines)
    drawn = {headline.name for headline in compare.lines(compare.group_runs([run, run]))}
    assert "spread median" in drawn
    page = render([run])
    assert "How far inputs lie apart." in page
    assert ">spread<" in page


@pytest.mark.parametrize(
    ("compute", "words"),
    [
        (lambda layer: ({"a": "text"}, {}), "a number must be a real one"),
        (lambda layer: ({}, {"reached": layer.mask[0]}), "returns an array 'reached' that it does not declare"),
        (lambda layer: ({}, {"far": layer.mask[:, 0]}), r"'far' has shape \(24,\), declared is \(units,\)"),
        (lambda layer: 1 / 0, "fails: ZeroDivisionError"),
        (lambda layer: (3, {}), "two dicts; received int"),
    ],
)
def test_a_measure_that_does_not_keep_its_word_is_said_in_a_line(
    run: Run, compute: Callable[[Any], Any], words: str
) -> None:
    from tfimp.measures import StoredNetworks, measure

    network = StoredNetworks(run, data.load(run.config.data))._round(0)
    wrong = catalogue.Measure("wrong", compute, arrays={"far": "(units,)"})
    with pytest.raises(ConfigError, match=f"measure 'wrong'.*{words}"):
        measure(network, [wrong])


def test_names_and_shapes_that_are_taken_or_wrong_are_refused() -> None:
    with pytest.raises(ConfigError, match="there already, from tfimp"):
        tfimp.measure("kurtosis")(lambda layer: ({}, {}))
    with pytest.raises(ConfigError, match="array 'ipr', as 'ipr' has"):
        tfimp.measure("mine", arrays={"ipr": "(units,)"})(lambda layer: ({}, {}))
    with pytest.raises(ConfigError, match="shape of 'a' must be like"):
        tfimp.measure("mine", arrays={"a": "units"})(lambda layer: ({}, {}))
    with pytest.raises(ConfigError, match=r"function \(layer\) or \(network\)"):
        tfimp.measure("mine")(lambda x: ({}, {}))
    with pytest.raises(ConfigError, match="unknown measure 'kurtosys' \\(did you mean 'kurtosis'"):
        catalogue.chosen(["kurtosys"])


def test_classes_that_are_measured_have_200_inputs_and_ten_of_a_thousand_are_chosen() -> None:
    from tfimp.measures import seen

    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(1000), 210))
    many = seen(Split(np.arange(len(labels))[:, None], labels), 2000, seed=3)
    assert len(many.classes) == 10
    assert np.diff(many.starts).tolist() == [200] * 10
    assert many.pooled == slice(0, 2000)
    assert len(set(many.labels[many.pooled])) > 800
    for label, start in zip(many.classes, many.starts[:-1], strict=True):
        assert (many.labels[many.within][start : start + 200] == label).all()
        assert len(set(many.images[many.within][start : start + 200, 0])) == 200
    assert many.classes != seen(Split(np.arange(len(labels))[:, None], labels), 2000, seed=4).classes
    few = seen(Split(np.arange(900)[:, None], np.repeat([0, 1, 2], [600, 250, 50])), 1000)
    assert few.classes == [0, 1]
    assert len(few.labels[few.pooled]) == 900
    both = seen(Split(np.arange(900)[:, None], np.repeat([0, 1], [650, 250])), 500)
    assert both.pooled == both.within
    assert np.diff(both.starts).tolist() == [361, 200]
    none = seen(Split(np.arange(300)[:, None], np.repeat([0, 1], 150)), 500)
    assert none.within is None


def test_the_documentation_of_the_measures_is_made_from_the_catalogue() -> None:
    own = {name for name in catalogue.MEASURES.known() if catalogue.MEASURES.origin(name) != "tfimp"}
    text = (Path(__file__).parent.parent / "docs" / "measures.md").read_text(encoding="utf-8")
    assert text == catalogue.documentation(leave_out=own)
