"""What the policy is asked in a rollout, seen from an environment that answers the same to everything."""

import jax
import jax.numpy as jnp
import numpy as np

from drol.environments.episodes import EVALUATION, Rollout
from drol.environments.limits import DEFAULT
from drol.environments.results import StepResult
from drol.seeding import episode_seed
from tests.helpers.batches import SPEC

LENGTH, SLOTS = 3, 2
OBSERVATION = np.full(SPEC.observation_dim, 0.5, np.float32)
FACTS = {"id": "Still-v0", "max_episode_steps": LENGTH, "reference_scores": None}


def rolled_out(policy, seed, episodes=5):
    """Every action by its episode and step, and the seeds of the resets by episode."""
    actions, seeds, running = {}, {}, {}

    def exchange(method, calls):
        if method == "reset":
            for slot, reset_seed in calls.items():
                running[slot] = [len(seeds), 0]
                seeds[len(seeds)] = reset_seed
            return dict.fromkeys(calls, StepResult(OBSERVATION))
        answers = {}
        for slot, action in calls.items():
            episode, step = running[slot]
            actions[episode, step] = np.array(action)
            running[slot][1] += 1
            answers[slot] = StepResult(OBSERVATION, 1.0, terminated=step + 1 == LENGTH)
        return answers

    rollout = Rollout(exchange, FACTS, policy, episodes, seed, slots=SLOTS, limits=DEFAULT)
    while rollout.advance():
        pass
    return actions, seeds


def test_draws_are_those_of_seed_episode_and_step(policy):
    """The same observation throughout: what differs between actions is their draw."""
    actions, seeds = rolled_out(policy, 7)
    assert sorted(actions) == [(episode, step) for episode in range(5) for step in range(LENGTH)]
    assert seeds == {episode: episode_seed(7, EVALUATION, episode) for episode in range(5)}
    act = jax.jit(lambda key: policy(jnp.asarray(OBSERVATION), key=key))
    for (episode, step), action in actions.items():
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(7), episode), step)
        np.testing.assert_allclose(action, act(key), rtol=1e-5, atol=1e-6)


def test_no_draw_is_used_twice(policy):
    """Neither within an evaluation nor in that of another seed."""
    (ours, seeds), (others, other_seeds) = (rolled_out(policy, seed) for seed in (7, 8))
    every = np.stack([*ours.values(), *others.values()])
    distances = np.abs(every[:, None] - every[None]).max(axis=-1) + np.eye(len(every))
    assert distances.min() > 1e-4
    assert set(seeds.values()).isdisjoint(other_seeds.values())


def test_the_success_of_an_episode_is_the_verdict_at_its_last_step(policy):
    """Not that of a step on the way, nor of the episode before in the same slot."""
    verdicts = iter([[False, True, False], [False, False, True], [None, True, None], [True, None, False]])
    running = {}

    def exchange(method, calls):
        if method == "reset":
            running.update({slot: list(next(verdicts)) for slot in calls})
            return dict.fromkeys(calls, StepResult(OBSERVATION))
        return {
            slot: StepResult(OBSERVATION, success=running[slot].pop(0), terminated=not running[slot]) for slot in calls
        }

    rollout = Rollout(exchange, FACTS, policy, 4, 0, slots=1, limits=DEFAULT)
    while rollout.advance():
        pass
    assert [result.success for result in rollout.results] == [False, True, None, False]
