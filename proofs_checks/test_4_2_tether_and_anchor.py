"""Proposition 4.2: a persistent tether versus a routed, transferable anchor.

Claim. Pointwise, L_pc(x) = -Q(s, x) + alpha |x - t|^2 has gradient -grad Q(x) + 2 alpha (x - t), whatever the other
candidates do. Routed, L(a_1 .. a_K) = alpha |a_{k*} - t|^2 - Q(s, a_{k*}) with k* = argmin_k |a_k - t|^2: where k* is
unique the winner's gradient is 2 alpha (a_{k*} - t) - grad Q(a_{k*}) and every other candidate's is zero, throughout
the neighbourhood given by the margin; once another candidate is nearest, the same term belongs to it.

Findings.

* The neighbourhood of the printed argument can be named: all candidates may move by less than (d_2 - d_1) / 2 at once
  (`drol.ops.routing.safe_radius`), and by no more: at that distance two candidates can tie. With the winner
  at rest, losers may move twice as far.
* Uniqueness is needed. Across a tie the loss is continuous if and only if the two winners' Q agree; otherwise it jumps,
  and at the tie itself the lowest index decides the loss and its gradient (named example below).
* The tether does not fade with distance, and the anchor does not follow the sample: under the pointwise loss, a
  candidate pulled away by Q still feels the pull 2 alpha |x - t|; routed, it loses it as soon as another is nearer.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy
import z3
from hypothesis import assume, given
from hypothesis import strategies as st
from jax.test_util import check_grads

from drol.nn.actor import clip_action
from drol.ops import losses, routing
from proofs_checks.solver import dot, prove, refute, vector
from proofs_checks.strategies import SHAPES, positive, scenes, vectors

curvatures = st.floats(0.0, 5.0)
shapes = pytest.mark.parametrize(("count", "dim"), SHAPES)


def q_value(action, peak, curvature):
    """A smooth, non-quadratic critic with a known gradient."""
    return -curvature * jnp.sum(jnp.cosh(action - peak), axis=-1)


def q_gradient(action, peak, curvature):
    return -curvature * np.sinh(action - peak)


def routed_loss(candidates, target, peak, curvature, alpha):
    """The library's routing and winner-only loss on one set of candidates; alpha |.|^2 is bc_coef / d |.|^2."""
    winner = candidates[routing.route(candidates, target).winner][None]
    bc = losses.behaviour_cloning(winner, target[None])
    bc_coef = alpha * target.shape[0]
    return losses.winner_only(bc, q_value(winner, peak, curvature), bc_coef=bc_coef, q_coef=1.0, scale=1.0)


def clipped_loss(outputs, *arguments):
    """The same on network outputs: candidates are clipped before they are routed."""
    return routed_loss(clip_action(outputs), *arguments)


def pointwise_loss(action, target, peak, curvature, alpha):
    return losses.pointwise(action[None], target[None], q_value(action, peak, curvature)[None], alpha=alpha)


routed_gradient = jax.jit(jax.grad(routed_loss))
clipped_gradient = jax.jit(jax.grad(clipped_loss))
pointwise_gradient = jax.jit(jax.grad(pointwise_loss))
value = jax.jit(routed_loss)
jit_route = jax.jit(routing.route)
jit_radius = jax.jit(routing.safe_radius)


def assert_gradient(found, expected, alpha):
    """Equal up to rounding: entries are sums of terms of size alpha and curvature."""
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13 * (1 + alpha))


# Layer 1 and 2: the library's gradients against the hand-derived ones, in float64.


@pytest.mark.parametrize("dim", [1, 3, 8])
@given(data=st.data(), curvature=curvatures, alpha=positive)
def test_the_pointwise_tether(dim, data, curvature, alpha):
    action, target, peak = (data.draw(vectors(dim)) for _ in range(3))
    expected = -q_gradient(action, peak, curvature) + 2 * alpha * (action - target)
    gradient = pointwise_gradient(*map(jnp.asarray, (action, target, peak)), curvature, alpha)
    assert_gradient(gradient, expected, alpha)


@shapes
@given(data=st.data(), curvature=curvatures, alpha=positive)
def test_the_routed_anchor_holds_the_winner_alone(count, dim, data, curvature, alpha):
    """Down to nearly tied winners; a single candidate is its own winner."""
    candidates, target = data.draw(scenes(count, dim))
    peak = data.draw(vectors(dim))
    route = jit_route(jnp.asarray(candidates), jnp.asarray(target))
    assume(float(route.margin) > 1e-12)
    gradient = np.asarray(routed_gradient(*map(jnp.asarray, (candidates, target, peak)), curvature, alpha))
    k = int(np.argmin(((candidates - target) ** 2).sum(axis=-1)))
    expected = 2 * alpha * (candidates[k] - target) - q_gradient(candidates[k], peak, curvature)
    assert_gradient(gradient[k], expected, alpha)
    assert (np.delete(gradient, k, axis=0) == 0).all(), "losers have exactly no gradient"


