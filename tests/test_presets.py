"""The table of tasks and hyperparameters."""

import pytest

from drol import DROL
from drol.algorithm import hyperparameters
from drol.data.ogbench import known_tasks
from drol.presets import PRESETS, SIZES, preset_for


def test_the_main_job():
    preset = preset_for("cube-single-play-singletask-task2-v0")
    assert (preset.bc_coef, preset.num_candidates) == (10.0, 16)
    assert SIZES["laptop"].hidden == (256, 256, 256)
    assert SIZES["paper"].updates == 1_000_000


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.family)
def test_every_preset_belongs_to_tasks_and_is_accepted_by_drol(preset):
    matching = [name for name in known_tasks() if preset_for(name) is preset]
    assert len(matching) == 6, "five tasks and the default task"
    values = hyperparameters(DROL(**preset.hyperparameters()))
    assert values["bc_coef"] == pytest.approx(preset.bc_coef)


def test_navigation_has_its_discount():
    assert dict(preset_for("antmaze-giant-navigate-singletask-v0").options) == {"discount": 0.995, "q_agg": "min"}
    assert preset_for("antmaze-medium-navigate-singletask-v0") is None
