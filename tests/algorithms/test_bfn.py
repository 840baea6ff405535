"""BFN's losses against straight NumPy, and the samples among which its policy chooses."""

import jax
import numpy as np

from drol.algorithms.bfn import BFN
from tests.helpers.batches import SPEC
from tests.helpers.plain_algorithms import ROWS, close, measure, prepared
from tests.helpers.plain_networks import plain_critic, plain_mlp
from tests.helpers.small_algorithms import init

SAMPLES, STEPS = 7, 2


def test_the_losses_by_a_straight_computation():
    """The online critics' mean ranks the samples, the slow ones' minimum values the best."""
    with jax.enable_x64(True):
        algorithm = BFN(hidden=(8,), num_samples=SAMPLES, flow_steps=STEPS, q_agg="min")
        state, batch, noise = prepared(algorithm)
        metrics = measure(algorithm, state, batch, noise)
    field, critic = state.networks.flow.mlp, state.networks.critic

    def flow(observations, x):
        for step in range(STEPS):
            times = np.full((len(x), 1), step / STEPS)
            x = x + plain_mlp(field, observations, x, times) / STEPS
        return np.clip(x, -1, 1)

    samples = [flow(batch.next_observations, noise.next_latents[:, i]) for i in range(SAMPLES)]
    online, slow = (
        np.stack([plain_critic(of, batch.next_observations, sample) for sample in samples], axis=-1)
        for of in (critic, state.target_critic)
    )
    best = online.mean(axis=0).argmax(axis=-1)
    assert (best != slow.min(axis=0).argmax(axis=-1)).any()
    chosen = slow.min(axis=0)[np.arange(ROWS), best]
    targets = batch.rewards + 0.99 * batch.masks * chosen
    q_values = plain_critic(critic, batch.observations, batch.actions)
    close(metrics["critic_loss"], np.mean((q_values - targets) ** 2))
    close(metrics["target_mean"], targets.mean())

    times = np.asarray(noise.flow_t)
    points = (1 - times) * noise.flow_x0 + times * batch.actions
    velocity = plain_mlp(field, batch.observations, points, times)
    close(metrics["flow_loss"], np.mean((velocity - (batch.actions - noise.flow_x0)) ** 2))


def test_the_policy_takes_the_best_of_as_many_samples(key):
    algorithm = BFN(hidden=(8,), num_samples=SAMPLES, flow_steps=STEPS)
    policy = algorithm.policy(init(algorithm, SPEC, key))
    sharp = BFN(hidden=(8,), actor_q_agg="mean-std", actor_rho=1.5)
    chosen = sharp.policy(init(sharp, SPEC, key)).choice
    assert (chosen.q_agg, chosen.rho) == ("mean-std", 1.5)
    assert (policy.choice.how, policy.choice.num_samples, policy.choice.q_agg) == ("best-of-n", SAMPLES, "mean")
    observation, latents = jax.random.normal(key, (SPEC.observation_dim,)), policy.noise(key=key)
    samples = policy.sample(observation, latents)
    ranks = policy.q_values(observation, samples).mean(axis=0)
    np.testing.assert_array_equal(policy.act(observation, latents), samples[ranks.argmax()])