STEPS, NUMBERS = 5, 5
"""Of a chunk: its plan is one action of 25 numbers."""


@jax.jit
def chunk_gradient(candidates, target, peak, curvature, alpha, valid):
    """The gradient of the routed loss over the valid numbers of a chunk, whose mean is their sum over their number."""

    def loss(candidates):
        action = candidates[routing.route(candidates, target, valid).winner]
        bc = losses.behaviour_cloning(action[None], target[None], valid[None])
        q_values = q_value(action, peak, curvature)[None]
        return losses.winner_only(bc, q_values, bc_coef=alpha * valid.sum(), q_coef=1.0, scale=1.0)

    return jax.grad(loss)(candidates)


@given(data=st.data(), curvature=curvatures, alpha=positive, steps=st.integers(1, STEPS))
def test_the_anchor_of_a_chunk_holds_the_winner_over_its_valid_steps(data, curvature, alpha, steps):
    """Steps beyond the end of an episode neither choose the winner nor pull at it; Q sees the whole plan."""
    dim = STEPS * NUMBERS
    candidates, target = data.draw(scenes(16, dim))
    peak, valid = data.draw(vectors(dim)), np.repeat(np.arange(STEPS) < steps, NUMBERS).astype(float)
    distances = (valid * (candidates - target) ** 2).sum(axis=-1)
    assume(np.diff(np.sort(distances))[0] > 1e-12)
    arrays = map(jnp.asarray, (candidates, target, peak))
    gradient = np.asarray(chunk_gradient(*arrays, curvature, alpha, jnp.asarray(valid)))
    k = int(np.argmin(distances))
    expected = 2 * alpha * valid * (candidates[k] - target) - q_gradient(candidates[k], peak, curvature)
    assert_gradient(gradient[k], expected, alpha)
    assert (np.delete(gradient, k, axis=0) == 0).all()


@shapes
@given(data=st.data(), curvature=curvatures, alpha=positive)
def test_a_saturated_coordinate_of_the_winner_feels_nothing(count, dim, data, curvature, alpha):
    """Outputs beyond the action box: clipped before routing, and without gradient where they are clipped."""
    outputs = data.draw(vectors(count, dim, elements=st.floats(-3, 3))) * 1.01
    target, peak = data.draw(vectors(dim)), data.draw(vectors(dim))
    assume((np.abs(np.abs(outputs) - 1) > 1e-6).all())
    candidates = np.clip(outputs, -1, 1)
    distances = np.sort(((candidates - target) ** 2).sum(axis=-1))
    assume(count == 1 or distances[1] - distances[0] > 1e-12)
    k = int(np.argmin(((candidates - target) ** 2).sum(axis=-1)))
    gradient = np.asarray(clipped_gradient(*map(jnp.asarray, (outputs, target, peak)), curvature, alpha))
    expected = 2 * alpha * (candidates[k] - target) - q_gradient(candidates[k], peak, curvature)
    assert_gradient(gradient[k], np.where(np.abs(outputs[k]) < 1, expected, 0), alpha)
    assert (np.delete(gradient, k, axis=0) == 0).all()


@pytest.mark.parametrize(("count", "dim"), SHAPES[2:])
@given(data=st.data(), alpha=positive)
def test_the_loss_does_not_see_losers_within_the_margin(count, dim, data, alpha):
    """Also for finite moves: with the winner at rest, losers may move by almost twice the radius.

    The loss stays bit-identical. They move in arbitrary directions and straight towards the target, the worst case.
    """
    candidates, target = map(jnp.asarray, data.draw(scenes(count, dim)))
    moves, peak = data.draw(vectors(count, dim)), jnp.asarray(data.draw(vectors(dim)))
    radius = float(jit_radius(candidates, target))
    assume(radius > 1e-12)
    k = int(jit_route(candidates, target).winner)
    before = value(candidates, target, peak, 1.0, alpha)
    for direction in (moves, np.asarray(target - candidates)):
        lengths = np.linalg.norm(direction, axis=-1, keepdims=True)
        steps = direction / np.maximum(lengths, 1e-9) * 2 * radius * (1 - 1e-3)
        steps[k] = 0
        assert value(candidates + steps, target, peak, 1.0, alpha) == before


@pytest.mark.parametrize(("count", "dim"), SHAPES[2:])
@given(data=st.data())
def test_the_winner_keeps_its_anchor_while_all_move_within_the_margin(count, dim, data):
    """All candidates at once, the winner away from the target and the others towards it: the worst case."""
    candidates, target = data.draw(scenes(count, dim))
    radius = float(jit_radius(jnp.asarray(candidates), jnp.asarray(target)))
    distances = np.linalg.norm(candidates - target, axis=-1, keepdims=True)
    assume(radius > 1e-12 and distances.min() > 1e-6)
    k = int(np.argmin(distances))
    outward = (candidates - target) / distances
    worst = np.where(np.arange(count)[:, None] == k, outward, -outward)
    moved = candidates + worst * radius * (1 - 1e-3)
    assert int(jit_route(jnp.asarray(moved), jnp.asarray(target)).winner) == k


