"""Shapes and containers that every other module shares. Imports no other module of this library."""

import dataclasses
import operator
from typing import SupportsIndex, TypeVar

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

Key = PRNGKeyArray
"""A typed JAX random key (`jax.random.key`)."""

AxisName = str | tuple[str, ...]
"""A mapped axis over which a batch is sharded, or several: the first varies slowest, as in `PartitionSpec((a, b))`."""

Scalar = Float[Array, ""]

Numbers = TypeVar("Numbers", Array, np.ndarray)

Metrics = dict[str, Float[Array, ""]]
"""Named scalars; an algorithm returns the same names at every update."""


def positive_integer(name: str, value: object) -> int:
    """A positive integer of any type (Python's, NumPy's) as a Python integer.

    Raises:
        ValueError: for anything else, including booleans.
    """
    number = operator.index(value) if isinstance(value, SupportsIndex) and not isinstance(value, np.ndarray) else 0
    if isinstance(value, bool | np.bool_) or number < 1:
        raise ValueError(f"{name} must be a positive integer, found {value!r}")
    return number


@dataclasses.dataclass(frozen=True)
class Spec:
    """What an algorithm must know about a task to build its networks.

    Static and hashable, so a jitted function may close over it or take it as a static argument.

    Raises:
        ValueError: if a dimension is not a positive integer.
    """

    observation_dim: int
    action_dim: int

    def __post_init__(self):
        for name in ("observation_dim", "action_dim"):
            object.__setattr__(self, name, positive_integer(name, getattr(self, name)))


class Batch(eqx.Module):
    """Transitions (s, a, r, mask, s', a') for one update; `batch` is the number of rows.

    `masks` is 1 - terminated: 0 stops the bootstrap; after a time-out it stays 1. `next_actions` is the data set's
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


class Units(eqx.Module):
    """The conversion between the user's units and the learner's. Stored in policy files, so its fields are a format.

    The learner sees (observation - mean) / std, and actions in [-1, 1]^d, where -1 is `action_low` and 1 is
    `action_high`. Fields may be NumPy or JAX arrays. Bounds in float64 are rounded with `inward`, so that float32
    actions respect them.
    """

    observation_mean: Float[Array | np.ndarray, " observation"]
    observation_std: Float[Array | np.ndarray, " observation"]
    action_low: Float[Array | np.ndarray, " action"]
    action_high: Float[Array | np.ndarray, " action"]

    @classmethod
    def identity(cls, spec: Spec) -> "Units":
        """Units that change nothing."""
        ones = np.ones(spec.action_dim, np.float32)
        zeros = np.zeros(spec.observation_dim, np.float32)
        return cls(zeros, np.ones_like(zeros), -ones, ones)

    def check(self) -> None:
        """Raise a ValueError for degenerate units. Needs concrete arrays."""
        if not (np.asarray(self.observation_std) > 0).all():
            raise ValueError("observation_std must be larger than 0")
        if not (np.asarray(self.action_low) < np.asarray(self.action_high)).all():
            raise ValueError("action_low must be smaller than action_high")

    def observation_inward(self, observation: Numbers) -> Numbers:
        """Observations as the learner sees them, (..., observation)."""
        return (observation - self.observation_mean) / self.observation_std

    def action_inward(self, action: Numbers) -> Numbers:
        """The user's actions as the learner sees them, (..., action)."""
        return 2 * (action - self.action_low) / (self.action_high - self.action_low) - 1

    def action_outward(self, action: Numbers) -> Numbers:
        """The learner's actions in the user's units, (..., action)."""
        outward = self.action_low + (action + 1) / 2 * (self.action_high - self.action_low)
        return outward  # pyright: ignore[reportReturnType]  (an array of the argument's kind)


def inward(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds rounded to float32 numbers within them: the float32 nearest to 0.1, for instance, is larger than 0.1."""
    with np.errstate(over="ignore"):
        lower, upper = np.asarray(low).astype(np.float32), np.asarray(high).astype(np.float32)
    up, down = (np.nextafter(bound, np.float32(end)) for bound, end in ((lower, np.inf), (upper, -np.inf)))
    lower = np.where(np.isfinite(lower) & (lower < low), up, lower)
    return lower, np.where(np.isfinite(upper) & (upper > high), down, upper)


Rows = Int[Array, " batch"]
"""Global row numbers of a batch: a shard holding rows 64..127 of 256 passes exactly those."""
