"""The golden gradients notice a wrong coefficient: every term of every loss, weighted by 1 + 1e-4, is caught.

A term's weight is put into its gradient alone, its value stays: so it is caught where no stored loss tells. One program
per file serves all its terms, with their weights as arguments.

Entry by entry, an error hides where its term is a small part of the gradient. All entries together tell more: the
stored gradient less ours, projected on what a term's coefficient does to it, estimates the error of that coefficient.
"""

import contextlib
import dataclasses
import functools
import os
from unittest import mock

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import drol.ops.bellman
import drol.ops.losses
from drol.algorithms import deflow, fawac, fbrac, fql, ifql
from drol.nn import Value
from tests.helpers import golden_drol, golden_peers
from tests.helpers.golden_files import sampled_files
from tests.helpers.rounding import DEVIATIONS, ensemble

ERROR = 1e-4
FAINT = {("iql-a", "inverse_temperature"): 3e-4, ("rebrac-a", "alpha_critic"): 3e-4}
"""Hyperparameters that hardly move these gradients, so that they are caught from a larger error on: one in weights of
which most are 0 or capped, one of a hundredth part of a target. Neither is the weight of a term."""
STEP = 1e-2
"""Of coefficients, to see what they do."""

BELLMAN = {"critic": (drol.ops.bellman, "bellman_error")}
Q = {"q": (drol.ops.losses, "q_loss")}
EXPECTILE = {"value": (drol.ops.losses, "expectile")}
PATCHED = {
    "drol": BELLMAN,
    "fql": BELLMAN | Q | {"flow": (fql, "cloning_errors")},
    "fbrac": BELLMAN | Q | {"flow": (fbrac, "cloning_errors")},
    "fawac": BELLMAN | {"value": (Value, "__call__"), "actor": (fawac, "cloning_errors")},
    "iql": BELLMAN | EXPECTILE | Q | {"likelihood": (drol.ops.losses, "gaussian_log_prob")},
    "ifql": BELLMAN | EXPECTILE | {"flow": (ifql, "cloning_errors")},
    "deflow": BELLMAN | Q | {"flow": (deflow, "cloning_errors"), "multiplier": (drol.ops.losses, "lagrangian")},
    "rebrac": BELLMAN | Q | {"bc": (drol.ops.losses, "behaviour_cloning")},
    "sorl": BELLMAN | Q,
}
"""The function that computes each term."""

SCALARS = {
    "drol": ("bc_coef", "q_coef", "discount"),
    "fql": ("alpha", "discount"),
    "fbrac": ("alpha", "discount"),
    "fawac": ("inverse_temperature", "discount"),
    "iql": ("inverse_temperature", "bc_coef", "expectile", "discount"),
    "ifql": ("expectile", "discount"),
    "deflow": ("alpha", "log_alpha", "target_divergence", "discount"),
    "rebrac": ("alpha_actor", "alpha_critic", "discount"),
    "sorl": ("q_coef", "flow_coef", "consistency_coef", "discount"),
}
"""The hyperparameters in the losses, and the weight that one method learns."""


def idle(file, term):
    """Whether a file's settings leave a term out."""
    unused = {
        "iql-a": ("q", "bc_coef"),
        "iql-b": ("q", "bc_coef"),
        "iql-c": ("inverse_temperature",),
        "deflow-a": ("alpha",),
        "deflow-b": ("alpha",),
        "deflow-c": ("multiplier", "log_alpha", "target_divergence"),
    }
    return term in unused.get(file, ())


FILES = {path.stem: path for path in golden_drol.FILES + golden_peers.FILES}


def terms(file):
    """The terms of a file's losses, and the hyperparameters in them."""
    name = file.split("-")[0]
    return [term for term in (*PATCHED[name], *SCALARS[name]) if not idle(file, term)]


CASES = [
    pytest.param(parameter.values[0].stem, term, marks=parameter.marks)
    for parameter in sampled_files(list(FILES.values()))
    for term in terms(parameter.values[0].stem)
]


def heavier(function, weight):
    """The same value, and `weight` times its gradient."""

    @functools.wraps(function)
    def weighted(*arguments, **options):
        value = function(*arguments, **options)
        return value + (weight - 1) * (value - jax.lax.stop_gradient(value))

    return weighted


@contextlib.contextmanager
def weighted(patched, weights):
    with contextlib.ExitStack() as stack:
        for term, (place, name) in patched.items():
            stack.enter_context(mock.patch.object(place, name, heavier(getattr(place, name), weights[term])))
        yield


