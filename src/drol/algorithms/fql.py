"""FQL: a one-step actor distilled from a flow of the data, pulled by the critic (Park et al. 2025)."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from drol.algorithm import ScalarLike, scalar
from drol.algorithms import fields
from drol.algorithms.learner import Learner, LearnerState, cloning_errors, per_row, temporal_difference
from drol.nn.actor import LatentActor, clip_action
from drol.nn.critic import CriticEnsemble
from drol.nn.flow import VectorField, flow_actions
from drol.ops import bellman, losses
from drol.policy import LatentPolicy
from drol.types import AxisName, Batch, Key, Metrics, Rows, Scalar, Spec


class FQLNetworks(eqx.Module):
    """What FQL trains."""

    actor: LatentActor
    flow: VectorField
    critic: CriticEnsemble


class FQLNoise(eqx.Module):
    """The random draws of one update: standard normal, but for the times."""

    next_latent: Float[Array, "*batch action"]
    flow_x0: Float[Array, "*batch action"]
    flow_t: Float[Array, "*batch 1"]
    latent: Float[Array, "*batch action"]


class FQL(Learner):
    """Clone the data with a flow, distil the flow into a one-step actor, and let the critic pull at the actor.

    The pointwise foil of DROL: each latent keeps its own target, the flow's answer to it. The actor imitates before
    it is clipped, so that it is drawn back from beyond the bounds; the critic sees the clipped action.

    `alpha` multiplies a mean over action dimensions, as in the public code to which the published values belong; the
    paper writes a squared norm.

    Raises:
        ValueError: for a hyperparameter out of range.
    """

    name: ClassVar[str] = "fql"

    alpha: ScalarLike = scalar(10.0, "weight of distillation; tune from 3 to 1000")
    discount: ScalarLike = fields.discount()
    tau: ScalarLike = fields.tau()
    learning_rate: ScalarLike = fields.learning_rate()
    q_agg: bellman.Aggregation = fields.q_agg()
    normalize_q: bool = fields.normalize_q(False)
    flow_steps: int = fields.flow_steps()
    hidden: tuple[int, ...] = fields.hidden()
    ensemble: int = fields.ensemble()
    optimizer: optax.GradientTransformation | None = fields.optimizer()

    def networks(self, spec: Spec, *, key: Key) -> FQLNetworks:
        actor_key, flow_key, critic_key = jax.random.split(key, 3)
        return FQLNetworks(
            LatentActor(spec, self.hidden, key=actor_key),
            VectorField(spec, self.hidden, key=flow_key),
            CriticEnsemble(spec, self.hidden, ensemble=self.ensemble, key=critic_key),
        )

    @jax.named_scope("noise")
    def noise(self, spec: Spec, rows: Rows, *, key: Key) -> FQLNoise:
        return fql_noise(spec, rows, key=key)

    def loss(
        self,
        networks: FQLNetworks,
        fixed: FQLNetworks,
        target_critic: CriticEnsemble | None,
        batch: Batch,
        noise: FQLNoise,
        *,
        axis_name: AxisName | None,
    ) -> tuple[Scalar, Metrics]:
        next_actions = fixed.actor(batch.next_observations, noise.next_latent)
        critic_loss, _, critic_metrics = temporal_difference(
            networks.critic, target_critic, next_actions, batch, discount=self.discount, q_agg=self.q_agg
        )
        flow_loss = jnp.mean(cloning_errors(networks.flow, batch, noise.flow_x0, noise.flow_t))
        actor_loss, actor_metrics = self._actor_loss(networks.actor, fixed, batch, noise, axis_name)
        metrics = critic_metrics | actor_metrics | {"flow_loss": flow_loss}
        return critic_loss + flow_loss + actor_loss, metrics

    @jax.named_scope("actor_loss")
    def _actor_loss(
        self, actor: LatentActor, fixed: FQLNetworks, batch: Batch, noise: FQLNoise, axis_name: AxisName | None
    ) -> tuple[Scalar, Metrics]:
        """alpha |mu(s, z) - flow(s, z)|^2 / d - lambda Q(s, mu(s, z))."""
        taught = flow_actions(fixed.flow, batch.observations, noise.latent, self.flow_steps)
        actions = actor.unclipped(batch.observations, noise.latent)
        distillation = jnp.mean(losses.behaviour_cloning(actions, taught))
        q_values = bellman.aggregate(fixed.critic(batch.observations, clip_action(actions)), "mean")
        q_loss = losses.q_loss(q_values, normalize=self.normalize_q, axis_name=axis_name)
        loss = self.alpha * distillation + q_loss
        return loss, {"actor_loss": loss, "distillation_loss": distillation, "q_loss": q_loss}

    def policy(self, state: LearnerState) -> LatentPolicy:
        return LatentPolicy(actor=state.networks.actor, critic=state.networks.critic, prior="normal")


def fql_noise(spec: Spec, rows: Rows, *, key: Key) -> FQLNoise:
    """Fresh latents for the next action, flow matching and the actor, and flow matching's times."""

    def draw(key: Key) -> FQLNoise:
        normal_key, time_key = jax.random.split(key)
        next_latent, flow_x0, latent = jax.random.normal(normal_key, (3, spec.action_dim))
        return FQLNoise(next_latent, flow_x0, jax.random.uniform(time_key, (1,)), latent)

    return per_row(draw, rows, key)
