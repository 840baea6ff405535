"""A table that grows holds what was appended, links it as it was done, and draws only what may be drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import drol
from drol.data.growing import Growth, Steps, joined
from drol.data.replay import draw_numbers
from drol.data.transitions import from_arrays
from tests.helpers.toy_run import data

SPEC = drol.Spec(4, 3)


class Walk:
    """Environments whose observations tell the episode, the time and the slot; episodes have the given lengths."""

    def __init__(self, slots, lengths, ends=True):
        self._slots, self._lengths, self._ends = slots, iter(lengths), ends
        self._episode, self._time, self._length = np.full(slots, -1), np.zeros(slots, int), np.zeros(slots, int)
        self._begun = 0

    def block(self, steps):
        rows = [self._step(slot) for _ in range(steps) for slot in range(self._slots)]
        return Steps(*(np.array(column) for column in zip(*rows, strict=True)))

    def _step(self, slot):
        began = self._episode[slot] < 0
        if began:
            self._episode[slot], self._time[slot], self._length[slot] = self._begun, 0, next(self._lengths)
            self._begun += 1
        before = self._seen(slot)
        action = np.array([self._episode[slot], self._time[slot], slot], np.float32) / 1000
        self._time[slot] += 1
        after, done = self._seen(slot), self._time[slot] == self._length[slot]
        terminated = bool(done and self._ends and self._episode[slot] % 2 == 0)
        reward = np.float32(self._episode[slot] + self._time[slot] / 100)
        if done:
            self._episode[slot] = -1
        return before, action, reward, terminated, bool(done), bool(began), after

    def _seen(self, slot):
        return np.array([self._episode[slot], self._time[slot], slot, 1], np.float32)


def grown(blocks, slots, *, prior=None, lengths=None, room=0, **options):
    """A table with `blocks` blocks of four steps in each environment, and room for `room` more; and these steps."""
    rows = slots * 4
    growth = Growth(
        prior,
        spec=SPEC,
        chunking=options.pop("chunking", drol.Chunking()),
        steps=rows * (blocks + room),
        slots=slots,
        rows=rows,
        **options,
    )
    walk = Walk(slots, lengths or iter([3, 1, 5, 2, 9, 4, 4, 1, 1, 6] * 50))
    parts = [walk.block(4) for _ in range(blocks)]
    for part in parts:
        growth.append(part)
    return growth, joined(parts)


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("prior", [None, "some"])
def test_rows_are_the_steps_and_link_to_the_next_of_their_episode(slots, prior):
    known = data() if prior else None
    first = 0 if known is None else known.size
    growth, steps = grown(5, slots, prior=known)
    table = growth.table
    assert int(table.filled) == first + steps.rows - slots
    batch = table.take(jnp.arange(first, first + steps.rows))
    np.testing.assert_array_equal(batch.observations, steps.observations)
    np.testing.assert_array_equal(batch.next_observations, steps.next_observations)
    np.testing.assert_array_equal(batch.actions, steps.actions)
    np.testing.assert_array_equal(batch.rewards, steps.rewards)
    np.testing.assert_array_equal(batch.masks, 1.0 - steps.terminated)
    for row in range(steps.rows):
        known_next = not steps.ended[row] and row + slots < steps.rows
        expected = steps.actions[row + slots if known_next else row]
        np.testing.assert_array_equal(batch.next_actions[row], expected)
    if known is not None:
        ours, theirs = table.take(jnp.arange(first)), known.take(jnp.arange(first))
        for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_array_equal(mine, other)


def test_it_grows_where_episodes_are_shorter_than_there_is_room_for():
    """Episodes of one step: two observations for each."""
    growth, steps = grown(40, 1, lengths=iter([1] * 1000))
    batch = growth.table.take(jnp.arange(steps.rows))
    np.testing.assert_array_equal(batch.observations, steps.observations)
    np.testing.assert_array_equal(batch.next_observations, steps.next_observations)


def test_draws_are_those_of_a_fixed_table_of_the_same_size():
    """Whatever room there is: a run that is to go on for longer draws the same."""
    key, prior = jax.random.key(4), data()
    for room in (0, 7):
        growth, steps = grown(2, 1, prior=prior, room=room)
        expected = draw_numbers(prior.size + steps.rows - 1, 64, key=key)
        np.testing.assert_array_equal(growth.table.draw(64, key=key), expected)


def test_rows_that_may_not_be_drawn_never_are():
    growth, steps = grown(3, 2, prior=data())
    draw = jax.jit(lambda table, key: table.draw(256, key=key))
    drawn = np.concatenate([draw(growth.table, jax.random.key(i)) for i in range(40)])
    size = data().size + steps.rows - 2
    assert drawn.max() == size - 1
    assert scipy.stats.chisquare(np.bincount(drawn, minlength=size)).pvalue > 1e-6


def test_half_and_half_has_exact_counts():
    prior = data()
    growth, steps = grown(3, 2, prior=prior, prior_rows=10)
    draw = jax.jit(lambda table, key: table.draw(32, key=key))
    drawn = np.stack([draw(growth.table, jax.random.key(i)) for i in range(200)])
    assert (drawn[:, :10] < prior.size).all()
    assert (drawn[:, 10:] >= prior.size).all()
    assert drawn.max() == prior.size + steps.rows - 3
    for part, low, size in ((drawn[:, :10], 0, prior.size), (drawn[:, 10:], prior.size, steps.rows - 2)):
        assert scipy.stats.chisquare(np.bincount(part.ravel() - low, minlength=size)).pvalue > 1e-6


@pytest.mark.parametrize("slots", [1, 2])
def test_chunks_are_those_of_the_same_episodes_as_a_recording(slots):
    """Each environment's steps as a recording of their own, walked by the code of offline chunks."""
    chunking = drol.Chunking(2, 3)
    growth, steps = grown(6, slots, chunking=chunking)
    own = [Steps(*(column[slot::slots] for column in steps)) for slot in range(slots)]
    for slot, alone in enumerate(own):
        recorded = from_arrays(
            alone.observations,
            alone.actions,
            alone.rewards,
            alone.terminated,
            alone.next_observations,
            truncated=alone.ended & ~alone.terminated,
        )
        expected = drol.ReplayData.from_transitions(recorded, chunking).take(jnp.arange(alone.rows))
        found = growth.table.take(jnp.arange(alone.rows) * slots + slot)
        for name in ("observations", "actions", "rewards", "masks", "valid", "next_observations", "next_actions"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def test_appending_a_block_writes_in_place():
    growth, _ = grown(2, 1, prior=data(), room=1)
    before = growth.table.data.observations.unsafe_buffer_pointer()
    growth.append(Walk(1, iter([5] * 9)).block(4))
    assert growth.table.data.observations.unsafe_buffer_pointer() == before
