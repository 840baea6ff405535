"""Proposition 4.3: pointwise correspondence biases a local improvement.

Claim. A closed and convex, Q differentiable and mu-strongly concave on A, a* an interior maximiser of Q over A,
F(x) = -Q(x) + alpha |x - t|^2. Then F has a unique minimiser x^; grad F(a*) = 2 alpha (a* - t), so a* is stationary iff
t = a*; and |x^ - a*| <= 2 alpha / (mu + 2 alpha) |t - a*|.

What was found.

* The bound is tight: equality for Q = -mu/2 |x - a*|^2. For L-smooth Q there is a lower bound as well, unconstrained:
  |x^ - a*| >= 2 alpha / (L + 2 alpha) |t - a*|. The bias is not an artefact of the analysis.
* The paper says convex where existence needs closed as well: on an open box the minimiser can fail to exist.
* Interior is needed for the first claim, not for the second: with a* on the boundary, a* can stay optimal for t != a*,
  while the bound goes on holding (both checked).
* With mu = 0 the bound degenerates to |x^ - a*| <= |t - a*|, which a flat Q attains: all improvement is lost.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import sympy
from hypothesis import given
from hypothesis import strategies as st

from drol.ops import losses

DIM = 3
numbers = st.floats(-1, 1, allow_subnormal=False)
vectors = st.lists(numbers, min_size=DIM, max_size=DIM).map(lambda v: np.array(v, np.float64))
matrices = st.lists(numbers, min_size=DIM * DIM, max_size=DIM * DIM).map(lambda v: np.array(v).reshape(DIM, DIM))
alphas = st.one_of(st.floats(1e-3, 1.0), st.floats(1.0, 100.0))
modulus = st.floats(0.05, 5.0)


@jax.jit
def objective(x, t, matrix, peak, ripple, alpha):
    """F by the library's pointwise loss, with Q(x) = -1/2 (x - a*)' H (x - a*) - ripple sum (log cosh (x - a*))."""
    difference = x - peak
    q = -0.5 * difference @ matrix @ difference - ripple * jnp.sum(jnp.log(jnp.cosh(difference)))
    return losses.pointwise(x[None], t[None], q[None], alpha=alpha)


gradient = jax.jit(jax.grad(objective))


def positive_definite(factor, mu):
    """A symmetric matrix with smallest eigenvalue at least mu; returns it with both ends of its spectrum."""
    matrix = factor @ factor.T + mu * np.eye(DIM)
    spectrum = np.linalg.eigvalsh(matrix)
    return matrix, spectrum[0], spectrum[-1]


def minimise(arguments, project, smoothness, start):
    """Projected gradient descent with the step 1 / smoothness, to stationarity."""
    x = start
    for _ in range(20_000):
        following = project(x - np.asarray(gradient(jnp.asarray(x), *arguments)) / smoothness)
        if np.linalg.norm(following - x) <= 1e-15:
            break
        x = following
    return x


def bound(alpha, mu, t, peak):
    return 2 * alpha / (mu + 2 * alpha) * np.linalg.norm(t - peak)


# Layers 1 and 2: closed forms.


@given(matrices, vectors, vectors, modulus, alphas)
def test_quadratic_critics_in_closed_form(factor, peak, t, mu, alpha):
    """x^ = (H + 2 alpha I)^-1 (H a* + 2 alpha t): stationary for the library's loss, and between both bounds."""
    matrix, low, high = positive_definite(factor, mu)
    compromise = np.linalg.solve(matrix + 2 * alpha * np.eye(DIM), matrix @ peak + 2 * alpha * t)
    arguments = tuple(map(jnp.asarray, (t, matrix, peak)))
    slope = np.asarray(gradient(jnp.asarray(compromise), *arguments, 0.0, alpha))
    assert np.linalg.norm(slope) <= 1e-10 * (high + 2 * alpha)
    distance = np.linalg.norm(compromise - peak)
    assert distance <= bound(alpha, low, t, peak) * (1 + 1e-9) + 1e-12
    assert distance >= bound(alpha, high, t, peak) * (1 - 1e-9) - 1e-12


@given(matrices, vectors, vectors, modulus, alphas)
def test_the_gradient_at_the_peak_is_the_tether(factor, peak, t, mu, alpha):
    """grad F(a*) = 2 alpha (a* - t): stationary if and only if t = a*."""
    matrix, _, _ = positive_definite(factor, mu)
    slope = gradient(jnp.asarray(peak), jnp.asarray(t), jnp.asarray(matrix), jnp.asarray(peak), 0.5, alpha)
    np.testing.assert_allclose(slope, 2 * alpha * (peak - t), rtol=1e-10, atol=1e-12)


@given(vectors, vectors, modulus, alphas)
def test_the_bound_is_tight(peak, t, mu, alpha):
    """Q = -mu/2 |x - a*|^2 attains it."""
    compromise = (mu * peak + 2 * alpha * t) / (mu + 2 * alpha)
    arguments = tuple(map(jnp.asarray, (t, mu * np.eye(DIM), peak)))
    assert np.linalg.norm(gradient(jnp.asarray(compromise), *arguments, 0.0, alpha)) <= 1e-10 * (mu + 2 * alpha)
    assert np.linalg.norm(compromise - peak) == pytest.approx(bound(alpha, mu, t, peak), rel=1e-9, abs=1e-12)


