"""A table on the device that grows while it is trained on: data at first, then the steps of an environment."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from drol.data.replay import ReplayData, draw_numbers
from drol.numerics import threefry
from drol.types import Batch, ChunkBatch, Chunking, Key, Spec

Tree = TypeVar("Tree")

SHORT_EPISODES = 8
"""Room for the first observations of episodes: one in so many steps. If episodes are shorter, the table grows."""


class Steps(NamedTuple):
    """Steps of several environments side by side: first the first step of each, then the second of each, and so on.

    All values are the learner's: observations normalised as the data were, actions in [-1, 1]. The last of the
    environments' steps are the last rows.
    """

    observations: Float[np.ndarray, "rows observation"]
    actions: Float[np.ndarray, "rows action"]
    rewards: Float[np.ndarray, " rows"]
    terminated: Bool[np.ndarray, " rows"]
    ended: Bool[np.ndarray, " rows"]
    """Whether the episode ended there, by termination or otherwise."""
    began: Bool[np.ndarray, " rows"]
    """Whether it was the first step of its episode."""
    next_observations: Float[np.ndarray, "rows observation"]

    @property
    def rows(self) -> int:
        """How many steps there are."""
        return len(self.rewards)


def joined(parts: Sequence[Steps]) -> Steps:
    """Steps one after the other."""
    return Steps(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


class Block(eqx.Module):
    """Steps as rows of the table; the arrays have one shape for every block, whatever episodes began in it.

    Attributes:
        observations: the new ones, and zeros.
        earlier: the last rows of the block before.
        following: what follows those: rows of this block, or themselves where their episode ended.
    """

    observations: Float[Array | np.ndarray, "states observation"]
    actions: Float[Array | np.ndarray, "rows action"]
    rewards: Float[Array | np.ndarray, " rows"]
    masks: Float[Array | np.ndarray, " rows"]
    index: Int[Array | np.ndarray, " rows"]
    next_index: Int[Array | np.ndarray, " rows"]
    next_action_index: Int[Array | np.ndarray, " rows"]
    earlier: Int[Array | np.ndarray, " slots"]
    following: Int[Array | np.ndarray, " slots"]


class GrowingData(eqx.Module):
    """Transitions on the device, with room for more. Draws are the same as from `ReplayData` of the same transitions.

    The newest step of each environment can be drawn once its successor is known, so that its next action is one that
    was taken. Chunks that reach beyond the newest step are cut there, as at the end of a recording.

    Attributes:
        data: all rows, those not yet filled included.
        filled: the transitions that may be drawn.
        prior: how many of them were there at first.
        prior_rows: how many rows of a batch are drawn from these; None: all rows are drawn from all transitions alike.
    """

    data: ReplayData
    filled: Int[Array, ""]
    prior: int = eqx.field(static=True)
    prior_rows: int | None = eqx.field(static=True, default=None)

    @property
    def size(self) -> Int[Array, ""]:
        """The number of transitions that may be drawn."""
        return self.filled

    @property
    def spec(self) -> Spec:
        """The dimensions of observations and actions, and the actions of a plan."""
        return self.data.spec

    def draw(self, batch_size: int, *, key: Key) -> Int[Array, " batch"]:
        """Numbers of transitions, uniform with replacement: of all, or of prior and newer ones apart."""
        if self.prior_rows is None:
            return _below(0, self.filled, batch_size, key)
        old_key, new_key = jax.random.split(threefry(key))
        newer = _below(self.prior, self.filled, batch_size - self.prior_rows, new_key)
        return jnp.concatenate([draw_numbers(self.prior, self.prior_rows, key=old_key), newer])

    def take(self, numbers: Int[Array, " batch"]) -> Batch | ChunkBatch:
        """The transitions with these numbers, or the chunks that begin there."""
        return self.data.take(numbers)

    @jax.named_scope("sample")
    def sample(self, batch_size: int, *, key: Key) -> Batch | ChunkBatch:
        """The transitions that `draw` names, or the chunks that begin there."""
        return self.take(self.draw(batch_size, key=key))

    def everywhere(self, tree: Tree) -> Tree:
        """The tree itself: a growing table is on one device."""
        return tree


def _below(low: int, high: Int[Array, ""], count: int, key: Key) -> Int[Array, " rows"]:
    """Numbers from `low` to `high` - 1; for `low` = 0 those that `draw_numbers` draws."""
    return jax.random.randint(threefry(key), (count,), low, high, jnp.int32)


class Growth:
    """The host's side of a growing table: lays steps out in rows, and appends them.

    Args:
        prior: the transitions to begin with; None to begin with nothing.
        spec: of the transitions, if there are none to begin with.
        chunking: likewise.
        steps: how many steps there is room for, in multiples of `rows`.
        slots: the number of environments.
        rows: the steps of one block, a multiple of `slots`.
        prior_rows: see `GrowingData`.

    Raises:
        ValueError: for `prior_rows` of nothing.

    Attributes:
        table: the data to train on; each `append` replaces it, and the buffers of the one before are gone.
    """

    def __init__(
        self,
        prior: ReplayData | None,
        *,
        spec: Spec,
        chunking: Chunking,
        steps: int,
        slots: int,
        rows: int,
        prior_rows: int | None = None,
    ):
        if prior is None and prior_rows is not None:
            raise ValueError("prior_rows are drawn from prior transitions, and there are none; leave it out")
        known = _nothing(spec, chunking) if prior is None else prior
        self._slots, self._rows = slots, rows
        self._states, self._transitions = known.observations.shape[0], known.actions.shape[0]
        room = steps + steps // SHORT_EPISODES + 2 * rows
        data = _with_room(known, states=room, transitions=steps)
        filled = jnp.asarray(self._transitions, jnp.int32)
        self.table = GrowingData(data, filled, prior=self._transitions, prior_rows=prior_rows)
        # Where each environment's newest observation is, and the row of its newest step.
        self._newest = np.zeros(slots, np.int64)
        self._last: np.ndarray | None = None

    def append(self, steps: Steps) -> None:
        """Append one block of steps."""
        block, states = self._laid_out(steps)
        if self._states + len(block.observations) > self.table.data.observations.shape[0]:
            # Nothing that is drawn depends on the room, but the program is compiled once more.
            grown = _with_room(self.table.data, states=self._states // 2 + 2 * self._rows, transitions=0)
            self.table = dataclasses.replace(self.table, data=grown)
        places = np.array([self._states, self._transitions], np.int32)
        self.table = _appended(self.table, block, places, self._slots)
        self._states += states
        self._transitions += steps.rows

    def _laid_out(self, steps: Steps) -> tuple[Block, int]:
        """The steps as rows, and how many observations they bring."""
        rows, slots = steps.rows, self._slots
        assert rows == self._rows
        begins = np.flatnonzero(steps.began)
        states = len(begins) + rows
        observations = np.zeros((2 * rows, steps.observations.shape[1]), np.float32)
        observations[: len(begins)] = steps.observations[begins]
        observations[len(begins) : states] = steps.next_observations
        next_index = self._states + len(begins) + np.arange(rows)
        index = np.concatenate([self._newest, next_index[:-slots]])
        index[begins] = self._states + np.arange(len(begins))
        number = self._transitions + np.arange(rows)
        # What follows the newest steps is not known yet.
        links = np.where(steps.ended | (np.arange(rows) >= rows - slots), number, number + slots)
        if self._last is None:
            earlier, following = number[:slots], links[:slots]
        else:
            earlier, following = self._last, np.where(steps.began[:slots], self._last, number[:slots])
        self._newest, self._last = next_index[-slots:], number[-slots:]
        masks = 1 - steps.terminated.astype(np.float32)
        numbers = [column.astype(np.int32) for column in (index, next_index, links, earlier, following)]
        return Block(observations, steps.actions, steps.rewards, masks, *numbers), states


def _nothing(spec: Spec, chunking: Chunking) -> ReplayData:
    """A table without rows."""
    numbers, floats = jnp.zeros(0, jnp.int32), jnp.zeros(0, jnp.float32)
    return ReplayData(
        observations=jnp.zeros((0, spec.observation_dim), jnp.float32),
        actions=jnp.zeros((0, spec.action_dim), jnp.float32),
        rewards=floats,
        masks=floats,
        index=numbers,
        next_index=numbers,
        next_action_index=numbers,
        chunking=chunking,
    )


def _with_room(data: ReplayData, *, states: int, transitions: int) -> ReplayData:
    """The same data with empty rows at the end."""

    def longer(table: Array, rows: int) -> Array:
        return jnp.pad(table, [(0, rows)] + [(0, 0)] * (table.ndim - 1))

    names = ("actions", "rewards", "masks", "index", "next_index", "next_action_index")
    more = {name: longer(getattr(data, name), transitions) for name in names}
    return dataclasses.replace(data, observations=longer(data.observations, states), **more)


@functools.partial(jax.jit, static_argnames="slots", donate_argnames="table")
def _appended(table: GrowingData, block: Block, places: Int[Array, " 2"], slots: int) -> GrowingData:
    """The table with a block written at (state, transition); its newest step of each environment is not drawn yet."""
    state, transition = places
    data = table.data

    def written(into: Array, rows: Array | np.ndarray, place: Int[Array, ""]) -> Array:
        return jax.lax.dynamic_update_slice_in_dim(into, jnp.asarray(rows, into.dtype), place, 0)

    names = ("actions", "rewards", "masks", "index", "next_index", "next_action_index")
    new = {name: written(getattr(data, name), getattr(block, name), transition) for name in names}
    new["next_action_index"] = new["next_action_index"].at[block.earlier].set(block.following)
    new["observations"] = written(data.observations, block.observations, state)
    filled = transition + block.actions.shape[0] - slots
    return dataclasses.replace(table, data=dataclasses.replace(data, **new), filled=filled)
