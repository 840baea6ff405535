"""Bellman targets, aggregation, best-of-N backup, target average."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drol.ops import bellman

Q = jnp.array([[1.0, 5.0, 2.0], [3.0, -1.0, 2.5]])


def test_aggregate():
    np.testing.assert_allclose(bellman.aggregate(Q, "mean"), [2.0, 2.0, 2.25])
    np.testing.assert_allclose(bellman.aggregate(Q, "min"), [1.0, -1.0, 2.0])


def test_mean_less_half_a_deviation_has_a_gradient_where_members_agree():
    """Of two members the deviation is half their distance; where they agree only the mean has a slope."""
    q_values = jnp.array([[1.0, 5.0, 2.0], [3.0, -1.0, 2.0]])
    np.testing.assert_allclose(bellman.aggregate(q_values, "mean-half-std"), [1.5, 0.5, 2.0], rtol=1e-5)
    gradient = jax.grad(lambda q: bellman.aggregate(q, "mean-half-std").sum())(q_values)
    np.testing.assert_allclose(gradient, [[0.75, 0.25, 0.5], [0.25, 0.75, 0.5]], rtol=1e-5)


@pytest.mark.parametrize("members", [2, 4, 10])
def test_mean_less_rho_deviations(members):
    """The population's deviation; rho = 0 is the mean, 1/2 its named form, and for two members 1 is the minimum."""
    q_values = jax.random.normal(jax.random.key(members), (members, 5))
    of = jax.jit(lambda q, rho: bellman.aggregate(q, "mean-std", rho))
    np.testing.assert_allclose(of(q_values, 0.0), q_values.mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(of(q_values, 0.5), bellman.aggregate(q_values, "mean-half-std"), rtol=1e-5, atol=1e-6)
    expected = np.mean(q_values, axis=0) - 1.7 * np.std(q_values, axis=0, ddof=0)
    np.testing.assert_allclose(of(q_values, 1.7), expected, rtol=1e-5, atol=1e-6)
    if members == 2:
        np.testing.assert_allclose(of(q_values, 1.0), q_values.min(axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("how", bellman.AGGREGATIONS)
def test_the_order_of_members_changes_nothing(how):
    q_values = jax.random.normal(jax.random.key(0), (4, 5))
    shuffled = q_values[jnp.array([2, 0, 3, 1])]
    np.testing.assert_allclose(bellman.aggregate(shuffled, how), bellman.aggregate(q_values, how), rtol=1e-6)


def test_members_that_agree_have_a_finite_gradient():
    gradient = jax.grad(lambda q: bellman.aggregate(q, "mean-std", 2.0).sum())(jnp.ones((10, 3)))
    np.testing.assert_allclose(gradient, 0.1)


def test_rows_of_weight_0_have_no_error():
    targets, weights = jnp.array([1.0, 5.0, 2.0]), jnp.array([0.0, 1.0, 1.0])
    assert float(bellman.bellman_error(Q, targets, weights)) == pytest.approx((36 + 0.25) / 6)


def test_target_stops_at_terminal_states_and_carries_no_gradient():
    target = bellman.bellman_target(jnp.array([1.0, 1.0]), jnp.array([1.0, 0.0]), jnp.array([10.0, 10.0]), 0.9)
    np.testing.assert_allclose(target, [10.0, 1.0])
    gradient = jax.grad(lambda q: bellman.bellman_target(jnp.ones(2), jnp.ones(2), q, 0.9).sum())(jnp.ones(2))
    np.testing.assert_array_equal(gradient, 0)
    of_discount = jax.grad(lambda discount: bellman.bellman_target(jnp.ones(2), jnp.ones(2), Q[0, :2], discount).sum())
    assert float(of_discount(0.9)) == pytest.approx(float(Q[0, :2].sum()))


def test_error_is_the_mean_over_batch_and_ensemble():
    assert float(bellman.bellman_error(Q, jnp.array([1.0, 5.0, 2.0]))) == pytest.approx((4 + 36 + 0.25) / 6)


def test_best_of_n_ranks_by_the_minimum_and_values_by_the_aggregation():
    # The minimum prefers the first sample, the mean and the maximum the second.
    q_values = jnp.array([[1.0, 6.0], [3.0, -1.0]])
    assert float(bellman.best_of_n(q_values, "min")) == 1.0
    assert float(bellman.best_of_n(q_values, "mean")) == 2.0
    assert float(bellman.best_of_n(Q[:, :1], "mean")) == 2.0


def test_target_average():
    np.testing.assert_allclose(bellman.target_average(jnp.array(1.0), jnp.array(3.0), 0.25), 1.5)