CASES = [(seed, region) for seed in range(4) for region in ("box", "ball")]


@pytest.mark.parametrize(("seed", "region"), CASES)
def test_non_quadratic_critics_over_boxes_and_balls(seed, region):
    """A strongly concave, non-quadratic Q, its peak inside A; the target may lie outside."""
    rng = np.random.default_rng(seed)
    matrix, low, high = positive_definite(rng.normal(size=(DIM, DIM)), rng.uniform(0.1, 1))
    peak, t, alpha, ripple = rng.uniform(-0.5, 0.5, DIM), rng.uniform(-2, 2, DIM), rng.uniform(0.05, 3), 1.5

    def project(x):
        return np.clip(x, -1, 1) if region == "box" else x / max(1.0, np.linalg.norm(x))

    arguments = (*map(jnp.asarray, (t, matrix, peak)), ripple, alpha)
    starts = [project(rng.normal(size=DIM)) for _ in range(2)]
    minimisers = [minimise(arguments, project, high + ripple + 2 * alpha, start) for start in starts]
    np.testing.assert_allclose(*minimisers, atol=1e-9, err_msg="unique")
    # log cosh is convex, so mu is that of the quadratic part; it is 1-smooth, so L gains `ripple`.
    assert np.linalg.norm(minimisers[0] - peak) <= bound(alpha, low, t, peak) * (1 + 1e-9)


def test_the_solver_agrees_with_an_independent_one():
    rng = np.random.default_rng(9)
    matrix, _, high = positive_definite(rng.normal(size=(DIM, DIM)), 0.3)
    peak, t = rng.uniform(-0.5, 0.5, DIM), rng.uniform(-2, 2, DIM)
    arguments = (*map(jnp.asarray, (t, matrix, peak)), 1.0, 0.7)
    ours = minimise(arguments, lambda x: np.clip(x, -1, 1), high + 1 + 1.4, np.zeros(DIM))
    theirs = scipy.optimize.minimize(
        lambda x: float(objective(jnp.asarray(x), *arguments)),
        np.zeros(DIM),
        jac=lambda x: np.asarray(gradient(jnp.asarray(x), *arguments)),
        bounds=[(-1, 1)] * DIM,
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-12},
    )
    np.testing.assert_allclose(ours, theirs.x, atol=1e-6)


# Layer 3: symbolic. The chain of C.3 and the tight case.


def test_the_strong_monotonicity_chain():
    """(mu + 2a) e^2 <= <grad F(a*), a* - x^> <= 2a e w gives e <= 2a/(mu + 2a) w, with e = |x^ - a*|, w = |t - a*|."""
    e, w, a, mu = sympy.symbols("e w alpha mu", positive=True)
    largest = sympy.solve(sympy.Eq((mu + 2 * a) * e**2, 2 * a * e * w), e)
    assert largest == [2 * a * w / (mu + 2 * a)]


def test_the_compromise_of_a_quadratic_symbolically():
    x, t, peak = sympy.symbols("x t p", real=True)
    a, mu = sympy.symbols("alpha mu", positive=True)
    (compromise,) = sympy.solve(sympy.diff(mu / 2 * (x - peak) ** 2 + a * (x - t) ** 2, x), x)
    assert sympy.simplify(compromise - peak - 2 * a / (mu + 2 * a) * (t - peak)) == 0


# Limits.


def test_counterexample_a_peak_on_the_boundary_can_resist():
    """A = [-1, 1], Q(x) = 2x - x^2/2, a* = 1, t = 0.9: F falls all the way to 1, so x^ = a* although t != a*."""

    def slope(x, alpha=1.0, t=0.9):
        return -(2 - x) + 2 * alpha * (x - t)

    assert slope(1.0) < 0, "still descending at the edge"

    def objective_on_a_line(x):
        return -(2 * x - x**2 / 2) + (x - 0.9) ** 2

    compromise = scipy.optimize.minimize_scalar(objective_on_a_line, bounds=(-1, 1), method="bounded")
    assert compromise.x == pytest.approx(1.0, abs=1e-4)


def test_counterexample_on_an_open_set_there_may_be_no_minimiser():
    """A = (-1, 1), t = 3, weak Q: F falls towards the missing end point and attains no minimum."""
    xs = 1 - np.logspace(-1, -12, 12)
    values = [0.05 * x**2 + (x - 3) ** 2 for x in xs]
    assert (np.diff(values) < 0).all()


def test_counterexample_without_curvature_all_improvement_is_lost():
    """mu = 0: a flat Q leaves x^ = t; the bound's factor is 1."""
    t, peak = jnp.array([0.5, -0.5, 0.2]), jnp.zeros(DIM)
    slope = gradient(t, t, jnp.zeros((DIM, DIM)), peak, 0.0, 1.0)
    np.testing.assert_array_equal(slope, 0)
    assert bound(1.0, 0.0, np.asarray(t), np.zeros(DIM)) == pytest.approx(float(jnp.linalg.norm(t)))
