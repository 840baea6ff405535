"""The bounded latent prior: the uniform distribution on a Euclidean ball (eq. 4, section C.5)."""

import math

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from drol.types import Key


def default_radius(dim: int) -> float:
    """R = sqrt(d), the radius at which E|z|^2 = d^2 / (d + 2) stays of the order of d (section C.5)."""
    return math.sqrt(dim)


def ball_from_draws(
    normal: Float[Array, "*batch dim"], uniform: Float[Array, "*batch"], radius: float
) -> Float[Array, "*batch dim"]:
    """Map Gaussian directions and uniform quantiles to points of the ball: R u^(1/d) v / |v|.

    Args:
        normal: v ~ N(0, I_d); only its direction matters. A vector whose squared length underflows, such
            as zero, is replaced by the first axis.
        uniform: u in [0, 1].
        radius: R > 0.

    Returns:
        Points whose exact Euclidean norm never exceeds `radius`, rounding included.

    Source: eq. 4; radial law of section C.5.
    """
    dim = normal.shape[-1]
    squared = jnp.sum(normal**2, axis=-1, keepdims=True)
    # Below this bound squares lose digits to underflow; no draw except zero comes near it.
    has_direction = squared > dim * float(jnp.finfo(normal.dtype).tiny / jnp.finfo(normal.dtype).eps)
    first_axis = jnp.zeros((dim,), normal.dtype).at[0].set(1)
    direction = jnp.where(has_direction, normal / jnp.sqrt(jnp.where(has_direction, squared, 1)), first_axis)
    # Rounding can lengthen `direction` by (d / 2 + 3) units and the products below by a few more: shrink by that
    # much (2e-6 of R at d = 64 in float32), so that containment is exact.
    unit = float(jnp.finfo(normal.dtype).eps) / 2
    safe_radius = radius * (1 - (dim / 2 + 8) * unit)
    return direction * (safe_radius * uniform ** (1 / dim))[..., None]


def sample_ball(
    key: Key, shape: tuple[int, ...], dim: int, radius: float, dtype: DTypeLike | None = None
) -> Float[Array, "*shape dim"]:
    """Draw independent points z ~ Unif(B_d(R)).

    Args:
        key: random key.
        shape: leading shape of the result.
        dim: d, the dimension of the ball.
        radius: R > 0.
        dtype: that of the points; JAX's default float if None.

    Source: eq. 4.
    """
    direction_key, radius_key = jax.random.split(key)
    normal = jax.random.normal(direction_key, (*shape, dim), dtype)
    return ball_from_draws(normal, jax.random.uniform(radius_key, shape, dtype), radius)


def mean_norm(dim: int, radius: float) -> float:
    """E|z| = d / (d + 1) R (section C.5)."""
    return dim / (dim + 1) * radius


def mean_squared_norm(dim: int, radius: float) -> float:
    """E|z|^2 = d / (d + 2) R^2 (section C.5)."""
    return dim / (dim + 2) * radius**2


def coordinate_variance(dim: int, radius: float) -> float:
    """Var z_i = R^2 / (d + 2), the same for every coordinate (section C.5)."""
    return radius**2 / (dim + 2)
