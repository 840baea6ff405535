"""Proposition 4.2: a persistent tether versus a routed, transferable anchor.

Claim. Pointwise, L_pc(x) = -Q(s, x) + alpha |x - t|^2 has gradient -grad Q(x) + 2 alpha (x - t), whatever the other
candidates do. Routed, L(a_1 .. a_K) = alpha |a_{k*} - t|^2 - Q(s, a_{k*}) with k* = argmin_k |a_k - t|^2: where k* is
unique the winner's gradient is 2 alpha (a_{k*} - t) - grad Q(a_{k*}) and every other candidate's is zero, throughout
the neighbourhood given by the margin; once another candidate is nearest, the same term belongs to it.

What was found.

* The neighbourhood of the printed argument can be named: all candidates may move by less than (d_2 - d_1) / 2 at once
  (`drol.ops.routing.safe_radius`), and by no more: at that distance two candidates can tie.
* Uniqueness is needed. At a tie the loss is the smaller of the two winners' only if their Q agree; it jumps otherwise,
  and the gradient computed there is that of the lowest index alone (named example below).
* The tether does not fade with distance and the anchor does not follow the sample: a candidate pulled away by Q keeps
  the pull of 2 alpha |x - t| pointwise, and loses it entirely, routed, as soon as another is nearer.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy
from hypothesis import assume, given
from hypothesis import strategies as st
from jax.test_util import check_grads

from drol.ops import losses, routing

K, DIM = 4, 3
numbers = st.floats(-1, 1, allow_subnormal=False)
curvatures = st.floats(0.0, 5.0)
alphas = st.floats(0.01, 10.0)


def vectors(*shape):
    size = int(np.prod(shape))
    return st.lists(numbers, min_size=size, max_size=size).map(lambda v: np.array(v, np.float64).reshape(shape))


def q_value(action, peak, curvature):
    """A smooth, non-quadratic critic with a known gradient."""
    return -curvature * jnp.sum(jnp.cosh(action - peak), axis=-1)


def q_gradient(action, peak, curvature):
    return -curvature * np.sinh(action - peak)


def routed_loss(candidates, target, peak, curvature, alpha):
    """The library's routing and winner-only loss on one set of candidates; alpha |.|^2 is bc_coef / d |.|^2."""
    winner = candidates[routing.route(candidates, target).winner][None]
    bc = losses.behaviour_cloning(winner, target[None])
    return losses.winner_only(bc, q_value(winner, peak, curvature), bc_coef=alpha * DIM, q_coef=1.0, scale=1.0)


def pointwise_loss(action, target, peak, curvature, alpha):
    return losses.pointwise(action[None], target[None], q_value(action, peak, curvature)[None], alpha=alpha)


routed_gradient = jax.jit(jax.grad(routed_loss))
pointwise_gradient = jax.jit(jax.grad(pointwise_loss))
value = jax.jit(routed_loss)
jit_route = jax.jit(routing.route)
jit_radius = jax.jit(routing.safe_radius)


# Layer 1 and 2: the library's gradients against the hand-derived ones, in float64.


@given(vectors(DIM), vectors(DIM), vectors(DIM), curvatures, alphas)
def test_the_pointwise_tether(action, target, peak, curvature, alpha):
    expected = -q_gradient(action, peak, curvature) + 2 * alpha * (action - target)
    gradient = pointwise_gradient(*map(jnp.asarray, (action, target, peak)), curvature, alpha)
    np.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-12)


@given(vectors(K, DIM), vectors(DIM), vectors(DIM), curvatures, alphas)
def test_the_routed_anchor_holds_the_winner_alone(candidates, target, peak, curvature, alpha):
    candidates = jnp.asarray(candidates)
    route = jit_route(candidates, jnp.asarray(target))
    assume(float(route.margin) > 1e-9)
    gradient = np.asarray(routed_gradient(candidates, jnp.asarray(target), jnp.asarray(peak), curvature, alpha))
    k = int(route.winner)
    winner = np.asarray(candidates[k])
    expected = 2 * alpha * (winner - target) - q_gradient(winner, peak, curvature)
    np.testing.assert_allclose(gradient[k], expected, rtol=1e-10, atol=1e-12)
    assert (np.delete(gradient, k, axis=0) == 0).all(), "losers have exactly no gradient"


@given(vectors(K, DIM), vectors(DIM), vectors(K, DIM), vectors(DIM), alphas)
def test_the_loss_does_not_see_losers_within_the_margin(candidates, target, moves, peak, alpha):
    """Not only infinitesimally: losers may move by the whole safe radius and the loss stays, bit for bit."""
    candidates, target = jnp.asarray(candidates), jnp.asarray(target)
    radius = float(jit_radius(candidates, target))
    assume(radius > 1e-6)
    k = int(jit_route(candidates, target).winner)
    steps = moves / np.maximum(np.linalg.norm(moves, axis=-1, keepdims=True), 1e-9) * radius * (1 - 1e-9)
    steps[k] = 0
    before = value(candidates, target, jnp.asarray(peak), 1.0, alpha)
    assert value(candidates + steps, target, jnp.asarray(peak), 1.0, alpha) == before


