"""How much a policy's success varies between consecutive evaluations, and what would reduce that."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from drol.algorithms.drol import DROL, DROLState
from drol.data.replay import ReplayData
from drol.ops.bellman import target_average
from drol.training.loop import train_chunk
from drol.types import Key

HORIZONS = (200, 1000, 2000)
"""Time constants of moving averages of the actor's weights, in updates."""


def churn(
    algorithm: DROL,
    state: DROLState,
    data: ReplayData,
    key: Key,
    *,
    updates: int,
    every: int,
    batch_size: int,
    evaluate: Callable[[Any, int], float],
) -> Iterator[dict[str, float]]:
    """Continue training from `state`, evaluating several policies of the same training every few updates.

    Args:
        algorithm: the run's.
        state: where to continue from.
        data: the run's.
        key: the run's.
        updates: how many more.
        every: updates between evaluations.
        batch_size: transitions per update.
        evaluate: (policy, update) -> success rate; the same episodes for every policy of an update.

    Yields:
        The update, and the success of: `one`, `centre`, `best-of-n` (the policies of the current weights), and
        `average N` (one latent, weights averaged over about N updates).
    """
    averages = [jax.tree.map(jnp.copy, state.actor) for _ in HORIZONS]
    stride = 10
    for update in range(stride, updates + 1, stride):
        state, _, _ = train_chunk(algorithm, state, data, key, batch_size=batch_size, length=stride)
        averages = [
            _average(average, state.actor, stride / horizon)
            for average, horizon in zip(averages, HORIZONS, strict=True)
        ]
        if update % every == 0:
            policy = algorithm.policy(state)
            policies = {kind: policy.with_kind(kind) for kind in ("one", "centre", "best-of-n")}
            for horizon, average in zip(HORIZONS, averages, strict=True):
                policies[f"average {horizon}"] = eqx.tree_at(lambda p: p.actor, policy, average)
            now = int(state.step)
            yield {"update": now} | {name: evaluate(each, now) for name, each in policies.items()}


_average = jax.jit(target_average)


def spread(records: Sequence[dict[str, float]], name: str) -> tuple[float, float]:
    """Mean and standard deviation of one policy's success over the evaluations."""
    values = jnp.array([record[name] for record in records])
    return float(values.mean()), float(values.std(ddof=1))
