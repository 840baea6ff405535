"""SAC's and RLPD's losses against straight NumPy, and what each of their parts learns from."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import drol
from drol.algorithms.rlpd import RLPD
from drol.algorithms.sac import SAC
from drol.algorithms.soft import SoftNoise
from drol.nn.squashed import LOG_STD, SquashedActor
from drol.ops.squashed import squashed_draw
from tests.helpers.batches import SPEC, random_batch
from tests.helpers.plain_algorithms import assert_slopes, close, equal, measure, prepared, update
from tests.helpers.plain_networks import plain_critic, plain_mlp
from tests.helpers.small_algorithms import init

METHODS = [SAC(hidden=(8,)), RLPD(hidden=(8,), ensemble=4)]
each = pytest.mark.parametrize("algorithm", METHODS, ids=lambda algorithm: algorithm.name)


def plain_draw(actor, observations, normal):
    """The action and its log density, by the change of variables as the textbook has it."""
    mean, log_std = np.split(plain_mlp(actor.mlp, observations), 2, axis=-1)
    log_std = np.clip(log_std, -5, 2)
    drawn = mean + np.exp(log_std) * np.asarray(normal)
    action = np.tanh(drawn)
    density = scipy.stats.norm.logpdf(drawn, mean, np.exp(log_std)) - np.log(1 - action**2)
    return action, density.sum(axis=-1)


def with_members(algorithm, noise):
    """`prepared` draws normal numbers; the members of a target are whole ones."""
    if noise.members is None:
        return noise
    return eqx.tree_at(lambda n: n.members, noise, np.array([2, 0], np.int32)[: algorithm.members])


def critic_target(algorithm, state, batch, noise):
    networks = state.networks
    action, log_prob = plain_draw(networks.actor, batch.next_observations, noise.next_action)
    values = plain_critic(state.target_critic, batch.next_observations, action)
    if noise.members is not None:
        values = values[np.asarray(noise.members)]
    value = values.min(axis=0)
    if algorithm.backup_entropy:
        value = value - np.exp(np.float64(networks.log_temperature)) * log_prob
    return batch.rewards + 0.99 * batch.masks * value


@pytest.mark.parametrize("backup_entropy", [False, True])
@each
def test_the_losses_by_a_straight_computation(algorithm, backup_entropy):
    with jax.enable_x64(True):
        algorithm = dataclasses.replace(algorithm, backup_entropy=backup_entropy)
        state, batch, noise = prepared(algorithm)
        noise = with_members(algorithm, noise)
        metrics = measure(algorithm, state, batch, noise)
    networks = state.networks
    targets = critic_target(algorithm, state, batch, noise)
    q_values = plain_critic(networks.critic, batch.observations, batch.actions)
    close(metrics["critic_loss"], np.mean((q_values - targets) ** 2))
    close(metrics["target_mean"], targets.mean())
    action, log_prob = plain_draw(networks.actor, batch.observations, noise.action)
    guided = plain_critic(networks.critic, batch.observations, action)
    guided = guided.min(axis=0) if algorithm.name == "sac" else guided.mean(axis=0)
    temperature = np.exp(np.float64(networks.log_temperature))
    close(metrics["actor_loss"], np.mean(temperature * log_prob - guided))
    close(metrics["entropy"], -log_prob.mean())
    close(metrics["temperature_loss"], temperature * (-log_prob.mean() + 0.5 * SPEC.action_dim))


@each
def test_the_gradients_are_those_of_the_plain_losses(algorithm):
    """Each network's, from its own loss alone: the others, and the temperature in the actor's loss, are constants."""
    with jax.enable_x64(True):
        state, batch, noise = prepared(algorithm)
        noise = with_members(algorithm, noise)
        gradients, _ = jax.jit(lambda own, *given: own.gradients(*given))(algorithm, state, batch, noise)
        gradients = jax.tree.map(np.asarray, gradients)
    networks = state.networks
    targets = critic_target(algorithm, state, batch, noise)

    def of_critic(critic):
        return np.mean((plain_critic(critic, batch.observations, batch.actions) - targets) ** 2)

    def of_actor(actor):
        action, log_prob = plain_draw(actor, batch.observations, noise.action)
        values = plain_critic(networks.critic, batch.observations, action)
        values = values.min(axis=0) if algorithm.name == "sac" else values.mean(axis=0)
        return np.mean(np.exp(np.float64(networks.log_temperature)) * log_prob - values)

    assert_slopes(of_critic, networks.critic, gradients.critic)
    assert_slopes(of_actor, networks.actor, gradients.actor)
    _, log_prob = plain_draw(networks.actor, batch.observations, noise.action)
    slope = np.exp(np.float64(networks.log_temperature)) * (-log_prob.mean() + 0.5 * SPEC.action_dim)
    close(gradients.log_temperature, slope)


def test_densities_stay_finite_where_tanh_saturates():
    """At u = 30, 1 - tanh(u)^2 is 0 in any precision; the density of u is not."""
    mean, log_std = jnp.full((1, 2), 30.0), jnp.zeros((1, 2))
    action, log_prob = squashed_draw(mean, log_std, jnp.zeros((1, 2)))
    assert (action == 1).all()
    assert log_prob[0] == pytest.approx(2 * (-0.5 * np.log(2 * np.pi) - 2 * (np.log(2) - 30)), rel=1e-6)
    slope = jax.grad(lambda m: squashed_draw(m, log_std, jnp.zeros((1, 2)))[1].sum())(mean)
    np.testing.assert_allclose(slope, 2.0, rtol=1e-6)


def test_densities_integrate_to_one():
    """On a grid of actions, dense towards the bounds."""
    drawn = np.linspace(-9, 9, 100_001)
    grid = np.tanh(drawn)
    for mean, log_std in ((0.0, 0.0), (1.0, -1.0), (-0.5, 0.5)):
        normal = (drawn - mean) / np.exp(log_std)
        with jax.enable_x64(True):
            values = [jnp.full((len(grid), 1), value) for value in (mean, log_std)]
            _, log_prob = squashed_draw(*values, jnp.asarray(normal)[:, None])
        assert np.trapezoid(np.exp(log_prob), grid) == pytest.approx(1, abs=1e-3)


def test_log_standard_deviations_are_clipped_at_both_ends(key):
    actor = SquashedActor(SPEC, (8,), key=key)
    for shift, expected in ((100.0, LOG_STD[1]), (-100.0, LOG_STD[0])):
        far = eqx.tree_at(lambda a: a.mlp.layers[-1].bias, actor, jnp.full(2 * SPEC.action_dim, shift))
        mean, log_std = far(jnp.zeros(SPEC.observation_dim))
        assert (log_std == expected).all()
        assert not (mean == expected).any()


@each
def test_after_one_update_the_target_is_still_its_initial_copy(algorithm, key):
    """The average takes the critic from before the update."""
    state = init(algorithm, SPEC, key)
    after, _ = jax.jit(drol.step)(algorithm, state, random_batch(key, 8), key=key)
    close_to = jax.tree.map(lambda a, b: bool(np.allclose(a, b, atol=1e-7)), after.target_critic, state.networks.critic)
    assert all(jax.tree.leaves(close_to))
    assert not equal(after.networks.critic, state.networks.critic)


def test_rlpd_draws_distinct_members_for_each_update_and_all_rows_alike(key):
    algorithm = RLPD(hidden=(8,), ensemble=5, target_members=2)
    draw = jax.jit(lambda key, rows: algorithm.noise(SPEC, rows, key=key).members)
    drawn = np.array([draw(jax.random.fold_in(key, i), jnp.arange(4)) for i in range(200)])
    assert (drawn[:, 0] != drawn[:, 1]).all()
    counts = np.bincount(drawn.ravel(), minlength=5)
    assert scipy.stats.chisquare(counts).pvalue > 1e-6
    np.testing.assert_array_equal(draw(key, jnp.arange(4)), draw(key, jnp.arange(4, 8)))
    whole = RLPD(hidden=(8,), ensemble=5, target_members=5).noise(SPEC, jnp.arange(4), key=key)
    assert isinstance(whole, SoftNoise)
    assert whole.members is None


def test_a_skipped_actor_stays_where_it_is(key):
    """Of RLPD's several updates per step the last one moves actor and temperature; their optimizer rests meanwhile."""
    algorithm = RLPD(hidden=(8,), ensemble=3, actor_period=3)
    state = init(algorithm, SPEC, key)
    step, moved = jax.jit(drol.step), []
    for number in range(6):
        after, metrics = step(algorithm, state, random_batch(key, 8), key=jax.random.fold_in(key, number))
        pairs = [(after.networks.actor, state.networks.actor), (after.actor_optimizer, state.actor_optimizer)]
        still = [equal(new, old) for new, old in pairs]
        still.append(bool(after.networks.log_temperature == state.networks.log_temperature))
        assert len(set(still)) == 1
        moved.append(not still[0])
        assert not equal(after.networks.critic, state.networks.critic)
        assert set(metrics) == set(RLPD.metrics)
        state = after
    assert moved == [False, False, True] * 2