@functools.cache
def opened(file):
    """A golden run, and of each of its stored gradients: a program, its inputs and its ensemble without an error."""
    module = golden_drol if file.startswith("drol") else golden_peers
    golden = module.Golden(FILES[file])
    patched = PATCHED[file.split("-")[0]]

    def program(gradients):
        @eqx.filter_jit
        def compiled(algorithm, weights, *inputs):
            with weighted(patched, weights):
                return gradients(algorithm, *inputs)

        return compiled

    ones, stored = dict.fromkeys(patched, jnp.ones(())), []
    for prefix, gradients, inputs in module.evaluations(golden):
        compiled = program(gradients)
        members = ensemble(functools.partial(compiled, golden.algorithm, ones), *inputs)
        stored.append((prefix, compiled, inputs, members))
    return module, golden, stored


def flat(golden, gradients):
    """All gradients in one vector, as the public code scales them."""
    scale = getattr(golden, "actor_scale", 1.0)
    parts = {name: part for name, part in vars(gradients).items() if part is not None}
    scaled = [jax.tree.map(lambda x, s=scale if name == "flow" else 1.0: s * x, part) for name, part in parts.items()]
    return np.concatenate([np.ravel(np.asarray(leaf, np.float64)) for leaf in jax.tree.leaves(scaled)])


def flat_stored(golden, prefix, like):
    """The stored gradients in the same order; they are in the public code's scale."""
    parts = {name: part for name, part in vars(like).items() if part is not None}
    trees = [golden.network(f"{prefix}/{name}", part) for name, part in parts.items()]
    return np.concatenate([np.ravel(np.asarray(leaf, np.float64)) for leaf in jax.tree.leaves(trees)])


def with_error(file, term, error, stored):
    """What the program gives where the coefficient of a term is off by a relative error."""
    _, compiled, inputs, _ = stored
    algorithm, weights = opened(file)[1].algorithm, dict.fromkeys(PATCHED[file.split("-")[0]], jnp.ones(()))
    if term in weights:
        weights[term] = jnp.asarray(1 + error)
    elif term == "log_alpha":
        state = inputs[0]
        log_alpha = state.networks.log_alpha + np.log1p(error)
        inputs = (eqx.tree_at(lambda s: s.networks.log_alpha, state, log_alpha), *inputs[1:])
    else:
        algorithm = dataclasses.replace(algorithm, **{term: getattr(algorithm, term) * (1 + error)})
    return compiled(algorithm, weights, *inputs)


@functools.cache
def influence(file, term, index):
    """What a coefficient does to the gradient, per relative error of it."""
    golden, stored = opened(file)[1], opened(file)[2][index]
    return (flat(golden, with_error(file, term, STEP, stored)) - flat(golden, stored[3][0])) / STEP


def estimate(file, term, index, members):
    """The relative error of a coefficient as the stored gradient tells it, and what rounding does to this estimate."""
    golden, (prefix, *_) = opened(file)[1], opened(file)[2][index]
    direction = influence(file, term, index)
    if not direction.any():
        return 0.0, np.inf
    first, *copies = (flat(golden, member) for member in members)
    read = direction / (direction @ direction)
    rounding = DEVIATIONS * np.sqrt(np.mean([(read @ (copy - first)) ** 2 for copy in copies]))
    return read @ (first - flat_stored(golden, prefix, members[0])), rounding


def faults(file, term, index, members):
    """What the stored gradient has against ours: some entry, or all of them together."""
    module, golden, stored = opened(file)
    found = []
    try:
        module.assert_gradients(golden, stored[index][0], members)
    except AssertionError as error:
        found.append(str(error))
    error, rounding = estimate(file, term, index, members)
    if not abs(error) <= rounding:
        found.append(f"{term} is off by {error:.2g}, where rounding explains {rounding:.2g}")
    return found


@pytest.mark.parametrize(("file", "term"), CASES)
def test_right_coefficients_pass(file, term):
    for index, (*_, members) in enumerate(opened(file)[2]):
        assert faults(file, term, index, members) == []


@pytest.mark.skipif("DROL_GOLDEN_DIR" in os.environ, reason="what is caught was tried with the files that are here")
@pytest.mark.parametrize(("file", "term"), CASES)
def test_a_wrong_coefficient_is_caught(file, term):
    caught, relative = [], FAINT.get((file, term), ERROR)
    for index, stored in enumerate(opened(file)[2]):
        wrong, (first, *copies) = with_error(file, term, relative, stored), stored[3]
        # The copies move along with what they are copies of.
        along = jax.tree.map(lambda new, old: np.float64(new) - np.float64(old), wrong, first)
        caught += faults(file, term, index, [wrong, *(jax.tree.map(np.add, copy, along) for copy in copies)])
    assert caught, f"{term} may be wrong by {relative:g}, and nothing tells"
