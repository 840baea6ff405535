"""How routing divides latent space: which latent wins each of some fixed actions, at every evaluation."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from drol.algorithm import Algorithm, TrainState
from drol.data.replay import SINGLE_STEPS
from drol.data.transitions import Transitions
from drol.data.windows import windows_from
from drol.numerics import key_of_seed
from drol.ops import routing
from drol.types import Chunking, Key

PROBES = 512
"""How many transitions are probed: a share of the winners is known to two percentage points."""

SEED = 0
"""Of the probes and their latents: the same for all runs, so that runs can be compared."""


class Probes(NamedTuple):
    """Fixed states of the training data, and what was done there."""

    observations: Float[np.ndarray, "probes observation"]
    actions: Float[np.ndarray, "probes action"]
    chunk: int = 1


def probes_of(transitions: Transitions, chunking: Chunking = SINGLE_STEPS) -> Probes:
    """The same transitions for every run on these data, drawn with replacement; chunks that begin there."""
    numbers = np.sort(np.random.default_rng(SEED).integers(len(transitions), size=PROBES))
    rows, _ = windows_from(numbers, transitions.next_action_index, transitions.masks, chunking)
    return Probes(
        np.asarray(transitions.observations[transitions.index[numbers]]),
        np.asarray(transitions.actions[rows[:, : chunking.chunk]]).reshape(PROBES, -1),
        chunking.chunk,
    )


def winners(algorithm: Algorithm, state: TrainState, probes: Probes) -> list[int] | None:
    """The latent that wins each probe, out of a fixed set shared by all; None for methods that do not route."""
    found = _winners(algorithm, state, probes.observations, probes.actions, key_of_seed(SEED), chunk=probes.chunk)
    return None if found is None else np.asarray(found).tolist()


@functools.partial(jax.jit, static_argnames="chunk")
def _winners(
    algorithm: Algorithm,
    state: TrainState,
    observations: Float[Array, "probes observation"],
    actions: Float[Array, "probes action"],
    key: Key,
    *,
    chunk: int,
) -> Int[Array, " probes"] | None:
    further = {} if chunk == 1 else {"chunk": chunk}
    return algorithm.winners(state, observations, actions, key=key, **further)


def diagnostics(now: list[int], before: list[int] | None) -> dict[str, float]:
    """The routing metrics of an evaluation.

    Args:
        now: the winner of each probe.
        before: the same at the previous evaluation, or before the first update; None if unknown.

    Returns:
        `routing/winner_entropy`: the entropy of the winners in nats, log K if all latents win equally often;
        `routing/largest_share`: the share of the latent that wins most probes; and, if there is something to compare
        with, `routing/handoff_rate`: the share of probes whose winner changed.
    """
    found = jnp.array(now)
    share = routing.winner_share(found, int(found.max()) + 1)
    metrics = {
        "routing/winner_entropy": float(routing.winner_entropy(share)),
        "routing/largest_share": float(share.max()),
    }
    if before is not None and len(before) == len(now):
        metrics["routing/handoff_rate"] = float(routing.handoff_rate(jnp.array(before), found))
    return metrics
