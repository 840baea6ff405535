"""Proposition 4.1: separated neighbourhoods avoid collapse.

Claim. p is a uniform mixture of M disjoint intervals of equal length l and equal weight; J(c) = E min_k (x - c_k)^2
with K = M prototypes. Every global minimiser has exactly one prototype in each interval, at its midpoint, and
J* = l^2 / 12.

What was found.

* The claim is truer than printed: with equal lengths and weights it needs no gap. Collapsing the gaps is 1-Lipschitz,
  so J(c) is at least the cost of the collapsed prototypes on the uniform distribution over [0, M l], which is at least
  l^2 / 12 with equality only at the cell midpoints. Each step is proved below; for M = 2 the whole claim, minimum and
  uniqueness, for every gap from 0 on and prototypes anywhere on the line, is proved in one query.
* The printed argument needs more than it says: it places every prototype inside an interval. One may lie in a gap and
  serve both sides; its step (ii) does not cover that. The checks here draw prototypes anywhere.
* Equal lengths, equal weights and K = M are each needed: see the named counterexamples at the end, found by the exact
  quantiser and by the solver. A gap does help where they fail: lengths 1 and 1/4 with a gap of 1/4 still get one each.
* A collapsed local minimum exists whatever the gap, so the claim says nothing about where gradient descent ends.
"""

import itertools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy
import z3
from hypothesis import given
from hypothesis import strategies as st

from drol.ops import losses, routing
from proofs_checks.quantiser import optimal, uniform_intervals
from proofs_checks.solver import clip, prove, refute

POINTS = 12
counts = pytest.mark.parametrize("m", [1, 2, 3, 5])

lengths = st.one_of(st.fractions(Fraction(1, 20), 3, max_denominator=20), st.just(Fraction(1, 1000)))
gap = st.one_of(st.just(Fraction(0)), st.fractions(0, 3, max_denominator=20), st.just(Fraction(1, 10**6)))


def equal_intervals(data, m, least=Fraction(0)):
    """The proposition's data: m intervals of one length, equal weights, random gaps of at least `least`."""
    length = data.draw(lengths)
    gaps = [least + data.draw(gap) for _ in range(m - 1)]
    return length, *uniform_intervals([length] * m, gaps, [Fraction(1, m)] * m, POINTS)


@jax.jit
def routed_cost(prototypes, points):
    """J(c) by the library's own routing, as the mean of its winner-only behaviour cloning over the points."""
    routes = jax.vmap(routing.route, in_axes=(None, 0))(prototypes[:, None], points[:, None])
    return losses.behaviour_cloning(prototypes[routes.winner][:, None], points[:, None]).mean()


def attained(length: Fraction) -> Fraction:
    """l^2 / 12 for the discretised intervals."""
    return length**2 / 12 * (1 - Fraction(1, POINTS**2))


def rounding(span: float) -> float:
    """What float64 can err by: squares of positions up to `span`, a few operations each."""
    return 1e-14 * span**2


# Layer 1: numeric, on the library's functions.


@counts
@given(data=st.data())
def test_no_placement_beats_one_prototype_per_interval(m, data):
    """Prototypes anywhere: inside intervals, in gaps, outside, on top of each other."""
    length, points, _, _ = equal_intervals(data, m)
    places = data.draw(st.lists(st.floats(-0.5, 1.5), min_size=m, max_size=m))
    span = float(points[-1])
    cost = routed_cost(jnp.array(places) * span, jnp.array(points, float))
    assert float(cost) >= float(attained(length)) - rounding(span)


@counts
@given(data=st.data())
def test_the_midpoints_attain_the_minimum_and_moving_any_costs_more(m, data):
    length, points, _, _ = equal_intervals(data, m)
    moves = data.draw(st.lists(st.floats(-0.3, 0.3), min_size=m, max_size=m))
    middles = jnp.array(points, float).reshape(m, POINTS).mean(axis=1)
    slack = rounding(float(points[-1]))
    at_middles = float(routed_cost(middles, jnp.array(points, float)))
    assert at_middles == pytest.approx(float(attained(length)), rel=1e-9, abs=slack)
    moved = float(routed_cost(middles + jnp.array(moves) * float(length), jnp.array(points, float)))
    assert moved >= at_middles - slack
    if max(map(abs, moves)) > 0.05:
        assert moved > at_middles + slack, "the minimiser is unique"


@pytest.mark.parametrize("m", [2, 3, 5])
@given(data=st.data())
def test_two_in_one_interval_and_none_in_another_is_never_optimal(m, data):
    """The collapsed configuration of the proposition, its survivors placed as well as they can be."""
    length, points, _, _ = equal_intervals(data, m, least=Fraction(1, 20))
    crowded, empty = data.draw(st.permutations(range(m)))[:2]
    own = [points[number * POINTS : (number + 1) * POINTS] for number in range(m)]
    pair = optimal(own[crowded], [Fraction(1, POINTS)] * POINTS, 2).prototypes
    others = [sum(own[number]) / POINTS for number in range(m) if number not in (crowded, empty)]
    collapsed = routed_cost(jnp.array([float(c) for c in (*pair, *others)]), jnp.array(points, float))
    assert float(collapsed) > float(attained(length)) + rounding(float(points[-1]))


# Layer 2: the exact reference.


@counts
@given(data=st.data())
def test_the_exact_quantiser_gives_each_interval_its_own_cell(m, data):
    """Global optimum by dynamic programming in rational arithmetic: equality, not approximation; gap 0 included."""
    length, points, weights, owners = equal_intervals(data, m)
    best = optimal(points, weights, m)
    assert best.cost == attained(length)
    owner = dict(zip(points, owners, strict=True))
    assert [{owner[x] for x in cell} for cell in best.cells] == [{number} for number in range(m)]
    assert list(best.prototypes) == [sum(points[i * POINTS : (i + 1) * POINTS]) / POINTS for i in range(m)]


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


