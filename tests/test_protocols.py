"""Protocols with chunks: their hyperparameters, from the tables to a run's configuration, and sparse rewards."""

import re

import numpy as np
import pytest

from drol.algorithm import from_hyperparameters
from drol.algorithms.registry import ALGORITHMS, algorithm_class
from drol.data.dataset import Dataset
from drol.data.rewards import sparse
from drol.errors import DataError, UsageError
from drol.experiment import parts
from drol.experiment.config import RunConfig
from drol.presets import PROTOCOLS, has_sparse_rewards, preset_for, protocol_presets
from drol.types import Chunking
from tests.helpers.chunked import episodes
from tests.helpers.commands import drol

SCENE = "scene-play-singletask-task2-v0"
HUMANOID = "humanoidmaze-medium-navigate-singletask-task1-v0"
EVERY = [(protocol, name) for protocol in PROTOCOLS for name in ALGORITHMS if any(protocol_presets(protocol, name))]


def test_the_methods_of_each_protocol():
    assert {name for protocol, name in EVERY if protocol == "qc"} == {"fql", "rebrac", "ifql", "bfn"}
    assert {name for protocol, name in EVERY if protocol == "qam"} == {"fql", "rebrac", "ifql", "fbrac", "fawac"}


@pytest.mark.parametrize(("protocol", "name"), EVERY)
def test_every_preset_builds_its_method(protocol, name):
    presets = list(protocol_presets(protocol, name))
    assert len({preset.family for preset in presets}) == len(presets) == (6 if protocol == "qc" else 11)
    for preset in presets:
        from_hyperparameters(algorithm_class(name), preset.hyperparameters())
        assert preset.mark == ("borrowed" if preset.family == "cube-single-play" else None)
        assert preset_for(f"{preset.family}-singletask-task3-v0", name, protocol) == preset


@pytest.mark.parametrize(
    ("protocol", "name", "task", "expected", "chunk"),
    [
        ("qam", "fql", SCENE, {"alpha": 300, "ensemble": 10, "q_agg": "mean-std", "rho": 0.5, "discount": 0.99}, 5),
        ("qam", "fql", HUMANOID, {"alpha": 30, "rho": 0.0, "discount": 0.995}, 1),
        ("qam", "rebrac", SCENE, {"alpha_actor": 0.03, "alpha_critic": 0, "target_noise": 0, "actor_rho": 0.5}, 5),
        ("qam", "ifql", SCENE, {"expectile": 0.9, "num_samples": 32}, 5),
        ("qam", "fbrac", SCENE, {"alpha": 100}, 5),
        ("qam", "fawac", SCENE, {"inverse_temperature": 6.4}, 5),
        ("qc", "fql", SCENE, {"alpha": 300, "ensemble": 2, "q_agg": "mean"}, 5),
        ("qc", "bfn", "puzzle-3x3-play-singletask-task4-v0", {"num_samples": 64}, 5),
        ("qc", "rebrac", SCENE, {"alpha_actor": 0.1, "q_agg": "mean"}, 1),
        ("qc", "fql", "cube-single-play-singletask-task2-v0", {"alpha": 300}, 5),
    ],
)
def test_a_run_takes_its_protocols_values(protocol, name, task, expected, chunk):
    config = RunConfig(task=task, algorithm=name, protocol=protocol).resolved()
    assert {field: config.hyperparameters[field] for field in expected} == pytest.approx(expected)
    assert config.chunk == chunk
    assert config.preset is not None
    assert RunConfig.from_json(config.to_json()) == config


