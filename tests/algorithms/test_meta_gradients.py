"""Gradients by hyperparameters, through updates, against central differences in float64."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drol.algorithm import is_continuous
from drol.algorithms.registry import ALGORITHMS, algorithm_class
from tests.helpers.plain_algorithms import prepared

VARIANTS = [
    # Flows of several steps take longest to compile.
    *(pytest.param(n, {}, marks=[pytest.mark.slow] * (n in ("sorl", "reform", "fbrac"))) for n in sorted(ALGORITHMS)),
    ("deflow", {"lagrange": False}),
    ("iql", {"extraction": "ddpg+bc"}),
    # Its second half starts from the first one's networks, and lambda = 1 / mean |Q| is a constant there.
    pytest.param("sorl", {"public_update": True, "normalize_q": False}, marks=pytest.mark.slow),
]
UNUSED = {
    ("bfn", False): {"actor_rho"},  # it ranks samples
    ("fawac", False): {"actor_rho"},  # of the advantages, which are constants
    ("deflow", False): {"alpha"},  # the multiplier takes its place
    ("deflow", True): {"target_divergence"},  # belongs to the multiplier
    ("iql", False): {"bc_coef", "actor_rho"},  # of the other extraction, and of the advantages
    ("iql", True): {"inverse_temperature"},  # likewise
    ("sac", False): {"initial_temperature"},  # of `init`
    ("rlpd", False): {"initial_temperature"},
}
"""What a variant (the algorithm, and whether it has options) does not use, so that its derivative is 0."""


HELD = {"drol", "rebrac", "deflow", "iql", "fawac", "sorl"}
"""Methods in which part of what `actor_rho` changes is held constant: lambda = 1 / mean |Q|, or the advantages."""


def variant(name, **options):
    cls = algorithm_class(name)
    names = {field.name for field in dataclasses.fields(cls)}
    # A clip that binds, and little to compile.
    defaults = {"flow_steps": 1, "max_gradient_norm": 0.5, "num_candidates": 2}
    # An aggregation that uses rho.
    defaults |= {"q_agg": "mean-std", "actor_q_agg": "mean-std"}
    return cls(hidden=(4,), **{n: v for n, v in defaults.items() if n in names} | options)


def objective(algorithm, updates):
    """A random projection of the state after `updates`, as a function of the continuous hyperparameters."""
    empty, batch, noise = prepared(algorithm)
    names = [field.name for field in dataclasses.fields(algorithm) if is_continuous(field)]
    rng = np.random.default_rng(1)

    def midway(leaf):
        """Moments as in the midst of training: Adam's first update hides the scale of its gradient."""
        return leaf if leaf.any() else (np.abs(rng.normal(size=leaf.shape)) + 1).astype(leaf.dtype)

    def after(values, state, batch, noise):
        own = dataclasses.replace(algorithm, **dict(zip(names, values, strict=True)))
        for _ in range(updates):
            state, _ = own.update(state, batch, noise)
        parts = zip(jax.tree.leaves(state), directions, strict=True)
        return sum(jnp.sum(leaf * direction) for leaf, direction in parts if jnp.issubdtype(leaf.dtype, jnp.floating))

    state = jax.tree.map(midway, empty)
    directions = [rng.normal(size=leaf.shape) for leaf in jax.tree.leaves(state)]
    return names, after, np.array([float(getattr(algorithm, name)) for name in names]), (state, batch, noise)


def differences(function, at):
    """Central differences, one hyperparameter after the other."""
    slopes = []
    for i, step in enumerate(1e-5 * np.maximum(np.abs(at), 1e-2)):
        ahead, behind = (function(at + sign * step * np.eye(len(at))[i]) for sign in (1, -1))
        slopes.append(float(ahead - behind) / (2 * step))
    return np.array(slopes)


def label(value):
    return value if isinstance(value, str) else "-".join(f"{k}={v}" for k, v in value.items())


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=label)
def test_every_continuous_hyperparameter_has_its_gradient(name, options):
    """After one update, in every network, slow copy and moment; also where a gradient is 0 (dead inputs, clipped)."""
    with jax.enable_x64(True):
        names, after, at, fixed = objective(variant(name, **options), updates=1)
        # One program for both: it takes longer to compile than to run.
        compiled = jax.jit(jax.value_and_grad(after))
        gradient = np.asarray(compiled(at, *fixed)[1])
        expected = differences(lambda values: compiled(values, *fixed)[0], at)
    unused = UNUSED.get((name, bool(options)), set())
    assert np.isfinite(gradient).all()
    assert {n for n, slope in zip(names, gradient, strict=True) if slope == 0} == unused
    if name in HELD:
        gradient, expected = (np.delete(slopes, names.index("actor_rho")) for slopes in (gradient, expected))
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7, err_msg=str(names))


@pytest.mark.parametrize(
    "name", ["drol", *(pytest.param(n, marks=pytest.mark.slow) for n in ("fql", "fbrac", "reform"))]
)
def test_gradients_pass_through_the_slow_critic_to_later_updates(name):
    """tau reaches the networks by the slow critic's targets, which an update later are no constants."""
    with jax.enable_x64(True):
        names, after, at, fixed = objective(variant(name, normalize_q=False), updates=2)
        compiled = jax.jit(jax.value_and_grad(after))
        gradient = np.asarray(compiled(at, *fixed)[1])
        expected = differences(lambda values: compiled(values, *fixed)[0], at)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7, err_msg=str(names))


def test_a_dead_input_leaves_gradients_through_adam_finite():
    """A column of zeros has no gradient, and Adam's root no derivative at 0."""
    algorithm = variant("drol")
    state, batch, noise = prepared(algorithm)
    state = eqx.tree_at(lambda s: s.critic_optimizer, state, jax.tree.map(jnp.zeros_like, state.critic_optimizer))
    dead = eqx.tree_at(lambda b: b.observations, batch, jnp.asarray(batch.observations).at[:, 0].set(0))

    def total(discount, state, batch, noise):
        own = dataclasses.replace(algorithm, discount=discount)
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(own.update(state, batch, noise)[0].critic))

    assert np.isfinite(jax.jit(jax.grad(total))(0.9, state, dead, noise))
