"""Straight interpolants, flow matching's errors, and Euler's method."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drol.ops import flow

RNG = np.random.default_rng(0)
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
