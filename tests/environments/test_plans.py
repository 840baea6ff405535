"""Plans of several actions in rollouts: executed in order, replaced when they are used up, never taken into a new
episode, and drawn by episode and plan, whatever else runs next to them."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drol.environments import episodes as rollouts
from drol.environments.episodes import Rollout
from drol.environments.limits import DEFAULT
from drol.environments.results import StepResult
from drol.policy import PlanQueue, planning
from drol.types import Spec
from tests.helpers.small_algorithms import init, small

CHUNK, DIM = 3, 2
SPEC = Spec(observation_dim=2, action_dim=DIM, chunk=CHUNK)
FACTS = {"id": "Steps-v0", "max_episode_steps": 100, "reference_scores": None}
LENGTHS = (1, CHUNK - 1, CHUNK, CHUNK + 1, 7)
"""Of episodes 0, 1, ..."""


@pytest.fixture(scope="module")
def flat_policy():
    """Its plans depend on the observation and on the draw."""
    algorithm = small("fql")
    return algorithm.policy(init(algorithm, SPEC, jax.random.key(0)))


def rolled_out(policy, *, slots, seed=7, lengths=LENGTHS):
    """Every action by episode and step; the observation names both."""
    actions, running = {}, {}

    begun = dict.fromkeys(range(slots), 0)

    def exchange(method, calls):
        answers = {}
        for slot, action in calls.items():
            if method == "reset":
                # Slot i runs episodes i, i + slots, ...
                running[slot] = [slot + slots * begun[slot], 0]
                begun[slot] += 1
                answers[slot] = StepResult(np.array(running[slot], np.float32))
                continue
            episode, step = running[slot]
            actions[episode, step] = np.array(action)
            running[slot][1] += 1
            ended = step + 1 == lengths[episode]
            answers[slot] = StepResult(np.array(running[slot], np.float32), 1.0, terminated=ended)
        return answers

    rollout = Rollout(exchange, FACTS, policy, len(lengths), seed, slots=slots, limits=DEFAULT)
    while rollout.advance():
        pass
    assert {result.episode: result.length for result in rollout.results} == dict(enumerate(lengths))
    return actions


@pytest.mark.parametrize("replan", [None, 1, 2])
@pytest.mark.parametrize("slots", [1, 2, 5])
def test_actions_are_the_first_of_plans_by_episode_and_plan(flat_policy, slots, replan):
    """So nothing of an old episode is executed in a new one, and slots do not matter."""
    policy = planning(flat_policy, CHUNK, replan)
    executed = replan or CHUNK
    actions = rolled_out(policy, slots=slots)
    assert len(actions) == sum(LENGTHS)
    plan = jax.jit(lambda observation, key: policy.plan(observation, key=key))
    for (episode, step), action in actions.items():
        number, place = divmod(step, executed)
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(7), episode), number)
        expected = plan(jnp.array([episode, number * executed], jnp.float32), key)[place]
        np.testing.assert_allclose(action, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("replan", [None, 2])
def test_an_episode_makes_as_few_plans_as_it_can(flat_policy, replan, monkeypatch):
    """ceil(length / executed), counted where the network is called."""
    calls, act = [], rollouts.plans_of
    monkeypatch.setattr(rollouts, "plans_of", lambda *arguments: calls.append(1) or act(*arguments))
    policy = planning(flat_policy, CHUNK, replan)
    for length in (1, 2, 3, 4, 9):
        calls.clear()
        rolled_out(policy, slots=1, lengths=(length,))
        assert len(calls) == math.ceil(length / policy.executed)


def test_one_plan_of_many_actions_is_drawn_anew_for_each_episode(flat_policy):
    actions = rolled_out(planning(flat_policy, CHUNK), slots=1, lengths=(2, 2))
    assert not np.allclose(actions[0, 0], actions[1, 0])


def test_a_queue_serves_its_rows_out_of_phase():
    queue, made = PlanQueue(2, 2, 1), []

    def plan(needed):
        made.append(needed.tolist())
        return np.full((2, 3), 10 * len(made)) + np.arange(3)

    assert queue.next(plan).tolist() == [[10], [10]]
    queue.clear(1)
    assert queue.next(plan).tolist() == [[11], [20]]
    assert queue.next(plan).tolist() == [[30], [21]]
    assert queue.next(plan).tolist() == [[31], [40]]
    assert made == [[True, True], [False, True], [True, False], [False, True]]
    assert queue.plans.tolist() == [2, 2]


def test_a_queue_leaves_out_rows_that_do_not_run():
    queue = PlanQueue(2, 2, 1)
    made = []

    def plan(needed):
        made.append(needed.tolist())
        return np.zeros((2, 2))

    for _ in range(3):
        queue.next(plan, np.array([True, False]))
    assert made == [[True, False]] * 2
    assert queue.plans.tolist() == [2, 0]


def test_actions_keep_the_precision_of_the_policy():
    assert PlanQueue(1, 1, 1).next(lambda _: np.array([[0.1]])).tolist() == [[0.1]]