@pytest.mark.parametrize(("count", "dim"), SHAPES[2:])
@given(data=st.data(), alpha=positive)
def test_responsibility_is_handed_over_whole(count, dim, data, alpha):
    """Move the winner away: the anchor now acts on the new nearest candidate, with the same form, and on it alone."""
    candidates, target = data.draw(scenes(count, dim))
    k = int(jit_route(jnp.asarray(candidates), jnp.asarray(target)).winner)
    candidates[k] += 10.0
    route = jit_route(jnp.asarray(candidates), jnp.asarray(target))
    assume(float(route.margin) > 1e-12)
    successor = int(route.winner)
    assert successor != k
    no_peak = jnp.zeros(dim)
    gradient = np.asarray(routed_gradient(jnp.asarray(candidates), jnp.asarray(target), no_peak, 0.0, alpha))
    assert_gradient(gradient[successor], 2 * alpha * (candidates[successor] - target), alpha)
    assert (np.delete(gradient, successor, axis=0) == 0).all()
    # The tether, by contrast, pulls at any distance.
    tether = pointwise_gradient(jnp.asarray(candidates[k]), jnp.asarray(target), no_peak, 0.0, alpha)
    np.testing.assert_allclose(tether, 2 * alpha * (candidates[k] - target), rtol=1e-10)


def test_finite_differences():
    candidates = jnp.array([[0.3, -0.2, 0.1], [-0.6, 0.4, 0.5], [0.9, 0.9, -0.9], [-0.8, -0.7, 0.2]])
    target, peak = jnp.array([0.2, 0.0, 0.1]), jnp.array([0.5, -0.5, 0.0])

    def loss(candidates):
        return routed_loss(jnp.asarray(candidates), target, peak, 1.3, 2.0)

    check_grads(loss, (candidates,), order=1, modes=["rev"], eps=1e-6)


# Layer 3: symbolic and solver-proved.


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_cauchy_and_schwarz(dim):
    """The one lemma about vectors that the radius needs, by Z3; and Lagrange's identity behind it, by SymPy."""
    x, y = vector("x", dim), vector("y", dim)
    prove(dot(x, y) ** 2 <= dot(x, x) * dot(y, y))
    u, v = sympy.symbols(f"u:{dim}", real=True), sympy.symbols(f"v:{dim}", real=True)
    squares = sum((u[i] * v[j] - u[j] * v[i]) ** 2 for i in range(dim) for j in range(i))
    assert sympy.expand(dot(u, u) * dot(v, v) - dot(u, v) ** 2 - squares) == 0


def test_the_margin_keeps_the_winner_over_all_reals():
    """Section C.2 in any dimension: |x + u|^2 < |y + v|^2 for all |u|, |v| <= rho < (|y| - |x|) / 2, target at 0.

    Only inner products appear, and of those only the Cauchy-Schwarz inequality is used.
    """
    nearest, second, rho, u, v, xu, yv = z3.Reals("d_1 d_2 rho |u| |v| x.u y.v")
    lengths = (nearest >= 0, second >= 0, u >= 0, v >= 0, u <= rho, v <= rho)
    inner = (xu <= nearest * u, yv >= -second * v)
    moved = nearest**2 + 2 * xu + u**2 < second**2 + 2 * yv + v**2
    prove(moved, *lengths, *inner, 2 * rho < second - nearest)
    # No larger radius is safe, even slightly; nor is the case degenerate: both distances are positive and distinct.
    slightly = 1 + z3.RealVal("1/1000")
    refute(moved, *lengths, *inner, nearest > 0, second > nearest, 2 * rho <= slightly * (second - nearest))


def test_on_a_line_with_nothing_assumed():
    """The same for d = 1, every coordinate a free real."""
    x, y, u, v, t, rho = z3.Reals("x y u v t rho")
    distance = [z3.If(z - t >= 0, z - t, t - z) for z in (x, y)]
    small = (u <= rho, u >= -rho, v <= rho, v >= -rho, 2 * rho < distance[1] - distance[0])
    prove((x + u - t) ** 2 < (y + v - t) ** 2, *small)


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
    """K = 1: there is no candidate to hand over to, and the routed loss is the pointwise one."""
    action, target, peak = jnp.array([0.4, -0.3, 0.9]), jnp.array([-0.2, 0.1, 0.5]), jnp.zeros(3)
    routed = routed_loss(action[None], target, peak, 0.7, 1.5)
    assert float(routed) == pytest.approx(float(pointwise_loss(action, target, peak, 0.7, 1.5)), rel=1e-12)
