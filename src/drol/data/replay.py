"""What the compiled loop samples from: transitions on the device, or those rows of data on disk that it will draw."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from drol.data.transitions import Transitions
from drol.data.windows import actions_after, check_windows, windows_from
from drol.numerics import threefry
from drol.types import Batch, ChunkBatch, Chunking, Key, Spec, positive_integer

Tree = TypeVar("Tree")

Numbers = Callable[[], Int[Array | np.ndarray, " draws"]]
"""Returns the numbers of transitions, in any order and possibly repeated."""


@runtime_checkable
class Replay(Protocol):
    """Transitions to train on, wherever they are kept. Runs draw the same batches from all kinds; see `replay`."""

    @property
    def size(self) -> int:
        """The number of transitions."""
        ...

    @property
    def spec(self) -> Spec:
        """The dimensions of observations and actions."""
        ...

    @property
    def sharding(self) -> NamedSharding | None:
        """How rows, and the rows of batches, are spread over devices; None on one device."""
        ...

    @property
    def shareable(self) -> bool:
        """Whether several runs can draw from the data in one program."""
        ...

    def window(self, numbers: Numbers) -> "ReplayData":
        """Data on the device that hold at least the transitions with these numbers, under the same numbers.

        Args:
            numbers: called only if some transitions are not on the device; the shapes of the result then depend only on
                how many numbers it returns.
        """
        ...


SINGLE_STEPS = Chunking()
"""Batches of ordinary transitions."""


def replay(
    transitions: Transitions, devices: Sequence[jax.Device] = (), *, chunking: Chunking = SINGLE_STEPS
) -> Replay:
    """Make transitions ready for training: copied to the device, or left on disk if they are mapped.

    Args:
        transitions: of any data set.
        devices: if given, the rows are spread over them and every batch is taken from all of them; see
            `ReplayData.sharded`.
        chunking: how many steps make up a row of a batch.

    Raises:
        DataError: if no episode has that many steps.
    """
    if devices:
        return ReplayData.from_transitions(transitions, chunking).sharded(devices)
    held = MappedData if transitions.is_mapped else ReplayData.from_transitions
    return held(transitions, chunking)


class ReplayData(eqx.Module):
    """`Transitions` as device arrays; see there for the fields.

    Chunks are found by following `next_action_index`, so they take no memory of their own.

    Attributes:
        chunking: how many steps make up a row of a batch.
        padding: rows at the end that fill the last device's share and are never drawn.
        sharding: how rows, and the rows of batches, are spread over devices; None on one device.
        numbers: if these are only some transitions of a data set, their numbers, ascending; see `MappedData`.
        total: if these are only some, how many there are in all.
    """

    observations: Float[Array, "states observation"]
    actions: Float[Array, "transitions action"]
    rewards: Float[Array, " transitions"]
    masks: Float[Array, " transitions"]
    index: Int[Array, " transitions"]
    next_index: Int[Array, " transitions"]
    next_action_index: Int[Array, " transitions"]
    chunking: Chunking = eqx.field(static=True, default=SINGLE_STEPS)
    padding: int = eqx.field(static=True, default=0)
    sharding: NamedSharding | None = eqx.field(static=True, default=None)
    numbers: Int[Array, " transitions"] | None = None
    total: int | None = eqx.field(static=True, default=None)

    @classmethod
    def from_transitions(cls, data: Transitions, chunking: Chunking = SINGLE_STEPS) -> "ReplayData":
        """Copy a data set to the default device.

        Args:
            data: the data set.
            chunking: how many steps make up a row of a batch: `Chunking(5)` for plans of five actions.

        Raises:
            DataError: if no episode has that many steps.
        """
        check_windows(data, chunking)
        names = ("observations", "actions", "rewards", "masks", "index", "next_index", "next_action_index")
        tables: dict[str, Any] = {name: jnp.asarray(getattr(data, name)) for name in names}
        return cls(**tables, chunking=chunking)

    def sharded(self, devices: Sequence[jax.Device]) -> "ReplayData":
        """The same data with the rows of each table, and those of every batch, spread over devices.

        Draws stay the same. If there are several processes, each holds only the rows of its own devices.
        """
        sharding = NamedSharding(Mesh(np.array(devices), ("batch",)), PartitionSpec("batch"))
        spread = jax.tree.map(lambda table: _spread(np.asarray(table), sharding), self)
        return dataclasses.replace(spread, padding=-self.size % len(devices), sharding=sharding)

    @property
    def size(self) -> int:
        """The number of transitions; that of the whole data set if these are only some."""
        return self.actions.shape[0] - self.padding if self.total is None else self.total

    @property
    def spec(self) -> Spec:
        """The dimensions of observations and actions, and the actions of a plan."""
        return Spec(self.observations.shape[-1], self.actions.shape[-1], self.chunking.chunk)

    @property
    def shareable(self) -> bool:
        """Whether several runs can draw from the data in one program."""
        return self.sharding is None

    def window(self, numbers: Numbers) -> "ReplayData":
        """The data themselves: everything is on the device, and `numbers` is not called."""
        return self

    def take(self, numbers: Int[Array, " batch"]) -> Batch | ChunkBatch:
        """The transitions with these numbers, or the chunks that begin there."""
        if self.numbers is not None:
            numbers = jnp.searchsorted(self.numbers, numbers)
        batch = self._single_steps(numbers) if self.chunking.steps == 1 else self._chunks(numbers)
        return batch if self.sharding is None else jax.lax.with_sharding_constraint(batch, self.sharding)

    def _single_steps(self, numbers: Int[Array, " batch"]) -> Batch:
        return Batch(
            observations=self.observations[self.index[numbers]],
            actions=self.actions[numbers],
            rewards=self.rewards[numbers],
            masks=self.masks[numbers],
            next_observations=self.observations[self.next_index[numbers]],
            next_actions=self.actions[self.next_action_index[numbers]],
        )

    def _chunks(self, numbers: Int[Array, " batch"]) -> ChunkBatch:
        chunk = self.chunking.chunk
        rows, valid = windows_from(numbers, self.next_action_index, self.masks, self.chunking)
        last = rows[:, -1]
        return ChunkBatch(
            observations=self.observations[self.index[numbers]],
            actions=self.actions[rows[:, :chunk]],
            rewards=self.rewards[rows],
            masks=self.masks[rows],
            valid=valid.astype(self.masks.dtype),
            next_observations=self.observations[self.next_index[last]],
            next_actions=self.actions[actions_after(last, self.next_action_index, chunk)],
            absorbing=self.chunking.absorbing,
        )

    def everywhere(self, tree: Tree) -> Tree:
        """Replicate a result on every device that holds a share of the data."""
        if self.sharding is None:
            return tree
        return jax.lax.with_sharding_constraint(tree, NamedSharding(self.sharding.mesh, PartitionSpec()))

    def draw(self, batch_size: int, *, key: Key) -> Int[Array, " batch"]:
        """Numbers of transitions, uniform with replacement."""
        return draw_numbers(self.size, positive_integer("batch_size", batch_size), key=key)

    @jax.named_scope("sample")
    def sample(self, batch_size: int, *, key: Key) -> Batch | ChunkBatch:
        """The transitions that `draw` names, or the chunks that begin there."""
        return self.take(self.draw(batch_size, key=key))


class MappedData:
    """Transitions on disk; each chunk of updates copies the rows that it draws to the device.

    A run draws what it would draw if all of them were on the device. Only one run at a time can be trained on them.

    Args:
        transitions: with large tables that are memory-mapped.
        chunking: how many steps make up a row of a batch.

    Raises:
        DataError: if no episode has that many steps.
    """

    sharding: NamedSharding | None = None
    shareable = False

    def __init__(self, transitions: Transitions, chunking: Chunking = SINGLE_STEPS):
        check_windows(transitions, chunking)
        self._transitions, self._chunking = transitions, chunking

    @property
    def size(self) -> int:
        """The number of transitions."""
        return len(self._transitions)

    @property
    def spec(self) -> Spec:
        """The dimensions of observations and actions, and the actions of a plan."""
        whole = self._transitions
        return Spec(whole.observations.shape[-1], whole.actions.shape[-1], self._chunking.chunk)

    def window(self, numbers: Numbers) -> ReplayData:
        """The transitions with these numbers, and the rest of their chunks, under the numbers of the whole data set."""
        wanted = np.asarray(numbers()).ravel()
        whole, chunking = self._transitions, self._chunking
        capacity = (chunking.steps + chunking.chunk) * len(wanted)
        drawn = np.unique(wanted)
        rows, _ = windows_from(drawn, whole.next_action_index, whole.masks, chunking)
        # The actions that follow are needed as well, but not their observations.
        following = actions_after(rows[:, -1], whole.next_action_index, chunking.chunk)
        present, last = np.union1d(rows, following), np.unique(rows[:, -1])

        def placed(numbers: np.ndarray, values: np.ndarray) -> np.ndarray:
            column = np.zeros(capacity, np.int32)
            column[np.searchsorted(present, numbers)] = values
            return column

        # The actions after a plan may go on to transitions that are not here; nobody follows them.
        links = whole.next_action_index[present]
        links = np.where(np.isin(links, present), links, present)
        observations = np.zeros((2 * len(wanted), self.spec.observation_dim), np.float32)
        observations[: len(drawn)] = whole.observations[whole.index[drawn]]
        observations[len(wanted) :][: len(last)] = whole.observations[whole.next_index[last]]

        def padded(table: np.ndarray, fill: int = 0) -> Array:
            missing = capacity - len(table)
            return jnp.asarray(np.pad(table, [(0, missing)] + [(0, 0)] * (table.ndim - 1), constant_values=fill))

        return ReplayData(
            observations=jnp.asarray(observations),
            actions=padded(whole.actions[present]),
            rewards=padded(whole.rewards[present]),
            masks=padded(whole.masks[present]),
            index=jnp.asarray(placed(drawn, np.arange(len(drawn)))),
            next_index=jnp.asarray(placed(last, len(wanted) + np.arange(len(last)))),
            next_action_index=jnp.asarray(placed(present, np.searchsorted(present, links))),
            chunking=chunking,
            numbers=padded(present.astype(np.int32), np.iinfo(np.int32).max),
            total=self.size,
        )


def draw_numbers(size: int, batch_size: int, *, key: Key) -> Int[Array, " batch"]:
    """Numbers below `size`, uniform with replacement."""
    # The type is explicit, because under jax_enable_x64 the default is int64, which draws other numbers.
    return jax.random.randint(threefry(key), (batch_size,), 0, size, jnp.int32)


def _spread(table: np.ndarray, sharding: NamedSharding) -> Array:
    missing = -len(table) % sharding.num_devices
    padded = np.pad(table, [(0, missing)] + [(0, 0)] * (table.ndim - 1))
    return jax.make_array_from_callback(padded.shape, sharding, lambda rows: padded[rows])
