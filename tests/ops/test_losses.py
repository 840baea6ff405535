"""Actor losses: values by hand, gradients by closed form and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from drol.ops import losses


def test_behaviour_cloning_is_the_mean_over_dimensions():
    bc = losses.behaviour_cloning(jnp.array([[1.0, 0.0], [0.0, 0.0]]), jnp.array([[0.0, 2.0], [0.0, 0.0]]))
    np.testing.assert_allclose(bc, [2.5, 0.0])


def test_q_scale_has_a_floor_and_no_gradient():
    assert float(losses.q_scale(jnp.array([-2.0, 4.0]))) == pytest.approx(1 / 3)
    assert float(losses.q_scale(jnp.zeros(2))) == pytest.approx(1e6)
    gradient = jax.grad(lambda q: losses.q_scale(q))(jnp.array([1.0, 3.0]))
    np.testing.assert_array_equal(gradient, 0)


def test_winner_only_by_hand():
    loss = losses.winner_only(jnp.array([1.0, 3.0]), jnp.array([4.0, 8.0]), bc_coef=10.0, q_coef=2.0, scale=0.5)
    assert float(loss) == pytest.approx(10 * 2 - 2 * 0.5 * 6)


def test_the_pointwise_gradient_is_the_closed_form():
    """-grad Q + 2 alpha (x - t), whatever the others do (Proposition 4.2)."""
    alpha, peak = 3.0, jnp.array([0.3, -0.2])

    def loss(x, t):
        q = -jnp.sum((x - peak) ** 2, axis=-1)
        return losses.pointwise(x, t, q, alpha=alpha)

    x, t = jnp.array([[0.5, 0.1]]), jnp.array([[-0.4, 0.9]])
    np.testing.assert_allclose(jax.grad(loss)(x, t), 2 * (x - peak) + 2 * alpha * (x - t), rtol=1e-5)
    check_grads(lambda x: loss(jnp.asarray(x), t), (x,), order=1, modes=["rev"], rtol=1e-2)