@given(vectors(K, DIM), vectors(DIM), alphas)
def test_responsibility_is_handed_over_whole(candidates, target, alpha):
    """Move the winner away: the anchor now acts on the new nearest candidate, with the same form, and on it alone."""
    candidates, target = np.array(candidates), jnp.asarray(target)
    k = int(jit_route(jnp.asarray(candidates), target).winner)
    candidates[k] += 10.0
    route = jit_route(jnp.asarray(candidates), target)
    assume(float(route.margin) > 1e-9)
    successor = int(route.winner)
    assert successor != k
    gradient = np.asarray(routed_gradient(jnp.asarray(candidates), target, jnp.zeros(DIM), 0.0, alpha))
    np.testing.assert_allclose(
        gradient[successor], 2 * alpha * (candidates[successor] - target), rtol=1e-10, atol=1e-12
    )
    assert (gradient[k] == 0).all()
    # The tether, by contrast, holds on at any distance.
    tether = pointwise_gradient(jnp.asarray(candidates[k]), target, jnp.zeros(DIM), 0.0, alpha)
    np.testing.assert_allclose(tether, 2 * alpha * (candidates[k] - target), rtol=1e-10)


def test_finite_differences():
    candidates = jnp.array([[0.3, -0.2, 0.1], [-0.6, 0.4, 0.5], [0.9, 0.9, -0.9], [-0.8, -0.7, 0.2]])
    target, peak = jnp.array([0.2, 0.0, 0.1]), jnp.array([0.5, -0.5, 0.0])

    def loss(candidates):
        return routed_loss(jnp.asarray(candidates), target, peak, 1.3, 2.0)

    check_grads(loss, (candidates,), order=1, modes=["rev"], eps=1e-6)


# Layer 3: symbolic.


def test_the_radius_is_half_the_difference_of_distances():
    """Triangle inequality: |a_k' - t| <= d_1 + rho < d_2 - rho <= |a_j' - t| iff rho < (d_2 - d_1) / 2."""
    first, second, rho = sympy.symbols("d_1 d_2 rho", positive=True)
    condition = sympy.solve_univariate_inequality(first + rho < second - rho, rho, relational=False)
    assert sympy.simplify(condition.sup - (second - first) / 2) == 0


def test_gradients_of_both_losses_symbolically():
    x, t, alpha = sympy.symbols("x t alpha", real=True)
    q = sympy.Function("Q")
    assert sympy.simplify(sympy.diff(-q(x) + alpha * (x - t) ** 2, x) - (-q(x).diff(x) + 2 * alpha * (x - t))) == 0


# Limits.


def test_counterexample_the_radius_cannot_be_larger():
    """On a line, with both candidates moving towards the tie, the winner changes just past (d_2 - d_1) / 2."""
    candidates, target = jnp.array([[0.1], [-0.5]]), jnp.zeros(1)
    radius = float(routing.safe_radius(candidates, target))
    assert radius == pytest.approx(0.2)
    for factor, winner in ((0.999, 0), (1.001, 1)):
        moved = candidates + factor * radius
        assert int(routing.route(moved, target).winner) == winner


def test_counterexample_at_a_tie_the_loss_jumps():
    """Two candidates equally near, one with a higher Q: the loss is discontinuous, the gradient one-sided."""
    candidates, target, peak = jnp.array([[0.5, 0, 0], [-0.5, 0, 0]]), jnp.zeros(3), jnp.array([0.5, 0.0, 0.0])
    at_tie = float(routed_loss(candidates, target, peak, 1.0, 1.0))
    nudged = float(routed_loss(candidates.at[0, 0].add(1e-9), target, peak, 1.0, 1.0))
    assert abs(nudged - at_tie) > 0.1, "the winner changed, and with it Q"
    gradient = jax.grad(routed_loss)(candidates, target, peak, 1.0, 1.0)
    assert (gradient[0] != 0).any(), "ties go to the lowest index"
    assert (gradient[1] == 0).all()


def test_one_candidate_is_a_tether():
    """K = 1: nothing to hand over to, and the routed loss is the pointwise one."""
    action, target, peak = jnp.array([0.4, -0.3, 0.9]), jnp.array([-0.2, 0.1, 0.5]), jnp.zeros(3)
    routed = routed_loss(action[None], target, peak, 0.7, 1.5)
    assert float(routed) == pytest.approx(float(pointwise_loss(action, target, peak, 0.7, 1.5)), rel=1e-12)
