"""A policy that acts on NumPy observations, ready to deploy."""

import copy
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, PyTree

from drol.numerics import key_of_seed, threefry
from drol.policy.contract import Policy
from drol.policy.description import class_name
from drol.policy.queue import PlanQueue
from drol.policy.units import PolicyInUnits
from drol.seeding import checked_seed

Observations = np.ndarray | jax.Array | Sequence[float] | Sequence[Sequence[float]]
"""One observation, or several."""

AHEAD = 64
"""The number of single-observation calls whose draws are made at once."""


class LoadedPolicy:
    """A policy that acts on NumPy observations, ready to deploy; see `load_policy`.

    A call is one compiled pass with the weights as its constants. The draws are compiled separately, and those of
    single observations are made for `AHEAD` calls at a time: handing so little work to another thread costs more than
    the work itself.

    A policy that plans several actions at once returns the first of a new plan, then the next ones without another
    pass, whatever it observes meanwhile, until the plan is executed. Call `reset` when an episode begins: without it,
    what is left of the old episode's plan is executed first in the new one.

    Copies and pickles continue where the original is: their next call returns what its next call would.

    Attributes:
        policy: the pure function inside, for use under `jax.jit` and `jax.vmap`.
        facts: what was stored with it.
        seed: the seed of the draws.

    Raises:
        ValueError: if `seed` is not a whole number from 0 to 2^64 - 1.
    """

    def __init__(self, policy: Policy, facts: Mapping[str, Any], *, seed: int = 0):
        self.policy = policy
        self.facts = dict(facts)
        self.seed = checked_seed(seed)
        self._width = policy.spec.observation_dim
        self._calls = 0
        self._drawn: tuple[int, PyTree[np.ndarray]] = (-1, None)
        self._queue: PlanQueue | None = None
        root = key_of_seed(seed)

        def of_key(key: jax.Array, rows: jax.Array) -> PyTree[Array]:
            return jax.vmap(lambda row: policy.noise(key=jax.random.fold_in(key, row)))(rows)

        def of_call(call: jax.Array, rows: jax.Array) -> PyTree[Array]:
            return of_key(jax.random.fold_in(root, call), rows)

        self._noise_of_key = jax.jit(of_key)
        self._noise_of_call = jax.jit(of_call)
        self._noise_of_calls = jax.jit(jax.vmap(of_call, in_axes=(0, None)))
        self._act = jax.jit(jax.vmap(policy.act))

    def __repr__(self) -> str:
        policy, spec = self.policy, self.policy.spec
        name = class_name(policy.policy if isinstance(policy, PolicyInUnits) else policy)
        task = f", task {reprlib.repr(self.facts['task'])}" if "task" in self.facts else ""
        chunk = f", chunk {spec.chunk}, replan {policy.executed}" if spec.chunk > 1 else ""
        return (
            f"LoadedPolicy({name}, kind {policy.choice.how!r}, observation {spec.observation_dim}, action "
            f"{spec.action_dim}{chunk}{task}, seed {self.seed})"
        )

    def __reduce__(self):
        return _rebuilt, (self.policy, self.facts, self.seed, self._calls, self._queue)

    def __call__(self, observation: Observations, *, key: jax.Array | None = None) -> np.ndarray:
        """Act on one observation (observation,) or on a batch (n, observation).

        Batches are padded to the next power of two, so that varying sizes compile a handful of programs.

        Rows of a batch are episodes side by side, each with its own plan; with another number of rows, all plan anew.

        Args:
            observation: finite numbers in the units of the training data.
            key: a JAX random key; without one, plan number i uses `fold_in(key(seed), i)`. A call that executes the
                rest of a plan draws nothing.

        Returns:
            float32 actions in the units of the training data ([-1, 1] unless the data had other bounds), (action,) or
            (n, action), in an array that belongs to the caller.

        Raises:
            ValueError: if the observation does not fit the task, or holds anything but finite numbers; such a call
                is not counted.
        """
        observations = self._checked(observation)
        if (executed := self.policy.executed) == 1:
            actions = self._planned(observations, key)[:, : self.policy.spec.action_dim]
        else:
            count = 1 if observations.ndim == 1 else len(observations)
            if self._queue is None or self._queue.rows != count:
                self._queue = PlanQueue(count, executed, self.policy.spec.action_dim)
            actions = self._queue.next(lambda _: self._planned(observations, key))
        return actions if observations.ndim == 2 else actions[0]

    def plan(self, observation: Observations, *, key: jax.Array | None = None) -> np.ndarray:
        """The next h actions for one observation (observation,) or for a batch (n, observation).

        Plans that are being executed stay as they are.

        Args:
            observation, key: as for a call.

        Returns:
            float32 actions in the units of the training data, (h, action) or (n, h, action).

        Raises:
            ValueError: as a call does.
        """
        observations, spec = self._checked(observation), self.policy.spec
        plans = self._planned(observations, key).reshape(-1, spec.chunk, spec.action_dim)
        return plans if observations.ndim == 2 else plans[0]

    def reset(self, row: int | Sequence[int] | np.ndarray | None = None) -> None:
        """Begin an episode: what is left of the last plan is not executed.

        Args:
            row: of a batch, the rows whose episodes begin (a number, several, or a mask); all by default.
        """
        if self._queue is not None:
            chosen = row if row is None else np.asarray(row)
            # No row at all: NumPy makes an empty list one of floats.
            self._queue.clear(chosen.astype(int) if chosen is not None and chosen.size == 0 else chosen)

    def _planned(self, observations: np.ndarray, key: jax.Array | None) -> np.ndarray:
        """The numbers of a new plan for every observation, (n, h action)."""
        count = 1 if observations.ndim == 1 else len(observations)
        # A copy, because JAX may read the buffer after the call returns, when it is the caller's again.
        padded = np.zeros((1 << max(count - 1, 0).bit_length(), self._width), np.float32)
        padded[:count] = observations
        rows = np.arange(len(padded), dtype=np.int32)
        noise = self._next_noise(rows) if key is None else self._noise_of_key(threefry(key), rows)
        return np.array(self._act(padded, noise))[:count]

    def _checked(self, observation: Observations) -> np.ndarray:
        """An observation, or several, as float32."""
        try:
            found = np.asarray(observation)
        except (TypeError, ValueError):  # rows of different lengths
            found = np.empty((), object)
        if found.dtype.kind not in "fiub" and found.dtype.name not in ("bfloat16", "float16"):
            what = type(observation).__name__ if found.dtype == object else f"an array of {found.dtype}"
            raise ValueError(
                f"expected an observation of {self._width} numbers, or n of them, found {what}; dictionaries and lists "
                f"of different lengths must be flattened first"
            )
        if found.ndim not in (1, 2) or found.shape[found.ndim - 1] != self._width:
            raise ValueError(
                f"expected observations of shape ({self._width},) or (n, {self._width}), found {found.shape}"
            )
        with np.errstate(over="ignore"):
            observations = found.astype(np.float32, copy=False)
        if not np.isfinite(observations).all():
            *row, number = np.argwhere(~np.isfinite(observations))[0].tolist()
            where = f"number {number}" + (f" of row {row[0]}" if row else "")
            raise ValueError(f"expected finite float32 observations, found {found[*row, number]} as {where}")
        return observations

    def _next_noise(self, rows: np.ndarray) -> PyTree[Array | np.ndarray]:
        """The draws of the next plan."""
        call = self._calls
        self._calls += 1
        if len(rows) > 1:
            return self._noise_of_call(np.uint32(call), rows)
        block, place = divmod(call, AHEAD)
        if self._drawn[0] != block:
            calls = np.arange(block * AHEAD, (block + 1) * AHEAD, dtype=np.uint32)
            self._drawn = (block, jax.tree.map(np.asarray, self._noise_of_calls(calls, rows)))
        return jax.tree.map(lambda draws: draws[place], self._drawn[1])


def _rebuilt(
    policy: Policy, facts: Mapping[str, Any], seed: int, calls: int, queue: PlanQueue | None = None
) -> LoadedPolicy:
    """A copy that continues after `calls` plans, in the middle of those in the queue."""
    continued = LoadedPolicy(policy, facts, seed=seed)
    continued._calls, continued._queue = calls, copy.deepcopy(queue)
    return continued
