"""Proposition 4.3: pointwise correspondence biases a local improvement.

Claim. A closed and convex, Q differentiable and mu-strongly concave on A, a* an interior maximiser of Q over A,
F(x) = -Q(x) + alpha |x - t|^2. Then F has a unique minimiser x^; grad F(a*) = 2 alpha (a* - t), so a* is stationary iff
t = a*; and |x^ - a*| <= 2 alpha / (mu + 2 alpha) |t - a*|.

Findings.

* The bound is tight: equality for Q = -mu/2 |x - a*|^2. For L-smooth Q there is a lower bound as well, unconstrained:
  |x^ - a*| >= 2 alpha / (L + 2 alpha) |t - a*|. The bias is not an artefact of the analysis.
* The paper only asks that A be convex, but existence needs it closed as well: on an open box there may be no minimiser.
* An interior a* is needed for the first claim, not for the second: with a* on the boundary, a* can stay optimal for
  t != a*, while the bound still holds (both checked).
* As mu -> 0 the bound degenerates to |x^ - a*| <= |t - a*| and is attained: the improvement from t to a* is lost.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import sympy
import z3
from hypothesis import given
from hypothesis import strategies as st

from drol.ops import losses
from proofs_checks.solver import dot, prove, refute, vector
from proofs_checks.strategies import vectors

DIM = 3
dims = pytest.mark.parametrize("dim", [1, 3, 8])
alphas = st.one_of(st.floats(1e-3, 1.0), st.floats(1.0, 100.0))
modulus = st.one_of(st.floats(1e-3, 0.05), st.floats(0.05, 5.0))


@jax.jit
def objective(x, t, matrix, peak, ripple, alpha):
    """F by the library's pointwise loss, with Q(x) = -1/2 (x - a*)' H (x - a*) - ripple sum (log cosh (x - a*))."""
    difference = x - peak
    q = -0.5 * difference @ matrix @ difference - ripple * jnp.sum(jnp.log(jnp.cosh(difference)))
    return losses.pointwise(x[None], t[None], q[None], alpha=alpha)


gradient = jax.jit(jax.grad(objective))


def positive_definite(factor, mu):
    """A symmetric matrix with smallest eigenvalue at least mu; returns it with both ends of its spectrum."""
    matrix = factor @ factor.T + mu * np.eye(len(factor))
    spectrum = np.linalg.eigvalsh(matrix)
    return matrix, spectrum[0], spectrum[-1]


def minimise(arguments, project, smoothness, start):
    """Projected gradient descent with the step 1 / smoothness, to stationarity."""
    x = start
    for _ in range(20_000):
        following = project(x - np.asarray(gradient(jnp.asarray(x), *arguments)) / smoothness)
        if np.linalg.norm(following - x) <= 1e-15:
            return following
        x = following
    raise AssertionError("projected descent did not converge")


def bound(alpha, mu, t, peak):
    return 2 * alpha / (mu + 2 * alpha) * np.linalg.norm(t - peak)


# Layers 1 and 2: closed forms.


@dims
@given(data=st.data(), mu=modulus, alpha=alphas)
def test_quadratic_critics_in_closed_form(dim, data, mu, alpha):
    """x^ = (H + 2 alpha I)^-1 (H a* + 2 alpha t): stationary for the library's loss, and between both bounds."""
    factor, peak, t = data.draw(vectors(dim, dim)), data.draw(vectors(dim)), data.draw(vectors(dim))
    matrix, low, high = positive_definite(factor, mu)
    compromise = np.linalg.solve(matrix + 2 * alpha * np.eye(dim), matrix @ peak + 2 * alpha * t)
    arguments = tuple(map(jnp.asarray, (t, matrix, peak)))
    slope = np.asarray(gradient(jnp.asarray(compromise), *arguments, 0.0, alpha))
    assert np.linalg.norm(slope) <= 1e-10 * (high + 2 * alpha)
    distance = np.linalg.norm(compromise - peak)
    assert distance <= bound(alpha, low, t, peak) * (1 + 1e-9) + 1e-12
    assert distance >= bound(alpha, high, t, peak) * (1 - 1e-9) - 1e-12


