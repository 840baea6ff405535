"""Every registered algorithm keeps the contract: pure, traced once, the same under every transform and sharding."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

import drol
from drol.algorithms.registry import ALGORITHMS, algorithm_class
from drol.ops.axis import global_rows
from tests.conftest import init, noise_of, random_batch

ROWS, SHARDS = 8, 4
jit_step = jax.jit(drol.step)


@pytest.fixture(params=sorted(ALGORITHMS))
def algorithm(request):
    return algorithm_class(request.param)(hidden=(16, 16))


@pytest.fixture
def state(algorithm, spec, key):
    return init(algorithm, spec, key)


def assert_close(ours, theirs, rtol=1e-5):
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        scale = float(jnp.max(jnp.abs(other))) if other.size else 1.0
        np.testing.assert_allclose(mine, other, rtol=0, atol=rtol * max(scale, 1e-6))


def test_state_holds_arrays_only_and_shares_no_buffer(algorithm, spec, key):
    state = algorithm.init(spec, key=key)
    leaves = jax.tree.leaves(state)
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)
    pointers = [leaf.unsafe_buffer_pointer() for leaf in leaves]
    assert len(set(pointers)) == len(pointers)
    assert int(state.step) == 0


def test_one_trace_over_100_calls_with_changing_coefficients(algorithm, state, batch, key):
    traces = 0

    @jax.jit
    def counted(algorithm, state, batch, key):
        nonlocal traces
        traces += 1
        return drol.step(algorithm, state, batch, key=key)

    for i in range(100):
        coefficients = {"bc_coef": 1.0 + i, "discount": 0.9 + i / 2000, "learning_rate": 1e-3 / (i + 1)}
        algorithm = type(algorithm)(hidden=(16, 16), **coefficients)
        state, _ = counted(algorithm, state, batch, jax.random.fold_in(key, i))
    assert traces == 1
    assert int(state.step) == 100


def test_plain_call_equals_raw_and_filtered_jit(algorithm, state, batch, key):
    plain = drol.step(algorithm, state, batch, key=key)
    assert_close(jit_step(algorithm, state, batch, key=key), plain)
    assert_close(eqx.filter_jit(drol.step)(algorithm, state, batch, key=key), plain)


def test_donation(algorithm, spec, batch, key):
    state = init(algorithm, spec, key)
    expected, _ = jit_step(algorithm, state, batch, key=key)
    donating = jax.jit(lambda state, algorithm, batch: drol.step(algorithm, state, batch, key=key)[0], donate_argnums=0)
    after = donating(state, algorithm, batch)
    assert_close(after, expected)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))


def test_scan_equals_single_steps(algorithm, state, batch, key):
    def body(state, i):
        return drol.step(algorithm, state, batch, key=jax.random.fold_in(key, i))[0], None

    scanned, _ = jax.jit(lambda state: jax.lax.scan(body, state, jnp.arange(5)))(state)
    for i in range(5):
        state, _ = jit_step(algorithm, state, batch, key=jax.random.fold_in(key, i))
    assert_close(scanned, state, 1e-4)


def test_vmap_over_seeds_and_hyperparameters(algorithm, spec, batch):
    keys = jax.random.split(jax.random.key(5), 3)
    coefficients = jnp.array([0.1, 1.0, 10.0])

    def train(key, coefficient):
        own = eqx.tree_at(lambda a: a.bc_coef, algorithm, coefficient)
        return drol.step(own, own.init(spec, key=key), batch, key=key)

    together = jax.jit(jax.vmap(train))(keys, coefficients)
    alone = jax.jit(train)
    for i in range(3):
        assert_close(jax.tree.map(lambda x, i=i: x[i], together), alone(keys[i], coefficients[i]))


def gradients_and_state(algorithm, state, batch, key, axis_name=None):
    """One step's gradients beside its result: Adam hides a constant factor, gradients do not."""
    noise = algorithm.noise(batch.spec, global_rows(batch.rewards.shape[0], axis_name), key=key)
    gradients, _ = algorithm.gradients(state, batch, noise, axis_name=axis_name)
    return gradients, *drol.step(algorithm, state, batch, key=key, axis_name=axis_name)


