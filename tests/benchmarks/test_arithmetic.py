"""The operations of an update: counted by hand, in the traced program, and by the compiler."""

import statistics

import jax
import numpy as np
import pytest

from drol.algorithms.registry import ALGORITHMS, algorithm_class
from drol.benchmarks import arithmetic
from drol.benchmarks.step import BATCH, SPEC
from drol.presets import SIZES
from drol.types import Spec
from examples.bandit import PointwiseCorrespondence, four_corners
from tests.helpers.samples import sampled

VARIANTS = [
    *((name, {}) for name in ALGORITHMS),
    pytest.param("drol", {"num_candidates": 1, "backup_candidates": 2}, marks=pytest.mark.slow),
    pytest.param("drol", {"num_candidates": 3}, marks=pytest.mark.slow),
    ("drol", {"num_candidates": 3, "backup_candidates": 2}),
    ("iql", {"extraction": "ddpg+bc"}),
    pytest.param("sorl", {"public_update": True}, marks=pytest.mark.slow),
    ("fql", {"flow_steps": 3, "ensemble": 3}),
]


def dense_flop(jaxpr):
    """Multiplications and additions of every dot_general in a program, nested ones included; the mean of branches."""
    total = 0
    for equation in jaxpr.eqns:
        nested = [dense_flop(inner) for value in equation.params.values() for inner in jaxprs_in(value)]
        if nested:
            total += statistics.mean(nested) if equation.primitive.name == "cond" else sum(nested)
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            depth = np.prod([equation.invars[0].aval.shape[axis] for axis in contracted], dtype=int)
            total += 2 * int(depth) * int(np.prod(equation.outvars[0].aval.shape, dtype=int))
    return total


def jaxprs_in(value):
    for inner in value if isinstance(value, (tuple, list)) else (value,):
        inner = getattr(inner, "jaxpr", inner)
        if hasattr(inner, "eqns"):
            yield inner


@pytest.mark.parametrize(
    ("name", "options"), VARIANTS, ids=lambda value: value if isinstance(value, str) else "-".join(value)
)
def test_the_hand_count_is_that_of_the_traced_products(name, options):
    """Products whose result nobody uses are traced yet never run, so dead ones are removed first."""
    algorithm, spec, rows = algorithm_class(name)(hidden=(32, 24, 16), **options), Spec(7, 3), 64
    jaxpr = arithmetic.traced_update(algorithm, spec, rows).jaxpr
    live, _ = jax.interpreters.partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    beside = dense_flop(live) / rows - arithmetic.update_flop(algorithm, spec, 1)
    assert beside == beside_the_method(name, algorithm, first=2 * 32)


@pytest.mark.parametrize("name", sampled(ALGORITHMS, ["drol", "fql"]))
def test_the_hand_count_holds_for_chunks_and_large_ensembles(name):
    """Only first and last layers widen with a chunk."""
    cls = algorithm_class(name)
    critics = {"ensemble": 10} if "ensemble" in cls.__dataclass_fields__ else {}
    algorithm, spec, rows = cls(hidden=(32, 24, 16), **critics), Spec(7, 3, 5), 64
    jaxpr = arithmetic.traced_update(algorithm, spec, rows).jaxpr
    live, _ = jax.interpreters.partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    beside = dense_flop(live) / rows - arithmetic.update_flop(algorithm, spec, 1)
    assert beside == beside_the_method(name, algorithm, first=2 * 32)


@pytest.mark.parametrize(("size", "more"), [("laptop", 1.06), ("paper", 1.025)])
def test_a_chunk_of_five_costs_little(size, more):
    algorithm = algorithm_class("drol")(hidden=SIZES[size].hidden)
    one, five = (arithmetic.update_flop(algorithm, Spec(28, 5, chunk), 1) for chunk in (1, 5))
    assert 1 < five / one < more


def beside_the_method(name, algorithm, *, first):
    """What the programs do beyond the hand count, per row, for an observation of 7 numbers.

    Guidance needs the gradient at the action alone; autodiff takes along that at the rest of the critic's input.
    """
    if name in ("bc", "bfn", "flow-bc", "fawac", "ifql") or (name == "iql" and algorithm.extraction == "awr"):
        return 0
    if name == "sorl":
        # Its critic sees the number of steps as well, and one state goes through the slow actor twice.
        return (1 + algorithm.public_update) * algorithm.ensemble * first * (7 + 1) + first * 7
    if name == "reform":
        # The critic's pull passes through the student, at whose latent alone its gradient is needed.
        return (1 + algorithm.ensemble) * first * 7
    guided = 0.5 if name == "rebrac" else 1
    return guided * algorithm.ensemble * first * 7


