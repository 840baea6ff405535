"""Rollouts: the same whatever the workers, honest about failures."""

import dataclasses

import jax
import numpy as np
import pytest

from drol.environments import episodes
from drol.environments.groups import EnvironmentGroup
from drol.environments.limits import EvaluationLimits
from drol.environments.results import EpisodeResult, as_record, mean_return, mean_score, success_rate
from drol.environments.rollout import Evaluator
from drol.environments.spec import EnvironmentSpec
from drol.extras import quiet
from drol.processes import Worker, WorkerError
from drol.types import Spec

TOY = EnvironmentSpec("tests.helpers.toy_environment:DrolToy-v0")


def test_results_do_not_depend_on_the_number_of_workers(policy):
    results = []
    for workers in (1, 3):
        with Evaluator(TOY, workers=workers, slots=4) as evaluator:
            results.append(evaluator.run(policy, episodes=10, seed=7))
    assert results[0] == results[1]
    assert [result.episode for result in results[0]] == list(range(10))
    assert len({result.seed for result in results[0]}) == 10
    assert len({result.length for result in results[0]}) > 2, "episodes differ"


def test_an_evaluator_repeats_itself_and_heeds_the_seed(policy):
    """A second evaluation on the same environments is not coloured by the first."""
    with Evaluator(TOY, workers=2, slots=3) as evaluator:
        first, second = (evaluator.run(policy, episodes=5, seed=1) for _ in range(2))
        other = evaluator.run(policy, episodes=5, seed=2)
    assert first == second
    assert first != other


def test_returns_lengths_and_verdicts_are_those_of_the_environment(policy):
    with Evaluator(TOY, slots=2) as evaluator:
        results = evaluator.run(policy, episodes=6, seed=0)
        assert evaluator.describe()["max_episode_steps"] == 30
    for result in results:
        assert result.episode_return == -result.length
        assert result.success == (result.length < 30) or result.length == 30


def test_one_compilation_for_many_evaluations(policy):
    with Evaluator(TOY, slots=5) as evaluator:
        evaluator.run(policy, episodes=7, seed=0)
        before = episodes.plans_of._cache_size()
        evaluator.run(jax.tree.map(lambda x: x + 1, policy), episodes=3, seed=1)
        assert episodes.plans_of._cache_size() == before


@pytest.mark.parametrize(
    ("fault", "words"),
    [("raise", "the simulator broke"), ("die", "died with exit code 3"), ("hang", "no answer within")],
)
def test_a_failing_environment_ends_with_a_clear_error(policy, fault, words):
    broken, limits = EnvironmentSpec(TOY.id, (("fault", fault),)), EvaluationLimits(step_seconds=2.0)
    with Evaluator(broken, slots=2, limits=limits) as evaluator, pytest.raises(WorkerError, match=words):
        evaluator.run(policy, episodes=2, seed=0)


def test_an_unknown_environment_is_reported(policy):
    with pytest.raises(WorkerError, match="NoSuchEnvironment"):
        Evaluator(EnvironmentSpec("NoSuchEnvironment-v0"))


def test_workers_end_with_their_parent():
    worker = Worker("drol.environments.groups:EnvironmentGroup", TOY, 1)
    worker.receive(60.0)
    process = worker._process
    worker.close()
    assert process.returncode == 0


def test_neighbours_in_one_process_do_not_disturb_each_other():
    """Stepping slot 1 in between leaves slot 0's global draws as they were."""
    action = np.zeros(3, np.float32)
    alone, together = EnvironmentGroup(TOY, 1), EnvironmentGroup(TOY, 2)
    alone.reset({0: 5})
    together.reset({0: 5, 1: 6})
    for _ in range(3):
        expected = alone.step({0: action})[0].observation
        np.testing.assert_array_equal(together.step({0: action, 1: action})[0].observation, expected)


def test_summaries():
    results = [EpisodeResult(i, i, -10.0 * i, 10, verdict, None) for i, verdict in enumerate([True, False, None])]
    assert success_rate(results) == 0.5
    assert success_rate(results[2:]) is None
    assert mean_return(results) == -10
    assert as_record(results[0]) == {"episode": 0, "seed": 0, "return": 0.0, "length": 10, "success": True}


def test_other_environments_are_refused_at_once(policy):
    with Evaluator(TOY) as evaluator:
        evaluator.check(Spec(4, 3))
        for spec, words in ((Spec(5, 3), "observation_dim 5"), (Spec(4, 1), "action_dim 1")):
            with pytest.raises(ValueError, match=f"expected an environment with {words}, as in training"):
                evaluator.check(spec)
    with (
        Evaluator(EnvironmentSpec("CartPole-v1")) as evaluator,
        pytest.raises(ValueError, match=r"has the action space Discrete\(2\); expected a Box"),
    ):
        evaluator.run(policy, episodes=1, seed=0)


def test_scores_are_for_environments_with_reference_returns(policy):
    with Evaluator(EnvironmentSpec("tests.helpers.toy_environment:DrolToyScored-v0")) as evaluator:
        results = evaluator.run(policy, episodes=4, seed=0)
    for result in results:
        assert result.score == pytest.approx(100 * (result.episode_return + 40) / 30)
        assert as_record(result)["score"] == result.score
    assert mean_score(results) == pytest.approx(np.mean([result.score for result in results]))
    assert mean_score([dataclasses.replace(result, score=None) for result in results]) is None


def test_ogbench_episodes_repeat(policy):
    """Real mazes draw start noise from the global generator, and random actions inside reset."""
    spec = EnvironmentSpec("ogbench:pointmaze-medium-singletask-task1-v0")
    with quiet():
        group, again = EnvironmentGroup(spec, 2), EnvironmentGroup(spec, 1)
    assert group.describe()["success_timing"] == "pre"
    first, second = group.reset({0: 11, 1: 12}), again.reset({0: 11})
    np.testing.assert_array_equal(first[0].observation, second[0].observation)
    assert (first[0].observation != first[1].observation).any()
