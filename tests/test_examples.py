"""The examples run and show what they say."""

import importlib.util
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import drol
from drol.data import files
from drol.data.dataset import Dataset
from drol.doctor import examine
from tests.helpers.samples import sampled
from tests.helpers.toy_logs import ENVIRONMENT, write_log

EXAMPLES = Path(__file__).parent.parent / "examples"


FEWER = {"updates": 600, "hidden": (16,)}
"""Of a smaller network; the whole form is slow."""


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("updates", sampled([150, 600], [150]))
@pytest.mark.ci
def test_custom_loop_keeps_both_modes(updates):
    actions = load("custom_loop").main(updates=updates)
    assert jnp.mean(jnp.abs(actions + 0.8) < 0.2) > 0.2
    assert jnp.mean(jnp.abs(actions - 0.8) < 0.2) > 0.2


@pytest.mark.parametrize("options", sampled([FEWER, {"updates": 1_000}], [FEWER]))
def test_own_arrays_walks_home(options):
    assert load("own_arrays").main(**options) < 0.25


@pytest.mark.parametrize("options", sampled([FEWER, {"updates": 1_000}], [FEWER]))
@pytest.mark.ci
def test_chunks_walk_home_by_plans(options, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    whole, first = load("chunks").main(**options)
    assert whole < 0.25
    assert first < 0.25


def test_chunk_candidates_are_measured_and_measured_once(tmp_path, monkeypatch):
    """On chunks of walks: with more candidates the winner is nearer."""
    monkeypatch.syspath_prepend(EXAMPLES)
    module = load("chunk_candidates")
    arrays = load("own_arrays").logs(episodes=20)
    walks = drol.from_arrays(**arrays, terminated=np.zeros(len(arrays["rewards"]), bool))
    data = Dataset(walks, walks, {"files": []})
    monkeypatch.setattr(module.drol, "load_data", lambda task, path: data)
    options = {"chunks": (3,), "candidates": (1, 8), "updates": 10, "hidden": (8,), "out": tmp_path / "records.json"}
    one, eight = module.main(tmp_path / "log.npz", **options)
    assert (one["candidates"], eight["candidates"], one["chunk"]) == (1, 8, 3)
    assert eight["error"] < one["error"]
    assert eight["covered"] >= one["covered"]
    monkeypatch.setattr(module, "measured", None)
    assert module.main(tmp_path / "log.npz", **options) == [one, eight]


def test_pendulum_logs_state_their_units(tmp_path):
    assert -700 < load("pendulum_logs").main(tmp_path / "pendulum.npz", episodes=25) < -150
    data = files.load(tmp_path / "pendulum.npz")
    assert len(data.train) == 24 * 200
    assert data.units.action_low.tolist() == [-2]
    assert (data.train.masks == 1).all()
    assert (data.train.next_action_index == np.arange(len(data.train))).sum() == 24
    report = examine(files.read(tmp_path / "pendulum.npz"))
    assert not [finding for finding in report.findings if finding.severity != "note"]


@pytest.mark.parametrize("updates", sampled([100, 600], [100]))
@pytest.mark.ci
def test_routing_mechanism_draws_its_figures(tmp_path, monkeypatch, updates):
    monkeypatch.syspath_prepend(EXAMPLES)
    handovers, cloning = load("routing_mechanism").main(tmp_path / "new", updates=updates, counts=(1, 8))
    assert handovers > 0
    assert cloning[8] < 0.5 * cloning[1]
    for name in ("voronoi.png", "candidates.png"):
        assert (tmp_path / "new" / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.ci
def test_own_algorithm_learns_from_rewards(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import own_algorithm

    assert own_algorithm.main(updates=600) < 0.15


def test_every_example_is_tested():
    names = {"custom_loop", "from_python", "own_algorithm", "own_arrays", "pendulum_logs", "routing_mechanism"}
    names |= {
        "ant_statistics",
        "chunk_candidates",
        "chunks",
        "deploy",
        "hyperparameter_search",
        "many_seeds",
        "own_data",
        "sharded",
    }
    # The problem of routing_mechanism; tests/algorithms/test_bandit.py uses it too.
    names |= {"bandit"}
    assert {path.stem for path in EXAMPLES.glob("*.py")} == names


SHORT = {"episodes": 1, "hyperparameters": {"hidden": (8,)}, "eval_max_steps": 20, "workers": 1}


@pytest.mark.parametrize("options", sampled([SHORT, {"episodes": 2}], [SHORT]))
@pytest.mark.ci
def test_from_python_trains_resumes_and_evaluates(tmp_path, options):
    evaluation = load("from_python").main(tmp_path / "run", updates=20, collect=2, **options)
    assert len(evaluation.episodes) == options["episodes"]
    lines = (tmp_path / "run" / "evaluations.jsonl").read_text().splitlines()
    assert len(lines) == 4 * options["episodes"]


@pytest.mark.ci
def test_a_hyperparameter_search_that_is_stopped_finishes_its_trials_first(tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    module = load("hyperparameter_search")
    write_log(tmp_path / "robot.npz")
    short = {"updates": 20, "eval_every": 10, "eval_episodes": 1, "workers": 1, "eval_max_steps": 10}
    config = drol.RunConfig(
        task=str(tmp_path / "robot.npz"), env=ENVIRONMENT, hyperparameters={"hidden": (8,)}, **short
    )
    options = {"trials": 3, "batch": 2, "seeds": range(1), "config": config}

    def stopped(*arguments, **keywords):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(drol, "train_many", stopped)
        with pytest.raises(KeyboardInterrupt):
            module.main(tmp_path / "search", **options)
    begun = [trial.params for trial in module.opened(tmp_path / "search").trials]
    study = module.main(tmp_path / "search", **options)
    assert [trial.params for trial in study.trials][: len(begun)] == begun
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3
    assert len(begun) == 2
    assert len(list((tmp_path / "search").glob("num_candidates*/*/config.json"))) == 3
    chosen = tmp_path / "search" / f"chosen{study.best_trial.number}" / "seed1"
    stored = json.loads((chosen / "config.json").read_text())
    assert stored["settings"]["seed"] == 1
    assert stored["hyperparameters"]["num_candidates"] == study.best_params["num_candidates"]


def test_own_data_is_repaired_and_walks_home(tmp_path):
    before, after, distance = load("own_data").main(tmp_path / "walks.npz", updates=200)
    assert [finding.name for finding in before.of("error")] == ["timeout-as-termination"]
    assert not after.of("error") + after.of("warning")
    assert distance < 0.3


@pytest.mark.parametrize("number", sampled([1, 2], [1]))
@pytest.mark.ci
def test_many_seeds_by_vmap_and_as_runs(number):
    bc_coefs = (1.0, 10.0)[:number]
    losses, results = load("many_seeds").main(seeds=2, bc_coefs=bc_coefs, updates=20)
    assert losses.shape == (len(bc_coefs), 2)
    assert len(np.unique(losses)) == losses.size
    assert [result.folder.name for result in results] == [f"bc_coef{c:g}-seed{s}" for c in bc_coefs for s in (0, 1)]
    assert {int(result.state.step) for result in results} == {20}


def test_sharded_updates_are_those_of_one_device():
    assert jax.device_count() == 8
    differences = load("sharded").main()
    assert set(differences) == {"shard_map", "pmap"}
    assert max(differences.values()) < 1e-6


def test_deployed_policies_act_in_their_units(tmp_path):
    example = load("deploy")
    action = example.main(example.untrained(tmp_path / "policy"), calls=10)
    assert action.shape == (2,)
    assert (np.abs(action) <= 2).all()
    assert example.main(calls=10).shape == (2,)


def test_statistics_of_ants_are_those_of_their_positions(tmp_path, capsys):
    """Two episodes: one walks two cells in eight steps and falls over for its last three states, the other stands."""
    qpos = np.zeros((18, 15))
    qpos[:, 3] = 1.0
    qpos[:9, 0] = np.arange(9)
    qpos[6:9, 3:5] = 0.0, 1.0
    terminals = np.zeros(18, bool)
    terminals[[8, 17]] = True
    path = tmp_path / "ants.npz"
    np.savez(path, qpos=qpos, terminals=terminals)
    module = load("ant_statistics")
    expected = {"episodes": 2, "steps": 8, "metres": 500, "cells": 3, "cells_per_episode": 2, "on_back": 3 / 18}
    assert module.statistics(path) == pytest.approx(expected)
    module.main([path])
    assert "| ants.npz | 2 | 8 | 500 | 3 | 2 | 0.1667 |" in capsys.readouterr().out
