"""A run's configuration: filled in, recorded, read again, and resumed with what may change."""

import dataclasses
import json
import math
from pathlib import Path

import optax
import pytest

import drol
from drol import DROL, FQL, RunConfig
from drol.errors import DataError, DrolError, UsageError
from drol.experiment.config import OPTIONS, RULES
from drol.experiment.parts import with_evaluations_placed

CUBE = "cube-single-play-singletask-task2-v0"


def resolved(**options):
    return RunConfig(task=CUBE, **options).resolved()


def test_what_is_left_open_comes_from_the_preset_and_then_from_the_size():
    config = resolved()
    assert config.hyperparameters["bc_coef"] == 10.0
    assert config.hyperparameters["hidden"] == (256, 256, 256)
    assert (config.updates, config.eval_every, config.eval_episodes, config.updates_per_call) == (
        45_000,
        5_000,
        20,
        500,
    )
    assert config.evaluated_in.id == "ogbench:cube-single-singletask-task2-v0"
    assert config.preset["family"] == "cube-single-play"
    given = resolved(hyperparameters={"bc_coef": 3, "hidden": (8,)}, updates=1_000, size="paper")
    assert given.hyperparameters["bc_coef"] == 3.0
    assert given.hyperparameters["hidden"] == (8,)
    assert (given.updates, given.eval_every, given.eval_episodes) == (1_000, 1_000, 50)


def test_resolving_twice_changes_nothing(log):
    for config in (resolved(), RunConfig(task=str(log), env="none", columns={"terminals": "terminated"}).resolved()):
        assert config.resolved() == config


def test_what_it_builds_is_the_algorithm():
    assert resolved(hyperparameters={"bc_coef": 3.0}).build() == DROL(bc_coef=3.0, hidden=(256, 256, 256))
    given = DROL(bc_coef=3.0, optimizer=optax.sgd(1e-2))
    config = resolved(algorithm=given)
    assert config.build() is given
    assert config.algorithm_name == "drol"
    assert config.hyperparameters["optimizer"] == "custom"
    assert config.preset is None


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"algorithm": "iql", "size": "paper", "seed": 2**64 - 1},
        {"tuned": True, "eval_max_seconds": math.inf, "eval_max_steps": 7, "keep_every": 100, "collect": 3},
        {"env": "none", "hyperparameters": {"latent_radius": 2.0}, "data": "somewhere/cube.npz"},
        {"chunk": 5, "n_step": 7, "replan": 2, "public_returns": True},
    ],
)
def test_config_json_is_the_configuration(options):
    config = resolved(**options)
    stored = RunConfig.from_json(json.loads(json.dumps(config.to_json(), allow_nan=False)))
    assert stored == dataclasses.replace(config, env=None)


def test_a_log_of_ones_own_is_recorded_with_all_that_it_needs(log):
    options = {"action_low": -3.0, "action_high": (1.0, 1.0, 1.0), "columns": {"observations": "observations"}}
    config = RunConfig(task=log.as_posix(), normalize_observations=True, **options).resolved()
    stored = RunConfig.from_json(json.loads(json.dumps(config.to_json())))
    assert stored == config
    assert (stored.action_low, stored.action_high) == ((-3.0,), (1.0, 1.0, 1.0))


CHANGES = {
    "task": "cube-double-play-singletask-task2-v0",
    "algorithm": "fql",
    "collect": 7,
    "collect_seed": 3,
    "action_low": -2.0,
    "action_high": 2.0,
    "columns": {"observations": "obs"},
    "normalize_observations": True,
    "size": "paper",
    "eval_every": 2_500,
    "eval_episodes": 3,
    "eval_max_steps": 12,
    "batch_size": 128,
    "seed": 1,
    "tuned": True,
    "evaluated_in": None,
    "chunk": 5,
    "n_step": 3,
    "replan": 1,
    "public_returns": True,
    "protocol": "qam",
    "sparse_rewards": True,
}
"""Another value of everything that is fixed."""


def test_every_option_has_its_rule():
    assert {name for name, rule in RULES.items() if rule == "fixed"} == CHANGES.keys()
    assert [name for name, rule in RULES.items() if rule == "extend"] == ["updates"]


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_fixed_may_be_repeated_and_not_changed(name):
    config = resolved()
    assert config.extended({name: getattr(config, name)}) == config
    with pytest.raises(DataError, match=f"started with {name} .* resume cannot change it to"):
        config.extended({name: CHANGES[name]})


def test_hyperparameters_are_fixed_to_the_precision_in_which_they_are_kept():
    config = resolved(hyperparameters={"learning_rate": 3e-4})
    assert config.extended({"hyperparameters": {"learning_rate": 0.00030000001, "hidden": [256, 256, 256]}}) == config
    with pytest.raises(DataError, match=r"started with learning_rate 0\.0003, and resume cannot change it to 0\.0004"):
        config.extended({"hyperparameters": {"learning_rate": 4e-4}})
    with pytest.raises(DataError, match="the run uses drol, which has no alpha"):
        config.extended({"hyperparameters": {"alpha": 4.0}})


