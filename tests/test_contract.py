"""Every registered algorithm keeps the contract: pure, traced once, the same under every transform and sharding."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats
from jax.sharding import PartitionSpec as P

import drol
from drol.algorithm import hyperparameters
from drol.algorithms.registry import ALGORITHMS
from drol.ops.axis import global_rows
from drol.training.checkpoint import Checkpoints
from tests.helpers.batches import random_batch
from tests.helpers.samples import sampled
from tests.helpers.small_algorithms import init, noise_of, small

ROWS, SHARDS = 8, 4
jit_step = jax.jit(drol.step)


NAMES = sorted(ALGORITHMS)
# What rests on code that algorithms share is tried on DROL by default, and on all with `-m slow`.
on_a_sample = pytest.mark.parametrize("algorithm", sampled(NAMES, ["drol"]), indirect=True)
# What a method's own losses could break is tried on four that differ much.
on_four = pytest.mark.parametrize("algorithm", sampled(NAMES, ["drol", "fql", "iql", "rebrac"]), indirect=True)


@pytest.fixture(params=NAMES)
def algorithm(request):
    return small(request.param)


@pytest.fixture
def state(algorithm, spec, key):
    return init(algorithm, spec, key)


def trained(state):
    """The networks that updates train, in a state or in gradients."""
    networks = getattr(state, "networks", state)
    names = ("actor", "flow", "generator", "refiner", "log_alpha", "log_temperature", "value", "critic")
    return {name: getattr(networks, name) for name in names if getattr(networks, name, None) is not None}


def later(state):
    """A state whose next update trains everything."""
    return eqx.tree_at(lambda s: s.step, state, jnp.ones((), jnp.int32))


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


@on_four
def test_one_trace_over_100_calls_with_changing_coefficients(algorithm, state, batch, key):
    traces = 0

    @jax.jit
    def counted(algorithm, state, batch, key):
        nonlocal traces
        traces += 1
        return drol.step(algorithm, state, batch, key=key)

    scalars = [
        field for field in dataclasses.fields(algorithm) if isinstance(getattr(algorithm, field.name), jax.Array)
    ]
    for i in range(100):
        coefficients = {field.name: field.metadata["default"] * (0.9 + i / 2000) for field in scalars}
        algorithm = small(algorithm.name, **coefficients)
        state, _ = counted(algorithm, state, batch, jax.random.fold_in(key, i))
    assert traces == 1
    assert int(state.step) == 100


@pytest.mark.parametrize("algorithm", sampled(NAMES, ["bc"]), indirect=True)
def test_plain_call_equals_raw_and_filtered_jit(algorithm, state, batch, key):
    """A mean that nearly cancels, of values about 1, keeps fewer digits than its size promises."""
    plain = drol.step(algorithm, state, batch, key=key)
    assert_close(jit_step(algorithm, state, batch, key=key), plain, 1e-4)
    assert_close(eqx.filter_jit(drol.step)(algorithm, state, batch, key=key), plain, 1e-4)


@on_a_sample
def test_donation(algorithm, spec, batch, key):
    state = init(algorithm, spec, key)
    expected, _ = jit_step(algorithm, state, batch, key=key)
    donating = jax.jit(lambda state, algorithm, batch: drol.step(algorithm, state, batch, key=key)[0], donate_argnums=0)
    after = donating(state, algorithm, batch)
    assert_close(after, expected)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))


@on_a_sample
def test_scan_equals_single_steps(algorithm, state, batch, key):
    def body(state, i):
        return drol.step(algorithm, state, batch, key=jax.random.fold_in(key, i))[0], None

    scanned, _ = jax.jit(lambda state: jax.lax.scan(body, state, jnp.arange(5)))(state)
    for i in range(5):
        state, _ = jit_step(algorithm, state, batch, key=jax.random.fold_in(key, i))
    assert_close(scanned, state, 1e-4)


@on_a_sample
def test_vmap_over_seeds_and_hyperparameters(algorithm, spec, batch):
    keys = jax.random.split(jax.random.key(5), 3)
    coefficients = jnp.array([1e-4, 1e-3, 1e-2])

    def train(key, coefficient):
        own = eqx.tree_at(lambda a: a.learning_rate, algorithm, coefficient)
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


@on_four
def test_shard_map_equals_one_device(algorithm, state, batch, key):
    state = later(state)
    mesh = jax.make_mesh((SHARDS,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = jax.shard_map(
        functools.partial(gradients_and_state, axis_name="data"),
        mesh=mesh,
        in_specs=(P(), P(), P("data"), P()),
        out_specs=P(),
    )
    expected = jax.block_until_ready(jax.jit(gradients_and_state)(algorithm, state, batch, key))
    assert_close(jax.block_until_ready(jax.jit(sharded)(algorithm, state, batch, key)), expected, 2e-5)


@on_a_sample
@pytest.mark.parametrize("check_vma", sampled([True, False], [True]))
def test_a_batch_over_two_axes_equals_one_device(algorithm, state, batch, key, check_vma):
    state = later(state)
    mesh = jax.make_mesh((2, 2), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    sharded = jax.shard_map(
        functools.partial(gradients_and_state, axis_name=("a", "b")),
        mesh=mesh,
        in_specs=(P(), P(), P(("a", "b")), P()),
        out_specs=P(),
        check_vma=check_vma,
    )
    expected = jax.block_until_ready(jax.jit(gradients_and_state)(algorithm, state, batch, key))
    assert_close(jax.block_until_ready(jax.jit(sharded)(algorithm, state, batch, key)), expected, 2e-5)


@on_a_sample
def test_two_vmapped_axes_equal_one_device(algorithm, state, batch, key):
    shards = jax.tree.map(lambda x: x.reshape(2, 2, ROWS // 4, *x.shape[1:]), batch)
    mapped = functools.partial(gradients_and_state, axis_name=("a", "b"))
    for name in ("b", "a"):
        mapped = jax.vmap(mapped, axis_name=name, in_axes=(None, None, 0, None))
    expected = jax.jit(gradients_and_state)(algorithm, state, batch, key)
    result = jax.jit(mapped)(algorithm, state, shards, key)
    assert_close(jax.tree.map(lambda x: x[0, 0], result), expected, 2e-5)


@on_a_sample
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


@on_a_sample
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
    # A draw for the whole batch is the same in every shard.
    assert_close(part, jax.tree.map(lambda x: x[4:6] if x.shape[:1] == (ROWS,) else x, whole), 1e-6)
    for draws in jax.tree.leaves(whole):
        if jnp.issubdtype(draws.dtype, jnp.floating):
            assert len(np.unique(np.asarray(draws).reshape(ROWS, -1), axis=0)) == ROWS, "rows repeat each other's draws"


@on_a_sample
@pytest.mark.parametrize(
    "optimizer",
    [
        optax.sgd(1e-2, momentum=0.9),
        optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(optax.cosine_decay_schedule(1e-3, 100))),
    ],
    ids=["sgd", "clipped adamw with a schedule"],
)
def test_any_optax_optimizer(algorithm, spec, batch, key, optimizer):
    algorithm = small(algorithm.name, optimizer=optimizer)
    state = init(algorithm, spec, key)
    after, _ = jit_step(algorithm, state, batch, key=key)
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), trained(after), trained(state))
    assert any(jax.tree.leaves(moved))


@on_four
def test_the_policy_acts_within_bounds_and_repeats_with_its_key(algorithm, state, spec, key):
    policy = algorithm.policy(state)
    assert policy.spec == spec
    observations = random_batch(key, 5).observations
    act = jax.jit(jax.vmap(lambda o, k: policy(o, key=k)))
    actions = act(observations, jax.random.split(key, 5))
    assert actions.shape == (5, spec.action_dim)
    assert (jnp.abs(actions) <= 1).all()
    np.testing.assert_array_equal(actions, act(observations, jax.random.split(key, 5)))


ACTING = {
    "bc": {"actor": "actor"},
    "bfn": {"flow": "flow", "critic": "critic"},
    "deflow": {"flow": "flow", "refiner": "refiner", "critic": "critic"},
    "drol": {"actor": "actor", "critic": "critic"},
    "fawac": {"flow": "flow", "critic": "critic"},
    "fbrac": {"flow": "flow", "critic": "critic"},
    "flow-bc": {"flow": "flow"},
    "fql": {"actor": "actor", "critic": "critic"},
    "ifql": {"flow": "flow", "critic": "critic"},
    "iql": {"actor": "actor", "critic": "critic"},
    # Its actor is folded into one pass; see its own test.
    "meanflow-ql": {"critic": "target_critic"},
    "rebrac": {"actor": "actor", "critic": "critic"},
    "reform": {"actor": "actor", "generator": "generator", "critic": "critic"},
    "rlpd": {"actor": "actor"},
    "sac": {"actor": "actor"},
    "sorl": {"actor": "actor", "critic": "critic"},
}
"""The networks of each policy -> where they are in the state."""


def distinct(state):
    """The same state with other numbers in every array, so that nothing equals its slow copy."""
    leaves, structure = jax.tree.flatten(state)
    return jax.tree.unflatten(structure, [leaf + i + 1 for i, leaf in enumerate(leaves)])


def test_the_policy_holds_the_networks_that_act(algorithm, state):
    state = distinct(state)
    policy, networks = algorithm.policy(state), getattr(state, "networks", state)
    for name, place in ACTING[algorithm.name].items():
        expected = getattr(networks, place, None) or getattr(state, place)
        for mine, other in zip(jax.tree.leaves(getattr(policy, name)), jax.tree.leaves(expected), strict=True):
            np.testing.assert_array_equal(mine, other)
    held = {
        name for name in ("actor", "flow", "refiner", "generator", "critic") if getattr(policy, name, None) is not None
    }
    assert held - {"actor"} == set(ACTING[algorithm.name]) - {"actor"}


LATENTS = {
    "bfn": "next_latents",
    "deflow": "next_latent",
    "drol": "next_latents",
    "fawac": "next_latent",
    "fbrac": "next_latent",
    "flow-bc": "flow_x0",
    "fql": "next_latent",
    "ifql": "flow_x0",
    "meanflow-ql": "next_latents",
    "reform": "next_latent",
    "sorl": "next_latent",
}
"""The draws from which each method's next actions, or else its flow, begin in training."""


