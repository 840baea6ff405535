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

    Attributes:
        observation_dim: the numbers of one observation.
        action_dim: d, the numbers of one action, as the environment takes it.
        chunk: h, the actions that a policy plans at once; 1 for ordinary policies.

    Raises:
        ValueError: if one of them is not a positive integer.
    """

    observation_dim: int
    action_dim: int
    chunk: int = 1

    def __post_init__(self):
        for name in ("observation_dim", "action_dim", "chunk"):
            object.__setattr__(self, name, positive_integer(name, getattr(self, name)))

    @property
    def plan_dim(self) -> int:
        """h d, the numbers of one plan: what actors return and critics value."""
        return self.chunk * self.action_dim

    @property
    def flat(self) -> "Spec":
        """The task as algorithms see it: one step whose action is a whole plan."""
        return Spec(self.observation_dim, self.plan_dim)


@dataclasses.dataclass(frozen=True)
class Chunking:
    """How many steps of an episode make up one row of a batch. Static and hashable.

    Attributes:
        chunk: h, the actions of a plan.
        n_step: the rewards that are summed before the critic bootstraps; h if None.
        absorbing: whether the sum stops at the first true end inside the row, inclusive. If False it continues to the
            end of the row wherever the recording does, as in public samplers, whose figures can be repeated that way.

    Raises:
        ValueError: if a number is not a positive integer, or `n_step` is smaller than `chunk`.
    """

    chunk: int = 1
    n_step: int | None = None
    absorbing: bool = True

    def __post_init__(self):
        object.__setattr__(self, "chunk", positive_integer("chunk", self.chunk))
        n_step = self.chunk if self.n_step is None else positive_integer("n_step", self.n_step)
        if n_step < self.chunk:
            raise ValueError(
                f"n_step must be at least chunk, because a plan is valued by the rewards of all its steps; found "
                f"n_step {n_step} and chunk {self.chunk}"
            )
        object.__setattr__(self, "n_step", n_step)

    @property
    def steps(self) -> int:
        """The steps of one row."""
        assert self.n_step is not None
        return self.n_step


class Batch(eqx.Module):
    """Transitions (s, a, r, mask, s', a') for one update; `batch` is the number of rows.

    `masks` is 1 - terminated: 0 stops the bootstrap; after a time-out it stays 1. `next_actions` is the data set's
    action at s'; at the last transition of an episode, where none was recorded, it repeats `actions`.

    In a batch of flattened chunks (`drol.ops.chunks.flat_batch`) an action is a whole plan, a reward is the return of
    its steps, and a mask holds the further discount of its next value. What algorithms leave out there is marked by two
    fields that are None otherwise.

    Attributes:
        weights: 0 for rows whose return is not known, which critics must not learn from; 1 for all others.
        valid: 0 for numbers of `actions` that were not recorded, which actors must not imitate; 1 for all others.
        chunk: the number of steps in an action.
    """

    observations: Float[Array, "batch observation"]
    actions: Float[Array, "batch action"]
    rewards: Float[Array, " batch"]
    masks: Float[Array, " batch"]
    next_observations: Float[Array, "batch observation"]
    next_actions: Float[Array, "batch action"]
    weights: Float[Array, " batch"] | None = None
    valid: Float[Array, "batch action"] | None = None
    chunk: int = eqx.field(static=True, default=1)

    @property
    def spec(self) -> Spec:
        """The dimensions of this batch's observations and actions."""
        return Spec(self.observations.shape[-1], self.actions.shape[-1] // self.chunk, self.chunk)


class ChunkBatch(eqx.Module):
    """Rows of consecutive steps for one update: n steps each, of which the first h make up an action (h <= n).

    `drol.step` turns it into a `Batch` of flattened chunks, by the algorithm's discount; `drol.ops.chunks.flat_batch`
    does the same for your own code.

    Attributes:
        observations: s_t, where the plan is made.
        actions: a_t .. a_{t+h-1}.
        rewards, masks: those of steps t .. t+n-1; a mask is 1 - terminated, as in `Batch`.
        valid: 1 for steps of the same episode as t, else 0; the first is always 1. What the arrays hold elsewhere
            changes nothing, as long as it is finite.
        next_observations: s_{t+n}, or what follows the last valid step.
        next_actions: the data's actions from there on, like `actions`.
        absorbing: see `Chunking`.
    """

    observations: Float[Array, "batch observation"]
    actions: Float[Array, "batch chunk action"]
    rewards: Float[Array, "batch steps"]
    masks: Float[Array, "batch steps"]
    valid: Float[Array, "batch steps"]
    next_observations: Float[Array, "batch observation"]
    next_actions: Float[Array, "batch chunk action"]
    absorbing: bool = eqx.field(static=True, default=True)

    @property
    def spec(self) -> Spec:
        """The dimensions of this batch's observations and actions."""
        return Spec(self.observations.shape[-1], self.actions.shape[-1], self.actions.shape[-2])


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
