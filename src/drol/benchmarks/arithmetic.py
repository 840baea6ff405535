"""The operations of one update, counted by hand and by the compiler."""

import statistics

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, JaxprEqn, jaxpr_as_fun

from drol.algorithm import Algorithm
from drol.types import Batch, Spec


def update_flop(algorithm: Algorithm, spec: Spec, batch: int) -> float:
    """Floating-point operations in the matrix products that one update cannot avoid, by hand.

    The expectation if updates differ: ReBRAC updates its actor every second time, SORL draws its number of steps.

    Raises:
        ValueError: for an algorithm whose operations are not counted.
    """
    counted = algorithm.operations(spec)
    if counted is None:
        raise ValueError(
            f"no operations are counted for {algorithm.name!r}; give {type(algorithm).__name__} a method `operations`"
        )
    return batch * float(counted)


def compiled_flop(algorithm: Algorithm, spec: Spec, batch: int) -> float:
    """The compiler's count of operations in one update: elementwise work, optimizer and target average, but no draws.

    The update is counted outside any loop, of which the compiler would count one iteration only. Of branches it would
    count only the most expensive, so each gets its own program and the mean is returned: the expectation if they are
    equally likely, as they are with default hyperparameters.
    """
    program = traced_update(algorithm, spec, batch)
    found = sorted({len(_branches(equation)) for equation in program.eqns} - {0})
    if len(found) > 1:
        raise ValueError(
            f"expected all choices of {algorithm.name} to have the same number of branches, found {found}; count them "
            f"separately"
        )
    return statistics.mean(_lowered_flop(program, branch) for branch in range(found[0] if found else 1))


def traced_update(algorithm: Algorithm, spec: Spec, batch: int) -> ClosedJaxpr:
    """The program of one update, from the arrays of state, batch and noise to those of state and metrics."""

    def inputs(key: jax.Array):
        o, d, row = (jnp.zeros(shape) for shape in ((batch, spec.observation_dim), (batch, spec.plan_dim), (batch,)))
        transitions = Batch(o, d, row, row, o, d)
        if spec.chunk > 1:
            transitions = Batch(o, d, row, row, o, d, weights=row, valid=d, chunk=spec.chunk)
        flat = spec.flat
        return algorithm.init(flat, key=key), transitions, algorithm.noise(flat, jnp.arange(batch), key=key)

    def update(state, batch, noise):
        return algorithm.update(state, batch, noise)

    return jax.make_jaxpr(update)(*jax.eval_shape(inputs, jax.random.key(0)))


def _branches(equation: JaxprEqn) -> tuple[ClosedJaxpr, ...]:
    return equation.params["branches"] if equation.primitive.name == "cond" else ()


def _lowered_flop(program: ClosedJaxpr, branch: int) -> float:
    """The compiler's count if every choice takes the branch with this number."""

    def settled(equation: JaxprEqn) -> JaxprEqn:
        branches = _branches(equation)
        return equation.replace(params=equation.params | {"branches": (branches[branch],)}) if branches else equation

    jaxpr = program.jaxpr.replace(eqns=[settled(equation) for equation in program.eqns])
    run = jax.jit(jaxpr_as_fun(ClosedJaxpr(jaxpr, program.consts)))
    cost = run.lower(*program.in_avals).cost_analysis()
    assert cost is not None
    return float(cost["flops"])
