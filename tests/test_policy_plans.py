"""Deployed policies that plan several actions at once: files, the queue of a plan, resets, copies."""

import copy
import dataclasses
import json
import pickle

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from drol import Spec, Units, in_units, load_policy, save_policy
from drol.errors import DataError
from drol.policy import planning
from drol.policy.files import _checksum
from tests.helpers.small_algorithms import init, small

CHUNKED = Spec(4, 3, 2)


@pytest.fixture(scope="module")
def planner():
    """A policy that plans two actions of three numbers."""
    algorithm = small("drol")
    return planning(algorithm.policy(init(algorithm, CHUNKED, jax.random.key(0))), 2)


@pytest.fixture
def planning_policy(planner, tmp_path):
    save_policy(planner, tmp_path / "policy")
    return lambda **options: load_policy(tmp_path / "policy", **options)


def test_a_policy_of_chunks_is_stored_and_plans_as_before(planner, planning_policy):
    loaded = planning_policy()
    assert (loaded.policy.spec, loaded.policy.executed) == (CHUNKED, 2)
    assert "action 3, chunk 2, replan 2" in repr(loaded)
    jax.tree.map(np.testing.assert_array_equal, loaded.policy, planner)


def test_policies_of_single_actions_are_stored_as_they_were(tmp_path):
    """Without a word of chunks, so that earlier versions read them."""
    algorithm = small("drol")
    save_policy(algorithm.policy(init(algorithm, CHUNKED.flat, jax.random.key(0))), tmp_path / "policy")
    assert not {"chunk", "replan"} & json.loads((tmp_path / "policy" / "policy.json").read_text())["config"].keys()


def test_a_loaded_policy_executes_its_plan_then_plans_again(planning_policy):
    """Whatever it observes meanwhile; every plan has its own draw."""
    loaded, reference = planning_policy(seed=3), planning_policy(seed=3)
    observations = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    plans = [reference.plan(observation) for observation in observations[::2]]
    assert plans[0].shape == (2, 3)
    for step, observation in enumerate(observations):
        np.testing.assert_array_equal(loaded(observation), plans[step // 2][step % 2])


def test_reset_forgets_the_plan(planning_policy):
    loaded, reference = planning_policy(), planning_policy()
    first, second = np.zeros(4, np.float32), np.ones(4, np.float32)
    loaded(first)
    loaded.reset()
    reference.plan(first)
    np.testing.assert_array_equal(loaded(second), reference.plan(second)[0])
    np.testing.assert_array_equal(planning_policy()(first), planning_policy().plan(first)[0])


def test_without_reset_the_rest_of_the_plan_comes_first(planning_policy):
    loaded, reference = planning_policy(), planning_policy()
    plan = reference.plan(np.zeros(4))
    loaded(np.zeros(4))
    np.testing.assert_array_equal(loaded(np.ones(4)), plan[1])


def test_rows_of_a_batch_have_their_own_plans(planning_policy):
    """One is reset in the midst of its plan; a batch of another size plans anew."""
    loaded, observations = planning_policy(), np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    key = jax.random.key(5)
    plans = planning_policy().plan(observations, key=key)
    assert plans.shape == (2, 2, 3)
    np.testing.assert_array_equal(loaded(observations, key=key), plans[:, 0])
    loaded.reset(1)
    np.testing.assert_array_equal(loaded(observations, key=key), [plans[0, 1], plans[1, 0]])
    loaded.reset(np.array([True, False]))
    np.testing.assert_array_equal(loaded(observations, key=key), [plans[0, 0], plans[1, 1]])
    assert loaded(observations[:1], key=key).shape == (1, 3)


def test_reset_of_no_row_changes_nothing(planning_policy):
    loaded, key = planning_policy(), jax.random.key(5)
    first = loaded(np.zeros((2, 4)), key=key)
    for nobody in ([], (), np.array([], int), np.zeros(2, bool)):
        loaded.reset(nobody)
    second = loaded(np.zeros((2, 4)), key=key)
    np.testing.assert_array_equal(np.stack([first, second], axis=1), planning_policy().plan(np.zeros((2, 4)), key=key))


def test_policies_of_single_actions_have_no_replan(tmp_path):
    algorithm = small("bc")
    save_policy(algorithm.policy(init(algorithm, CHUNKED.flat, jax.random.key(0))), tmp_path / "policy")
    assert load_policy(tmp_path / "policy", replan=1).policy.executed == 1
    with pytest.raises(ValueError, match="this policy plans single actions, so it cannot execute 2 of a plan"):
        load_policy(tmp_path / "policy", replan=2)


def test_replan_executes_the_first_actions_of_fresh_plans(planning_policy, tmp_path):
    loaded, reference = planning_policy(replan=1), planning_policy()
    for step in range(3):
        np.testing.assert_array_equal(loaded(np.full(4, step)), reference.plan(np.full(4, step))[0])
    save_policy(loaded, tmp_path / "again")
    assert load_policy(tmp_path / "again").policy.executed == 1
    with pytest.raises(ValueError, match="replan must be a whole number from 1 to 2, found 3"):
        planning_policy(replan=3)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda policy: pickle.loads(pickle.dumps(policy))])
def test_copies_continue_the_plan_and_do_not_share_it(planning_policy, duplicate):
    loaded = planning_policy()
    loaded(np.zeros(4))
    twin = duplicate(loaded)
    np.testing.assert_array_equal(twin(np.ones(4)), loaded(np.ones(4)))
    np.testing.assert_array_equal(twin(np.ones(4)), loaded(np.ones(4)))


@pytest.mark.parametrize(
    ("name", "value"), [("chunk", 0), ("chunk", True), ("chunk", "2"), ("replan", 3), ("chunk", 2.0)]
)
def test_a_file_with_impossible_chunks_is_refused(planning_policy, tmp_path, monkeypatch, name, value):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    path = tmp_path / "policy" / "policy.json"
    edited = json.loads(path.read_text())
    edited["config"][name] = value
    del edited["checksum"]
    path.write_text(json.dumps(edited | {"checksum": _checksum(edited)}))
    with pytest.raises(DataError, match="does not match its arrays"):
        planning_policy()


def test_rho_of_a_choice_is_stored_if_it_is_not_the_default(planner, tmp_path):
    for rho in (0.5, 1.25):
        choice = dataclasses.replace(planner.choice, how="best-of-n", q_agg="mean-std", rho=rho)
        save_policy(dataclasses.replace(planner, choice=choice), tmp_path / "policy")
        stored = json.loads((tmp_path / "policy" / "policy.json").read_text())["config"]
        assert ("rho" in stored) == (rho != 0.5)
        assert load_policy(tmp_path / "policy").policy.choice == choice


def test_in_units_every_action_of_a_plan_is_rescaled(planner):
    low, high = np.array([-2.0, 0.0, 1.0]), np.array([2.0, 4.0, 1.5])
    units = Units(np.zeros(4), np.ones(4), low, high)
    key = jax.random.key(0)
    plain, scaled = planner.plan(jnp.zeros(4), key=key), in_units(planner, units).plan(jnp.zeros(4), key=key)
    np.testing.assert_allclose(scaled, low + (plain + 1) / 2 * (high - low), rtol=1e-5, atol=1e-6)
