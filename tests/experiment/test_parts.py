"""The parts of a run as public functions."""

import importlib
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import drol
from drol.errors import DataError
from tests.helpers.toy_logs import ENVIRONMENT, write_log

SPEC = drol.Spec(4, 3)


def test_public_functions_survive_the_import_of_every_submodule():
    public = {name: getattr(drol, name) for name in drol.__all__}
    for module in pkgutil.iter_modules(drol.__path__):
        importlib.import_module(f"drol.{module.name}")
    assert {name: getattr(drol, name) for name in drol.__all__} == public
    for name in ("train", "train_many", "evaluate", "environment", "load_data", "preset", "save_state", "load_state"):
        assert callable(getattr(drol, name))


def test_from_a_log_to_an_evaluated_policy_by_the_parts(tmp_path):
    write_log(tmp_path / "robot.npz")
    data = drol.load_data(tmp_path / "robot.npz", environment=ENVIRONMENT)
    algorithm = drol.DROL(hidden=(8,))
    replay = drol.ReplayData.from_transitions(data.train)
    state, key = algorithm.init(replay.spec, key=jax.random.key(0)), jax.random.key(1)
    state, _, finite = drol.train_chunk(algorithm, state, replay, key, batch_size=8, length=4)
    assert bool(finite)
    policy = drol.in_units(algorithm.policy(state), data.units)
    environment = drol.environment(ENVIRONMENT)
    evaluations = [drol.evaluate(policy, environment, episodes=3, seed=5, workers=workers) for workers in (1, 2)]
    assert evaluations[0] == evaluations[1]
    assert [episode.episode for episode in evaluations[0].episodes] == [0, 1, 2]
    assert 0 <= evaluations[0].success <= 1
    assert evaluations[0].unfinished is None


def test_a_preset_is_looked_up_by_task_and_algorithm():
    preset = drol.preset("cube-single-play-singletask-task2-v0", "drol")
    assert drol.DROL(**preset.hyperparameters()).bc_coef == 10.0
    assert drol.preset("nothing-v0", "drol") is None


@pytest.mark.parametrize("kind", [jnp.float32, jnp.bfloat16])
def test_a_state_comes_back_bit_for_bit(tmp_path, kind):
    algorithm = drol.DROL(hidden=(8,))
    state = algorithm.init(SPEC, key=jax.random.key(0))
    state = jax.tree.map(lambda leaf: leaf.astype(kind) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, state)
    drol.save_state(state, tmp_path / "state")
    loaded = drol.load_state(tmp_path / "state", jax.tree.map(jnp.zeros_like, state))
    for before, after in zip(jax.tree.leaves(state), jax.tree.leaves(loaded), strict=True):
        assert before.dtype == after.dtype
        np.testing.assert_array_equal(before, after)
    drol.save_state(state, tmp_path / "state")
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_damaged_or_foreign_state_is_refused(tmp_path):
    state = drol.DROL(hidden=(8,)).init(SPEC, key=jax.random.key(0))
    drol.save_state(state, tmp_path / "state")
    other = drol.DROL(hidden=(9,)).init(SPEC, key=jax.random.key(0))
    with pytest.raises(DataError, match="state of other networks"):
        drol.load_state(tmp_path / "state", other)
    content = bytearray((tmp_path / "state").read_bytes())
    for cut in (content[:-4], content[: len(content) // 2], b"", b"\xff" * 40, b"\x02\0\0\0\0\0\0\0[]"):
        (tmp_path / "cut").write_bytes(cut)
        with pytest.raises(DataError, match="is damaged"):
            drol.load_state(tmp_path / "cut", state)
    content[-1] ^= 1
    (tmp_path / "cut").write_bytes(content)
    with pytest.raises(DataError, match="checksum"):
        drol.load_state(tmp_path / "cut", state)
    with pytest.raises(DataError, match="does not exist"):
        drol.load_state(tmp_path / "nowhere", state)
