"""Shapes and containers that every other module shares. Imports nothing of ours."""

import dataclasses

import equinox as eqx
from jaxtyping import Array, Float, Int, PRNGKeyArray

Key = PRNGKeyArray
"""A typed JAX random key (`jax.random.key`)."""

Scalar = Float[Array, ""]

Metrics = dict[str, Float[Array, ""]]
"""Named scalars; an algorithm returns the same names at every update."""


@dataclasses.dataclass(frozen=True)
class Spec:
    """What an algorithm must know of a task to build its networks.

    Static and hashable, so it may close over a jitted function or be a static argument.

    Raises:
        ValueError: if a dimension is not a positive integer.
    """

    observation_dim: int
    action_dim: int

    def __post_init__(self):
        for name in ("observation_dim", "action_dim"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive integer, found {value!r}")


class Batch(eqx.Module):
    """Transitions (s, a, r, mask, s', a') for one update; `batch` is the number of rows.

    `masks` is 1 - terminated: 0 stops the bootstrap, a time-out keeps 1. `next_actions` is the data set's
    action at s'; at the last transition of an episode, where none was recorded, it repeats `actions`.
    """

    observations: Float[Array, "batch observation"]
    actions: Float[Array, "batch action"]
    rewards: Float[Array, " batch"]
    masks: Float[Array, " batch"]
    next_observations: Float[Array, "batch observation"]
    next_actions: Float[Array, "batch action"]

    @property
    def spec(self) -> Spec:
        """The dimensions of this batch's observations and actions."""
        return Spec(self.observations.shape[-1], self.actions.shape[-1])


Rows = Int[Array, " batch"]
"""Global row numbers of a batch: a shard holding rows 64..127 of 256 passes exactly those."""
