"""Episode boundaries, checks of arrays, and sampling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drol import ReplayData, from_arrays
from drol.data.checks import ACTION_LIMIT
from drol.data.log import log_of_states
from drol.data.transitions import to_transitions
from drol.errors import DataError


def episodes(lengths, seed=0):
    """Episodes of states whose first coordinate is the episode and whose second the time."""
    ends = np.cumsum(lengths) - 1
    states = np.concatenate([np.stack([np.full(n, e), np.arange(n)], 1) for e, n in enumerate(lengths)])
    terminals = np.zeros(len(states), bool)
    terminals[ends] = True
    actions = np.random.default_rng(seed).uniform(-1, 1, (len(states), 2))
    count = len(states) - len(lengths)
    return {
        "observations": states,
        "actions": actions,
        "rewards": np.arange(count, dtype=float),
        "masks": np.ones(count),
        "terminals": terminals,
    }


def from_states(**columns):
    return to_transitions(log_of_states(columns, "episodes"))


@given(st.lists(st.integers(2, 6), min_size=1, max_size=5))
def test_no_transition_crosses_an_episode(lengths):
    raw = episodes(lengths)
    data = from_states(**raw)
    assert len(data) == sum(lengths) - len(lengths)
    now, following = data.observations[data.index], data.observations[data.next_index]
    np.testing.assert_array_equal(now[:, 0], following[:, 0])
    np.testing.assert_array_equal(now[:, 1] + 1, following[:, 1])
    np.testing.assert_allclose(data.actions, raw["actions"][data.index], atol=2e-5)
    same_episode = now[data.next_action_index, 0] == now[:, 0]
    assert same_episode.all()
    last = following[:, 1] == np.array(lengths)[now[:, 0].astype(int)] - 1
    np.testing.assert_array_equal(data.next_action_index, np.arange(len(data)) + ~last)


def test_samples_are_whole_transitions_drawn_uniformly():
    data = ReplayData.from_transitions(from_states(**episodes([4, 6, 3])))
    batch = jax.jit(lambda key: data.sample(4000, key=key))(jax.random.key(0))
    np.testing.assert_array_equal(batch.observations[:, 1] + 1, batch.next_observations[:, 1])
    counts = np.bincount(np.asarray(batch.rewards, int), minlength=data.size)
    assert counts.min() > 0.7 * 4000 / data.size
    assert counts.max() < 1.3 * 4000 / data.size
    assert batch.spec == data.spec


def test_next_actions_are_those_of_the_following_step_and_the_last_ones_their_own():
    """Every transition taken by its number; no two actions are equal, so that each says whose it is."""
    raw = episodes([4, 6, 3])
    data = ReplayData.from_transitions(from_states(**raw))
    batch = data.take(jnp.arange(data.size))
    assert len(np.unique(batch.actions[:, 0])) == data.size
    following = []
    for start, length in ((0, 4), (4, 6), (10, 3)):
        of_episode = raw["actions"][start : start + length - 1]
        following += [*of_episode[1:], of_episode[-1]]
    np.testing.assert_allclose(batch.next_actions, following, atol=2e-5)


def test_actions_are_clipped_as_published():
    raw = episodes([3])
    raw["actions"][0] = [1.0, -1.0]
    np.testing.assert_allclose(from_states(**raw).actions[0], [ACTION_LIMIT, -ACTION_LIMIT])


@pytest.mark.parametrize(
    ("key", "change", "words"),
    [
        ("observations", lambda x: x[:, 0], r"'observations' must have shape \(T, n\), found"),
        (
            "observations",
            lambda x: np.where(x == 2, np.nan, x),
            r"has 1 NaN or infinite values \(in float32\), the first in row 2",
        ),
        ("observations", lambda x: x * 1e39, "NaN or infinite values"),
        ("observations", lambda x: x.astype(str), "must hold numbers, found strings"),
        ("actions", lambda x: x * 3, "actions must lie in"),
        ("actions", lambda x: x[1:], "'actions' must have shape"),
        ("rewards", lambda x: np.full_like(x, np.inf), "'rewards' has 2 NaN or infinite"),
        ("masks", lambda x: x * 0.5, "'masks' must be 0 or 1, found 0.5 in row 0"),
        ("terminals", lambda x: np.zeros_like(x), "must be true in its last row"),
        ("terminals", lambda x: np.ones_like(x), "single state"),
    ],
)
def test_bad_arrays_are_refused_with_key_and_row(key, change, words):
    raw = episodes([3])
    raw[key] = change(raw[key])
    with pytest.raises(DataError, match=words):
        from_states(**raw)


def tuples(count=6):
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(count, 3))
    following = np.concatenate([observations[1:], rng.normal(size=(1, 3))])
    return {
        "observations": observations,
        "actions": rng.uniform(-1, 1, (count, 2)),
        "rewards": rng.normal(size=count),
        "terminated": np.zeros(count, bool),
        "next_observations": following,
    }


def test_own_arrays_become_the_same_transitions():
    raw = tuples()
    raw["terminated"][2] = True
    truncated = np.zeros(6, bool)
    truncated[4] = True
    data = ReplayData.from_transitions(from_arrays(**raw, truncated=truncated))
    batch = data.take(jnp.arange(6))
    np.testing.assert_allclose(batch.observations, raw["observations"].astype(np.float32))
    np.testing.assert_allclose(batch.next_observations, raw["next_observations"].astype(np.float32))
    np.testing.assert_array_equal(batch.masks, [1, 1, 0, 1, 1, 1])
    np.testing.assert_array_equal(data.next_action_index, [1, 2, 2, 4, 4, 5])
    assert data.observations.shape[0] == 6 + 3, "only the states after an end are stored apart"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("observations", np.zeros((0, 3)), "no rows"),
        ("next_observations", np.zeros((6, 4)), "'next_observations' must have shape"),
        ("actions", np.full((6, 2), 5.0), "first is row 0"),
        ("terminated", np.full(6, 2.0), "'terminated' must be 0 or 1, found 2 in row 0"),
    ],
)
def test_bad_own_arrays_are_refused(key, value, words):
    with pytest.raises(DataError, match=words):
        from_arrays(**{**tuples(), key: value})
