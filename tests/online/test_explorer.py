"""Environments in which a policy gathers steps: what they depend on, and how they are taken to where they were."""

import jax
import numpy as np
import pytest

import drol
from drol.environments.limits import EvaluationLimits
from drol.environments.pool import EnvironmentPool
from drol.environments.spec import EnvironmentSpec
from drol.errors import DataError
from drol.online.explorer import Explorer
from drol.online.random import RandomPolicy
from drol.policy import in_units, planning
from drol.types import Units
from tests.helpers.toy_online import SPEC, TOY
from tests.helpers.toy_run import algorithm

LIMITS = EvaluationLimits(step_seconds=20.0)


@pytest.fixture(scope="module")
def policy():
    one = algorithm()
    return one.policy(one.init(SPEC, key=jax.random.key(0)))


def exploring(pool, **options):
    return Explorer(pool, options.pop("spec", SPEC), executed=options.pop("executed", 1), seed=4, **options)


def pool(slots=3, workers=1, environment=TOY, limits=LIMITS):
    return EnvironmentPool(environment, workers=workers, slots=slots, limits=limits)


def equal(ours, theirs):
    return all(np.array_equal(mine, other) for mine, other in zip(ours, theirs, strict=True))


def test_blocks_are_the_same_for_any_number_of_workers(policy):
    found = []
    for workers in (1, 2, 3):
        with pool(workers=workers) as environments:
            explorer = exploring(environments)
            found.append([explorer.block(policy, 5) for _ in range(8)])
    for other in found[1:]:
        assert all(equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_steps_follow_each_other_in_their_episodes(policy):
    with pool() as environments:
        explorer = exploring(environments)
        steps = [explorer.block(policy, 10) for _ in range(10)]
    columns = [np.concatenate(column) for column in zip(*steps, strict=True)]
    observations, _, rewards, terminated, ended, began, following = columns
    assert (rewards == -1).all()
    assert ended.sum() > 5
    assert (ended & ~terminated).any()
    assert (terminated <= ended).all()
    for row in range(len(rewards) - 3):
        assert began[row + 3] == ended[row]
        assert np.array_equal(observations[row + 3], following[row]) != ended[row]


def test_a_failure_is_repaired_by_repeating_the_episodes(policy):
    """Killed workers, in the midst of episodes."""
    with pool(workers=2) as environments:
        explorer = exploring(environments)
        undisturbed = [explorer.block(policy, 5) for _ in range(6)]
    with pool(workers=2) as environments:
        explorer, found = exploring(environments), []
        for number in range(6):
            if number in (2, 4):
                environments._workers[number // 4]._process.kill()
            found.append(explorer.block(policy, 5))
    assert all(equal(a, b) for a, b in zip(undisturbed, found, strict=True))


def test_it_goes_on_where_it_stood(policy):
    """Another explorer, in new environments."""
    with pool() as environments:
        explorer = exploring(environments)
        blocks = [explorer.block(policy, 7) for _ in range(5)]
        standing = explorer.standing()
        expected = [explorer.block(policy, 7) for _ in range(3)]
        ended = explorer.ended
    assert sum(block.ended.sum() for block in blocks) > 0
    with pool(workers=2) as environments:
        other = exploring(environments)
        other.restore(standing)
        assert all(equal(other.block(policy, 7), block) for block in expected)
        assert other.ended == ended


def test_plans_go_on_where_they_were(policy):
    """Three actions of a plan of three, in blocks of two steps."""
    spec = drol.Spec(4, 1, 3)
    plans = planning(policy, 3)

    environment = EnvironmentSpec("tests.online.narrow_environment:DrolNarrow-v0")
    with pool(environment=environment) as environments:
        explorer = exploring(environments, spec=spec, executed=3)
        explorer.block(plans, 2)
        standing = explorer.standing()
        expected = explorer.block(plans, 2)
    with pool(environment=environment) as environments:
        other = exploring(environments, spec=spec, executed=3)
        other.restore(standing)
        assert equal(other.block(plans, 2), expected)


def test_what_does_not_repeat_is_refused_unless_it_may_begin_anew(policy):
    with pool() as environments:
        explorer = exploring(environments)
        explorer.block(policy, 5)
        standing = explorer.standing()
        assert (standing.episodes >= 0).any()
    other = standing._replace(observations=standing.observations + 1e-3)
    with pool() as environments:
        with pytest.raises(DataError, match=r"does not repeat an episode from its seed and actions.*restart_episodes"):
            exploring(environments).restore(other)
        explorer = exploring(environments)
        explorer.restore(other, restart=True)
        steps = explorer.block(policy, 2)
        assert steps.began[:3].all()
        assert (explorer.standing().episodes >= standing.begun).all()


def test_it_acts_in_the_environments_units_and_stores_the_learners(policy):
    environment = EnvironmentSpec("tests.helpers.toy_environment:DrolToyScaled-v0")
    low, high = np.full(3, -3, np.float32), np.ones(3, np.float32)
    units = Units(np.full(4, 0.5, np.float32), np.full(4, 2, np.float32), low, high)
    seen = []
    with pool(environment=environment) as environments:
        exchange = environments.exchange

        def watching(method, arguments, *more):
            results = exchange(method, arguments, *more)
            seen.append((method, arguments, results))
            return results

        environments.exchange = watching
        steps = exploring(environments, units=units).block(in_units(policy, units), 4)
    assert (np.abs(steps.actions) <= 1).all()
    done = [(arguments, results) for method, arguments, results in seen if method == "step"]
    for number, (actions, results) in enumerate(done):
        for slot in range(3):
            row = 3 * number + slot
            np.testing.assert_allclose(steps.actions[row], (actions[slot] + 1) / 2, atol=1e-6)
            np.testing.assert_allclose(steps.next_observations[row], (results[slot].observation - 0.5) / 2, atol=1e-6)


def test_rewards_are_the_learners(policy):
    with pool() as environments:
        explorer = exploring(environments, reward=lambda reward: 3 * reward + 1)
        steps = [explorer.block(policy, 10) for _ in range(4)]
        ended = explorer.ended
    assert (np.concatenate([block.rewards for block in steps]) == -2).all()
    assert all(episode.episode_return == -episode.length for episode in ended)


def test_a_step_limit_ends_an_episode_without_terminating_it(policy):
    with pool(limits=EvaluationLimits(steps=4, step_seconds=20.0)) as environments:
        steps = exploring(environments).block(policy, 4)
    unfinished = ~steps.terminated[-3:]
    assert unfinished.any()
    assert steps.ended[-3:][unfinished].all()


def test_random_actions_fill_the_box_and_differ_by_step():
    random = RandomPolicy(dimensions=SPEC)
    with pool() as environments:
        actions = exploring(environments).block(random, 40).actions
    assert actions.min() < -0.9
    assert actions.max() > 0.9
    assert len(np.unique(actions)) == actions.size