def test_one_optimizer_for_each_part_equals_one_for_all(key):
    """Adam works on each number by itself, so the published single Adam over the sum of losses does the same."""
    algorithm = SAC(hidden=(8,))
    state = init(algorithm, SPEC, key)
    batch, noise = random_batch(key, 8), algorithm.noise(SPEC, jnp.arange(8), key=key)
    gradients, _ = algorithm.gradients(state, batch, noise)
    adam = algorithm.adam()
    together = eqx.apply_updates(state.networks, adam.update(gradients, adam.init(state.networks))[0])
    ours, _ = update(algorithm, state, batch, noise)
    for mine, other in zip(jax.tree.leaves(ours.networks), jax.tree.leaves(together), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-7)


@each
def test_the_entropy_settles_at_its_target_on_a_bandit(algorithm):
    """The reward -|a - 1/2|^2 of a single state: without a temperature, the policy would become deterministic."""
    algorithm = dataclasses.replace(algorithm, learning_rate=3e-3, hidden=(16,), target_entropy=-0.5)
    spec, rows = drol.Spec(1, 2), 64

    def body(state, number):
        key = jax.random.fold_in(jax.random.key(3), number)
        actions = jax.random.uniform(key, (rows, 2), minval=-1)
        fixed = jnp.ones((rows, 1))
        rewards = -3 * jnp.sum((actions - 0.5) ** 2, axis=-1)
        batch = drol.Batch(fixed, actions, rewards, jnp.zeros(rows), fixed, actions)
        return drol.step(algorithm, state, batch, key=key)

    _, history = jax.jit(lambda state: jax.lax.scan(body, state, jnp.arange(3000)))(
        algorithm.init(spec, key=jax.random.key(0))
    )
    assert history["entropy"][-300:].mean() == pytest.approx(-0.5 * 2, abs=0.15)
    assert history["temperature"][-1] < 0.9 * history["temperature"][0]


