"""BFN: a flow of the data, of whose samples the critic takes the best; with chunks, Q-chunking (Li et al. 2025)."""

from collections.abc import Mapping
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from drol.algorithm import ScalarLike, static
from drol.algorithms import fields, operations
from drol.algorithms.learner import (
    CriticGiven,
    CriticLearner,
    CriticNetworks,
    CriticState,
    cloning_errors,
    per_row,
    temporal_difference,
)
from drol.algorithms.metrics import CRITIC, reported
from drol.hyperparameters import plain
from drol.nn.critic import CriticEnsemble
from drol.nn.flow import VectorField, flow_actions
from drol.ops import bellman
from drol.policy import Choice, FlowPolicy
from drol.published import Published
from drol.types import Key, Metrics, Rows, Scalar, Spec

PUBLISHED = Published(advice="try --num-samples 4, and 32 or 64 with --chunk 5 (Q-chunking), the published values")


class BFNNetworks(CriticNetworks):
    flow: VectorField
    critic: CriticEnsemble


class BFNNoise(eqx.Module):
    """Standard normal, except for the times."""

    next_latents: Float[Array, "*batch num_samples action"]
    flow_x0: Float[Array, "*batch action"]
    flow_t: Float[Array, "*batch 1"]


class BFN(CriticLearner[BFNNetworks, BFNNoise]):
    """The flow clones the data; target and policy take the best of `num_samples` of its samples.

    The online critics, aggregated by `actor_q_agg`, choose the sample; in the target the slow critics value it. On
    chunks of actions this is Q-chunking.
    """

    name: ClassVar[str] = "bfn"
    published: ClassVar[Published | None] = PUBLISHED
    metrics: ClassVar[Mapping[str, str]] = reported(*CRITIC, "flow_loss")

    num_samples: int = static(4, "samples of which the best is taken, in the target and when acting", low=1)
    discount: ScalarLike = fields.discount()
    tau: ScalarLike = fields.tau()
    learning_rate: ScalarLike = fields.learning_rate()
    q_agg: bellman.Aggregation = fields.q_agg()
    rho: ScalarLike = fields.rho()
    actor_q_agg: bellman.Aggregation = fields.actor_q_agg(where="that rank samples")
    actor_rho: ScalarLike = fields.actor_rho()
    flow_steps: int = fields.flow_steps()
    hidden: tuple[int, ...] = fields.hidden()
    ensemble: int = fields.ensemble()
    optimizer: optax.GradientTransformation | None = fields.optimizer()

    def networks(self, spec: Spec, *, key: Key) -> BFNNetworks:
        flow_key, critic_key = jax.random.split(key)
        return BFNNetworks(
            flow=VectorField(spec, self.hidden, key=flow_key),
            critic=CriticEnsemble(spec, self.hidden, ensemble=self.ensemble, key=critic_key),
        )

    @jax.named_scope("noise")
    def noise(self, spec: Spec, rows: Rows, *, key: Key) -> BFNNoise:
        def draw(key: Key) -> BFNNoise:
            normal_key, time_key = jax.random.split(key)
            flow_x0, *next_latents = jax.random.normal(normal_key, (1 + self.num_samples, spec.plan_dim))
            return BFNNoise(jnp.stack(next_latents), flow_x0, jax.random.uniform(time_key, (1,)))

        return per_row(draw, rows, key)

    def loss(self, networks: BFNNetworks, given: CriticGiven[BFNNetworks, BFNNoise]) -> tuple[Scalar, Metrics]:
        noise = given.noise
        critic_loss, _, metrics = temporal_difference(
            networks.critic, self._best(given), given, discount=self.discount, q_agg=self.q_agg, rho=self.rho
        )
        flow_loss = jnp.mean(cloning_errors(networks.flow, given.batch, noise.flow_x0, noise.flow_t))
        return critic_loss + flow_loss, metrics | {"flow_loss": flow_loss}

    @jax.named_scope("targets")
    def _best(self, given: CriticGiven[BFNNetworks, BFNNoise]) -> Float[Array, "batch action"]:
        """The next action that the online critics rank highest."""
        fixed, observations = given.networks, given.batch.next_observations[:, None]
        samples = flow_actions(fixed.flow, observations, given.noise.next_latents, self.flow_steps)
        wide = jnp.broadcast_to(observations, (*samples.shape[:2], observations.shape[-1]))
        ranks = bellman.aggregate(fixed.critic(wide, samples), self.actor_q_agg, self.actor_rho)
        return jnp.take_along_axis(samples, jnp.argmax(ranks, axis=1)[:, None, None], axis=1)[:, 0]

    def policy(self, state: CriticState[BFNNetworks]) -> FlowPolicy:
        samples = self.num_samples
        choice = Choice("best-of-n", samples, min(8, samples), self.actor_q_agg, plain(self.actor_rho, Choice.rho))
        return FlowPolicy(
            flow=state.networks.flow,
            refiner=None,
            critic=state.networks.critic,
            choice=choice,
            flow_steps=self.flow_steps,
        )

    def operations(self, spec: Spec) -> int | float:
        n, samples = operations.Networks.of(self.hidden, spec), self.num_samples
        # One observation, and the samples' steps; the critic values every sample separately.
        choosing = n.flow.euler(samples * self.flow_steps) + samples * self.ensemble * n.critic.forward()
        return choosing + operations.temporal_difference(n, self.ensemble) + n.flow.learn()
