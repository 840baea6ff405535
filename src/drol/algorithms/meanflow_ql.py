"""MeanFlow-QL: a one-step actor that is its own flow, through the average velocity (Wang et al. 2025)."""

from collections.abc import Mapping
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from drol.algorithm import ScalarLike, scalar, static
from drol.algorithms import fields, operations
from drol.algorithms.learner import CriticGiven, CriticLearner, CriticNetworks, CriticState, fit_critic, per_row
from drol.algorithms.metrics import CRITIC, reported
from drol.algorithms.optimizers import adam
from drol.nn.actor import clip_action
from drol.nn.critic import CriticEnsemble
from drol.nn.flow import VectorField, one_step_actor
from drol.ops import bellman, flow, losses
from drol.policy import Choice, LatentPolicy
from drol.published import Published
from drol.types import Key, Metrics, Rows, Scalar, Spec

PUBLISHED = Published(advice="tune --alpha first; published: 2000 and 6000, both on humanoidmaze")

TARGET_LIMIT = 5.0
"""Regression targets are clipped to plus and minus this: early in training the derivative in them is arbitrary."""


class MeanFlowQLNetworks(CriticNetworks):
    """The actor is g(s, x, t)."""

    actor: VectorField
    critic: CriticEnsemble


class MeanFlowQLNoise(eqx.Module):
    """Standard normal, except for the times."""

    next_latents: Float[Array, "*batch num_candidates action"]
    flow_start: Float[Array, "*batch action"]
    flow_t: Float[Array, "*batch 1"]
    latent: Float[Array, "*batch action"]


