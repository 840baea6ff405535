"""Proposition 4.1: separated neighbourhoods avoid collapse.

Claim. p is a uniform mixture of M disjoint intervals of equal length l and equal weight; J(c) = E min_k (x - c_k)^2
with K = M prototypes. Every global minimiser has exactly one prototype in each interval, at its midpoint, and
J* = l^2 / 12.

What was found.

* The claim is truer than printed: with equal lengths and weights it needs no gap. Collapsing the gaps is 1-Lipschitz,
  so J(c) is at least the cost of the collapsed prototypes on the uniform distribution over [0, M l], which is at least
  l^2 / 12 with equality only at the cell midpoints. Touching intervals (gap 0) are checked below.
* The printed argument needs more than it says: it places every prototype inside an interval. One may lie in a gap and
  serve both sides; its step (ii) does not cover that. The checks here draw prototypes anywhere.
* Equal lengths, equal weights and K = M are each needed: see the named counterexamples at the end, found by the exact
  quantiser.
"""

import itertools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from drol.ops import losses, routing
from proofs_checks.quantiser import optimal, uniform_intervals

M, POINTS = 3, 12
EQUAL = [Fraction(1, M)] * M

rationals = st.fractions(Fraction(1, 20), 3, max_denominator=20)
gap_lists = st.lists(st.one_of(st.just(Fraction(0)), rationals), min_size=M - 1, max_size=M - 1)


@jax.jit
def routed_cost(prototypes, points):
    """J(c) by the library's own routing, as the mean of its winner-only behaviour cloning over the points."""
    routes = jax.vmap(routing.route, in_axes=(None, 0))(prototypes[:, None], points[:, None])
    return losses.behaviour_cloning(prototypes[routes.winner][:, None], points[:, None]).mean()


def attained(length: Fraction) -> Fraction:
    """l^2 / 12 for the discretised intervals."""
    return length**2 / 12 * (1 - Fraction(1, POINTS**2))


# Layer 1: numeric, on the library's functions.


@given(rationals, gap_lists, st.lists(st.floats(-0.5, 1.5), min_size=M, max_size=M))
def test_no_placement_beats_one_prototype_per_interval(length, gaps, places):
    """Prototypes anywhere: inside intervals, in gaps, outside, on top of each other."""
    points, _, _ = uniform_intervals([length] * M, gaps, EQUAL, POINTS)
    span = float(points[-1])
    cost = routed_cost(jnp.array(places) * span, jnp.array(points, float))
    assert float(cost) >= float(attained(length)) * (1 - 1e-12)


@given(rationals, gap_lists, st.lists(st.floats(-0.3, 0.3), min_size=M, max_size=M))
def test_the_midpoints_attain_the_minimum_and_moving_any_costs_more(length, gaps, moves):
    points, _, _ = uniform_intervals([length] * M, gaps, EQUAL, POINTS)
    middles = jnp.array(points, float).reshape(M, POINTS).mean(axis=1)
    at_middles = float(routed_cost(middles, jnp.array(points, float)))
    assert at_middles == pytest.approx(float(attained(length)), rel=1e-9)
    moved = float(routed_cost(middles + jnp.array(moves) * float(length), jnp.array(points, float)))
    assert moved >= at_middles * (1 - 1e-12)


@given(rationals, gap_lists, st.integers(0, M - 1))
def test_two_in_one_interval_and_none_in_another_is_never_optimal(length, gaps, empty):
    """The collapsed configuration of the proposition, its survivors placed as well as they can be."""
    gaps = [gap + Fraction(1, 20) for gap in gaps]
    points, _, owners = uniform_intervals([length] * M, gaps, EQUAL, POINTS)
    crowded = (empty + 1) % M
    own = [[p for p, o in zip(points, owners, strict=True) if o == number] for number in range(M)]
    pair = optimal(own[crowded], [Fraction(1, POINTS)] * POINTS, 2).prototypes
    other = sum(own[3 - empty - crowded]) / POINTS
    collapsed = routed_cost(jnp.array([*map(float, pair), float(other)]), jnp.array(points, float))
    assert float(collapsed) > float(attained(length))


