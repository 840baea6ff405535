"""Losses: winner-only routing (eq. 8), its foil (pointwise correspondence, eq. 3), and those of the baselines."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from drol.ops.axis import mean_over
from drol.types import AxisName, Scalar

Actions = Float[Array, "batch action"]

Weights = Float[Array, " batch"] | None
"""1 for rows that count and 0 for others; None if all do. See `drol.Batch`."""
Valid = Float[Array, "batch action"] | None
"""1 for numbers of actions that count and 0 for others; None if all do."""


def row_mean(values: Float[Array, " batch"], weights: Weights) -> Scalar:
    """The mean over all rows of the batch, to which rows of weight 0 contribute 0."""
    return jnp.mean(values if weights is None else weights * values)


def number_mean(values: Float[Array, "*batch action"], valid: Float[Array, "*batch action"] | None):
    """The mean over the valid numbers of each row; 0 if there is none."""
    if valid is None:
        return jnp.mean(values, axis=-1)
    return jnp.sum(valid * values, axis=-1) / jnp.maximum(jnp.sum(valid, axis=-1), 1)


def behaviour_cloning(predicted: Actions, actions: Actions, valid: Valid = None) -> Float[Array, " batch"]:
    """|a_{k*} - a|^2 / d per row: the first term of eq. 8, averaged over the valid action dimensions."""
    return number_mean((predicted - actions) ** 2, valid)


def mean_square(values: Actions, valid: Valid) -> Scalar:
    """The mean of the squares of the valid numbers of each row, over rows."""
    return jnp.mean(values**2) if valid is None else jnp.mean(number_mean(values**2, valid))


def q_scale(q_values: Float[Array, " batch"], axis_name: AxisName | None = None) -> Scalar:
    """lambda = 1 / max(mean |Q|, 1e-6), held constant under differentiation.

    With `axis_name` the mean runs over the whole batch, not just the shard.
    """
    magnitude = mean_over(jnp.mean(jnp.abs(jax.lax.stop_gradient(q_values))), axis_name)
    return 1 / jnp.maximum(magnitude, 1e-6)


def q_loss(q_values: Float[Array, " batch"], *, normalize: bool, axis_name: AxisName | None = None) -> Scalar:
    """-lambda mean Q: critic guidance, where lambda is `q_scale` with `normalize` and 1 without."""
    scale = q_scale(q_values, axis_name) if normalize else 1.0
    return -scale * jnp.mean(q_values)


def tempered(errors: Float[Array, " batch"], power: Scalar | float, offset: float = 1e-4) -> Float[Array, " batch"]:
    """w e with constant weights w = (e + offset)^-power, clipped to [1e-6, 1e6]: large errors weigh less.

    Source: mean flows (Geng et al. 2025), adaptive weights.
    """
    weights = jnp.clip((jax.lax.stop_gradient(errors) + offset) ** -power, 1e-6, 1e6)
    return weights * errors


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


def gaussian_log_prob(means: Actions, actions: Actions, valid: Valid = None) -> Float[Array, " batch"]:
    """log N(a; mu, I) per row, summed over the valid action dimensions."""
    squares = (actions - means) ** 2
    if valid is None:
        return -0.5 * (jnp.sum(squares, axis=-1) + actions.shape[-1] * jnp.log(2 * jnp.pi))
    return -0.5 * jnp.sum(valid * (squares + jnp.log(2 * jnp.pi)), axis=-1)


def expectile(residuals: Float[Array, " batch"], kappa: Scalar | float, weights: Weights = None) -> Scalar:
    """mean |kappa - 1{u < 0}| u^2: least squares where kappa = 1/2; positive residuals weigh more as kappa grows.

    Source: implicit Q-learning (Kostrikov et al. 2022), eq. 5.
    """
    sides = jnp.where(residuals < 0, 1 - kappa, kappa)
    return row_mean(sides * residuals**2, weights)


WEIGHT_CAP = 100.0


def advantage_weights(
    advantages: Float[Array, " batch"], inverse_temperature: Scalar | float
) -> Float[Array, " batch"]:
    """min(exp(beta A), 100), with the advantages A held constant.

    Source: advantage-weighted regression (Peng et al. 2019), with the cap of the public implementations.
    """
    exponents = inverse_temperature * jax.lax.stop_gradient(advantages)
    # Capped before the exponential, which may overflow: infinity would make the derivative in beta NaN.
    capped = exponents >= math.log(WEIGHT_CAP)
    return jnp.where(capped, WEIGHT_CAP, jnp.minimum(jnp.exp(jnp.where(capped, 0, exponents)), WEIGHT_CAP))


def lagrangian(log_multiplier: Float[Array, " 1"], constraint: Scalar, limit: Scalar | float) -> Scalar:
    """-log(alpha) (D - limit): minimising it raises the multiplier alpha while the constraint D exceeds its limit.

    D is held constant here; the term exp(log alpha) D belongs in the loss of the network that D constrains.
    """
    return -jnp.sum(log_multiplier) * (jax.lax.stop_gradient(constraint) - limit)
