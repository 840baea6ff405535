"""Section C.5: scale of the bounded latent prior.

Claim. For z ~ Unif(B_d(R)) the radius r = |z| has density d r^(d-1) / R^d; E r = d/(d+1) R, E r^2 = d/(d+2) R^2, so
with R = sqrt(d), E|z|^2 = d^2/(d+2), of the order of d. Each coordinate has mean 0 and variance R^2/(d+2).

Findings.

* All of it holds for the library's sampler, at every dimension tried, within exact or asymptotic confidence intervals.
* "Of the order of d" is E|z|^2 = d - 2 + 4/(d + 2): below d by 2/3 at d = 1 and by almost 2 for large d. Each
  coordinate's variance, d/(d + 2), is 1/3 at d = 1 and tends to 1: the prior matches a standard normal's scale only in
  high dimension.
* In high dimension the mass sits near the sphere: the median radius is 2^(-1/d) R, 0.97 R at d = 21.
* A common slip, u^(1/(d+1)) or u in place of u^(1/d), is far outside the tolerance (checked: the test can fail).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
import sympy

from drol.ops.latent import (
    ball_from_draws,
    coordinate_variance,
    default_radius,
    mean_norm,
    mean_squared_norm,
    sample_ball,
)

SIGNIFICANCE = 1e-6
COUNT = 40_000
DIMENSIONS = [1, 2, 3, 5, 8, 21, 64]


def radial_pvalue(points, radius):
    """Kolmogorov and Smirnov: (|z| / R)^d is uniform."""
    norms = np.linalg.norm(np.asarray(points, np.float64), axis=-1)
    return scipy.stats.kstest((norms / radius) ** points.shape[-1], "uniform").pvalue


@pytest.mark.parametrize("dim", DIMENSIONS)
def test_radial_law_and_moments(dim):
    radius = default_radius(dim)
    points = np.asarray(sample_ball(jax.random.key(dim), (COUNT,), dim, radius))
    norms = np.linalg.norm(points, axis=-1)
    assert radial_pvalue(points, radius) > SIGNIFICANCE
    for sample, mean in ((norms, mean_norm(dim, radius)), (norms**2, mean_squared_norm(dim, radius))):
        assert scipy.stats.ttest_1samp(sample, mean).pvalue > SIGNIFICANCE
    for axis in range(min(dim, 3)):
        assert scipy.stats.ttest_1samp(points[:, axis], 0).pvalue > SIGNIFICANCE
        assert scipy.stats.ttest_1samp(points[:, axis] ** 2, coordinate_variance(dim, radius)).pvalue > SIGNIFICANCE


@pytest.mark.parametrize("dim", [2, 5, 21])
def test_the_law_does_not_change_under_rotation(dim):
    points = np.asarray(sample_ball(jax.random.key(dim), (COUNT,), dim, 1.0))
    rotation, _ = np.linalg.qr(np.random.default_rng(dim).normal(size=(dim, dim)))
    for axis in range(2):
        assert (
            scipy.stats.ks_2samp(points[: COUNT // 2, axis], (points @ rotation)[COUNT // 2 :, axis]).pvalue
            > SIGNIFICANCE
        )


@pytest.mark.parametrize("dim", [1, 2, 5, 21])
def test_direction_and_radius_are_independent(dim):
    """No monotone relation between |z| and a coordinate of the direction, or its size (Spearman's rank test)."""
    points = np.asarray(sample_ball(jax.random.key(dim), (COUNT,), dim, 1.0))
    norms = np.linalg.norm(points, axis=-1)
    for statistic in (points[:, 0] / norms, np.abs(points[:, 0] / norms)):
        if np.ptp(statistic) > 0:
            assert scipy.stats.spearmanr(norms, statistic).pvalue > SIGNIFICANCE


@pytest.mark.parametrize("dim", [1, 3, 8])
def test_a_wrong_exponent_is_seen(dim):
    """The check's power: the neighbouring exponent is rejected beyond doubt."""
    normal = jax.random.normal(jax.random.key(0), (COUNT, dim))
    uniform = jax.random.uniform(jax.random.key(1), (COUNT,))
    wrong = ball_from_draws(normal, uniform ** (dim / (dim + 1)), 1.0)
    assert radial_pvalue(wrong, 1.0) < SIGNIFICANCE
    assert radial_pvalue(ball_from_draws(normal, uniform, 1.0), 1.0) > SIGNIFICANCE


@pytest.mark.parametrize("dim", DIMENSIONS)
def test_containment_in_float32(dim):
    """|z| <= R exactly, boundary draws included, in the precision that is used for training."""
    with jax.enable_x64(False):
        normal = jax.random.normal(jax.random.key(dim), (10_000, dim))
        points = np.asarray(ball_from_draws(normal, jnp.ones(10_000), default_radius(dim)), np.float64)
    assert np.linalg.norm(points, axis=-1).max() <= default_radius(dim)


# Symbolic.

r, R = sympy.symbols("r R", positive=True)
d = sympy.symbols("d", positive=True, integer=True)
density = d * r ** (d - 1) / R**d


def test_moments_by_integration():
    for power, expected in ((0, sympy.Integer(1)), (1, d / (d + 1) * R), (2, d / (d + 2) * R**2)):
        assert sympy.simplify(sympy.integrate(r**power * density, (r, 0, R)) - expected) == 0


def test_the_library_states_the_same_moments():
    for dim in DIMENSIONS:
        radius = default_radius(dim)
        values = {d: dim, R: sympy.sqrt(dim)}
        assert mean_norm(dim, radius) == pytest.approx(float((d / (d + 1) * R).subs(values)))
        assert mean_squared_norm(dim, radius) == pytest.approx(float((d / (d + 2) * R**2).subs(values)))
        assert coordinate_variance(dim, radius) * dim == pytest.approx(mean_squared_norm(dim, radius))


def test_the_scale_is_of_the_order_of_d():
    scale = sympy.simplify((d / (d + 2) * R**2).subs(R, sympy.sqrt(d)))
    assert sympy.simplify(scale - d**2 / (d + 2)) == 0
    assert sympy.simplify(scale - (d - 2 + 4 / (d + 2))) == 0
    assert sympy.limit(scale / d, d, sympy.oo) == 1
