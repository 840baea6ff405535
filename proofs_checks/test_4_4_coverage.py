"""Proposition 4.4: coverage from larger candidate sets.

Claim. N_1 .. N_M are neighbourhoods with p_m = P(pi(s, z) in N_m) > 0, and z_1 .. z_K are independent. Then
P(every N_m is hit) >= 1 - sum_m (1 - p_m)^K >= 1 - M exp(-K p_min).

Findings.

* For disjoint neighbourhoods the exact value is known by inclusion-exclusion, sum_S (-1)^|S| (1 - sum_{m in S} p_m)^K,
  and both bounds lie below it for every K, M and p. They are vacuous (negative) for small K: at K p_min = log M the
  second one says nothing yet.
* Independence is needed: candidates that share a latent cover no more than one candidate does (named example).
* p_m > 0 is needed for a limit of 1: a mode the actor cannot reach is never covered, whatever K.
"""

import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
import sympy
import z3
from hypothesis import given
from hypothesis import strategies as st

from drol import DROL
from drol.nn.actor import LatentActor
from drol.ops.latent import sample_ball
from drol.ops.routing import squared_distances
from drol.types import Spec
from proofs_checks.solver import prove

# A correct library fails one interval in a billion, of which a deep run draws thousands; the default profile always
# repeats the same draws.
CONFIDENCE = 1 - 1e-9
TRIALS = 4_000

masses = st.lists(st.one_of(st.floats(1e-6, 1e-3), st.floats(0.01, 1.0)), min_size=1, max_size=6).map(
    lambda raw: np.array(raw) / max(1.0, sum(raw))
)


def exact(p, count):
    """The probability that every disjoint neighbourhood is hit, by inclusion-exclusion."""
    subsets = itertools.chain.from_iterable(itertools.combinations(p, size) for size in range(len(p) + 1))
    return sum((-1) ** len(subset) * max(0.0, 1 - sum(subset)) ** count for subset in subsets)


def union_bound(p, count):
    return 1 - np.sum((1 - np.asarray(p)) ** count)


def exponential_bound(p, count):
    return 1 - len(p) * np.exp(-count * np.min(p))


@given(masses, st.integers(1, 300))
def test_both_bounds_lie_below_the_exact_value(p, count):
    # Cancellation among 2^M terms of size up to 1.
    rounding = 2 ** len(p) * 1e-15 * 10
    assert exact(p, count) >= union_bound(p, count) - rounding
    assert union_bound(p, count) >= exponential_bound(p, count) - rounding


@given(masses, st.integers(1, 200))
def test_coverage_never_falls_with_more_candidates(p, count):
    assert exact(p, count + 1) >= exact(p, count) - 2 ** len(p) * 1e-14


# The library's own sampler, actor and distances: neighbourhoods are balls around modes.

COUNTS = (1, 4, 16, 64)


def hits(candidates, modes, radius):
    """Which modes have some candidate nearby, by the library's distances."""
    return jax.vmap(lambda mode: (squared_distances(candidates, mode) <= radius**2).any())(modes)


@jax.jit
def covered(key, modes, radius):
    """How often all modes are hit in TRIALS candidate sets pi(s, z) = z, for sets of 1, 4, 16 and 64."""

    def trial(key):
        candidates = sample_ball(key, (COUNTS[-1],), modes.shape[-1], 1.0)
        return jnp.stack([hits(candidates[:count], modes, radius).all() for count in COUNTS])

    return jax.vmap(trial)(jax.random.split(key, TRIALS)).sum(axis=0)


def assert_consistent(successes, p):
    """The number of covering sets is binomial with the exact probability: an exact (Clopper-Pearson) interval."""
    for count, hit in zip(COUNTS, np.asarray(successes), strict=True):
        truth = min(1.0, max(0.0, exact(p, count)))
        interval = scipy.stats.binomtest(int(hit), TRIALS).proportion_ci(CONFIDENCE, method="exact")
        assert interval.low <= truth <= interval.high, (count, hit / TRIALS, truth)


@pytest.mark.parametrize("dim", [1, 2, 3])
@given(data=st.data())
def test_sampled_coverage_is_the_exact_value(dim, data):
    """Two disjoint balls of radius r inside the unit ball, each of mass r^d; down to masses of 1e-5."""
    radius = data.draw(st.floats(0.02, 0.45))
    place = data.draw(st.floats(radius + 1e-6, 1 - radius))
    modes = np.zeros((2, dim))
    modes[:, 0] = place, -data.draw(st.floats(radius + 1e-6, 1 - radius))
    key = jax.random.key(data.draw(st.integers(0, 2**31 - 1)))
    assert_consistent(covered(key, jnp.asarray(modes), radius), [radius**dim] * 2)


CASES = {
    "an interval, three modes": (np.array([[-0.6], [0.1], [0.8]]), 0.15),
    "a disc, four modes": (np.array([[0.5, 0.5], [-0.5, 0.5], [-0.5, -0.5], [0.5, -0.5]]), 0.2),
    "five dimensions, one mode": (np.array([[0.2, 0.0, -0.1, 0.0, 0.0]]), 0.6),
    "a chunk of five steps of five numbers, one mode": (np.zeros((1, 25)), 0.95),
}


