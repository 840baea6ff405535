"""Chunks of consecutive transitions, against a walk through the log in Python."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import drol
from drol import ReplayData
from drol.data.mapped import scratch
from drol.data.replay import MappedData
from drol.data.transitions import from_arrays
from drol.data.windows import share_of_whole_windows
from drol.errors import DataError
from drol.ops.chunks import flat_batch
from drol.types import Chunking
from tests.helpers.chunked import DIM, WIDTH, episodes, walked

ROWS, DISCOUNT = 24, 0.9
SHAPES = [Chunking(3), Chunking(1, 4), Chunking(2, 3), Chunking(5, absorbing=False)]
flags = st.lists(st.booleans(), min_size=ROWS, max_size=ROWS)
lengths = st.lists(st.integers(1, 10), min_size=ROWS, max_size=ROWS)


def ends_of(lengths):
    """Which transitions end their episode, if episodes have these lengths."""
    ends = np.zeros(ROWS, bool)
    places = np.cumsum(lengths) - 1
    ends[places[places < ROWS]] = True
    return ends


@jax.jit
def every_row(data):
    """All chunks of some data, flattened."""
    return flat_batch(data.take(jnp.arange(ROWS)), DISCOUNT)


def replay_of(log, chunking):
    """Data even if no chunk is whole, which training refuses."""
    return dataclasses.replace(ReplayData.from_transitions(log), chunking=chunking)


@pytest.mark.parametrize("chunking", SHAPES, ids=str)
@given(lengths=lengths, masks=flags)
def test_chunks_are_those_of_a_walk(chunking, lengths, masks):
    """Also the table's end, episodes shorter than a chunk, and true ends in their midst."""
    log = episodes(ends_of(lengths), [float(mask) for mask in masks])
    flat = every_row(replay_of(log, chunking))
    h, n = chunking.chunk, chunking.steps
    for row in range(ROWS):
        wanted = walked(log, row, h, n, DISCOUNT, chunking.absorbing)
        assert flat.weights[row] == wanted["weight"]
        np.testing.assert_array_equal(flat.actions[row], wanted["actions"])
        np.testing.assert_array_equal(flat.observations[row], log.observations[log.index[row]])
        if h > 1:
            np.testing.assert_array_equal(flat.valid[row], np.repeat(wanted["valid"], DIM))
        if wanted["weight"]:
            np.testing.assert_allclose(flat.rewards[row], wanted["return"], rtol=1e-6)
            np.testing.assert_allclose(flat.masks[row], wanted["mask"] * DISCOUNT ** (n - 1), rtol=1e-6)
            np.testing.assert_array_equal(flat.next_observations[row], wanted["next_observation"])
            np.testing.assert_array_equal(flat.next_actions[row], wanted["next_actions"])


def test_a_reward_after_a_success_counts_only_in_public_returns():
    """r = -1, 0, -1 and a mask of 0 in the middle: nothing is earned after it, but public samplers go on adding."""
    log = episodes([False, False, True], [1, 0, 1])
    log.rewards[:] = [-1, 0, -1]
    for chunking, total in ((Chunking(3), -1.0), (Chunking(3, absorbing=False), -1.81)):
        flat = flat_batch(ReplayData.from_transitions(log, chunking).take(jnp.array([0])), 0.9)
        np.testing.assert_allclose(flat.rewards, [total], rtol=1e-6)
        assert (float(flat.masks[0]), float(flat.weights[0])) == (0, 1)


def test_a_time_out_keeps_its_bootstrap():
    log = episodes([False, False, True, True], [1, 1, 1, 1])
    flat = flat_batch(ReplayData.from_transitions(log, Chunking(3)).take(jnp.array([0, 1])), 0.9)
    np.testing.assert_allclose(flat.masks[0], 0.81, rtol=1e-6)
    assert flat.weights.tolist() == [1, 0], "the second chunk runs past the time-out"


def test_one_step_is_no_chunk():
    log = episodes([False, True], [1, 0])
    batch = ReplayData.from_transitions(log, Chunking()).take(jnp.array([0, 1]))
    assert isinstance(batch, drol.Batch)
    assert (batch.weights, batch.valid, batch.spec) == (None, None, drol.Spec(WIDTH, DIM))