class MeanFlowQL(CriticLearner[MeanFlowQLNetworks, MeanFlowQLNoise]):
    """Clone the data with g(s, x, t) = x - u(s, x, t), where u is the average velocity from x at time t to an action.

    At t = 1 the network maps a latent to an action in one pass, and the critic guides that action. For the Bellman
    target and when acting, the target critic chooses the best of a few candidates.

    `error_power` is that of the published adaptive weight, 1 - 0.8. With it rare actions keep nearly all of their share
    (0.32 for a mode that has a third of the data, in the tests' bandit); with 0 all of it, with 0.8 half (0.16).

    Time runs as in the public code: data at 0, noise at 1. That code's additions to the method are left out: its
    transformer (the networks here are those of every other method), learning rate decay, gradient clipping, an `alpha`
    that adapts to the loss, and checkpoint selection by evaluation.
    """

    name: ClassVar[str] = "meanflow-ql"
    published: ClassVar[Published | None] = PUBLISHED
    metrics: ClassVar[Mapping[str, str]] = reported(
        *CRITIC,
        *("actor_loss", "q_loss"),
        flow_loss="error of the average velocity, weighted adaptively, mean over the batch",
        bound_loss="how far actions lie beyond their bounds, mean over action dimensions and batch",
    )

    alpha: ScalarLike = scalar(2000.0, "weight of flow matching; published: 2000 and 6000 on humanoidmaze")
    bound_coef: ScalarLike = scalar(1.0, "weight of the penalty on actions beyond the bounds", low=0.0)
    error_power: ScalarLike = scalar(
        0.2, "flow matching errors e count as about e^(1 - power), so that large ones weigh less", high=1.0
    )
    discount: ScalarLike = fields.discount()
    tau: ScalarLike = fields.tau()
    learning_rate: ScalarLike = scalar(3e-4, "Adam's learning rate for the critic")
    actor_learning_rate: ScalarLike = scalar(1e-4, "Adam's learning rate for the actor", before="learning_rate")
    target_lag: bool = static(False, "average the critic from before the update into the target critic", before=True)
    q_agg: bellman.Aggregation = fields.q_agg()
    rho: ScalarLike = fields.rho()
    actor_q_agg: bellman.Aggregation = fields.actor_q_agg()
    actor_rho: ScalarLike = fields.actor_rho()
    normalize_q: bool = fields.normalize_q(False)
    num_candidates: int = static(5, "candidate actions for the Bellman target, and for acting", low=1)
    hidden: tuple[int, ...] = fields.hidden()
    ensemble: int = fields.ensemble()
    optimizer: optax.GradientTransformation | None = fields.optimizer()

    def adam(self) -> optax.GradientTransformation:
        return adam({"actor": self.actor_learning_rate, "critic": self.learning_rate})

    def averaged(self, before: MeanFlowQLNetworks, after: MeanFlowQLNetworks) -> MeanFlowQLNetworks:
        return before if self.target_lag else after

    def networks(self, spec: Spec, *, key: Key) -> MeanFlowQLNetworks:
        actor_key, critic_key = jax.random.split(key)
        return MeanFlowQLNetworks(
            actor=VectorField(spec, self.hidden, key=actor_key),
            critic=CriticEnsemble(spec, self.hidden, ensemble=self.ensemble, key=critic_key),
        )

    @jax.named_scope("noise")
    def noise(self, spec: Spec, rows: Rows, *, key: Key) -> MeanFlowQLNoise:
        def draw(key: Key) -> MeanFlowQLNoise:
            normal_key, time_key = jax.random.split(key)
            flow_start, latent, *next_latents = jax.random.normal(normal_key, (2 + self.num_candidates, spec.plan_dim))
            return MeanFlowQLNoise(jnp.stack(next_latents), flow_start, jax.random.uniform(time_key, (1,)), latent)

        return per_row(draw, rows, key)

    def loss(
        self, networks: MeanFlowQLNetworks, given: CriticGiven[MeanFlowQLNetworks, MeanFlowQLNoise]
    ) -> tuple[Scalar, Metrics]:
        next_q = self._next_values(given)
        critic_loss, _, critic_metrics = fit_critic(networks.critic, next_q, given.batch, discount=self.discount)
        actor_loss, actor_metrics = self._actor_loss(networks.actor, given)
        return critic_loss + actor_loss, critic_metrics | actor_metrics

    @jax.named_scope("targets")
    def _next_values(self, given: CriticGiven[MeanFlowQLNetworks, MeanFlowQLNoise]) -> Float[Array, " batch"]:
        """Q'(s', a') of the candidate that the target critic's mean ranks highest."""
        observations = given.batch.next_observations[:, None]
        actions = clip_action(given.networks.actor.at(observations)(given.noise.next_latents, 1.0))
        wide = jnp.broadcast_to(observations, (*actions.shape[:2], observations.shape[-1]))
        choose = jax.vmap(lambda q: bellman.best_of_n(q, self.q_agg, rank="mean", rho=self.rho), in_axes=1)
        return choose(given.target_critic(wide, actions))

    @jax.named_scope("actor_loss")
    def _actor_loss(
        self, actor: VectorField, given: CriticGiven[MeanFlowQLNetworks, MeanFlowQLNoise]
    ) -> tuple[Scalar, Metrics]:
        """alpha sum_i w_i e_i / B - lambda Q(s, g(s, z, 1)), plus a penalty on actions beyond the bounds."""
        critic, batch, noise = given.networks.critic, given.batch, given.noise
        field = actor.at(batch.observations)
        errors = flow.mean_flow_errors(
            field, batch.actions, noise.flow_start, noise.flow_t, limit=TARGET_LIMIT, valid=batch.valid
        )
        flow_loss = jnp.mean(losses.tempered(errors, self.error_power))
        actions = field(noise.latent, 1.0)
        q_values = critic(batch.observations, clip_action(actions))
        guidance = bellman.aggregate(q_values, self.actor_q_agg, self.actor_rho)
        q_loss = losses.q_loss(guidance, normalize=self.normalize_q, axis_name=given.axis_name)
        bound_loss = jnp.mean(jnp.maximum(jnp.abs(actions) - 1, 0))
        loss = self.alpha * flow_loss + q_loss + self.bound_coef * bound_loss
        return loss, {"actor_loss": loss, "flow_loss": flow_loss, "q_loss": q_loss, "bound_loss": bound_loss}

    def policy(self, state: CriticState[MeanFlowQLNetworks]) -> LatentPolicy:
        return LatentPolicy(
            actor=one_step_actor(state.networks.actor, 1.0),
            critic=state.target_critic,
            choice=Choice("best-of-n", self.num_candidates, min(8, self.num_candidates)),
            prior="normal",
        )

    def operations(self, spec: Spec) -> int | float:
        # Times differ between rows, but one number per row times one row of weights is elementwise work.
        n = operations.Networks.of(self.hidden, spec)
        candidates, ensemble, field = self.num_candidates, self.ensemble, n.actor
        # The derivative along the line is one more forward pass, without the share of the observation.
        derivative = field.point + field.rest
        # Matching and guidance evaluate the field in the same state, and both train it.
        learn = 2 * field.forward(2) + 2 * field.rest
        targets = field.forward(candidates) + candidates * ensemble * n.critic.forward()
        return targets + derivative + learn + ensemble * (n.critic.guide() + n.critic.learn())
