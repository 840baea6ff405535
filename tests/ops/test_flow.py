"""Straight interpolants, flow matching's errors, and Euler's method."""

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
