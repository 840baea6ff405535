"""Draws of a Gaussian squashed by tanh, with their densities (soft actor-critic, Haarnoja et al. 2018, appendix C)."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Numbers = Float[Array, "*batch action"]


def squashed_draw(mean: Numbers, log_std: Numbers, normal: Numbers) -> tuple[Numbers, Float[Array, "*batch"]]:
    """a = tanh(u) with u = mean + std normal, and log pi(a), summed over the action's numbers.

    log pi(a) = log N(u; mean, std) - sum_j log(1 - a_j^2). The last term is computed from u, so it stays finite where
    tanh saturates.

    Args:
        mean: of u.
        log_std: log of its standard deviation.
        normal: standard normal draws.
    """
    drawn = mean + jnp.exp(log_std) * normal
    # log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2u)), without the cancellation.
    volume = 2 * (math.log(2) - drawn - jax.nn.softplus(-2 * drawn))
    log_prob = -0.5 * (normal**2 + math.log(2 * math.pi)) - log_std - volume
    return jnp.tanh(drawn), jnp.sum(log_prob, axis=-1)