@pytest.mark.parametrize("algorithm", sorted(LATENTS), indirect=True)
def test_the_policy_draws_from_the_prior_of_training(algorithm, state, spec, key):
    noise = noise_of(algorithm, spec, 2000, key)
    trained_on = np.asarray(getattr(noise, LATENTS[algorithm.name])).reshape(-1, spec.action_dim)
    acted_on = np.asarray(algorithm.policy(state).draw((2000,), key=jax.random.fold_in(key, 1)))
    for statistic in (lambda z: z[:, 0], lambda z: np.linalg.norm(z, axis=-1)):
        assert scipy.stats.ks_2samp(statistic(acted_on), statistic(trained_on)).pvalue > 1e-6


TIMED = ["bfn", "deflow", "fawac", "fbrac", "flow-bc", "fql", "ifql", "meanflow-ql", "reform"]


@pytest.mark.parametrize("algorithm", TIMED, indirect=True)
def test_flow_matching_sees_every_time_alike(algorithm, spec, key):
    times = np.asarray(noise_of(algorithm, spec, 2000, key).flow_t)[:, 0]
    assert scipy.stats.kstest(times, "uniform").pvalue > 1e-6


CLONING = {
    "drol": {"bc_coef": 10.0},
    "rebrac": {"alpha_actor": 10.0},
    "iql": {"inverse_temperature": 0.0},
    "fawac": {"inverse_temperature": 0.0},
    "meanflow-ql": {"error_power": 0.0},
}
"""Weights that let behaviour cloning prevail, where it has to be said."""