# Layer 3, solver-proved over all reals: the shorter proof, step by step, and the whole claim for M = 2.


def intervals_of(length, gaps):
    """The end points of consecutive intervals."""
    start, ends = z3.RealVal(0), []
    for following in [*gaps, z3.RealVal(0)]:
        ends.append((start, start + length))
        start = start + length + following
    return ends


@pytest.mark.parametrize("m", [2, 3, 4])
def test_collapsing_the_gaps_never_lengthens_a_distance(m):
    """x -> M l mass[0, x] is monotone and 1-Lipschitz, so every squared distance, and J, can only shrink."""
    length, x, y = z3.Reals("l x y")
    gaps = [z3.Real(f"g_{i}") for i in range(m - 1)]

    def collapsed(x):
        return sum(clip(x - low, 0, length) for low, _ in intervals_of(length, gaps))

    positive = (length > 0, *(g >= 0 for g in gaps))
    prove(z3.And(collapsed(x) <= collapsed(y), collapsed(y) - collapsed(x) <= y - x), *positive, x <= y)


@pytest.mark.parametrize("m", [2, 3, 4])
def test_equal_cells_are_best_on_the_collapsed_interval(m):
    """Cells delta_i of [0, M l] cost sum delta_i^3 / (12 M l) >= l^2 / 12, with equality for delta_i = l alone."""
    length, cells = z3.Real("l"), [z3.Real(f"d_{i}") for i in range(m)]
    valid = (length > 0, *(cell >= 0 for cell in cells), z3.Sum(cells) == m * length)
    cubes = sum(cell**3 for cell in cells)
    prove(cubes >= m * length**3, *valid)
    prove(z3.And([cell == length for cell in cells]), *valid, cubes <= m * length**3)


def test_and_for_every_number_of_cells_at_once():
    """The tangent at delta = l: delta^3 - 3 l^2 delta + 2 l^3 = (delta - l)^2 (delta + 2 l), summed over cells."""
    cell = sympy.symbols("delta", positive=True)
    tangent = cell**3 - 3 * length**2 * cell + 2 * length**3
    assert sympy.expand(tangent - (cell - length) ** 2 * (cell + 2 * length)) == 0


def cost_of_two(first, second, gap, weight):
    """J for two prototypes, first <= second, on intervals of length 1 with weights `weight` and 1 - `weight`."""
    boundary, total = (first + second) / 2, 0
    for (low, high), mass in zip(intervals_of(1, [gap]), (weight, 1 - weight), strict=True):
        cut = clip(boundary, low, high)
        pieces = (cut - first) ** 3 - (low - first) ** 3 + (high - second) ** 3 - (cut - second) ** 3
        total += mass * pieces / 3
    return total


first, second, between, weight = z3.Reals("c_1 c_2 g w")
HALF, LEAST = z3.RealVal("1/2"), z3.RealVal("1/12")


def test_the_whole_claim_for_two_intervals_over_all_reals():
    """M = 2, any gap from 0 on, prototypes anywhere on the line: J >= l^2 / 12, attained at the midpoints alone."""
    cost = cost_of_two(first, second, between, HALF)
    prove(cost >= LEAST, between >= 0, first <= second)
    prove(z3.And(first == HALF, second == HALF + 1 + between), between >= 0, first <= second, cost <= LEAST)


def test_and_it_fails_for_unequal_weights():
    """The solver's own counterexample: some weights, a gap, and a crowded pair cheaper than the midpoints' l^2 / 12."""
    crowded = (between >= HALF, first <= second, second <= 1, weight > 0, weight < 1)
    model = refute(cost_of_two(first, second, between, weight) >= LEAST, *crowded)
    values = [model.eval(v, model_completion=True) for v in (first, second, between, weight)]
    cost = z3.simplify(cost_of_two(*values))
    assert z3.is_true(z3.simplify(cost < LEAST))


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
    found = [
        (short, gap)
        for short, gap in itertools.product((4, 10, 20), (4, 10, 20))
        if interval_counts([Fraction(1), Fraction(1, short)], [Fraction(1, gap)], [Fraction(1, 2)] * 2, 2) != [1, 1]
    ]
    assert (20, 20) in found
    assert (4, 4) not in found, "a gap of a quarter is wide enough for a neighbour of a quarter"


def test_counterexample_unequal_weights():
    """A gap of 0.1: from some weight on, the light interval is left to a prototype of the heavy one."""

    def counts_at(percent):
        masses = [1 - Fraction(percent, 100), Fraction(percent, 100)]
        return interval_counts([Fraction(1)] * 2, [Fraction(1, 10)], masses, 2)

    broken = [percent for percent in (1, 2, 5, 10, 20, 30, 40, 50) if counts_at(percent) != [1, 1]]
    assert 2 in broken
    assert 50 not in broken


def test_counterexample_fewer_prototypes_than_intervals():
    """K = M - 1: one prototype sits in the gap and serves both sides, inside none."""
    counts = interval_counts([Fraction(1)] * 2, [Fraction(1)], [Fraction(1, 2)] * 2, 1)
    assert counts == [0, 0]


def test_counterexample_more_prototypes_than_intervals():
    """K = M + 1: some interval holds two (no collapse in the sense of the claim, but not one each)."""
    assert sorted(interval_counts([Fraction(1)] * 3, [Fraction(1)] * 2, [Fraction(1, 3)] * 3, 4)) == [1, 1, 2]


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
