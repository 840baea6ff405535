"""Environments come in all shapes: what can be used is, all else is refused in one sentence."""

import gymnasium
import numpy as np
import pytest

from drol.environments.groups import EnvironmentGroup
from drol.environments.interface import InterfaceError
from drol.environments.spec import EnvironmentSpec
from drol.extras import quiet


def group(case, name="Varied"):
    with quiet():
        return EnvironmentGroup(EnvironmentSpec(f"tests.helpers.varied_environment:{name}-{case}-v0"), 1)


def first_steps(made, action=(0.0, 0.0), count=4):
    """The answers to a reset and to some steps."""
    with quiet():
        answers = [made.reset({0: 0})[0]]
        return answers + [made.step({0: np.array(action, np.float32)})[0] for _ in range(count)]


PLAIN = [np.arange(6) + time for time in range(5)]
OBSERVATIONS = {
    **dict.fromkeys(["plain", "matrix", "column", "lists", "half", "whole", "unbounded"], PLAIN),
    "nested": [np.array([0, 1, 2, 3, 4, 0]) + np.append(np.full(5, time), min(time, 2)) for time in range(5)],
    "scalar": [np.array([time]) for time in range(5)],
    "category": [np.array([time]) for time in range(5)],
}


@pytest.mark.parametrize("case", OBSERVATIONS)
def test_observations_become_rows_in_c_order(case):
    made, expected = group(case), OBSERVATIONS[case]
    assert made.describe()["observation_dim"] == len(expected[0])
    for answer, row in zip(first_steps(made), expected, strict=True):
        assert answer.observation.dtype == np.float32
        np.testing.assert_array_equal(answer.observation, row)


@pytest.mark.parametrize(
    ("case", "given", "expected"),
    [
        ("action-column", [0.25, -0.5], [[0.25], [-0.5]]),
        ("action-scalar", [0.25], 0.25),
        # What float32 makes of 0.1 is larger: the environment is given its own bound.
        ("action-double", [0.1, -0.1], [0.1, -0.1]),
        ("action-whole", [2.6, -3.0], [[3], [-3]]),
    ],
)
def test_actions_are_handed_over_in_the_boxs_own_shape_and_type(case, given, expected):
    made = group(case)
    assert made.describe()["action_dim"] == len(given)
    first_steps(made, given, count=1)
    (seen,) = made._environments[0].unwrapped.seen
    np.testing.assert_array_equal(seen, np.array(expected, seen.dtype))


@pytest.mark.parametrize("case", ["reward-array", "reward-matrix", "reward-scalar-array"])
def test_arrays_of_one_reward_are_rewards(case):
    assert [answer.reward for answer in first_steps(group(case))[1:]] == [1.0] * 4


def test_flags_may_be_arrays_of_one():
    answers = first_steps(group("flag-arrays"), count=3)
    assert [answer.terminated for answer in answers] == [False, False, False, True]


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("plain", [None] * 4),
        ("success-vector", [False, False, False, True]),
        ("success-partial", [False] * 4),
        ("success-array", [True] * 4),
        ("success-scalar-array", [True] * 4),
        ("success-numpy", [False] * 4),
        ("success-none", [True] * 4),
        ("success-nan", [None] * 4),
    ],
)
def test_success_is_one_verdict(case, expected):
    """Of several, all must have succeeded; an environment may give none."""
    answers = first_steps(group(case))[1:]
    assert [answer.success for answer in answers] == expected
    assert {type(answer.success) for answer in answers} <= {bool, type(None)}


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("reward-vector", r"the reward should be one number, found an array of shape \(2,\)"),
        ("reward-none", "the reward should be one number, found None"),
        ("flag-vector", r"`terminated` should be one number, found an array of shape \(2,\)"),
        ("success-text", "the info's success should be a truth value or a number, found 'False'"),
        ("other-shape", r"the observation should have shape \(6,\), as its space says, found \(5,\)"),
        ("transposed", r"the observation should have shape \(2, 3\), as its space says, found \(3, 2\)"),
        ("ragged", r"the observation should be numbers of shape \(6,\), found \[\[1.0, 2.0\], \[3.0\]\]"),
    ],
)
def test_what_an_environment_gets_wrong_is_said_in_a_sentence(case, words):
    made = group(case)
    with pytest.raises(InterfaceError, match=f"^Varied-{case}-v0.*: {words}$"):
        first_steps(made)


@pytest.mark.parametrize(
    ("name", "case", "words"),
    [
        ("Varied", "four", r"`step` should return \(observation, reward, terminated, truncated, info\), found 4"),
        ("VariedNoSeed", "plain", "`reset` should accept `seed` and `options`, but lacks `seed` and `options`; "),
        ("VariedNoInfo", "plain", r"`reset` should return \(observation, info\), found array"),
        ("VariedNoInfo", "matrix", r"`reset` should return \(observation, info\), found array"),
        ("Varied", "info-none", "info"),
        ("Varied", "other-keys", "keys"),
    ],
)
def test_older_and_broken_interfaces_are_told_what_is_expected(name, case, words):
    made = group(case, name)
    with pytest.raises(InterfaceError, match=f"^{name}-{case}-v0.*: .*{words}") as caught:
        first_steps(made)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("image", r"the observation is an image, \(8, 8, 3\) of uint8; policies act on states"),
        ("nested-image", r"the observation\['camera'\] is an image, \(8, 8\) of uint8"),
        ("text", r"the observation has the space Text\(.*\); expected a fixed number of numbers"),
    ],
)
def test_spaces_that_hold_no_states_are_refused_at_once(case, words):
    with pytest.raises(InterfaceError, match=f"^Varied-{case}-v0: {words}"):
        group(case)


@pytest.mark.parametrize("words", ["NoSuch", "unexpected keyword argument 'nonsense'"])
def test_an_environment_that_cannot_be_made_is_named(words):
    spec = EnvironmentSpec("NoSuch-v0") if words == "NoSuch" else EnvironmentSpec("Pendulum-v1", (("nonsense", 1),))
    with pytest.raises(InterfaceError, match=f"the environment .* cannot be made: .*{words}"):
        spec.make()


def test_the_environments_own_errors_keep_their_traceback():
    class Broken(gymnasium.Env):
        observation_space, action_space = gymnasium.spaces.Box(-1, 1, (2,)), gymnasium.spaces.Box(-1, 1, (2,))

        def step(self, action):
            raise ValueError("joint limits")

    from drol.environments.interface import act

    with pytest.raises(ValueError, match=r"^joint limits$") as caught:
        act(Broken(), np.zeros(2, np.float32))
    assert not isinstance(caught.value, InterfaceError)