ONLINE = ("rlpd", "sac")
"""Methods that clone nothing."""


@pytest.mark.parametrize(
    "algorithm",
    sampled([name for name in NAMES if name not in ONLINE], ["bc", "drol", "fql", "iql", "rebrac"]),
    indirect=True,
)
def test_training_improves_behaviour_cloning(algorithm, spec, key):
    """Four hundred steps on one batch bring the cloned actions closer to the data."""
    options = CLONING.get(algorithm.name, {})
    algorithm = small(algorithm.name, learning_rate=3e-3, **options)
    batch = random_batch(key, 64)

    def body(state, i):
        return drol.step(algorithm, state, batch, key=jax.random.fold_in(key, i))

    _, history = jax.jit(lambda s: jax.lax.scan(body, s, jnp.arange(400)))(init(algorithm, spec, key))
    losses = history["flow_loss" if "flow_loss" in history else "bc_loss"]
    assert losses[-20:].mean() < 0.9 * losses[:20].mean()


@jax.jit
def gradients_of(algorithm, state, batch, noise):
    return trained(algorithm.gradients(state, batch, noise)[0])


def moved_by(algorithm, state, batch, key, *, to):
    """The names of the networks whose gradients differ between (state, batch) and `to`."""
    noise = noise_of(algorithm, batch.spec, ROWS, key)
    before, after = (gradients_of(algorithm, *where, noise) for where in ((state, batch), to))
    different = {name: jax.tree.map(lambda a, b: bool((a != b).any()), before[name], after[name]) for name in before}
    return {name for name, leaves in different.items() if any(jax.tree.leaves(leaves))}


