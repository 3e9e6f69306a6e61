"""The pruning core: which weights go next and what the rest starts from, by every procedure and criterion."""

from __future__ import annotations

import numpy as np
import pytest

from tfimp.errors import ConfigError
from tfimp.pruning import core, criteria
from tfimp.pruning.schedule import IterativeMagnitudeSchedule

NAMES = {"a/kernel": (6, 5), "b/kernel": (5, 4), "b/bias": (4,)}


def arrays(seed, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype(dtype) for name, shape in NAMES.items()}


def schedule(procedure="imp", **options):
    return IterativeMagnitudeSchedule(**{"rounds": 4, "steps_per_round": 5, "fraction": 0.4, "seed": 7, **options},
                                      procedure=procedure)  # fmt: skip


def state(round=1, procedure="imp", **options):
    kept = np.random.default_rng(round)
    masks = {name: kept.random(shape) < 0.9 for name, shape in NAMES.items()}
    ended = core.Ranked(arrays(1), arrays(2), arrays(3))
    dense = core.Ranked(arrays(4), arrays(5), arrays(6)) if procedure == "one_shot" else None
    point = {**arrays(8), "norm/mean": np.ones(3), "optimizer/m/a/kernel": arrays(9)["a/kernel"]}
    return core.State(round, masks, ended, dense, point, **options)


def lowest(scores, masks, fraction, layers):
    """The survivors of each group by a plain sort."""
    new = {name: mask.copy() for name, mask in masks.items()}
    for names in layers:
        alive = [(scores[name][index], place, name, index) for place, name in enumerate(names)
                 for index in zip(*np.nonzero(masks[name]), strict=True)]  # fmt: skip
        for _, _, name, index in sorted(alive)[: round(fraction * len(alive))]:
            new[name][index] = False
    return new


FORMULAS = {
    "magnitude": lambda w, start, g: np.abs(w),
    "movement": lambda w, start, g: np.abs(w - start),
    "gradient": lambda w, start, g: np.abs(w * g),
}


@pytest.mark.parametrize("procedure", ["imp", "one_shot", "fine_tune", "reinitialise"])
@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_the_lowest_go_by_what_the_round_ended_with_and_in_one_shot_by_what_round_0_did(procedure, name, scope):
    now = state(procedure=procedure)
    ranked = now.dense or now.ended
    scores = {key: FORMULAS[name](ranked.weights[key], ranked.initial[key], ranked.gradients[key]) for key in NAMES}
    layers = [list(NAMES)] if scope == "global" else [["a/kernel"], ["b/kernel", "b/bias"]]
    found = core.next_masks(schedule(procedure), name, now, scope=scope)
    expected = lowest(scores, now.masks, 0.4, layers)
    assert all(np.array_equal(found[key], expected[key]) for key in NAMES)


def test_random_masks_follow_from_the_seed_and_the_round_alone():
    def drawn(seed=7, round=1, procedure="random", criterion="magnitude", weights=1):
        now = state(round=1)
        now = core.State(round, now.masks, core.Ranked(arrays(weights)))
        return core.next_masks(schedule(procedure, seed=seed), criterion, now)

    def equal(one, other):
        return all(np.array_equal(one[name], other[name]) for name in NAMES)

    assert equal(drawn(), drawn(weights=2))
    assert equal(drawn(), drawn(procedure="imp", criterion="random"))
    assert not equal(drawn(), drawn(seed=8))
    assert not equal(drawn(), drawn(round=2))
    with pytest.raises(ConfigError, match="'random' removes random survivors; criterion 'movement' belongs to others"):
        drawn(criterion="movement")


def test_every_survivor_has_an_equal_chance_of_going():
    masks = {"a/kernel": np.ones((4, 5), bool)}
    gone = np.zeros((4, 5))
    for seed in range(600):
        now = core.State(0, masks, core.Ranked({"a/kernel": np.arange(20.0).reshape(4, 5)}))
        gone += ~core.next_masks(schedule("random", seed=seed, fraction=0.25), "magnitude", now)["a/kernel"]
    assert gone.sum() == 600 * 5
    assert np.abs(gone - 150).max() < 4.5 * np.sqrt(600 * 0.25 * 0.75)


@pytest.mark.parametrize("procedure", ["imp", "one_shot", "random", "fine_tune", "reinitialise"])
def test_a_round_starts_at_the_rewind_point_or_where_its_procedure_says(procedure):
    now = state(procedure=procedure, fresh=lambda: {**arrays(10), "norm/mean": np.zeros(3)})
    masks, start = core.next_round(schedule(procedure), "magnitude", now)
    source = {"fine_tune": arrays(1), "reinitialise": arrays(10)}.get(procedure, arrays(8))
    for name in NAMES:
        assert np.array_equal(start[name], np.where(masks[name], source[name], 0))
        assert not np.signbit(start[name][~masks[name]]).any()
        assert not (masks[name] & ~now.masks[name]).any()
    assert start["norm/mean"].tolist() == [0 if procedure == "reinitialise" else 1] * 3
    slot = np.where(masks["a/kernel"], arrays(9)["a/kernel"], 0)
    assert np.array_equal(start["optimizer/m/a/kernel"], slot)


def test_a_criterion_gets_what_its_parameters_name_and_cannot_change_it():
    seen = {}

    def mine(weight, mask, initial, gradient, name, rng):
        seen[name] = (weight, mask, initial, gradient)
        weight[:] = 0

    now = state()
    with pytest.raises(ConfigError, match=r"criterion 'mine' fails on a/kernel: ValueError: .*read-only"):
        core.next_masks(schedule(), mine, now)
    for given, known in zip(seen["a/kernel"], (arrays(1), now.masks, arrays(2), arrays(3)), strict=True):
        assert np.array_equal(given, known["a/kernel"])
    assert criteria.resolve(mine).needs == {"weight", "mask", "initial", "gradient", "name", "rng"}


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda weight: weight[:2],
            r"gives scores of shape \(2, 5\) for a/kernel; they must have the weight's, \(6",
        ),
        (lambda weight: weight + 1j, "gives complex64 for a/kernel; scores must be real numbers"),
        (lambda weight: weight.astype(str), "gives <U32 for a/kernel; scores must be real numbers"),
        (lambda weight: weight * np.nan, "gives no number for any surviving weight of a/kernel"),
        (lambda weight: 1 / 0, "fails on a/kernel: ZeroDivisionError"),
        (lambda w: w, "takes 'w'; accepted: weight, mask, initial, gradient, rng, name"),
        (lambda weight, gradients: weight, r"takes 'gradients' \(did you mean 'gradient'\?\)"),
        (lambda *weight: weight, "takes 'weight'"),
        ("magnitud", r"unknown criterion 'magnitud' \(did you mean 'magnitude'\?\); accepted: magnitude, movement"),
        (3, "a criterion is a function, received int"),
    ],
)
def test_a_criterion_that_cannot_be_used_is_refused_in_one_line(function, message):
    with pytest.raises(ConfigError, match=message) as found:
        core.next_masks(schedule(), function, state())
    assert "\n" not in str(found.value)


def test_what_a_criterion_needs_and_nobody_knows_is_named():
    now = core.State(0, {"a/kernel": np.ones((6, 5), bool)}, core.Ranked(arrays(1)))
    with pytest.raises(ConfigError, match="criterion 'gradient' needs the gradient of a/kernel, which is not known"):
        core.next_masks(schedule(), "gradient", now)