@pytest.mark.parametrize("size", sampled(["laptop", "paper"], ["laptop"]))
@pytest.mark.parametrize("name", sampled(ALGORITHMS, ["drol", "fql", "iql", "rebrac"]))
def test_the_compiler_counts_a_little_more_than_the_products(name, size):
    algorithm = algorithm_class(name)(hidden=SIZES[size].hidden)
    compiled = arithmetic.compiled_flop(algorithm, SPEC, BATCH)
    assert 1 < compiled / arithmetic.update_flop(algorithm, SPEC, BATCH) < 1.15


@pytest.mark.parametrize("size", sampled(["laptop", "paper"], ["laptop"]))
@pytest.mark.parametrize(("chunk", "ensemble"), sampled([(5, 2), (5, 10), (1, 10)], [(5, 10)]))
def test_the_compiler_counts_a_little_more_for_chunks_and_large_ensembles(size, chunk, ensemble):
    algorithm = algorithm_class("drol")(hidden=SIZES[size].hidden, ensemble=ensemble)
    spec = Spec(SPEC.observation_dim, SPEC.action_dim, chunk)
    compiled = arithmetic.compiled_flop(algorithm, spec, BATCH)
    assert 1 < compiled / arithmetic.update_flop(algorithm, spec, BATCH) < 1.15


def test_branches_count_by_their_mean():
    """ReBRAC's actor moves in half of the updates: what the other half costs must not count as much."""
    often, seldom = (algorithm_class("rebrac")(hidden=(64, 64), actor_period=period) for period in (1, 2))
    whole, mean = (arithmetic.update_flop(algorithm, SPEC, 1) for algorithm in (often, seldom))
    # The actor learns (28 -> 64 -> 64 -> 5), guided by two critics (33 -> 64 -> 64 -> 1).
    actor = 2 * (3 * (28 * 64 + 64 * 64 + 64 * 5) - 28 * 64)
    critic = 2 * (2 * (33 * 64 + 64 * 64 + 64) - 33 * 64 + 5 * 64)
    assert whole - mean == (actor + 2 * critic) / 2


def test_fbrac_counted_from_scratch():
    """One hidden layer of 4 units, observation 3, action 2, two Euler steps, two critics; all per row."""
    algorithm = algorithm_class("fbrac")(hidden=(4,), flow_steps=2)
    q_forward = 2 * (5 * 4 + 4 * 1)
    q_learns = q_forward + q_forward + 2 * (4 * 1)
    q_guides = q_forward + 2 * (4 * 1) + 2 * (2 * 4)
    matching = 2 * (2 * (6 * 4 + 4 * 2)) + 2 * (4 * 2)
    state, point, output = 2 * (3 * 4), 2 * (2 * 4), 2 * (4 * 2)
    sample = state + 2 * (point + output)
    # Back to the weights as often as forward; back to the inputs, the point of the second step is the first's result.
    through_the_sample = sample + sample + output + point + output
    total = sample + 2 * q_forward + 2 * q_learns + matching + through_the_sample + 2 * q_guides
    assert arithmetic.update_flop(algorithm, Spec(3, 2), 10) == 10 * total == 10 * 904


def test_iql_counted_from_scratch():
    """One hidden layer of 4 units, observation 3, action 2, two critics; all per row."""
    algorithm = algorithm_class("iql")(hidden=(4,))
    q_forward, v_forward, actor_forward = 2 * (5 * 4 + 4), 2 * (3 * 4 + 4), 2 * (3 * 4 + 4 * 2)
    slow_q, next_v = 2 * q_forward, v_forward
    learn = 2 * (2 * q_forward + 2 * 4) + (2 * v_forward + 2 * 4) + (2 * actor_forward + 2 * 4 * 2)
    assert arithmetic.update_flop(algorithm, Spec(3, 2), 10) == 10 * (slow_q + next_v + learn) == 10 * 504


def test_an_algorithm_nobody_counted_is_refused():
    with pytest.raises(ValueError, match="no operations are counted for 'pointwise'"):
        arithmetic.update_flop(PointwiseCorrespondence(four_corners()), SPEC, 1)
