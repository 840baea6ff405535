"""Invariants of routing, checked without tolerance.

Coordinates are multiples of 1/16 between -1 and 1: sums, differences and squares of them are exact in float32, so
equality means equality, and ties, duplicates and points on a boundary come up all the time instead of never.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drol.ops import routing

# One compilation each; a single candidate and a single dimension among them.
SHAPES = [(1, 1), (2, 1), (3, 2), (8, 5), (16, 3)]
shapes = pytest.mark.parametrize(("count", "dim"), SHAPES)

route = jax.jit(routing.route)
radius = jax.jit(routing.safe_radius)
bisector = jax.jit(routing.bisector)
squared_distances = jax.jit(routing.squared_distances)
divergence = jax.jit(routing.centroid_divergence)


@jax.jit
def cells(point, candidates):
    """Membership of the point in every candidate's closed cell."""
    indices = jnp.arange(candidates.shape[0])
    return jax.vmap(routing.in_cell, in_axes=(None, None, 0))(point, candidates, indices)


def grid(data, *shape):
    """An exact array."""
    steps = st.integers(-16, 16)
    values = data.draw(st.lists(steps, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    return jnp.array(np.array(values, np.float32).reshape(shape) / 16)


def scene(data, count, dim):
    """Candidates and an action; in half of the cases the last candidate ties with another one, or repeats it."""
    candidates, action = grid(data, count, dim), grid(data, dim)
    if count > 1 and data.draw(st.booleans()):
        other = candidates[data.draw(st.integers(0, count - 2))]
        # Either sign: the mirror image in the action is as far away.
        candidates = candidates.at[-1].set(action + data.draw(st.sampled_from([-1.0, 1.0])) * (other - action))
    return candidates, action


def oracle(candidates, action):
    """Squared distances in integers: no rounding anywhere."""
    whole = np.rint(16 * np.asarray(candidates)).astype(int) - np.rint(16 * np.asarray(action)).astype(int)
    return (whole**2).sum(axis=-1)


@shapes
@given(data=st.data())
def test_route_is_that_of_integer_arithmetic(count, dim, data):
    """The first of the nearest; its squared distance; the distance to the runner-up, all exactly."""
    candidates, action = scene(data, count, dim)
    distances = oracle(candidates, action)
    result = route(candidates, action)
    np.testing.assert_array_equal(squared_distances(candidates, action), distances / 256)
    assert int(result.winner) == int(np.argmin(distances))
    assert float(result.squared_distance) == distances.min() / 256
    others = np.delete(distances, result.winner)
    assert float(result.margin) == ((others.min() - distances.min()) / 256 if count > 1 else np.inf)


@shapes
@given(data=st.data())
def test_cells_are_a_partition(count, dim, data):
    """Every point is in the winner's cell; it is in a second cell exactly when the margin is zero."""
    candidates, point = scene(data, count, dim)
    result = route(candidates, point)
    members = np.asarray(cells(point, candidates))
    assert members[int(result.winner)]
    assert (members.sum() > 1) == (float(result.margin) == 0)
    np.testing.assert_array_equal(members, oracle(candidates, point) == oracle(candidates, point).min())


@shapes
@given(data=st.data())
def test_a_cell_is_the_intersection_of_half_spaces(count, dim, data):
    candidates, point = scene(data, count, dim)
    members = np.asarray(cells(point, candidates))
    for i in range(count):
        sides = [bisector(candidates[i], candidates[j]) for j in range(count) if j != i]
        assert members[i] == all(float(normal @ point) <= float(offset) for normal, offset in sides)


@given(data=st.data())
def test_the_bisector_is_where_two_candidates_tie(data):
    """normal @ x - offset is the difference of the two squared distances, so its sign tells the nearer."""
    first, second, point = grid(data, 3), grid(data, 3), grid(data, 3)
    normal, offset = bisector(first, second)
    distances = oracle(jnp.stack([first, second]), point) / 256
    assert float(normal @ point - offset) == distances[0] - distances[1]
    middle = (first + second) / 2
    assert float(normal @ middle - offset) == 0
    reverse_normal, reverse_offset = bisector(second, first)
    np.testing.assert_array_equal(reverse_normal, -normal)
    assert reverse_offset == -offset


@shapes
@given(data=st.data())
def test_permuting_candidates_permutes_the_winner(count, dim, data):
    candidates, action = scene(data, count, dim)
    order = jnp.array(data.draw(st.permutations(range(count))))
    before, after = route(candidates, action), route(candidates[order], action)
    assert after.squared_distance == before.squared_distance
    assert after.margin == before.margin
    nearest = oracle(candidates, action)[np.asarray(order)]
    assert int(after.winner) == int(np.argmin(nearest)), "the winner, or the first of those that tie"
    np.testing.assert_array_equal(cells(action, candidates[order]), cells(action, candidates)[order])


@shapes
@given(data=st.data())
def test_isometries_change_nothing(count, dim, data):
    """Translation of everything, and every signed permutation of the axes: exact on the grid."""
    candidates, action = scene(data, count, dim)
    shift = 4 * grid(data, dim)
    axes = jnp.array(data.draw(st.permutations(range(dim))))
    signs = jnp.array(data.draw(st.lists(st.sampled_from([-1.0, 1.0]), min_size=dim, max_size=dim)))
    before = route(candidates, action)
    for move in (lambda x: x + shift, lambda x: x[..., axes] * signs):
        after = route(move(candidates), move(action))
        assert (after.winner, after.squared_distance, after.margin) == tuple(before)
    assert float(divergence(candidates + shift)) == pytest.approx(float(divergence(candidates)), rel=1e-5, abs=1e-6)


@shapes
@given(data=st.data())
def test_scaling_scales(count, dim, data):
    """A power of two is exact: same winner, margin times its square, radius times it."""
    candidates, action = scene(data, count, dim)
    before, after = route(candidates, action), route(4 * candidates, 4 * action)
    assert after.winner == before.winner
    assert float(after.margin) == 16 * float(before.margin)
    assert float(radius(4 * candidates, 4 * action)) == pytest.approx(4 * float(radius(candidates, action)), rel=1e-5)


@pytest.mark.parametrize(("count", "dim"), [(1, 1), (2, 1), (8, 5)])
@given(data=st.data())
def test_a_growing_set_never_does_worse(count, dim, data):
    """One more candidate: the squared distance cannot grow, and the winner stays unless the newcomer is nearer."""
    candidates, action = scene(data, count, dim)
    newcomer = grid(data, 1, dim)
    before, after = route(candidates, action), route(jnp.concatenate([candidates, newcomer]), action)
    assert float(after.squared_distance) <= float(before.squared_distance)
    own = float(squared_distances(newcomer, action)[0])
    if own < float(before.squared_distance):
        assert int(after.winner) == count
        assert float(after.margin) == float(before.squared_distance) - own
    else:
        assert after.winner == before.winner, "ties stay with the lowest index"
        assert float(after.margin) == min(float(before.margin), own - float(before.squared_distance))


@shapes
@given(data=st.data())
def test_the_winner_survives_any_move_within_the_radius(count, dim, data):
    """All candidates move at once, each by less than (d_2 - d_1) / 2, the worst direction included (section C.2)."""
    candidates, action = scene(data, count, dim)
    result, reach = route(candidates, action), float(radius(candidates, action))
    if count == 1:
        assert reach == np.inf
        return
    distances = np.sqrt(np.sort(oracle(candidates, action)) / 256)
    assert reach == pytest.approx((distances[1] - distances[0]) / 2, rel=1e-5, abs=1e-6)
    outward = np.asarray(candidates - action, np.float64)
    lengths = np.linalg.norm(outward, axis=-1, keepdims=True)
    outward = np.where(lengths > 0, outward / np.where(lengths > 0, lengths, 1), np.eye(dim)[0])
    worst = np.where(np.arange(count)[:, None] == int(result.winner), outward, -outward)
    anywhere = np.asarray(grid(data, count, dim)) / np.sqrt(dim)
    # Positions carry a rounding of 2^-23 each; below that no radius means anything.
    for direction in (worst, anywhere):
        moved = np.asarray(candidates, np.float64) + direction * (reach * (1 - 1e-3) - 1e-6)
        if reach > 1e-4:
            assert route(jnp.array(moved, jnp.float32), action).winner == result.winner
    beyond = jnp.array(np.asarray(candidates, np.float64) + worst * (reach * (1 + 1e-3) + 1e-5), jnp.float32)
    if distances[0] > 0:
        assert route(beyond, action).winner != result.winner, "no larger radius is safe"


@pytest.mark.parametrize("count", [2, 5])
def test_duplicates_share_a_cell_and_the_first_wins(count):
    candidates = jnp.full((count, 3), 0.25)
    result = route(candidates, jnp.zeros(3))
    assert int(result.winner) == 0
    assert float(result.margin) == 0
    assert float(radius(candidates, jnp.zeros(3))) == 0
    assert bool(cells(jnp.zeros(3), candidates).all())


def test_the_gradient_of_the_routed_distance_reaches_the_winner_alone():
    """Also at an exact tie, where a minimum over candidates would split it in two."""
    candidates = jnp.array([[1.0, 0.0], [0.0, 1.0], [-2.0, 0.0]])
    gradient = jax.grad(lambda c: routing.route(c, jnp.zeros(2)).squared_distance)(candidates)
    np.testing.assert_array_equal(gradient, [[2.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