def test_what_is_given_goes_before_the_protocol():
    config = RunConfig(
        task=SCENE, algorithm="fql", protocol="qam", chunk=2, hyperparameters={"ensemble": 4, "alpha": 3.0}
    ).resolved()
    assert (config.chunk, config.hyperparameters["ensemble"], config.hyperparameters["alpha"]) == (2, 4, 3.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"algorithm": "drol", "protocol": "qam"}, "publishes nothing for drol .*: it has values of rebrac, fawac, "),
        ({"task": HUMANOID, "algorithm": "fql", "protocol": "qc"}, "publishes nothing for fql .* set chunk yourself"),
        ({"protocol": "qam", "tuned": True}, "tuned has hyperparameters of its own: leave protocol out"),
        ({"chunk": 2, "replan": 3}, r"replan must not exceed chunk \(2\), .* found 3"),
        ({"replan": 2}, r"replan must not exceed chunk \(1\)"),
        ({"chunk": 3, "n_step": 2}, r"n_step must be at least chunk \(3\), found 2"),
        ({"algorithm": "rebrac", "protocol": "qc", "replan": 2}, r"replan must not exceed chunk \(1\)"),
        ({"chunk": 0}, "chunk must be at least 1, found 0"),
        ({"protocol": "qcx"}, "protocol must be one of qc, qam"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_what_cannot_be_is_refused_before_anything_begins(options, message):
    with pytest.raises(UsageError, match=message):
        RunConfig(**({"task": SCENE} | options)).resolved()


def data_of(rewards):
    log = episodes([False] * len(rewards), [1] * len(rewards))
    log.rewards[:] = rewards
    return Dataset(log, log, {"files": []})


def test_sparse_rewards_are_0_where_everything_is_done():
    data = data_of([-3, -1, 0, -2])
    changed = sparse(data, SCENE)
    assert changed.validation is not None
    for part in (changed.train, changed.validation):
        assert part.rewards.tolist() == [-1, -1, 0, -1]
        assert part.rewards.dtype == np.float32
    assert data.train.rewards.tolist() == [-3, -1, 0, -2]


@pytest.mark.parametrize("task", [HUMANOID, "pen-human-v1", "/data/log.npz"])
def test_other_rewards_stay_as_they_are(task):
    with pytest.raises(DataError, match="is for OGBench's manipulation tasks"):
        sparse(data_of([-1.0, 0.0]), task)


def test_scene_and_puzzles_are_sparse_in_both_protocols():
    tasks = ("scene-play", "puzzle-3x3-play", "puzzle-4x4-play", "cube-double-play", "antmaze-large-navigate")
    assert [has_sparse_rewards(f"{task}-singletask-v0") for task in tasks] == [True, True, True, False, False]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_tables_of_a_protocol(protocol, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert drol("presets", "--protocol", protocol, "--algorithm", "all") == 0
    printed = " ".join(capsys.readouterr().out.split())
    for name in [name for of, name in EVERY if of == protocol]:
        for preset in protocol_presets(protocol, name):
            assert preset.family in printed
    assert "cube-single-play (borrowed)" in printed
    assert drol("presets", "--protocol", protocol) == 0
    assert re.search(f"Protocol {protocol} publishes nothing for DROL", capsys.readouterr().out)


def notes_of(capsys, tmp_path, *options):
    """The notes of a short run on a log of three episodes."""
    rng = np.random.default_rng(0)
    columns = {"observations": rng.normal(size=(60, 3)), "actions": rng.uniform(-1, 1, (60, 2))}
    ends = np.arange(60) % 20 == 19
    np.savez(tmp_path / "log.npz", **columns, rewards=np.zeros(60), terminated=np.zeros(60, bool), truncated=ends)
    out = ("--updates", 2, "--eval-every", 2, "--hidden", 4, "--out", tmp_path / "run")
    assert drol("train", tmp_path / "log.npz", *out, *options) == 0
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]


def test_a_rho_that_changes_nothing_is_noted(capsys, tmp_path):
    notes = notes_of(capsys, tmp_path, "--rho", 1.0)
    assert "note: rho changes nothing, because q_agg is mean, not mean-std" in notes


def test_many_lost_chunks_are_noted(capsys, tmp_path):
    notes = notes_of(capsys, tmp_path, "--chunk", 5)
    assert any(re.match(r"note: 2\d% of the chunks of 5 steps run past the end", line) for line in notes), notes


def test_a_replan_longer_than_the_plan_is_refused(tmp_path, capsys):
    notes_of(capsys, tmp_path, "--chunk", 3, "--replan", 2)
    assert drol("evaluate", tmp_path / "run", "--replan", 4) == 2
    assert "--replan 4 is more than the policy plans (3 actions): leave it out" in capsys.readouterr().err


def test_held_out_episodes_shorter_than_a_chunk_are_left_out():
    """The run trains; it has no held-out metrics, because there is nothing to draw them from."""
    long, short = episodes([False] * 12, [1] * 12), episodes([False, True], [1, 1])
    assert parts.held_out(short, Chunking(5)) is None
    assert parts.held_out(None, Chunking(5)) is None
    held = parts.held_out(long, Chunking(5))
    assert held is not None
    assert held.spec.chunk == 5
    assert parts.held_out(short, Chunking()) is not None
