"""Networks: initialisers, shapes, and the shortcut of the candidates' first layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from drol import Spec
from drol.nn import MLP, CriticEnsemble, LatentActor, LayerNorm, MeanActor, Value, VectorField, clip_action
from tests.helpers.plain_networks import plain_critic, plain_mlp

SPEC = Spec(observation_dim=9, action_dim=4)
SIGNIFICANCE = 1e-6


apply = jax.jit(lambda network, *inputs: network(*inputs))


def build(cls, *args, **options):
    """A network in one compiled piece, its norms and biases moved away from their start."""
    network = jax.jit(lambda: cls(*args, **options, key=jax.random.key(0)))()
    return jax.tree.map(lambda leaf: np.asarray(leaf) + np.float32(0.1), network)


def test_weights_are_uniform_with_the_average_fan():
    """Variance scaling 1, fan_avg: uniform on +- sqrt(6 / (in + out)); zero biases."""
    mlp = MLP(40, (60, 50), 30, layer_norm=True, key=jax.random.key(0))
    for layer in mlp.layers:
        limit = np.sqrt(6 / sum(layer.weight.shape))
        weights = np.asarray(layer.weight).ravel()
        assert np.abs(weights).max() <= limit
        assert scipy.stats.kstest(weights, scipy.stats.uniform(-limit, 2 * limit).cdf).pvalue > SIGNIFICANCE
        assert (layer.bias == 0).all()
    assert [norm.scale.shape for norm in mlp.norms] == [(60,), (50,)]


def test_members_of_the_ensemble_differ():
    critic = CriticEnsemble(SPEC, (16, 16), ensemble=3, key=jax.random.key(0))
    weights = critic.members.layers[0].weight
    assert weights.shape == (3, 13, 16)
    assert len(np.unique(np.asarray(weights)[:, 0, 0])) == 3
    values = critic(jnp.ones((5, 9)), jnp.ones((5, 4)))
    assert values.shape == (3, 5)


def test_layer_norm_has_the_stated_epsilon():
    x = jnp.array([1e-3, -1e-3, 2e-3, 0.0])
    expected = (x - x.mean()) / jnp.sqrt(x.var() + 1e-6)
    np.testing.assert_allclose(LayerNorm(4)(x), expected, rtol=1e-4)


def test_the_mlp_by_hand():
    """Linear, tanh-gelu, layer norm after the activation, linear."""
    mlp = build(MLP, 3, (8, 5), 2, layer_norm=True)
    x = jnp.array([0.5, -1.0, 2.0])
    np.testing.assert_allclose(apply(mlp, x), plain_mlp(mlp, x), rtol=1e-5, atol=1e-6)


def test_candidates_are_the_actor_on_each_latent():
    """The observation's share of the first layer, computed once, changes nothing but rounding."""
    actor = LatentActor(SPEC, (32, 32), key=jax.random.key(0))
    observations = jax.random.normal(jax.random.key(1), (6, 9))
    latents = 3 * jax.random.normal(jax.random.key(2), (6, 5, 4))
    together = actor.candidates(observations, latents)
    one_by_one = jax.vmap(actor, in_axes=(None, 1), out_axes=1)(observations, latents)
    np.testing.assert_allclose(together, one_by_one, atol=1e-6)
    assert together.shape == (6, 5, 4)


@pytest.mark.parametrize("conditions", [(), (2.0, np.linspace(0, 1, 6, dtype=np.float32)[:, None])])
def test_a_field_at_a_fixed_observation_is_the_field(conditions):
    """Conditions may be numbers or one per row, and points may carry axes of samples in front."""
    field = build(VectorField, SPEC, (8, 8), conditions=len(conditions))
    rng = np.random.default_rng(0)
    observations, points = (rng.normal(size=(*rows, n)).astype(np.float32) for rows, n in (((6,), 9), ((3, 6), 4)))

    @jax.jit
    def fields(field, observations, points, conditions):
        one = [c[0] if jnp.ndim(c) else c for c in conditions]
        at = field.at(observations)
        return (
            field(observations, points[0], *conditions),
            at(points[0], *conditions),
            at(points, *conditions),
            field.at(observations[0])(points[:, 0], *one),
        )

    one, same, samples, of_one = fields(field, observations, points, conditions)
    columns = [np.broadcast_to(c, (3, 6, 1)) for c in conditions]
    expected = plain_mlp(field.mlp, np.broadcast_to(observations, (3, 6, 9)), points, *columns)
    for ours, theirs in ((one, expected[0]), (same, expected[0]), (samples, expected), (of_one, expected[:, 0])):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="zip"):
        jax.eval_shape(lambda o, x: field.at(o)(x, 0.0, 0.0, 0.0), observations, points[0])


def test_the_mean_actor_begins_ten_times_smaller():
    actor, other = build(MeanActor, SPEC, (8,)), build(MLP, 9, (8,), 4, layer_norm=False)
    for layer, same, gain in zip(actor.mlp.layers, other.layers, (1.0, 0.1), strict=True):
        np.testing.assert_allclose(layer.weight - 0.1, gain * (same.weight - 0.1), rtol=0, atol=1e-6)
    assert np.abs(other.layers[-1].weight - 0.1).max() > 0.5
    observations = np.ones((5, 9), np.float32)
    np.testing.assert_allclose(apply(actor, observations), plain_mlp(actor.mlp, observations), rtol=1e-4, atol=1e-5)


def test_the_value_is_one_number_per_observation():
    value = build(Value, SPEC, (8,))
    observations = np.random.default_rng(0).normal(size=(5, 9)).astype(np.float32)
    expected = plain_mlp(value.mlp, observations)[:, 0]
    np.testing.assert_allclose(apply(value, observations), expected, rtol=1e-4, atol=1e-5)
    assert jax.eval_shape(value.__call__, observations[0]).shape == ()
    assert len(value.mlp.norms) == 1


def test_a_critic_takes_its_condition_after_the_action():
    critic = build(CriticEnsemble, SPEC, (8,), ensemble=3, conditions=1)
    rng = np.random.default_rng(0)
    observations, actions = (rng.normal(size=(5, n)).astype(np.float32) for n in (9, 4))
    for condition in (1.0, 8.0):
        expected = plain_critic(critic, observations, actions, np.full((5, 1), condition))
        values = apply(critic, observations, actions, jnp.asarray(condition))
        np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-5)


def test_the_clip_has_no_gradient_where_it_saturates():
    gradient = jax.grad(lambda a: clip_action(a).sum())(jnp.array([-1.5, -0.5, 0.5, 1.5]))
    np.testing.assert_array_equal(gradient, [0, 1, 1, 0])


def test_impossible_shapes_are_refused():
    with pytest.raises(ValueError, match="at least one hidden layer"):
        MLP(3, (), 2, layer_norm=False, key=jax.random.key(0))
    with pytest.raises(ValueError, match="action_dim must be a positive integer, found 0"):
        Spec(observation_dim=3, action_dim=0)