@dims
@given(data=st.data(), mu=modulus, alpha=alphas)
def test_the_gradient_at_the_peak_is_the_tether(dim, data, mu, alpha):
    """grad F(a*) = 2 alpha (a* - t): stationary if and only if t = a*."""
    factor, peak, t = data.draw(vectors(dim, dim)), data.draw(vectors(dim)), data.draw(vectors(dim))
    matrix, _, _ = positive_definite(factor, mu)
    arguments = tuple(map(jnp.asarray, (matrix, peak)))
    slope = gradient(jnp.asarray(peak), jnp.asarray(t), *arguments, 0.5, alpha)
    np.testing.assert_allclose(slope, 2 * alpha * (peak - t), rtol=1e-10, atol=1e-12)
    assert (np.asarray(gradient(jnp.asarray(peak), jnp.asarray(peak), *arguments, 0.5, alpha)) == 0).all()


@dims
@given(data=st.data(), mu=modulus, alpha=alphas)
def test_the_bound_is_tight(dim, data, mu, alpha):
    """Q = -mu/2 |x - a*|^2 attains it."""
    peak, t = data.draw(vectors(dim)), data.draw(vectors(dim))
    compromise = (mu * peak + 2 * alpha * t) / (mu + 2 * alpha)
    arguments = tuple(map(jnp.asarray, (t, mu * np.eye(dim), peak)))
    assert np.linalg.norm(gradient(jnp.asarray(compromise), *arguments, 0.0, alpha)) <= 1e-10 * (mu + 2 * alpha)
    assert np.linalg.norm(compromise - peak) == pytest.approx(bound(alpha, mu, t, peak), rel=1e-9, abs=1e-12)


CASES = [(seed, region) for seed in range(4) for region in ("box", "ball")]


@pytest.mark.parametrize(("seed", "region"), CASES)
def test_non_quadratic_critics_over_boxes_and_balls(seed, region):
    """A strongly concave, non-quadratic Q, its peak inside A; the target may lie outside."""
    rng = np.random.default_rng(seed)
    matrix, low, high = positive_definite(rng.normal(size=(DIM, DIM)), rng.uniform(0.1, 1))
    # Odd seeds: a target so far outside that the constraint binds.
    reach = 8 if seed % 2 else 1
    peak, t, alpha, ripple = rng.uniform(-0.5, 0.5, DIM), rng.uniform(-reach, reach, DIM), rng.uniform(0.5, 3), 1.5

    def project(x):
        return np.clip(x, -1, 1) if region == "box" else x / max(1.0, np.linalg.norm(x))

    arguments = (*map(jnp.asarray, (t, matrix, peak)), ripple, alpha)
    starts = [project(rng.normal(size=DIM)) for _ in range(2)]
    minimisers = [minimise(arguments, project, high + ripple + 2 * alpha, start) for start in starts]
    np.testing.assert_allclose(*minimisers, atol=1e-9, err_msg="unique")
    if seed % 2:
        edge = np.abs(minimisers[0]).max() if region == "box" else np.linalg.norm(minimisers[0])
        assert edge == pytest.approx(1.0), "the constraint binds"
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


# Layer 3: solver-proved and symbolic. The chain of C.3 for every Q at once: only first-order facts are used.


def first_order_facts(dim):
    """x^, t and g = grad Q(x^) with a* = 0 and grad Q(a*) = 0: strong concavity, and optimality of x^ towards a*."""
    x, t, g = vector("x", dim), vector("t", dim), vector("g", dim)
    mu, alpha = z3.Reals("mu alpha")
    strongly_concave = dot(g, x) <= -mu * dot(x, x)
    slope = [-gi + 2 * alpha * (xi - ti) for gi, xi, ti in zip(g, x, t, strict=True)]
    optimal = dot(slope, x) <= 0  # <grad F(x^), a* - x^> >= 0 on a convex set
    return x, t, g, mu, alpha, (mu > 0, alpha > 0, strongly_concave, optimal)


@pytest.mark.parametrize("dim", [1, 2])
def test_the_strong_monotonicity_chain_over_all_reals(dim):
    """(mu + 2 alpha)^2 |x^ - a*|^2 <= 4 alpha^2 |t - a*|^2 for every Q, A, t, alpha and mu that C.3 admits."""
    x, t, _, mu, alpha, facts = first_order_facts(dim)
    prove((mu + 2 * alpha) ** 2 * dot(x, x) <= 4 * alpha**2 * dot(t, t), *facts)


def test_the_chain_in_any_dimension():
    """The same from inner products alone: e = |x^ - a*|, w = |t - a*|, and Cauchy-Schwarz for <x^, t>."""
    e, w, xt, gx, mu, alpha = z3.Reals("e w x.t g.x mu alpha")
    facts = (e >= 0, w >= 0, mu > 0, alpha > 0, xt <= e * w, gx <= -mu * e**2)
    optimal = -gx + 2 * alpha * (e**2 - xt) <= 0
    prove((mu + 2 * alpha) * e <= 2 * alpha * w, *facts, optimal)