def test_shard_map_equals_one_device(algorithm, state, batch, key):
    mesh = jax.make_mesh((SHARDS,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = jax.shard_map(
        functools.partial(gradients_and_state, axis_name="data"),
        mesh=mesh,
        in_specs=(P(), P(), P("data"), P()),
        out_specs=P(),
    )
    expected = jax.block_until_ready(jax.jit(gradients_and_state)(algorithm, state, batch, key))
    assert_close(jax.block_until_ready(jax.jit(sharded)(algorithm, state, batch, key)), expected, 2e-5)


def test_pmap_equals_one_device(algorithm, state, batch, key):
    shards = jax.tree.map(lambda x: x.reshape(SHARDS, ROWS // SHARDS, *x.shape[1:]), batch)
    mapped = jax.pmap(
        functools.partial(gradients_and_state, axis_name="data"), axis_name="data", in_axes=(None, None, 0, None)
    )
    expected = jax.block_until_ready(jax.jit(gradients_and_state)(algorithm, state, batch, key))
    # Finished before anything else is dispatched: fake devices share few threads, and collectives must not starve.
    result = jax.block_until_ready(mapped(algorithm, state, shards, key))
    for shard in range(SHARDS):
        assert_close(jax.tree.map(lambda x, s=shard: x[s], result), expected, 2e-5)


def test_vmap_with_an_axis_name_equals_one_device(algorithm, state, batch, key):
    shards = jax.tree.map(lambda x: x.reshape(SHARDS, ROWS // SHARDS, *x.shape[1:]), batch)
    mapped = jax.vmap(
        functools.partial(gradients_and_state, axis_name="data"), axis_name="data", in_axes=(None, None, 0, None)
    )
    result = jax.jit(mapped)(algorithm, state, shards, key)
    expected = jax.block_until_ready(jax.jit(gradients_and_state)(algorithm, state, batch, key))
    assert_close(jax.tree.map(lambda x: x[0], result), expected, 2e-5)


def test_noise_of_a_shard_is_the_rows_of_the_whole(algorithm, spec, key):
    whole = noise_of(algorithm, spec, ROWS, key)
    part = algorithm.noise(spec, jnp.arange(4, 6), key=key)
    assert_close(part, jax.tree.map(lambda x: x[4:6], whole), 1e-6)
    rows = jax.tree.leaves(whole)[0]
    assert len(np.unique(np.asarray(rows)[:, 0], axis=0)) == ROWS, "rows must not repeat each other's draws"


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.sgd(1e-2, momentum=0.9),
        optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(optax.cosine_decay_schedule(1e-3, 100))),
    ],
    ids=["sgd", "clipped adamw with a schedule"],
)
def test_any_optax_optimizer(algorithm, spec, batch, key, optimizer):
    algorithm = type(algorithm)(hidden=(16, 16), optimizer=optimizer)
    state = init(algorithm, spec, key)
    after, _ = jit_step(algorithm, state, batch, key=key)
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), after.actor, state.actor)
    assert any(jax.tree.leaves(moved))


def test_the_policy_acts_within_bounds_and_repeats_with_its_key(algorithm, state, spec, key):
    policy = algorithm.policy(state)
    assert policy.spec == spec
    observations = random_batch(key, 5).observations
    act = jax.jit(jax.vmap(lambda o, k: policy(o, key=k)))
    actions = act(observations, jax.random.split(key, 5))
    assert actions.shape == (5, spec.action_dim)
    assert (jnp.abs(actions) <= 1).all()
    np.testing.assert_array_equal(actions, act(observations, jax.random.split(key, 5)))


def test_training_improves_behaviour_cloning(algorithm, spec, key):
    """Fifty steps on one batch bring the cloned actions closer to the data."""
    algorithm = eqx.tree_at(lambda a: (a.bc_coef, a.learning_rate), algorithm, (jnp.array(10.0), jnp.array(3e-3)))
    batch = random_batch(key, 64)

    def body(state, i):
        return drol.step(algorithm, state, batch, key=jax.random.fold_in(key, i))

    _, history = jax.jit(lambda s: jax.lax.scan(body, s, jnp.arange(50)))(init(algorithm, spec, key))
    assert history["bc_loss"][-5:].mean() < 0.8 * history["bc_loss"][:5].mean()