# Layer 2: the exact reference.


@given(rationals, gap_lists)
def test_the_exact_quantiser_gives_each_interval_its_own_cell(length, gaps):
    """Global optimum by dynamic programming in rational arithmetic: equality, not approximation; gap 0 included."""
    points, weights, owners = uniform_intervals([length] * M, gaps, EQUAL, POINTS)
    best = optimal(points, weights, M)
    assert best.cost == attained(length)
    owner = dict(zip(points, owners, strict=True))
    assert [{owner[x] for x in cell} for cell in best.cells] == [{number} for number in range(M)]


def test_the_library_and_the_exact_quantiser_agree_on_costs():
    points, weights, _ = uniform_intervals(
        [Fraction(1), Fraction(1, 2)], [Fraction(1, 3)], [Fraction(1, 2)] * 2, POINTS
    )
    for count in (1, 2, 3, 5):
        best = optimal(points, weights, count)
        cost = routed_cost(jnp.array([float(c) for c in best.prototypes]), jnp.array(points, float))
        assert float(cost) == pytest.approx(float(best.cost), rel=1e-12)


def test_the_exact_quantiser_against_brute_force():
    """All cuts tried one by one."""
    points, weights, _ = uniform_intervals(
        [Fraction(1), Fraction(2)], [Fraction(1)], [Fraction(1, 3), Fraction(2, 3)], 4
    )

    def cost(cut):
        total = Fraction(0)
        for i, j in itertools.pairwise((0, *cut, len(points))):
            mass = sum(weights[i:j])
            mean = sum(w * x for w, x in zip(weights[i:j], points[i:j], strict=True)) / mass
            total += sum(w * (x - mean) ** 2 for w, x in zip(weights[i:j], points[i:j], strict=True))
        return total

    brute = min(cost(cut) for cut in itertools.combinations(range(1, len(points)), 2))
    assert optimal(points, weights, 3).cost == brute


# Layer 3: symbolic. The printed argument's inequalities, and the shorter proof.

length, D, r, m = sympy.symbols("l D r M", positive=True)


def served_by(count):
    """D_r = l^2 / (12 M r^2): the least cost of an interval served by r prototypes."""
    return length**2 / (12 * m * count**2)


def test_equal_cells_are_best_within_an_interval():
    """sum of delta_i^3 / (12 l M) over cells with sum delta_i = l is least for equal cells: D_r (Jensen)."""
    a, b = sympy.symbols("a b", positive=True)
    # Two cells: the excess over equal cells is a perfect square times a positive factor.
    excess = sympy.factor(a**3 + b**3 - 2 * ((a + b) / 2) ** 3)
    assert sympy.simplify(excess - sympy.Rational(3, 4) * (a + b) * (a - b) ** 2) == 0
    assert sympy.simplify(r * (length / r) ** 3 / (12 * length * m) - served_by(r)) == 0


def test_the_printed_threshold_is_seven_forty_eighths():
    """Moving one of r >= 2 changes J by at most l^2/(12M) + D_{r-1} - D_r - D^2/M, negative past 7 l^2/48."""
    change = length**2 / (12 * m) + served_by(r - 1) - served_by(r) - D**2 / m
    worst = change.subs(r, 2)
    assert sympy.simplify(worst - (sympy.Rational(7, 48) * length**2 - D**2) / m) == 0
    # r = 2 is the worst case: D_{r-1} - D_r falls with r.
    difference = sympy.factor(served_by(r - 1) - served_by(r) - (served_by(r) - served_by(r + 1)))
    numerator = sympy.numer(sympy.together(difference.subs(r, r + 2)))
    assert all(coefficient > 0 for coefficient in sympy.Poly(sympy.expand(numerator / length**2), r).coeffs())


