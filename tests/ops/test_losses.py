"""Actor losses: values by hand, gradients by closed form and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
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


RESIDUALS = np.float32([-2.0, -0.5, 0.0, 0.25, 3.0])


@pytest.mark.parametrize("kappa", [0.1, 0.5, 0.9])
def test_expectile_by_hand(kappa):
    negative, positive = 2.0**2 + 0.5**2, 0.25**2 + 3.0**2
    expected = ((1 - kappa) * negative + kappa * positive) / 5
    assert float(losses.expectile(jnp.asarray(RESIDUALS), kappa)) == pytest.approx(expected, rel=1e-6)
    if kappa == 0.5:
        assert expected == pytest.approx(np.mean(RESIDUALS**2) / 2)


def test_the_constant_of_least_expectile_loss_is_the_samples_expectile():
    sample, kappa = np.random.default_rng(0).normal(size=50), 0.9
    with jax.enable_x64(True):
        slope = jax.jit(jax.grad(lambda constant: losses.expectile(jnp.asarray(sample) - constant, kappa)))
        low, high = sample.min(), sample.max()
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    assert low == pytest.approx(scipy.stats.expectile(sample, kappa), abs=1e-9)
    assert low > sample.mean()


def test_the_gradient_of_expectile_is_smooth_at_zero():
    """2 |kappa - 1{u < 0}| u / n, by finite differences too, and 0 at 0 from both sides."""
    kappa, step = 0.9, 1e-6
    with jax.enable_x64(True):
        u = jnp.asarray(RESIDUALS, jnp.float64)
        loss = jax.jit(lambda u: losses.expectile(u, kappa))
        gradient = np.asarray(jax.grad(loss)(u))
        differences = [float(loss(u + shift) - loss(u - shift)) / (2 * step) for shift in step * np.eye(5)]
    np.testing.assert_allclose(gradient, 2 * np.where(RESIDUALS < 0, 1 - kappa, kappa) * RESIDUALS / 5, atol=1e-12)
    np.testing.assert_allclose(differences, gradient, atol=1e-6)
    assert gradient[2] == 0


def test_advantage_weights_are_capped_and_their_advantages_constant():
    advantages = jnp.array([0.0, -1.0, 1.5, 2.0, 1e4, 1e38, -1e38])
    weights = losses.advantage_weights(advantages, 3.0)
    np.testing.assert_allclose(weights, [1, np.exp(-3), np.exp(4.5), 100, 100, 100, 0], rtol=1e-6)
    assert (weights[3:6] == 100).all()
    of_advantages, of_beta = jax.grad(lambda a, beta: losses.advantage_weights(a, beta).sum(), argnums=(0, 1))(
        advantages, 3.0
    )
    np.testing.assert_array_equal(of_advantages, 0)
    # d/d beta exp(beta A) = A exp(beta A) below the cap, also where the exponential would overflow.
    assert float(of_beta) == pytest.approx(-np.exp(-3) + 1.5 * np.exp(4.5), rel=1e-6)


def test_the_lagrangian_moves_the_multiplier_alone():
    """d/d log(alpha) = -(D - limit): descent raises the multiplier where D exceeds the limit."""
    log_alpha, divergence = jnp.array([0.7]), jnp.asarray(0.5)
    of_alpha, of_divergence = jax.grad(losses.lagrangian, argnums=(0, 1))(log_alpha, divergence, 0.2)
    np.testing.assert_allclose(of_alpha, [-0.3], rtol=1e-6)
    assert of_divergence == 0
    assert float(losses.lagrangian(log_alpha, divergence, 0.2)) == pytest.approx(-0.7 * 0.3)


def test_gaussian_log_prob_is_that_of_scipy():
    means, actions = np.random.default_rng(1).normal(size=(2, 4, 3)).astype(np.float32)
    expected = [
        scipy.stats.multivariate_normal(mean, np.eye(3)).logpdf(a) for mean, a in zip(means, actions, strict=True)
    ]
    np.testing.assert_allclose(losses.gaussian_log_prob(jnp.asarray(means), jnp.asarray(actions)), expected, rtol=1e-5)


@pytest.mark.parametrize(("normalize", "scale"), [(False, 1.0), (True, 1 / 3)])
def test_q_loss_is_minus_the_mean_over_a_constant(normalize, scale):
    q_values = jnp.array([-2.0, 6.0, 1.0])
    loss, gradient = jax.value_and_grad(lambda q: losses.q_loss(q, normalize=normalize))(q_values)
    assert float(loss) == pytest.approx(-scale * 5 / 3)
    np.testing.assert_allclose(gradient, -scale / 3 * np.ones(3), rtol=1e-6)


def test_tempered_errors_by_hand():
    """e / (e + 0.5)^p; the weight is a constant, and bounded."""
    errors = jnp.array([0.5, 3.5])
    np.testing.assert_allclose(losses.tempered(errors, 0.5, 0.5), [0.5, 1.75], rtol=1e-6)
    slopes = jax.grad(lambda e: losses.tempered(e, 0.5, 0.5).sum())(errors)
    np.testing.assert_allclose(slopes, [1.0, 0.5], rtol=1e-6)
    np.testing.assert_allclose(losses.tempered(jnp.array([0.0, 1e-9]), 8.0), [0.0, 1e-3], rtol=1e-6)
    # d/dp sum e (e + 0.5)^-p = -sum log(e + 0.5) e (e + 0.5)^-p
    of_power = jax.grad(lambda power: losses.tempered(errors, power, 0.5).sum())(0.5)
    assert float(of_power) == pytest.approx(-np.log(4) * 3.5 / 2, rel=1e-6)
