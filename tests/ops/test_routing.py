"""Routing: named corner cases and diagnostics; invariants are in test_routing_properties.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drol.ops import routing

K, D = 6, 3
coordinates = st.floats(-1, 1, width=32)


def arrays(*shape):
    return st.lists(coordinates, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))).map(
        lambda values: np.array(values, np.float32).reshape(shape)
    )


centroid_divergence = jax.jit(routing.centroid_divergence)


def test_ties_go_to_the_lowest_index():
    candidates = jnp.array([[1.0], [0.5], [-0.5], [0.5]])
    result = routing.route(candidates, jnp.array([0.0]))
    assert int(result.winner) == 1
    assert float(result.margin) == 0.0


def test_a_single_candidate_wins_with_infinite_margin():
    result = routing.route(jnp.ones((1, 2)), jnp.zeros(2))
    assert int(result.winner) == 0
    assert np.isinf(result.margin)
    assert np.isinf(routing.safe_radius(jnp.ones((1, 2)), jnp.zeros(2)))


@given(arrays(K, D))
def test_pairwise_distance_is_that_of_all_pairs(candidates):
    squared = ((candidates[:, None].astype(np.float64) - candidates[None]) ** 2).sum(-1)
    expected = np.sqrt(squared.sum() / (K * (K - 1)) / D)
    divergence = centroid_divergence(candidates)
    assert float(routing.pairwise_distance(divergence, K)) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_a_collapsed_set_has_no_spread():
    assert float(routing.centroid_divergence(jnp.ones((4, 2)))) == 0
    assert float(routing.pairwise_distance(jnp.zeros(()), 1)) == 0


def test_probe_statistics():
    winners = jnp.array([0, 0, 2, 2])
    share = routing.winner_share(winners, 4)
    np.testing.assert_allclose(share, [0.5, 0, 0.5, 0])
    assert float(routing.winner_entropy(share)) == pytest.approx(np.log(2))
    assert float(routing.handoff_rate(winners, jnp.array([0, 1, 2, 3]))) == 0.5
