"""Proposition 4.1: separated neighbourhoods avoid collapse.

Claim. p is a uniform mixture of M disjoint intervals of equal length l and equal weight; J(c) = E min_k (x - c_k)^2
with K = M prototypes. Every global minimiser has exactly one prototype in each interval, at its midpoint, and
J* = l^2 / 12.

Findings.

* The claim holds more widely than printed: with equal lengths and weights it needs no gap. Collapsing the gaps is
  1-Lipschitz, so J(c) is at least the cost of the collapsed prototypes on the uniform distribution over [0, M l]. There
  a cell of length delta costs at least delta^3 / 12, and the cells add up to M l, so J(c) >= l^2 / 12. The collapse is
  proved below for M = 2, 3, 4, the two bounds for every M. For M = 2 (and l = 1, which a change of units allows) the
  whole claim, minimum and uniqueness, is proved in one query, for every gap >= 0 and prototypes anywhere on the line.
* The printed argument assumes more than it says: it places every prototype inside an interval. One may lie in a gap and
  serve both sides, which its step (ii) does not cover. The checks here draw prototypes anywhere.
* Equal lengths, equal weights and K = M are each needed: see the named counterexamples at the end, found by the exact
  quantiser and by the solver. A gap does help where they fail: lengths 1 and 1/4 get one prototype each, off their
  midpoints with a gap of 1/4 and at the midpoints with a gap of 1.
* A prototype that wins nothing stays where it is: a local minimum with one unused prototype exists for both a small and
  a wide gap, so the claim says nothing about where gradient descent ends.
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
from proofs_checks.quantiser import optimal, uniform_intervals, within_parts
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
    """The rounding error of float64: squares of positions up to `span`, a few operations each."""
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
    """The collapsed configuration of the proposition: two anywhere inside one interval, the others at midpoints."""
    length, points, _, _ = equal_intervals(data, m, least=Fraction(1, 20))
    crowded, empty = data.draw(st.permutations(range(m)))[:2]
    own = [points[number * POINTS : (number + 1) * POINTS] for number in range(m)]
    pair = [float(own[crowded][0] + data.draw(st.fractions(0, 1)) * length) for _ in range(2)]
    others = [float(sum(own[number]) / POINTS) for number in range(m) if number not in (crowded, empty)]
    collapsed = routed_cost(jnp.array([*pair, *others]), jnp.array(points, float))
    assert float(collapsed) > float(attained(length)) + rounding(float(points[-1]))


# Layer 2: the exact reference.


@counts
@given(data=st.data())
def test_the_exact_quantiser_gives_each_interval_its_own_cell(m, data):
    """Global optimum by dynamic programming in rational arithmetic: equality, not approximation; gap 0 included."""
    length, points, weights, owners = equal_intervals(data, m)
    best = optimal(points, weights, m)
    assert best.cost == attained(length)
    assert best.cost + within_parts([length] * m, [Fraction(1, m)] * m, POINTS) == length**2 / 12
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
    """Two cells of one interval: evening them out saves 3/4 (a + b) (a - b)^2; r equal cells cost D_r."""
    a, b = sympy.symbols("a b", positive=True)
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


def test_a_cell_costs_at_least_its_length_cubed():
    """The integral of (x - c)^2 over a cell of length delta is delta^3 / 12 + delta (c - middle)^2."""
    x, c, middle, cell = sympy.symbols("x c m delta", real=True)
    integral = sympy.integrate((x - c) ** 2, (x, middle - cell / 2, middle + cell / 2))
    assert sympy.expand(integral - cell**3 / 12 - cell * (c - middle) ** 2) == 0


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


def placement(lengths, gaps, masses, count):
    """How many optimal prototypes lie inside each interval, how many in gaps, and whether they beat the midpoints.

    Optimal among cells that end on the 12-point grid; the comparison with one prototype at each midpoint is exact for
    the continuous mixture, so a placement that beats them refutes the claim.
    """
    positions, weights, _ = uniform_intervals(lengths, gaps, masses, POINTS)
    ends, start = [], Fraction(0)
    for number, length in enumerate(lengths):
        ends.append((start, start + length))
        start += length + (gaps[number] if number < len(gaps) else 0)
    best = optimal(positions, weights, count)
    inside = [sum(low <= c <= high for c in best.prototypes) for low, high in ends]
    midpoints = sum(mass * length**2 / 12 for length, mass in zip(lengths, masses, strict=True))
    return inside, count - sum(inside), best.cost + within_parts(lengths, masses, POINTS) < midpoints


def test_counterexample_unequal_lengths():
    """Lengths 1 and 1/20, a gap of 1/20: one prototype for most of the long interval, the other in the gap for both."""

    def with_short(short, gap):
        return placement([Fraction(1), Fraction(1, short)], [Fraction(1, gap)], [Fraction(1, 2)] * 2, 2)

    found = [case for case in itertools.product((4, 10, 20), (4, 10, 20)) if with_short(*case)[2]]
    assert (20, 20) in found
    assert with_short(20, 20) == ([1, 0], 1, True)
    assert with_short(4, 4) == ([1, 1], 0, True), "one each, but not at the midpoints"
    assert with_short(4, 1) == ([1, 1], 0, False), "a wide gap restores it"


def test_counterexample_unequal_weights():
    """A gap of 0.1: at 10 % the lighter interval shares a prototype in the gap, at 2 % the heavier one has both."""

    def with_lighter(percent):
        masses = [1 - Fraction(percent, 100), Fraction(percent, 100)]
        return placement([Fraction(1)] * 2, [Fraction(1, 10)], masses, 2)

    assert with_lighter(2) == ([2, 0], 0, True)
    assert with_lighter(10) == ([1, 0], 1, True)
    assert with_lighter(50) == ([1, 1], 0, False)


def test_counterexample_fewer_prototypes_than_intervals():
    """K = M - 1: one prototype sits in the gap and serves both sides, inside none."""
    inside, in_gaps, _ = placement([Fraction(1)] * 2, [Fraction(1)], [Fraction(1, 2)] * 2, 1)
    assert (inside, in_gaps) == ([0, 0], 1)


def test_counterexample_more_prototypes_than_intervals():
    """K = M + 1: some interval holds two (no collapse in the sense of the claim, but not one each)."""
    inside, _, better = placement([Fraction(1)] * 3, [Fraction(1)] * 2, [Fraction(1, 3)] * 3, 4)
    assert sorted(inside) == [1, 1, 2]
    assert better


@pytest.mark.parametrize("gap", [1, 20])
def test_a_local_minimum_can_leave_a_prototype_unused(gap):
    """The claim is about global minimisers: one prototype far away wins nothing; the other, at the mean, serves all."""
    points = jnp.array(uniform_intervals([Fraction(1)] * 2, [Fraction(gap)], [Fraction(1, 2)] * 2, POINTS)[0], float)
    stuck = jnp.array([-100.0, float(points.mean())])
    cost = jax.jit(lambda c: routed_cost(c, points))
    np.testing.assert_allclose(jax.grad(cost)(stuck), 0, atol=1e-12)
    for move in itertools.product((-1.0, 0.0, 1.0), repeat=2):
        assert float(cost(stuck + 0.1 * jnp.array(move))) >= float(cost(stuck))
    middles = points.reshape(2, POINTS).mean(axis=1)
    assert float(cost(stuck)) > float(cost(middles))
