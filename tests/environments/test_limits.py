"""No evaluation outlasts its limits, and what they cut is marked."""

import dataclasses
import time

import jax
import numpy as np
import pytest

from drol import BC
from drol.environments.limits import UNLIMITED_STEPS, EvaluationLimits
from drol.environments.results import as_record, finished, mean_return, unfinished
from drol.environments.rollout import Evaluator
from drol.environments.spec import EnvironmentSpec
from drol.processes import RefusedError, WorkerError
from drol.types import Spec
from tests.helpers.small_algorithms import init

SHAPE = Spec(6, 2)


@pytest.fixture(scope="module")
def policy():
    algorithm = BC(hidden=(8,))
    return algorithm.policy(init(algorithm, SHAPE, jax.random.key(0)))


def varied(case, name="Varied"):
    return EnvironmentSpec(f"tests.helpers.varied_environment:{name}-{case}-v0")


def evaluated(policy, environment, episodes=3, **limits):
    with Evaluator(environment, slots=2, limits=EvaluationLimits(**limits)) as evaluator:
        return evaluator.run(policy, episodes=episodes, seed=0)


def test_an_episode_without_end_is_cut_and_marked(policy):
    results = evaluated(policy, varied("plain", "VariedEndless"), steps=25)
    assert [(result.length, result.episode_return, result.cut) for result in results] == [(25, 25.0, "step limit")] * 3
    assert as_record(results[0])["cut"] == "step limit"
    assert unfinished(results) is None


def test_the_limit_of_steps_is_the_environments_own_where_it_states_one():
    assert EvaluationLimits().steps_in({"max_episode_steps": None}) == UNLIMITED_STEPS
    assert EvaluationLimits().steps_in({"max_episode_steps": 50_000}) == 50_000
    assert EvaluationLimits(steps=7).steps_in({"max_episode_steps": 50_000}) == 7


def test_limits_that_are_not_reached_change_nothing(policy):
    plain = evaluated(policy, varied("plain"))
    assert plain == evaluated(policy, varied("plain"), steps=4, seconds=600.0, step_seconds=600.0)
    assert plain == evaluated(policy, varied("plain"), seconds=None, step_seconds=None)
    assert set(as_record(plain[0])) == {"episode", "seed", "return", "length", "success"}
    assert [result.length for result in plain] == [4] * 3


def test_an_evaluation_that_is_out_of_time_ends_marked_as_incomplete(policy, caplog):
    began = time.monotonic()
    results = evaluated(policy, varied("slow"), episodes=100, seconds=1.5)
    assert time.monotonic() - began < 20
    ended, cut = finished(results), [result for result in results if result.cut == "time limit"]
    assert ended
    assert len(ended) + len(cut) == len(results) < 100
    assert {result.planned for result in results} == {100}
    assert unfinished(results) == f"ended by its time limit: {len(ended)} of 100 episodes finished"
    assert f"{len(ended)} of 100 episodes finished" in caplog.text
    whole = evaluated(policy, varied("plain"), episodes=len(ended))
    assert [dataclasses.replace(result, planned=None) for result in ended] == whole


def test_time_runs_out_in_a_hung_step_too(policy):
    with Evaluator(varied("hanging"), slots=2, limits=EvaluationLimits(seconds=1.0)) as evaluator:
        began = time.monotonic()
        results = evaluator.run(policy, episodes=5, seed=0)
        assert time.monotonic() - began < 5
        assert [(result.length, result.cut, result.planned) for result in results] == [(0, "time limit", 5)] * 2


def test_a_step_may_take_so_long(policy):
    with pytest.raises(WorkerError, match="gave no answer within 1 seconds"):
        evaluated(policy, varied("hanging"), step_seconds=1.0)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"seconds": 0.0}, {"step_seconds": float("nan")}])
def test_limits_must_be_positive(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        EvaluationLimits(**wrong)


# Numbers that are none


def test_a_reward_that_is_none_is_named_once(policy, caplog):
    results = evaluated(policy, varied("reward-nan"))
    assert all(np.isnan(result.episode_return) for result in results)
    assert np.isnan(mean_return(results))
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning == "episode 0, step 2: the reward holds NaN or infinity (in Varied-reward-nan-v0)"


def test_no_environment_is_given_an_action_that_is_not_finite(policy, caplog):
    """What the policy makes of an observation with NaN: the episode ends there, marked."""
    results = evaluated(policy, varied("observation-nan"))
    assert [(result.length, result.cut, result.episode_return) for result in results] == [(2, "not finite", 2.0)] * 3
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning == "episode 0, step 2: the observation holds NaN or infinity (in Varied-observation-nan-v0)"


def test_a_policy_that_gives_nan_is_named(policy, caplog):
    broken = jax.tree.map(lambda leaf: leaf * np.nan, policy)
    results = evaluated(broken, varied("plain"))
    assert [(result.length, result.cut) for result in results] == [(0, "not finite")] * 3
    assert "episode 0, step 0: the policy's action holds NaN or infinity" in caplog.text


# What is judged before training


@pytest.mark.parametrize(
    ("case", "name", "words"),
    [
        ("reward-vector", "Varied", r"the reward should be one number, found an array of shape \(2,\)"),
        ("four", "Varied", "`step` should return"),
        ("plain", "VariedNoSeed", "`reset` should accept `seed` and `options`, but lacks `seed`"),
        ("other-shape", "Varied", r"should have shape \(6,\)"),
        ("action-discrete", "Varied", r"has the action space Discrete\(3\); expected a Box"),
        ("action-several", "Varied", r"has the action space MultiDiscrete\(\[3 2\]\); expected a Box"),
        ("empty", "Varied", "observation_dim 6, as in training, but .* has 0"),
    ],
)
def test_what_breaks_the_interface_is_refused_before_training(case, name, words):
    with Evaluator(varied(case, name), slots=1) as evaluator, pytest.raises(ValueError, match=words) as caught:
        evaluator.check(SHAPE)
    assert "\n" not in str(caught.value)


def test_images_are_refused_before_training():
    with pytest.raises(RefusedError, match=r"^Varied-image-v0: the observation is an image"):
        Evaluator(varied("image"))


def test_a_first_step_that_fails_is_a_warning(policy, caplog):
    """The environment may work when it is needed: an evaluation that fails costs no more than itself."""
    spec = EnvironmentSpec("tests.helpers.toy_environment:DrolToy-v0", (("fault", "raise"),))
    with Evaluator(spec, slots=1) as evaluator:
        evaluator.check(Spec(4, 3))
        assert evaluator.describe()["max_episode_steps"] == 30
    assert "a test step in tests.helpers.toy_environment:DrolToy-v0 failed" in caplog.text
    assert "the simulator broke" in caplog.text
