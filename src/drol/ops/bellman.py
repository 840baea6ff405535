"""Bellman targets, ensemble aggregation and target averaging (eq. 2, eq. 9)."""

from typing import Literal, TypeVar, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from drol.types import Scalar

Aggregation = Literal["mean", "min", "mean-half-std", "mean-std"]
AGGREGATIONS: tuple[str, ...] = get_args(Aggregation)

Tree = TypeVar("Tree")


def aggregate(
    q_values: Float[Array, "ensemble *batch"], how: Aggregation, rho: Scalar | float = 0.5
) -> Float[Array, "*batch"]:
    """Combine the members of a critic ensemble.

    The result is their mean, their minimum, or their mean minus rho times their (population) standard deviation:
    `mean-std`, or with rho = 1/2 `mean-half-std`. For two members the minimum is the mean minus the full standard
    deviation; for ten independent normal ones it is the mean minus 1.6 of them, so it means something else.

    Args:
        q_values: every member's values.
        how: the aggregation.
        rho: for `mean-std`; it may be traced, and so be swept.
    """
    if how == "mean":
        return jnp.mean(q_values, axis=0)
    if how == "min":
        return jnp.min(q_values, axis=0)
    if how in ("mean-half-std", "mean-std"):
        variance = jnp.var(q_values, axis=0)
        # The lower bound makes the derivative zero where members agree.
        deviations = 0.5 if how == "mean-half-std" else rho
        return jnp.mean(q_values, axis=0) - deviations * jnp.sqrt(jnp.maximum(variance, 1e-12))
    raise ValueError(f"aggregation must be one of {', '.join(AGGREGATIONS)}, found {how!r}")


def bellman_target(
    rewards: Float[Array, "*batch"],
    masks: Float[Array, "*batch"],
    next_q: Float[Array, "*batch"],
    discount: Scalar | float,
) -> Float[Array, "*batch"]:
    """`backup` with next values held constant: for losses that also train the networks that compute them.

    Source: eq. 2, eq. 9.
    """
    return backup(rewards, masks, jax.lax.stop_gradient(next_q), discount)


def backup(
    rewards: Float[Array, "*batch"],
    masks: Float[Array, "*batch"],
    next_q: Float[Array, "*batch"],
    discount: Scalar | float,
) -> Float[Array, "*batch"]:
    """y = r + gamma mask Q'(s', a'), mask = 1 - terminated; differentiable, also in the discount.

    The algorithms' losses take `next_q` from networks that they do not differentiate, so no gradient has to be stopped,
    and gradients with respect to hyperparameters (gamma, tau, ...) pass through any number of updates.

    Source: eq. 2, eq. 9.
    """
    return rewards + discount * masks * next_q


def bellman_error(
    q_values: Float[Array, "ensemble *batch"],
    targets: Float[Array, "*batch"],
    weights: Float[Array, "*batch"] | None = None,
) -> Scalar:
    """The mean over batch and ensemble of (Q_i(s, a) - y)^2; rows of weight 0 contribute 0. Source: eq. 9."""
    errors = (q_values - targets) ** 2
    return jnp.mean(errors if weights is None else weights * errors)


def best_of_n(
    q_values: Float[Array, "ensemble num_samples"],
    how: Aggregation,
    *,
    rank: Aggregation = "min",
    rho: Scalar | float = 0.5,
) -> Float[Array, ""]:
    """Back up the best of N next actions: ranked by the aggregation `rank`, valued by `how` with `rho`.

    With N = 1 this is `aggregate`.
    """
    best = jnp.argmax(aggregate(q_values, rank))
    return aggregate(q_values, how, rho)[best]


@jax.named_scope("target_average")
def target_average(target: Tree, online: Tree, tau: Scalar | float) -> Tree:
    """phi' <- tau phi + (1 - tau) phi', leaf by leaf; each keeps its dtype, whatever that of tau."""
    return jax.tree.map(lambda t, o: (tau * o + (1 - tau) * t).astype(t.dtype), target, online)