def test_updates_may_grow_in_whole_chunks():
    config = resolved()
    assert config.extended({"updates": 90_000}).updates == 90_000
    with pytest.raises(DataError, match="can only extend it, not shorten it to 500"):
        config.extended({"updates": 500})
    with pytest.raises(DataError, match="multiple of 500, found 45001; the nearest are 45000 and 45500"):
        config.extended({"updates": 45_001})


def test_what_is_free_changes():
    changes = {"keep_last": 7, "workers": 3, "eval_max_seconds": 5.0, "data": "other.npz", "out": "there"}
    config = resolved().extended(changes)
    assert (config.keep_last, config.workers, config.eval_max_seconds) == (7, 3, 5.0)
    assert resolved().extended(resolved(keep_last=7).changes()) == resolved(keep_last=7)


def test_collected_data_may_be_named_when_a_run_is_resumed():
    config = resolved(collect=3).extended({"data": "moved.npz"})
    assert (config.collect, config.data) == (3, Path("moved.npz"))
    assert RunConfig.from_json(config.to_json()) == config


def test_an_error_speaks_to_its_reader():
    with pytest.raises(DrolError) as caught:
        resolved().extended({"eval_every": 10})
    assert "start a new run with another out" in str(caught.value)
    assert "start a new run with another --out" in caught.value.shell


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"updates": 0}, "updates must be at least 1"),
        ({"seed": -1}, "seed must be a whole number from 0"),
        ({"size": "huge"}, "size must be one of laptop, paper"),
        ({"step_seconds": 0.0}, "step_seconds must be a positive number"),
        ({"action_low": -1.0}, "belong together"),
        ({"action_low": [math.nan], "action_high": 1.0}, "finite"),
        ({"data": "a.npz", "collect": 3}, "cannot be combined"),
        ({"process": 1}, "belong to distributed"),
        ({"sha256": "xyz"}, "sha256"),
        ({"columns": {"obs": "observations"}}, "unknown column 'obs'"),
        ({"algorithm": FQL(), "hyperparameters": {"alpha": 3.0}}, "already has its hyperparameters"),
        ({"task": ""}, "task must name"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(options, words):
    with pytest.raises(UsageError, match=words):
        RunConfig(**{"task": CUBE} | options)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"updates": "many"}, "updates must be a whole number, found 'many'"),
        ({"updates": True}, "updates must be a whole number, found True"),
        ({"tuned": 1}, "tuned must be True or False, found 1"),
        ({"size": 3}, "size must be one of laptop, paper, found 3"),
        ({"out": 3}, "out must be a path, found 3"),
        ({"step_seconds": "60"}, "step_seconds must be a positive number of seconds, found '60'"),
        ({"action_low": ["-1"]}, r"action_low must be finite numbers, found \['-1'\]"),
        ({"columns": "observations=obs"}, "columns must be a mapping"),
        ({"sha256": 3}, "sha256 must be a SHA-256"),
        ({"seed": 0.5}, "seed must be a whole number"),
    ],
)
def test_values_of_another_kind_are_refused_by_name(option, words):
    with pytest.raises(UsageError, match=words):
        resolved().extended(option)


def test_unknown_options_and_hyperparameters_name_the_nearest():
    with pytest.raises(UsageError, match="there is no option 'update'; did you mean 'updates'"):
        resolved().extended({"update": 3})
    with pytest.raises(ValueError, match="DROL has no hyperparameter bc_coeff"):
        resolved(hyperparameters={"bc_coeff": 3})
    with pytest.raises(TypeError, match="bc_coef"):
        RunConfig(task=CUBE, bc_coef=3)


def test_a_module_that_only_a_file_names_is_not_imported(monkeypatch):
    record = resolved().to_json() | {"algorithm": "setup_hooks:TD3BC"}
    with pytest.raises(DataError, match="is not imported just because a file names it"):
        RunConfig.from_json(record)
    assert RunConfig.from_json(record, named={"algorithm": "setup_hooks:TD3BC"}).algorithm == "setup_hooks:TD3BC"


def test_every_option_is_explained_and_has_a_place_in_the_public_face():
    assert drol.RunConfig is RunConfig
    for name, option in OPTIONS.items():
        assert f"{name}: {option.help.split()[0]}" in RunConfig.__doc__
        assert option.resume == "free" or option.at or name == "tuned", name


def test_where_a_run_is_evaluated_is_decided_once():
    """On a CPU alone training waits for evaluations; runs of earlier versions did, wherever they are resumed."""
    config = RunConfig(task="pointmaze-medium-navigate-singletask-task1-v0").resolved()
    assert config.eval_async is None
    record = with_evaluations_placed(config).to_json()
    assert record["eval_async"] is False
    assert RunConfig.from_json(record | {"eval_async": True}).extended({"eval_async": None}).eval_async is True
    del record["eval_async"]
    assert RunConfig.from_json(record).eval_async is False
