"""The data set on the device, sampled inside the compiled loop."""

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from drol.data.episodes import Transitions
from drol.numerics import threefry
from drol.types import Batch, Key, Spec, positive_integer

Tree = TypeVar("Tree")


class ReplayData(eqx.Module):
    """`Transitions` as device arrays. A format: see `Transitions` for the fields.

    Attributes:
        padding: rows at the end that fill the last device's share and are never drawn.
        sharding: how rows, and the rows of batches, are spread over devices; None on one device.
        numbers: where only some transitions of a data set are here, theirs, ascending; see `MappedData`.
        total: then, how many there are in all.
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
        """The same data with the rows of each table spread over devices, and every batch taken from it likewise.

        Draws stay the same. Each process of several puts its own devices' rows there and no others.
        """
        sharding = NamedSharding(Mesh(np.array(devices), ("batch",)), PartitionSpec("batch"))
        spread = jax.tree.map(lambda table: _spread(np.asarray(table), sharding), self)
        return dataclasses.replace(spread, padding=-self.size % len(devices), sharding=sharding)

    @property
    def size(self) -> int:
        """The number of transitions, of the whole data set where only some are here."""
        return self.actions.shape[0] - self.padding if self.total is None else self.total

    @property
    def spec(self) -> Spec:
        """The dimensions of observations and actions."""
        return Spec(self.observations.shape[-1], self.actions.shape[-1])

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
        """Hold a result whole on every device that holds a share of the data."""
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


def draw_numbers(size: int, batch_size: int, *, key: Key) -> Int[Array, " batch"]:
    """Numbers below `size`, uniform with replacement."""
    # By name: under jax_enable_x64 the default type is int64, whose draws are others.
    return jax.random.randint(threefry(key), (batch_size,), 0, size, jnp.int32)


def _spread(table: np.ndarray, sharding: NamedSharding) -> Array:
    missing = -len(table) % sharding.num_devices
    padded = np.pad(table, [(0, missing)] + [(0, 0)] * (table.ndim - 1))
    return jax.make_array_from_callback(padded.shape, sharding, lambda rows: padded[rows])