def test_the_bound_below_for_smooth_critics():
    """Unconstrained, 2 alpha |x^ - t| = |grad Q(x^)| <= L |x^ - a*|, so e >= 2 alpha / (L + 2 alpha) w."""
    e, w, to_target, smoothness, alpha = z3.Reals("e w |x-t| L alpha")
    facts = (e >= 0, w >= 0, smoothness > 0, alpha > 0, 2 * alpha * to_target <= smoothness * e)
    prove((smoothness + 2 * alpha) * e >= 2 * alpha * w, *facts, w <= e + to_target)


def test_a_smaller_factor_is_refuted():
    """alpha / (mu + alpha) in place of 2 alpha / (mu + 2 alpha): the solver finds a Q that breaks it."""
    x, t, _, mu, alpha, facts = first_order_facts(1)
    refute((mu + alpha) ** 2 * dot(x, x) <= alpha**2 * dot(t, t), *facts)


def test_the_compromise_of_a_quadratic_symbolically():
    x, t, peak = sympy.symbols("x t p", real=True)
    a, mu = sympy.symbols("alpha mu", positive=True)
    (compromise,) = sympy.solve(sympy.diff(mu / 2 * (x - peak) ** 2 + a * (x - t) ** 2, x), x)
    assert sympy.simplify(compromise - peak - 2 * a / (mu + 2 * a) * (t - peak)) == 0


# Limits.


def test_counterexample_a_peak_on_the_boundary_can_resist():
    """A = [-1, 1], Q = s x - x^2 / 2, s > 1, a* = 1: x^ = a* for t < 1, exactly while 2 alpha (1 - t) <= s - 1.

    Found by sweeping t and the slope s; the bound of the claim still holds throughout.
    """
    alpha, resisting = 1.0, []
    for slope, t in itertools.product((1.5, 2.0, 3.0), (-0.5, 0.0, 0.5, 0.7, 0.9)):
        x = 0.0
        for _ in range(500):
            # Q's peak lies at s > 1, outside A: with H = 1 and no ripple the library's F is -Q plus the tether.
            arguments = (jnp.array([t]), jnp.eye(1), jnp.array([slope]), 0.0, alpha)
            x = float(np.clip(x - float(gradient(jnp.array([x]), *arguments)[0]) / 3, -1, 1))
        assert abs(x - 1) <= bound(alpha, 1.0, np.array([t]), np.array([1.0])) + 1e-9
        assert (x == 1.0) == (2 * alpha * (1 - t) <= slope - 1)
        if x == 1.0:
            resisting.append((slope, t))
    assert (2.0, 0.9) in resisting
    assert (1.5, -0.5) not in resisting


def test_counterexample_on_an_open_set_there_may_be_no_minimiser():
    """A = (-1, 1), a* = 0, t = 3, weak Q: F falls towards the missing end point and attains no minimum."""
    arguments = (jnp.array([3.0]), 0.1 * jnp.eye(1), jnp.zeros(1), 0.0, 1.0)
    xs = 1 - np.logspace(-1, -12, 12)
    assert (np.diff([float(objective(jnp.array([x]), *arguments)) for x in xs]) < 0).all()
    assert all(float(gradient(jnp.array([x]), *arguments)[0]) < -1 for x in xs)


def test_counterexample_without_curvature_improvement_is_lost():
    """mu -> 0: the compromise goes to t, and with it all of the improvement from t to a*; the factor goes to 1."""
    peak, t, alpha = np.array([0.8]), np.array([-0.2]), 1.0
    lost = []
    for mu in (10.0, 1.0, 0.1, 1e-3):
        compromise = (mu * peak + 2 * alpha * t) / (mu + 2 * alpha)
        arguments = (jnp.asarray(t), mu * jnp.eye(1), jnp.asarray(peak), 0.0, alpha)
        assert abs(float(gradient(jnp.asarray(compromise), *arguments)[0])) < 1e-12
        # The share of the improvement from t to a* that the compromise forgoes: quadratic in the remaining distance.
        lost.append(float(((compromise - peak) / (t - peak))[0] ** 2))
        assert lost[-1] == pytest.approx((bound(alpha, mu, t, peak) / np.linalg.norm(t - peak)) ** 2)
    assert lost == sorted(lost)
    assert lost[0] < 0.05
    assert lost[-1] > 0.99