@pytest.mark.parametrize("chunking", SHAPES, ids=str)
def test_mapped_data_give_the_same_chunks(chunking):
    rng = np.random.default_rng(0)
    log = episodes(rng.random(ROWS) < 0.2, (rng.random(ROWS) > 0.2).astype(np.float32))
    with scratch():
        mapped = MappedData(log, chunking)
        for numbers in ([5, 3, 3, 20, ROWS - 1, 0], [0], [ROWS - 1], list(range(ROWS))):
            drawn = jnp.array(numbers)
            window = mapped.window(lambda drawn=drawn: drawn)
            whole = ReplayData.from_transitions(log, chunking)
            assert (mapped.spec, window.spec) == (whole.spec, whole.spec)
            jax.tree.map(np.testing.assert_array_equal, window.take(drawn), whole.take(drawn))


def test_memory_of_a_window_depends_on_the_number_of_draws_alone():
    log = episodes(np.zeros(ROWS, bool), np.ones(ROWS))
    sizes = [
        sum(leaf.nbytes for leaf in jax.tree.leaves(MappedData(log, Chunking(3)).window(lambda n=numbers: np.array(n))))
        for numbers in ([0, 5, 9], [7, 7, 7])
    ]
    assert sizes[0] == sizes[1]


def test_chunks_take_no_memory_on_the_device():
    log = episodes(np.zeros(ROWS, bool), np.ones(ROWS))
    one, five = (ReplayData.from_transitions(log, Chunking(h)) for h in (1, 5))
    assert sum(leaf.nbytes for leaf in jax.tree.leaves(one)) == sum(leaf.nbytes for leaf in jax.tree.leaves(five))


@pytest.mark.parametrize("chunking", SHAPES[:2], ids=str)
def test_sharded_data_give_the_same_chunks(chunking):
    """Their last rows are padding."""
    rng = np.random.default_rng(1)
    log = episodes(rng.random(21) < 0.2, (rng.random(21) > 0.2).astype(np.float32))
    whole = ReplayData.from_transitions(log, chunking)
    key = jax.random.key(3)
    expected = whole.sample(8, key=key)
    found = jax.jit(lambda data: data.sample(8, key=key))(whole.sharded(jax.devices()[:4]))
    assert len(found.actions.sharding.device_set) == 4
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_tuples_without_order_are_refused():
    rng = np.random.default_rng(2)
    tuples = from_arrays(
        observations=rng.normal(size=(30, 3)),
        actions=rng.uniform(-1, 1, size=(30, 2)),
        rewards=np.zeros(30),
        terminated=np.zeros(30, bool),
        next_observations=rng.normal(size=(30, 3)),
    )
    for make in (ReplayData.from_transitions, MappedData):
        with pytest.raises(DataError, match=r"no 5 consecutive steps of one episode.* or leave chunk and n_step at 1"):
            make(tuples, Chunking(5))
    assert isinstance(ReplayData.from_transitions(tuples).take(jnp.array([0])), drol.Batch)
    tuples.masks[::5] = 0
    with pytest.raises(DataError, match="no 5 consecutive steps"):
        ReplayData.from_transitions(tuples, Chunking(5))


@given(lengths=lengths, masks=flags)
def test_the_share_of_whole_chunks_is_counted(lengths, masks):
    log, chunking = episodes(ends_of(lengths), [float(mask) for mask in masks]), Chunking(3)
    expected = np.mean([walked(log, row, 3, 3, 0.9)["weight"] for row in range(ROWS)])
    if (log.next_action_index == np.arange(ROWS)).all():
        expected = 0
    assert share_of_whole_windows(log, chunking) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"chunk": 0}, "chunk must be a positive integer, found 0"),
        ({"chunk": 5, "n_step": 3}, "n_step must be at least chunk.*found n_step 3 and chunk 5"),
        ({"chunk": 1, "n_step": -1}, "n_step must be a positive integer"),
    ],
)
def test_impossible_chunks_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Chunking(**values)
