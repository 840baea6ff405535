"""Actor losses: winner-only routing (eq. 8) and its foil, pointwise correspondence (eq. 3)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from drol.ops.axis import mean_over
from drol.types import Scalar

Actions = Float[Array, "batch action"]


def behaviour_cloning(predicted: Actions, actions: Actions) -> Float[Array, " batch"]:
    """|a_{k*} - a|^2 / d per row: the first term of eq. 8, averaged over action dimensions."""
    return jnp.mean((predicted - actions) ** 2, axis=-1)


def q_scale(q_values: Float[Array, " batch"], axis_name: str | None = None) -> Scalar:
    """lambda = 1 / max(mean |Q|, 1e-6), a constant for differentiation.

    With `axis_name` the mean runs over the whole batch and not over the shard.
    """
    magnitude = mean_over(jnp.mean(jnp.abs(jax.lax.stop_gradient(q_values))), axis_name)
    return 1 / jnp.maximum(magnitude, 1e-6)


def winner_only(
    bc: Float[Array, " batch"],
    q_values: Float[Array, " batch"],
    *,
    bc_coef: Scalar | float,
    q_coef: Scalar | float,
    scale: Scalar | float,
) -> Scalar:
    """L_actor = bc_coef mean(BC of winners) - q_coef lambda mean(Q of winners). Source: eq. 8.

    Args:
        bc: `behaviour_cloning` of each row's winner.
        q_values: Q(s, a_{k*}) of each row's winner.
        bc_coef: weight of behaviour cloning.
        q_coef: weight of critic guidance.
        scale: lambda, see `q_scale`; 1 leaves Q as it is.
    """
    return bc_coef * jnp.mean(bc) - q_coef * scale * jnp.mean(q_values)


def pointwise(
    predicted: Actions, targets: Actions, q_values: Float[Array, " batch"], *, alpha: Scalar | float
) -> Scalar:
    """The foil: mean(-Q(s, x) + alpha |x - t|^2), where x keeps its own target t whatever other samples do.

    Source: eq. 3 with squared distance; Proposition 4.2.
    """
    return jnp.mean(alpha * jnp.sum((predicted - targets) ** 2, axis=-1) - q_values)