@pytest.mark.parametrize("case", CASES)
def test_sampled_coverage_of_named_cases(case):
    modes, radius = CASES[case]
    p = np.full(len(modes), radius ** modes.shape[-1])
    assert_consistent(covered(jax.random.key(0), jnp.asarray(modes), radius), p)


def doubling_actor():
    """The library's actor with pi(s, z) = clip(2 z, -1, 1): half of its latents saturate."""
    actor = LatentActor(Spec(1, 1), (2,), key=jax.random.key(0))
    # gelu(x) - gelu(-x) = x.
    weights = jnp.array([[0.0, 0.0], [1.0, -1.0]]), jnp.array([[2.0], [-2.0]])
    where = lambda a: [layer.weight for layer in a.mlp.layers] + [layer.bias for layer in a.mlp.layers]  # noqa: E731
    return eqx.tree_at(where, actor, [*weights, jnp.zeros(2), jnp.zeros(1)])


@functools.partial(jax.jit, static_argnums=1)
def covered_in_training(modes, count):
    """How often DROL's own candidates of one state, from DROL's own noise, hit all modes: TRIALS rows of one update."""
    noise = DROL(num_candidates=count).noise(Spec(1, 1), jnp.arange(TRIALS), key=jax.random.key(1))
    candidates = doubling_actor().candidates(jnp.zeros((TRIALS, 1)), noise.candidates)
    return jax.vmap(lambda own: hits(own, modes, 1e-9).all())(candidates).sum()


def test_coverage_by_the_candidates_of_an_update_with_saturated_clips():
    """Saturation gives the two corners a mass of a quarter each, although they are single points."""
    np.testing.assert_allclose(doubling_actor()(jnp.zeros(1), jnp.array([0.3])), [0.6])
    assert_consistent([covered_in_training(jnp.array([[-1.0], [1.0]]), count) for count in COUNTS], [0.25, 0.25])


# Symbolic and solver-proved.


def test_the_step_from_powers_to_exponentials():
    """(1 - p)^K <= exp(-K p): log(1 - p) + p is 0 at p = 0 and falls on (0, 1); at p = 1 the left side is 0."""
    p = sympy.symbols("p", positive=True)
    slope = sympy.simplify(sympy.diff(sympy.log(1 - p) + p, p))
    assert (sympy.log(1 - p) + p).subs(p, 0) == 0
    assert sympy.solveset(slope >= 0, p, sympy.Interval.open(0, 1)) == sympy.S.EmptySet


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_union_bound_over_all_masses(count):
    """Inclusion-exclusion for three disjoint neighbourhoods is at least the union bound, for every p, by Z3."""
    a, b, c = z3.Reals("p_1 p_2 p_3")

    def missed(*masses):
        product = z3.RealVal(1)
        for _ in range(count):
            product *= 1 - sum(masses)
        return product

    pairs = missed(a, b) + missed(a, c) + missed(b, c) - missed(a, b, c)
    prove(pairs >= 0, a > 0, b > 0, c > 0, a + b + c <= 1)


def test_overlapping_neighbourhoods_keep_the_bound():
    """Two neighbourhoods that share mass: P(both hit) of one candidate is p_12 >= p_1 + p_2 - 1; of two, by Z3."""
    one, two, both = z3.Reals("p_1 p_2 p_12")
    valid = (both >= 0, both <= one, both <= two, one + two - both <= 1)
    neither = 1 - one - two + both
    covered_by_two = 1 - (1 - one) ** 2 - (1 - two) ** 2 + neither**2
    prove(covered_by_two >= 1 - (1 - one) ** 2 - (1 - two) ** 2, *valid)
    prove(both >= one + two - 1, *valid)


def test_inclusion_exclusion_for_two():
    """The general formula against counting by hand, for M = 2."""
    a, b = 0.3, 0.45
    for count in (1, 2, 5):
        by_hand = 1 - (1 - a) ** count - (1 - b) ** count + (1 - a - b) ** count
        assert exact([a, b], count) == pytest.approx(by_hand)


# Limits.


@pytest.mark.parametrize("count", [4, 64])
def test_counterexample_dependent_latents(count):
    """All K candidates from one latent: two disjoint modes are never both hit, where the bound promises up to 0.99."""
    modes, radius = jnp.array([[-0.5], [0.5]]), 0.4

    def trial(key):
        return hits(jnp.repeat(sample_ball(key, (1,), 1, 1.0), count, axis=0), modes, radius).all()

    assert int(jax.vmap(trial)(jax.random.split(jax.random.key(0), TRIALS)).sum()) == 0
    assert union_bound([0.4, 0.4], count) > 0.7
    independent = np.asarray(covered(jax.random.key(0), modes, radius))[COUNTS.index(count)]
    assert independent > 0.7 * TRIALS


def test_counterexample_a_mode_out_of_reach():
    """p_m = 0: an inner point of the actor's range has no mass, no K covers it, and the bound says 0."""
    assert int(covered_in_training(jnp.array([[0.5], [1.0]]), 64)) == 0
    assert exact([0.25, 0.0], 10_000) == pytest.approx(0.0)
    assert union_bound([0.25, 0.0], 10_000) <= 0
