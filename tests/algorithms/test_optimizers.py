"""Any optax transform: those that ask for the loss or search along a line, and those that cannot work."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import drol
from drol.algorithms.registry import ALGORITHMS, algorithm_class
from tests.helpers.batches import SPEC, random_batch
from tests.helpers.samples import sampled
from tests.helpers.small_algorithms import init, small

NAMES = sorted(ALGORITHMS)
TRANSFORMS = {
    "reduce_on_plateau": lambda: optax.chain(optax.adam(1e-3), optax.contrib.reduce_on_plateau()),
    "polyak_sgd": optax.polyak_sgd,
    "momo": optax.contrib.momo,
    "lbfgs": optax.lbfgs,
    "multisteps": lambda: optax.MultiSteps(optax.adam(1e-3), 2).gradient_transformation(),
    "injected": lambda: optax.inject_hyperparams(optax.adam)(1e-3),
    "schedule": lambda: optax.adam(optax.cosine_decay_schedule(1e-3, 100)),
}


CASES = [(name, transform) for name in NAMES for transform in TRANSFORMS]
DEFAULT = [case for case in CASES if case[0] == "drol" or case in (("rebrac", "polyak_sgd"), ("sorl", "polyak_sgd"))]
"""One network or several, and applied twice: what else the methods' optimizers do is the same code."""


@pytest.mark.parametrize(("name", "transform"), sampled(CASES, DEFAULT))
def test_every_algorithm_takes_transforms_that_ask_for_the_loss(name, transform):
    """Shapes alone, in a scan: types and structure of the state stay."""
    key = jax.random.key(0)
    algorithm = small(name, optimizer=TRANSFORMS[transform]())
    state = jax.eval_shape(lambda key: algorithm.init(SPEC, key=key), key)

    def body(state, _):
        return drol.step(algorithm, state, random_batch(key, 8), key=key)[0], None

    jax.eval_shape(lambda state: jax.lax.scan(body, state, length=2), state)


def recording():
    """A transform whose state holds what it was told: the loss, and the loss and gradient that it computes itself."""

    def update(updates, state, params, *, value, grad, value_fn, **_):
        again, slope = jax.value_and_grad(value_fn)(params)
        difference = sum(jnp.sum(jnp.abs(a - b)) for a, b in zip(*map(jax.tree.leaves, (slope, grad)), strict=True))
        return jax.tree.map(jnp.zeros_like, updates), (value, again, difference)

    return optax.GradientTransformationExtraArgs(lambda params: (jnp.zeros(()),) * 3, update)


def told(state):
    """(value, value_fn's value, distance of the gradients) of each optimizer in a state."""
    for name in ("optimizer", "actor_optimizer", "critic_optimizer"):
        of = getattr(state, name, None)
        if of is not None:
            yield from [of] if isinstance(of, tuple) else [of.actor, of.critic]


def assert_told(state):
    for value, again, difference in told(state):
        assert float(value) != 0
        np.testing.assert_allclose(value, again, rtol=1e-4)
        assert float(difference) < 1e-3


@pytest.mark.parametrize("name", sampled(["drol", "fql", "rebrac", "sorl"], ["drol", "rebrac"]))
def test_the_loss_is_that_of_the_gradients(name, key):
    algorithm = small(name, optimizer=recording())
    state = eqx.tree_at(lambda s: s.step, init(algorithm, SPEC, key), jnp.ones((), jnp.int32))
    assert_told(jax.jit(drol.step)(algorithm, state, random_batch(key, 8), key=key)[0])


@pytest.mark.parametrize("mapped", sampled(["vmap", "shard_map"], ["shard_map"]))
def test_the_loss_of_shards_is_that_of_the_whole_batch(mapped, key):
    algorithm = small("drol", optimizer=recording())
    state, batch = init(algorithm, SPEC, key), random_batch(key, 8)
    sharded = functools.partial(drol.step, axis_name="data")

    def step(state, batch):
        return sharded(algorithm, state, batch, key=key)[0]

    if mapped == "vmap":
        shards = jax.tree.map(lambda x: x.reshape(2, 4, *x.shape[1:]), batch)
        after = jax.jit(jax.vmap(step, axis_name="data", in_axes=(None, 0)))(state, shards)
        after = jax.tree.map(lambda x: x[0], after)
    else:
        mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
        spec = jax.sharding.PartitionSpec
        after = jax.jit(jax.shard_map(step, mesh=mesh, in_specs=(spec(), spec("data")), out_specs=spec()))(state, batch)
    assert_told(after)
    alone = jax.jit(drol.step)(algorithm, state, batch, key=key)[0]
    for ours, theirs in zip(told(after), told(alone), strict=True):
        np.testing.assert_allclose(ours[:2], theirs[:2], rtol=1e-4)


@pytest.mark.parametrize("name", ["drol", "bc", "iql", "rebrac", "sorl"])
def test_lookahead_is_refused(name, key):
    algorithm = algorithm_class(name)(hidden=(4,), optimizer=optax.lookahead(optax.sgd(1e-2), 5, 0.5))
    with pytest.raises(ValueError, match=r"optimizer cannot train .* such as optax.lookahead, cannot be used"):
        algorithm.init(SPEC, key=key)


def test_what_asks_for_more_is_refused(key):
    def update(updates, state, params=None, *, hessian, **_):
        return updates, state

    optimizer = optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
    algorithm = drol.BC(hidden=(4,), optimizer=optimizer)
    with pytest.raises(ValueError, match=r"optimizer cannot train .*'hessian'.* value, grad and value_fn"):
        algorithm.init(SPEC, key=key)


def test_the_line_search_of_lbfgs_descends(key):
    """Cloning one batch: each step lowers the loss, which the search alone sees to."""
    algorithm = drol.BC(hidden=(8,), optimizer=optax.lbfgs())
    batch = random_batch(key, 16)

    def body(state, _):
        state, metrics = drol.step(algorithm, state, batch, key=key)
        return state, metrics["actor_loss"]

    _, losses = jax.jit(lambda state: jax.lax.scan(body, state, length=8))(init(algorithm, SPEC, key))
    assert (jnp.diff(losses) < 0).all()
