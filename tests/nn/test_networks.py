"""Networks: initialisers, shapes, and the shortcut of the candidates' first layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from drol import Spec
from drol.nn import MLP, CriticEnsemble, LatentActor, LayerNorm, clip_action

SPEC = Spec(observation_dim=9, action_dim=4)
SIGNIFICANCE = 1e-6


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
    mlp = MLP(3, (8,), 2, layer_norm=True, key=jax.random.key(1))
    x = jnp.array([0.5, -1.0, 2.0])
    hidden = x @ mlp.layers[0].weight
    hidden = 0.5 * hidden * (1 + jnp.tanh(np.sqrt(2 / np.pi) * (hidden + 0.044715 * hidden**3)))
    hidden = (hidden - hidden.mean()) / jnp.sqrt(hidden.var() + 1e-6)
    np.testing.assert_allclose(mlp(x), hidden @ mlp.layers[1].weight, rtol=1e-5, atol=1e-6)


def test_candidates_are_the_actor_on_each_latent():
    """The observation's share of the first layer, computed once, changes nothing but rounding."""
    actor = LatentActor(SPEC, (32, 32), key=jax.random.key(0))
    observations = jax.random.normal(jax.random.key(1), (6, 9))
    latents = 3 * jax.random.normal(jax.random.key(2), (6, 5, 4))
    together = actor.candidates(observations, latents)
    one_by_one = jax.vmap(actor, in_axes=(None, 1), out_axes=1)(observations, latents)
    np.testing.assert_allclose(together, one_by_one, atol=1e-6)
    assert together.shape == (6, 5, 4)


def test_the_clip_has_no_gradient_where_it_saturates():
    gradient = jax.grad(lambda a: clip_action(a).sum())(jnp.array([-1.5, -0.5, 0.5, 1.5]))
    np.testing.assert_array_equal(gradient, [0, 1, 1, 0])


def test_impossible_shapes_are_refused():
    with pytest.raises(ValueError, match="at least one hidden layer"):
        MLP(3, (), 2, layer_norm=False, key=jax.random.key(0))
    with pytest.raises(ValueError, match="action_dim must be a positive integer, found 0"):
        Spec(observation_dim=3, action_dim=0)