def test_the_policy_is_judged_at_its_mean_and_explores_with_draws(key):
    algorithm = SAC(hidden=(8,))
    policy = algorithm.policy(init(algorithm, SPEC, key))
    observation = jax.random.normal(key, (SPEC.observation_dim,))
    mean, log_std = policy.actor(observation)
    np.testing.assert_allclose(policy(observation, key=key), jnp.tanh(mean), rtol=1e-6)
    drawn = policy.with_kind("one")
    latents = drawn.noise(key=key)
    np.testing.assert_allclose(drawn(observation, key=key), jnp.tanh(mean + jnp.exp(log_std) * latents), rtol=1e-6)
    with pytest.raises(ValueError, match="no critic"):
        policy.with_kind("best-of-n")


def test_policy_files_keep_it(key, tmp_path):
    algorithm = SAC(hidden=(8,))
    policy = algorithm.policy(init(algorithm, SPEC, key))
    drol.save_policy(policy, tmp_path / "policy")
    loaded = drol.load_policy(tmp_path / "policy")
    observation = np.ones(SPEC.observation_dim, np.float32)
    np.testing.assert_allclose(loaded(observation), policy(jnp.asarray(observation), key=key), rtol=1e-5)


def test_critics_are_normalised_or_not(key):
    for algorithm, count in ((SAC(hidden=(8,)), 0), (SAC(hidden=(8,), layer_norm=True), 1), (RLPD(hidden=(8,)), 1)):
        assert len(algorithm.init(SPEC, key=key).networks.critic.members.norms) == count
    assert {leaf.shape[0] for leaf in jax.tree.leaves(RLPD(hidden=(8,)).init(SPEC, key=key).target_critic)} == {10}
