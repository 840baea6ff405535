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
from drol.numerics import threefry
from drol.types import Batch, Key, Spec, positive_integer

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


def replay(transitions: Transitions, devices: Sequence[jax.Device] = ()) -> Replay:
    """Make transitions ready for training: copied to the device, or left on disk if they are mapped.

    Args:
        transitions: of any data set.
        devices: if given, the rows are spread over them and every batch is taken from all of them; see
            `ReplayData.sharded`.
    """
    if devices:
        return ReplayData.from_transitions(transitions).sharded(devices)
    return MappedData(transitions) if transitions.is_mapped else ReplayData.from_transitions(transitions)


class ReplayData(eqx.Module):
    """`Transitions` as device arrays; see there for the fields.

    Attributes:
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
    padding: int = eqx.field(static=True, default=0)
    sharding: NamedSharding | None = eqx.field(static=True, default=None)
    numbers: Int[Array, " transitions"] | None = None
    total: int | None = eqx.field(static=True, default=None)

    @classmethod
    def from_transitions(cls, data: Transitions) -> "ReplayData":
        """Copy a data set to the default device."""
        names = ("observations", "actions", "rewards", "masks", "index", "next_index", "next_action_index")
        tables: dict[str, Any] = {name: jnp.asarray(getattr(data, name)) for name in names}
        return cls(**tables)

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
        """The dimensions of observations and actions."""
        return Spec(self.observations.shape[-1], self.actions.shape[-1])

    @property
    def shareable(self) -> bool:
        """Whether several runs can draw from the data in one program."""
        return self.sharding is None

    def window(self, numbers: Numbers) -> "ReplayData":
        """The data themselves: everything is on the device, and `numbers` is not called."""
        return self

    def take(self, numbers: Int[Array, " batch"]) -> Batch:
        """The transitions with these numbers."""
        if self.numbers is not None:
            numbers = jnp.searchsorted(self.numbers, numbers)
        batch = Batch(
            observations=self.observations[self.index[numbers]],
            actions=self.actions[numbers],
            rewards=self.rewards[numbers],
            masks=self.masks[numbers],
            next_observations=self.observations[self.next_index[numbers]],
            next_actions=self.actions[self.next_action_index[numbers]],
        )
        return batch if self.sharding is None else jax.lax.with_sharding_constraint(batch, self.sharding)

    def everywhere(self, tree: Tree) -> Tree:
        """Replicate a result on every device that holds a share of the data."""
        if self.sharding is None:
            return tree
        return jax.lax.with_sharding_constraint(tree, NamedSharding(self.sharding.mesh, PartitionSpec()))

    def draw(self, batch_size: int, *, key: Key) -> Int[Array, " batch"]:
        """Numbers of transitions, uniform with replacement."""
        return draw_numbers(self.size, positive_integer("batch_size", batch_size), key=key)

    @jax.named_scope("sample")
    def sample(self, batch_size: int, *, key: Key) -> Batch:
        """The transitions that `draw` names."""
        return self.take(self.draw(batch_size, key=key))


class MappedData:
    """Transitions on disk; each chunk of updates copies the rows that it draws to the device.

    A run draws what it would draw if all of them were on the device. Only one run at a time can be trained on them.

    Args:
        transitions: with large tables that are memory-mapped.
    """

    sharding: NamedSharding | None = None
    shareable = False

    def __init__(self, transitions: Transitions):
        self._transitions = transitions

    @property
    def size(self) -> int:
        """The number of transitions."""
        return len(self._transitions)

    @property
    def spec(self) -> Spec:
        """The dimensions of observations and actions."""
        return Spec(self._transitions.observations.shape[-1], self._transitions.actions.shape[-1])

    def window(self, numbers: Numbers) -> ReplayData:
        """The transitions with these numbers, under the numbers of the whole data set."""
        wanted = np.asarray(numbers()).ravel()
        whole, capacity = self._transitions, 2 * len(wanted)
        drawn = np.unique(wanted)
        # The actions that follow are needed as well, but not their observations.
        present = np.union1d(drawn, whole.next_action_index[drawn])
        places = np.searchsorted(present, drawn)
        index = np.zeros(capacity, np.int32)
        index[places] = np.arange(len(drawn))
        next_action_index = np.zeros(capacity, np.int32)
        next_action_index[places] = np.searchsorted(present, whole.next_action_index[drawn])
        observations = np.zeros((capacity, self.spec.observation_dim), np.float32)
        observations[: len(drawn)] = whole.observations[whole.index[drawn]]
        observations[len(wanted) :][: len(drawn)] = whole.observations[whole.next_index[drawn]]

        def padded(table: np.ndarray, fill: int = 0) -> Array:
            missing = capacity - len(table)
            return jnp.asarray(np.pad(table, [(0, missing)] + [(0, 0)] * (table.ndim - 1), constant_values=fill))

        return ReplayData(
            observations=jnp.asarray(observations),
            actions=padded(whole.actions[present]),
            rewards=padded(whole.rewards[present]),
            masks=padded(whole.masks[present]),
            index=jnp.asarray(index),
            next_index=jnp.asarray(index + len(wanted)),
            next_action_index=jnp.asarray(next_action_index),
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