def test_rewards_and_the_slow_critic_reach_values_only(algorithm, state, batch, key):
    state = later(state)
    other = eqx.tree_at(lambda b: b.rewards, batch, batch.rewards + 1)
    values = {"critic"} & set(trained(state))
    assert moved_by(algorithm, state, batch, key, to=(state, other)) == values
    if values:
        slow = eqx.tree_at(lambda s: s.target_critic, state, jax.tree.map(lambda x: x + 0.1, state.target_critic))
        assert moved_by(algorithm, state, batch, key, to=(slow, batch)) <= {"critic", "value"}


PURE_CLONES = {
    "bfn": {"flow"},
    "flow-bc": {"flow"},
    "fql": {"flow"},
    "ifql": {"flow"},
    "deflow": {"flow"},
    "bc": {"actor"},
    "reform": {"flow", "actor"},
}
"""Networks that never hear of the critic."""


def test_the_critic_reaches_the_networks_it_guides_and_no_others(algorithm, state, batch, key):
    state = later(state)
    if "critic" not in trained(state):
        return
    networks = getattr(state, "networks", state)
    louder = eqx.tree_at(lambda n: n.critic, networks, jax.tree.map(lambda x: 1.1 * x + 0.01, networks.critic))
    other = louder if networks is state else eqx.tree_at(lambda s: s.networks, state, louder)
    moved = moved_by(algorithm, state, batch, key, to=(other, batch))
    # DeFlow's multiplier sees the size of the correction, not its value.
    apart = PURE_CLONES.get(algorithm.name, set()) | {"value", "log_alpha", "log_temperature"}
    assert moved == set(trained(state)) - apart


def test_the_actor_reaches_no_value_but_through_the_next_action(algorithm, state, batch, key):
    """Where nothing is bootstrapped, no critic sees who acts."""
    state = later(state)
    ended = eqx.tree_at(lambda b: b.masks, batch, jnp.zeros_like(batch.masks))
    networks = getattr(state, "networks", state)
    actors = [name for name in ("actor", "flow", "generator", "refiner") if name in trained(state)]
    shifted = eqx.tree_at(
        lambda n: [getattr(n, name) for name in actors],
        networks,
        [jax.tree.map(lambda x: x + 0.1, getattr(networks, name)) for name in actors],
    )
    other = shifted if networks is state else eqx.tree_at(lambda s: s.networks, state, shifted)
    moved = moved_by(algorithm, state, ended, key, to=(other, ended))
    assert moved & {"critic", "value"} == set()
    assert moved & set(actors) == set(actors)


@on_four
def test_checkpoints_and_policy_files_round_trip(algorithm, state, batch, key, tmp_path):
    state = jax.tree.map(lambda x: x + 1, state)
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep_last=1)
    checkpoints.save(state, key, {"critic_loss": 1.5})
    checkpoints.finish()
    restored, _, _ = checkpoints.restore(jax.tree.map(jnp.zeros_like, state), key)
    checkpoints.close()
    for mine, other in zip(jax.tree.leaves(restored), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(mine, other)

    policy = algorithm.policy(state)
    drol.save_policy(policy, tmp_path / "policy")
    loaded = drol.load_policy(tmp_path / "policy")
    assert jax.tree.structure(loaded.policy) == jax.tree.structure(policy)
    observations = np.asarray(batch.observations)
    act = jax.jit(jax.vmap(policy.act))
    noise = jax.vmap(lambda row: policy.noise(key=jax.random.fold_in(key, row)))(jnp.arange(ROWS))
    np.testing.assert_allclose(loaded(observations, key=key), act(observations, noise), rtol=1e-5, atol=1e-6)


def test_hyperparameters_survive_a_record(algorithm):
    values = hyperparameters(algorithm)
    again = drol.algorithm.from_hyperparameters(type(algorithm), values)
    assert hyperparameters(again) == values


def test_every_metric_is_explained_in_the_documentation(algorithm, state, batch, key):
    _, metrics = jax.eval_shape(jit_step, algorithm, state, batch, key=key)
    assert set(metrics) == set(algorithm.metrics)
    section = type(algorithm).__doc__.partition("Metrics:")[2]
    assert all(f"{name}: {what}." in section for name, what in algorithm.metrics.items())
