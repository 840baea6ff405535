"""Routing: winners, margins, cells, bisectors, diagnostics."""

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


route = jax.jit(routing.route)
in_cells = jax.jit(jax.vmap(routing.in_cell, in_axes=(None, None, 0)))
safe_radius = jax.jit(routing.safe_radius)
centroid_divergence = jax.jit(routing.centroid_divergence)


@given(arrays(K, D), arrays(D))
def test_winner_is_the_first_nearest(candidates, action):
    result = route(candidates, action)
    distances = np.array([np.sum((c - action) ** 2, dtype=np.float32) for c in candidates])
    assert result.squared_distance == pytest.approx(distances.min(), rel=1e-6, abs=1e-12)
    assert distances[result.winner] <= distances.min() * (1 + 1e-6)
    assert result.margin >= 0
    others = np.delete(distances, result.winner)
    assert result.margin == pytest.approx(others.min() - distances.min(), abs=1e-5)


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


@given(arrays(K, D), arrays(D))
def test_cells_cover_the_space_and_agree_with_the_winner(candidates, point):
    members = in_cells(point, candidates, jnp.arange(K))
    assert members.any()
    assert members[route(candidates, point).winner]


@given(arrays(2, D), arrays(D))
def test_the_bisector_separates_two_candidates(pair, point):
    first, second = pair
    normal, offset = routing.bisector(jnp.asarray(first), jnp.asarray(second))
    side = float(jnp.float32(normal @ point) - offset)
    difference = float(np.sum((point - first) ** 2) - np.sum((point - second) ** 2))
    assert side == pytest.approx(difference, abs=1e-5)


@given(arrays(K, D), arrays(D), arrays(K, D))
def test_the_winner_survives_moves_within_the_safe_radius(candidates, action, moves):
    radius = float(safe_radius(candidates, action))
    lengths = np.maximum(np.linalg.norm(moves, axis=-1, keepdims=True), 1e-9)
    moved = candidates + moves / lengths * radius * 0.99
    if radius > 1e-4:
        assert route(moved, action).winner == route(candidates, action).winner


def test_just_beyond_the_safe_radius_the_winner_can_change():
    candidates, action = jnp.array([[0.2], [-0.6]]), jnp.array([0.0])
    radius = routing.safe_radius(candidates, action)
    assert float(radius) == pytest.approx(0.2)
    towards = jnp.array([[1.0], [1.0]]) * (radius + 1e-3)
    assert routing.route(candidates + towards, action).winner != routing.route(candidates, action).winner


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
