"""When to prune and by how much."""

from __future__ import annotations

import numpy as np
import pytest

from tfimp import IterativeMagnitudeSchedule
from tfimp.errors import ConfigError


def test_rounds_count_trainings_so_pruning_happens_once_less():
    schedule = IterativeMagnitudeSchedule(rounds=4, steps_per_round=10, fraction=0.5, rewind_step=3)
    assert schedule.boundaries == (13, 23, 33)
    assert schedule.total_steps == 43
    assert [schedule.density(index) for index in range(4)] == [1, 0.5, 0.25, 0.125]
    assert [schedule.round_of_step(step) for step in (0, 3, 12, 13, 32, 33, 42, 99)] == [0, 0, 0, 1, 2, 3, 3, 3]
    assert IterativeMagnitudeSchedule(1, 10).boundaries == ()


def test_a_schedule_is_rebuilt_from_its_configuration():
    schedule = IterativeMagnitudeSchedule(np.int64(4), 10, 0.2, rewind_step=3)
    assert IterativeMagnitudeSchedule.from_config(schedule.get_config()) == schedule
    assert type(schedule.get_config()["rounds"]) is int


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rounds": 0}, "rounds must be a whole number of at least 1, received 0"),
        ({"rounds": 2.5}, "rounds must be a whole number of at least 1, received 2.5"),
        ({"steps_per_round": -1}, "steps_per_round must be a whole number of at least 1, received -1"),
        ({"rewind_step": "5"}, "rewind_step must be a whole number of at least 0, received '5'"),
        ({"fraction": 1.5}, "fraction must be a number between 0 and 1, received 1.5"),
        ({"fraction": float("nan")}, "fraction must be a number between 0 and 1, received nan"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        IterativeMagnitudeSchedule(**{"rounds": 2, "steps_per_round": 5, **arguments})


def test_tfmots_view_of_the_schedule_agrees_step_by_step():
    from tfimp.pruning.keras.tf_keras_layers import IterativePruning

    schedule = IterativeMagnitudeSchedule(rounds=4, steps_per_round=3, fraction=0.3, rewind_step=2)
    view = IterativePruning.from_config(IterativePruning(schedule).get_config())
    for step in range(20):
        should_prune, sparsity = view(step)
        assert bool(should_prune) == (step in schedule.boundaries)
        assert float(sparsity) == pytest.approx(1 - 0.7 ** schedule.round_of_step(step))
