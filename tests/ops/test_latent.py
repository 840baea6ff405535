"""The uniform ball: containment, moments, radial law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from drol.ops.latent import (
    ball_from_draws,
    coordinate_variance,
    default_radius,
    mean_norm,
    mean_squared_norm,
    sample_ball,
)
from tests.helpers.samples import sampled

# One false alarm in a million runs of a correct sampler, and the draws are fixed besides.
SIGNIFICANCE = 1e-6
COUNT = 20_000


def norms(points):
    return np.linalg.norm(np.asarray(points, np.float64), axis=-1)


@pytest.mark.parametrize("dim", sampled(range(1, 65), [1, 2, 3, 5, 8, 21, 25, 64]))
def test_never_outside_the_radius(dim):
    """Uniform draws of exactly 1 sit on the boundary, where rounding would tip them over."""
    radius = default_radius(dim)
    normal = jax.random.normal(jax.random.key(dim), (4096, dim))
    assert norms(ball_from_draws(normal, jnp.ones(4096), radius)).max() <= radius
    assert norms(sample_ball(jax.random.key(dim), (4096,), dim, radius)).max() <= radius


@pytest.mark.parametrize("dim", [1, 2, 5, 8, 21, 64])
def test_moments_and_radial_law(dim):
    radius = 1.7
    points = np.asarray(sample_ball(jax.random.key(dim), (COUNT,), dim, radius), np.float64)
    # P(|z| <= r) = (r / R)^d, so (|z| / R)^d is uniform on [0, 1].
    assert scipy.stats.kstest((norms(points) / radius) ** dim, "uniform").pvalue > SIGNIFICANCE
    for sample, mean in [
        (norms(points), mean_norm(dim, radius)),
        (norms(points) ** 2, mean_squared_norm(dim, radius)),
        (points[:, 0], 0.0),
        (points[:, -1] ** 2, coordinate_variance(dim, radius)),
    ]:
        assert scipy.stats.ttest_1samp(sample, mean).pvalue > SIGNIFICANCE
    if dim > 1:
        # Isotropy: the first two coordinates of the direction are exchangeable with the last two.
        direction = points / norms(points)[:, None]
        assert scipy.stats.ks_2samp(direction[:, 0], direction[:, -1]).pvalue > SIGNIFICANCE
        assert scipy.stats.ttest_1samp(direction[:, 0] * direction[:, -1], 0.0).pvalue > SIGNIFICANCE


def test_the_default_radius_keeps_the_scale_of_the_action():
    """E|z|^2 = d^2 / (d + 2) for R = sqrt(d) (section C.5)."""
    for dim in (1, 8, 64):
        assert mean_squared_norm(dim, default_radius(dim)) == pytest.approx(dim**2 / (dim + 2))


@pytest.mark.parametrize("tiny", [0.0, 1e-38, 1e-30, 1e-19, 1e-18, 1e-15, 1e-7])
def test_directions_of_vanishing_draws_are_unit_vectors(tiny):
    for dim in (1, 3, 64):
        normal = jnp.full((1, dim), tiny)
        points = ball_from_draws(normal, jnp.ones(1), 1.0)
        assert norms(points) == pytest.approx(1.0, abs=1e-5)


def test_zero_radius_quantile_is_the_centre():
    assert (ball_from_draws(jnp.ones((1, 3)), jnp.zeros(1), 1.0) == 0).all()


def test_one_dimension_is_the_interval():
    """d = 1: uniform on [-R, R], both signs."""
    points = np.asarray(sample_ball(jax.random.key(3), (COUNT,), 1, 1.0))[:, 0]
    assert scipy.stats.kstest(points, scipy.stats.uniform(-1, 2).cdf).pvalue > SIGNIFICANCE