def test_collapsing_the_gaps_never_lengthens_a_distance():
    """The shorter proof: x -> (mass of [0, x]) M l is 1-Lipschitz, so squared distances can only shrink."""
    points, _, _ = uniform_intervals([Fraction(1)] * 3, [Fraction(1, 2), Fraction(2)], EQUAL, 5)
    collapsed, _, _ = uniform_intervals([Fraction(1)] * 3, [Fraction(0)] * 2, EQUAL, 5)
    for i in range(15):
        for j in range(15):
            assert abs(collapsed[i] - collapsed[j]) <= abs(points[i] - points[j])
    assert optimal(collapsed, [Fraction(1, 15)] * 15, 3).cost == Fraction(1, 12) * (1 - Fraction(1, 25))


# Necessity: what breaks without each assumption. All found by searching small cases with the exact quantiser.


def interval_counts(lengths, gaps, masses, count, points=POINTS):
    """How many optimal prototypes lie inside each interval, and whether one lies in a gap."""
    positions, weights, _ = uniform_intervals(lengths, gaps, masses, points)
    ends, start = [], Fraction(0)
    for number, length in enumerate(lengths):
        ends.append((start, start + length))
        start += length + (gaps[number] if number < len(gaps) else 0)
    prototypes = optimal(positions, weights, count).prototypes
    return [sum(low <= c <= high for c in prototypes) for low, high in ends]


def test_counterexample_unequal_lengths():
    """Lengths 1 and 1/20, a gap of 1/20: the long interval takes both prototypes, the short one goes without."""
    search = [
        (Fraction(1, s), Fraction(1, g))
        for s in (4, 10, 20)
        for g in (4, 10, 20)
        if interval_counts([Fraction(1), Fraction(1, s)], [Fraction(1, g)], [Fraction(1, 2)] * 2, 2) != [1, 1]
    ]
    assert (Fraction(1, 20), Fraction(1, 20)) in search


def test_counterexample_unequal_weights():
    """Weights 0.98 and 0.02: the light interval is left to a prototype of the heavy one."""
    masses = [Fraction(98, 100), Fraction(2, 100)]
    assert interval_counts([Fraction(1)] * 2, [Fraction(1, 10)], masses, 2) != [1, 1]
    assert interval_counts([Fraction(1)] * 2, [Fraction(1, 10)], [Fraction(1, 2)] * 2, 2) == [1, 1]


def test_counterexample_fewer_prototypes_than_intervals():
    """K = M - 1: one prototype sits in the gap and serves both sides, inside none."""
    counts = interval_counts([Fraction(1)] * 2, [Fraction(1)], [Fraction(1, 2)] * 2, 1)
    assert counts == [0, 0]


def test_counterexample_more_prototypes_than_intervals():
    """K = M + 1: some interval holds two (no collapse in the sense of the claim, but not one each)."""
    assert sorted(interval_counts([Fraction(1)] * 3, [Fraction(1)] * 2, EQUAL, 4)) == [1, 1, 2]


def test_a_local_minimum_can_be_collapsed():
    """The claim is about global minimisers: gradient descent on J from a crowded start can stay crowded."""
    points = jnp.array(uniform_intervals([Fraction(1)] * 2, [Fraction(20)], [Fraction(1, 2)] * 2, POINTS)[0], float)
    middles = points.reshape(2, POINTS).mean(axis=1)
    # Both prototypes at the far left: one is pulled between the intervals and serves all, the other starves.
    crowded = jnp.array([-40.0, 0.5])
    gradient = jax.grad(lambda c: routed_cost(c, points))(crowded)
    assert float(gradient[0]) == 0, "the starving prototype feels nothing"
    assert float(routed_cost(crowded, points)) > float(routed_cost(middles, points))
    np.testing.assert_array_less(0, np.abs(float(gradient[1])))
