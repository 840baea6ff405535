"""Straight interpolants, flow matching's errors, and Euler's method."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from drol.ops import flow

RNG = np.random.default_rng(0)
reflect = jax.jit(lambda point, step: flow.reflect(point, step, 1.5))
START, END = RNG.normal(size=(2, 5, 3)).astype(np.float32)


def test_interpolation_is_the_straight_line_from_start_to_end():
    times = np.float32([[0.0], [1.0], [0.25], [0.5], [0.75]])
    points = flow.interpolate(jnp.asarray(START), jnp.asarray(END), jnp.asarray(times))
    np.testing.assert_array_equal(points[:2], [START[0], END[1]])
    np.testing.assert_allclose(points, START + times * (END - START), rtol=1e-5, atol=1e-6)


def test_matching_errors_are_squared_distances_to_the_straight_velocity_per_dimension():
    times = RNG.uniform(size=(5, 1)).astype(np.float32)
    errors = flow.matching_errors(lambda x, t: 2 * x + t, jnp.asarray(START), jnp.asarray(END), jnp.asarray(times))
    predicted = 2 * ((1 - times) * START + times * END) + times
    np.testing.assert_allclose(errors, np.square(predicted - (END - START)).sum(axis=-1) / 3, rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 3, 10])
def test_euler_grows_by_one_plus_one_over_n_per_step(steps):
    """dx/dt = x, and dx/dt = t, whose steps see the times 0, 1/n, ..., (n - 1)/n."""
    start = jnp.asarray(START)
    np.testing.assert_allclose(flow.euler(lambda x, t: x, start, steps), START * (1 + 1 / steps) ** steps, rtol=1e-5)
    drift = flow.euler(lambda x, t: jnp.full_like(x, t), jnp.zeros_like(start), steps)
    np.testing.assert_allclose(drift, (steps - 1) / (2 * steps), rtol=1e-5)


def test_euler_is_exact_for_a_constant_field():
    """Eight steps of numbers that binary fractions hold."""
    start, velocity = jnp.array([[0.5, -2.0]]), jnp.array([[0.75, 3.0]])
    np.testing.assert_array_equal(flow.euler(lambda x, t: velocity, start, 8), start + velocity)


@pytest.mark.parametrize("dim", [1, 2, 5])
@given(data=st.data())
def test_whoever_starts_in_the_ball_stays_in_it(dim, data):
    """Points up to the surface, steps of any length and direction."""
    numbers = st.floats(-50, 50, width=32)
    rows = hnp.arrays(np.float32, (8, dim), elements=numbers)
    point, step = data.draw(rows), data.draw(rows)
    length = np.linalg.norm(point, axis=-1, keepdims=True)
    point = point * np.minimum(1, 1.5 / np.maximum(length, 1e-6)).astype(np.float32)
    after = np.asarray(reflect(point, step))
    assert (np.linalg.norm(after, axis=-1) <= 1.5 * (1 + 1e-5)).all()
    inside = np.linalg.norm(point + step, axis=-1) < 1.5 * (1 - 1e-5)
    # XLA takes subnormal numbers for zero.
    np.testing.assert_allclose(after[inside], (point + step)[inside], rtol=0, atol=1e-37)


def test_a_reflected_step_loses_what_leads_outward_and_nothing_else():
    """From (0.9, 0) by (0.3, 0.5) to y = (1.2, 0.5), |y| = 1.3: what is left is 0.9 * 1.2 / 1.69 of y."""
    after = flow.reflect(jnp.array([0.9, 0.0]), jnp.array([0.3, 0.5]), 1.0)
    np.testing.assert_allclose(after, 0.9 * 1.2 / 1.69 * np.array([1.2, 0.5]), rtol=1e-6)
    lost = np.array([1.2, 0.5]) - after
    np.testing.assert_allclose(lost[0] * 0.5 - lost[1] * 1.2, 0, atol=1e-6)


def test_the_gradient_of_a_reflection_is_finite_at_the_centre():
    gradient = jax.grad(lambda point, step: flow.reflect(point, step, 1.0).sum(), argnums=(0, 1))
    for slope in gradient(jnp.zeros(3), jnp.zeros(3)):
        np.testing.assert_array_equal(slope, 1)


def test_a_reflected_flow_follows_eulers_steps_inside_and_the_surface_outside():
    """A constant velocity from the centre: out along it, and no further than the last step that stays inside."""
    start, velocity = jnp.zeros((1, 2)), jnp.array([[3.0, 0.0]])
    ends = [flow.reflected_euler(lambda x, t: velocity, start, 10, radius) for radius in (4.0, 1.0)]
    np.testing.assert_allclose(ends[0], [[3.0, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(ends[1], [[0.9, 0.0]], rtol=1e-6)
    drift = flow.reflected_euler(lambda x, t: jnp.full_like(x, t), start, 10, 4.0)
    np.testing.assert_allclose(drift, 0.45, rtol=1e-5)


def test_nothing_is_clipped_on_the_way():
    """Out to 5 and back again: a clip anywhere would end elsewhere."""
    end = flow.euler(lambda x, t: jnp.full_like(x, 10.0 if t < 0.5 else -10.0), jnp.zeros((1, 1)), 4)
    np.testing.assert_array_equal(end, 0)
    np.testing.assert_array_equal(flow.euler(lambda x, t: 4 + 0 * x, jnp.zeros((1, 1)), 4), 4)


def mean_flow(field, times, limit=100.0):
    return flow.mean_flow_errors(field, jnp.asarray(END), jnp.asarray(START), times, limit=limit)


def test_the_mean_flow_to_a_single_action_has_no_error():
    """All velocities from x at time t to a are (x - a) / t, and so is their mean: g(x, t) = x - (x - a) / t."""
    times = jnp.asarray(RNG.uniform(0.1, 1, size=(5, 1)), jnp.float32)
    exact = mean_flow(lambda x, t: x - (x - END) / t, times)
    np.testing.assert_allclose(exact, 0, atol=1e-6)
    np.testing.assert_allclose(mean_flow(lambda x, t: x - (x - END) / t + 0.5, times), 0.25, rtol=1e-3)
    assert (mean_flow(lambda x, t: x - (x - END) / t + 0.5 * t, times) > 0.05).all()


def test_the_target_of_a_mean_flow_is_a_clipped_constant():
    """For g(x, t) = s x the derivative along the line is s (e - a); the slope in s is the prediction's alone."""
    times = RNG.uniform(size=(5, 1)).astype(np.float32)
    points, velocity = (1 - times) * END + times * START, START - END
    target = np.clip(points + (times - 1) * velocity - times * 2 * velocity, -1, 1)
    assert 0 < np.mean(np.abs(target) == 1) < 1

    def error(s):
        return mean_flow(lambda x, t: s * x, jnp.asarray(times), limit=1.0).sum()

    np.testing.assert_allclose(error(2.0), np.square(2 * points - target).sum() / 3, rtol=1e-5)
    np.testing.assert_allclose(jax.grad(error)(2.0), (2 * (2 * points - target) * points).sum() / 3, rtol=1e-5)
