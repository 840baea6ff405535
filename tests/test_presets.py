"""The table of tasks and hyperparameters."""

import re

import pytest

from drol import DROL
from drol.algorithm import hyperparameters
from drol.data.ogbench import known_tasks
from drol.environments.d4rl_tasks import TASKS
from drol.presets import AUTHORS, PRESETS, SIZES, preset_for


def test_the_main_job():
    preset = preset_for("cube-single-play-singletask-task2-v0")
    assert (preset.bc_coef, preset.num_candidates) == (10.0, 16)
    assert SIZES["laptop"].hidden == (256, 256, 256)
    assert (SIZES["paper"].updates, SIZES["paper"].d4rl_updates) == (1_000_000, 500_000)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.family)
def test_every_preset_belongs_to_tasks_and_is_accepted_by_drol(preset):
    matching = [name for name in (*known_tasks(), *TASKS) if preset_for(name) is preset]
    ogbench = "singletask" in preset.pattern
    adroit = preset.family.startswith(("pen", "door", "hammer", "relocate"))
    assert len(matching) == (6 if ogbench else 3 if adroit else 1), "OGBench: five tasks and the default task"
    for tuned in [False] if preset.tuned is None else [False, True]:
        values = hyperparameters(DROL(**preset.hyperparameters(tuned=tuned)))
        assert values["bc_coef"] == pytest.approx(preset.tuned[0] if tuned else preset.bc_coef)
        assert values["num_candidates"] == (preset.tuned[1] if tuned else 16)


def test_every_task_of_the_paper_has_its_own_preset():
    published = [preset for preset in PRESETS if preset.source == AUTHORS]
    names = [name for name in (*known_tasks(), *TASKS) if preset_for(name) in published]
    tasks = {re.sub("singletask-v0", "singletask-task0-v0", name) for name in names}
    assert len([name for name in tasks if "singletask" in name and "task0" not in name]) == 50
    assert len([name for name in tasks if name.startswith("antmaze") and "singletask" not in name]) == 6
    assert len([name for name in tasks if name.endswith("-v1")]) == 12


def test_drol_star_where_it_differs():
    assert preset_for("antmaze-large-play-v2").hyperparameters(tuned=True) == {"bc_coef": 0.03, "num_candidates": 16}
    assert preset_for("antmaze-large-play-v2").hyperparameters() == {"bc_coef": 0.1, "num_candidates": 16}
    assert preset_for("door-cloned-v1").hyperparameters(tuned=True) == {
        "bc_coef": 10.0,
        "num_candidates": 8,
        "q_agg": "min",
    }
    assert preset_for("maze2d-umaze-v1") is None
    with pytest.raises(ValueError, match=r"no DROL\* is published for pointmaze-medium-navigate"):
        preset_for("pointmaze-medium-navigate-singletask-v0").hyperparameters(tuned=True)


def test_navigation_has_its_discount():
    assert dict(preset_for("antmaze-giant-navigate-singletask-v0").options) == {"discount": 0.995, "q_agg": "min"}
    assert preset_for("antmaze-medium-navigate-singletask-v0") is None
