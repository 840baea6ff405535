"""MeanFlow-QL: a one-step actor that is its own flow, by the average velocity along it (Wang et al. 2025)."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from drol.algorithm import ScalarLike, scalar, static
from drol.algorithms import fields
from drol.algorithms.learner import Learner, LearnerState, fit_critic, per_row
from drol.nn.actor import clip_action
from drol.nn.critic import CriticEnsemble
from drol.nn.flow import VectorField, one_step_actor
from drol.ops import bellman, flow, losses
from drol.policy import LatentPolicy
from drol.types import AxisName, Batch, Key, Metrics, Rows, Scalar, Spec

TARGET_LIMIT = 5.0
"""Regression targets are cut off at plus and minus this: early on, the derivative in them is anything."""


class MeanFlowQLNetworks(eqx.Module):
    """What MeanFlow-QL trains; the actor is g(s, x, t)."""

    actor: VectorField
    critic: CriticEnsemble


class MeanFlowQLNoise(eqx.Module):
    """The random draws of one update: standard normal, but for the times."""

    next_latents: Float[Array, "*batch num_candidates action"]
    flow_start: Float[Array, "*batch action"]
    flow_t: Float[Array, "*batch 1"]
    latent: Float[Array, "*batch action"]


class MeanFlowQL(Learner):
    """Clone the data with g(s, x, t) = x - u(s, x, t), u the average velocity from x at time t back to an action.

    At t = 1 the network maps a latent to an action in one pass, and the critic pulls at that action. The best of a few
    candidates is backed up, and acts; the slow critic chooses.

    `error_power` is that of the published adaptive weight, 1 - 0.8. It leaves rare actions nearly all of their share
    (0.32 of a mode that has a third of the data, in the tests' bandit); 0 leaves them all of it, 0.8 half (0.16).

    Time runs as in the public code: data at 0, noise at 1. What that code adds around the method is left out: its
    transformer (the networks here are those of every other method), learning rates that decay, gradients cut off by
    norm, an `alpha` that follows the loss, and the choice of a checkpoint by its evaluation.

    Raises:
        ValueError: for a hyperparameter out of range.
    """

    name: ClassVar[str] = "meanflow-ql"

    alpha: ScalarLike = scalar(2000.0, "weight of flow matching; published: 2000 and 6000 on humanoidmaze")
    bound_coef: ScalarLike = scalar(1.0, "weight of the penalty on actions beyond the bounds", low=0.0)
    error_power: ScalarLike = scalar(
        0.2, "flow matching errors e count as about e^(1 - power), so that large ones weigh less", high=1.0
    )
    discount: ScalarLike = fields.discount()
    tau: ScalarLike = fields.tau()
    learning_rate: ScalarLike = scalar(3e-4, "Adam's learning rate for the critic")
    actor_learning_rate: ScalarLike = scalar(1e-4, "Adam's learning rate for the actor", before="learning_rate")
    target_lag: bool = static(False, "average the critic before the update into its slow copy", before=True)
    q_agg: bellman.Aggregation = fields.q_agg()
    normalize_q: bool = fields.normalize_q(False)
    num_candidates: int = static(5, "candidate actions for the Bellman target, and for acting", low=1)
    hidden: tuple[int, ...] = fields.hidden()
    ensemble: int = fields.ensemble()
    optimizer: optax.GradientTransformation | None = fields.optimizer()

    @property
    def learning_rates(self) -> dict[str, ScalarLike]:
        """Adam's rate for each network."""
        return {"actor": self.actor_learning_rate, "critic": self.learning_rate}

    def networks(self, spec: Spec, *, key: Key) -> MeanFlowQLNetworks:
        actor_key, critic_key = jax.random.split(key)
        return MeanFlowQLNetworks(
            VectorField(spec, self.hidden, key=actor_key),
            CriticEnsemble(spec, self.hidden, ensemble=self.ensemble, key=critic_key),
        )

    @jax.named_scope("noise")
    def noise(self, spec: Spec, rows: Rows, *, key: Key) -> MeanFlowQLNoise:
        def draw(key: Key) -> MeanFlowQLNoise:
            normal_key, time_key = jax.random.split(key)
            flow_start, latent, *next_latents = jax.random.normal(
                normal_key, (2 + self.num_candidates, spec.action_dim)
            )
            return MeanFlowQLNoise(jnp.stack(next_latents), flow_start, jax.random.uniform(time_key, (1,)), latent)

        return per_row(draw, rows, key)

    def loss(
        self,
        networks: MeanFlowQLNetworks,
        fixed: MeanFlowQLNetworks,
        target_critic: CriticEnsemble | None,
        batch: Batch,
        noise: MeanFlowQLNoise,
        *,
        axis_name: AxisName | None,
    ) -> tuple[Scalar, Metrics]:
        next_q = self._next_values(fixed.actor, target_critic, batch, noise)
        critic_loss, _, critic_metrics = fit_critic(networks.critic, next_q, batch, discount=self.discount)
        actor_loss, actor_metrics = self._actor_loss(networks.actor, fixed.critic, batch, noise, axis_name)
        return critic_loss + actor_loss, critic_metrics | actor_metrics

    @jax.named_scope("targets")
    def _next_values(
        self, actor: VectorField, target_critic: CriticEnsemble | None, batch: Batch, noise: MeanFlowQLNoise
    ) -> Float[Array, " batch"]:
        """Q'(s', a') of the candidate that the slow critic's mean ranks highest."""
        assert target_critic is not None
        observations = batch.next_observations[:, None]
        actions = clip_action(actor.at(observations)(noise.next_latents, 1.0))
        wide = jnp.broadcast_to(observations, (*actions.shape[:2], observations.shape[-1]))
        choose = jax.vmap(lambda q: bellman.best_of_n(q, self.q_agg, rank="mean"), in_axes=1)
        return choose(target_critic(wide, actions))

    @jax.named_scope("actor_loss")
    def _actor_loss(
        self,
        actor: VectorField,
        critic: CriticEnsemble,
        batch: Batch,
        noise: MeanFlowQLNoise,
        axis_name: AxisName | None,
    ) -> tuple[Scalar, Metrics]:
        """alpha sum_i w_i e_i / B - lambda Q(s, g(s, z, 1)), and a penalty on what lies beyond the bounds."""
        field = actor.at(batch.observations)
        errors = flow.mean_flow_errors(field, batch.actions, noise.flow_start, noise.flow_t, limit=TARGET_LIMIT)
        flow_loss = jnp.mean(losses.tempered(errors, self.error_power))
        actions = field(noise.latent, 1.0)
        q_values = bellman.aggregate(critic(batch.observations, clip_action(actions)), "mean")
        q_loss = losses.q_loss(q_values, normalize=self.normalize_q, axis_name=axis_name)
        bound_loss = jnp.mean(jnp.maximum(jnp.abs(actions) - 1, 0))
        loss = self.alpha * flow_loss + q_loss + self.bound_coef * bound_loss
        return loss, {"actor_loss": loss, "flow_loss": flow_loss, "q_loss": q_loss, "bound_loss": bound_loss}

    def policy(self, state: LearnerState) -> LatentPolicy:
        return LatentPolicy(
            actor=one_step_actor(state.networks.actor, 1.0),
            critic=state.target_critic,
            kind="best-of-n",
            num_samples=self.num_candidates,
            dense_topk=min(8, self.num_candidates),
            prior="normal",
        )
