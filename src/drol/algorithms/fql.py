"""FQL: a one-step actor distilled from a flow of the data and guided by the critic (Park et al. 2025)."""

from collections.abc import Mapping
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from drol.algorithm import ScalarLike, scalar
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
from drol.algorithms.tables import D4RL, Column, OGBench
from drol.nn.actor import LatentActor, clip_action
from drol.nn.critic import CriticEnsemble
from drol.nn.flow import VectorField, flow_actions
from drol.ops import bellman, losses
from drol.policy import LatentPolicy
from drol.published import Published
from drol.types import Key, Metrics, Rows, Scalar, Spec

COLUMN = Column("fql", ("alpha",), "README of the FQL repository")
PUBLISHED = Published(
    advice="tune --alpha first; published: 3 to 1000, and on adroit 3000 to 30000",
    fields=COLUMN.fields,
    presets=(
        *COLUMN.ogbench(OGBench(10, 10, 30, 30, 10, 300, 300, 300, 1000, 1000)),
        *COLUMN.d4rl(
            D4RL(
                antmaze=(10, 10, 10, 10, 3, 3),
                pen=(10000, 10000, 3000),
                door=(30000, 30000, 30000),
                hammer=(30000, 10000, 30000),
                relocate=(10000, 30000, 30000),
            )
        ),
    ),
)


class FQLNetworks(CriticNetworks):
    actor: LatentActor
    flow: VectorField
    critic: CriticEnsemble


class FQLNoise(eqx.Module):
    """Standard normal, except for the times."""

    next_latent: Float[Array, "*batch action"]
    flow_x0: Float[Array, "*batch action"]
    flow_t: Float[Array, "*batch 1"]
    latent: Float[Array, "*batch action"]


class FQL(CriticLearner[FQLNetworks, FQLNoise]):
    """Clone the data with a flow, distil the flow into a one-step actor, and guide the actor with the critic.

    The pointwise foil of DROL: each latent keeps its own target, the flow's action for it. Distillation acts on
    the action before its clip, so that it is pulled back from beyond the bounds; the critic sees the clipped action.

    `alpha` multiplies a mean over action dimensions, as in the public code to which the published values belong; the
    paper writes a squared norm.
    """

    name: ClassVar[str] = "fql"
    published: ClassVar[Published | None] = PUBLISHED
    metrics: ClassVar[Mapping[str, str]] = reported(*CRITIC, "actor_loss", "flow_loss", "distillation_loss", "q_loss")

    alpha: ScalarLike = scalar(10.0, "weight of distillation; tune from 3 to 1000")
    discount: ScalarLike = fields.discount()
    tau: ScalarLike = fields.tau()
    learning_rate: ScalarLike = fields.learning_rate()
    q_agg: bellman.Aggregation = fields.q_agg()
    rho: ScalarLike = fields.rho()
    actor_q_agg: bellman.Aggregation = fields.actor_q_agg()
    actor_rho: ScalarLike = fields.actor_rho()
    normalize_q: bool = fields.normalize_q(False)
    flow_steps: int = fields.flow_steps()
    hidden: tuple[int, ...] = fields.hidden()
    ensemble: int = fields.ensemble()
    optimizer: optax.GradientTransformation | None = fields.optimizer()

    def networks(self, spec: Spec, *, key: Key) -> FQLNetworks:
        actor_key, flow_key, critic_key = jax.random.split(key, 3)
        return FQLNetworks(
            actor=LatentActor(spec, self.hidden, key=actor_key),
            flow=VectorField(spec, self.hidden, key=flow_key),
            critic=CriticEnsemble(spec, self.hidden, ensemble=self.ensemble, key=critic_key),
        )

    @jax.named_scope("noise")
    def noise(self, spec: Spec, rows: Rows, *, key: Key) -> FQLNoise:
        return fql_noise(spec, rows, key=key)

    def loss(self, networks: FQLNetworks, given: CriticGiven[FQLNetworks, FQLNoise]) -> tuple[Scalar, Metrics]:
        fixed, batch, noise = given.networks, given.batch, given.noise
        next_actions = fixed.actor(batch.next_observations, noise.next_latent)
        critic_loss, _, critic_metrics = temporal_difference(
            networks.critic, next_actions, given, discount=self.discount, q_agg=self.q_agg, rho=self.rho
        )
        flow_loss = jnp.mean(cloning_errors(networks.flow, batch, noise.flow_x0, noise.flow_t))
        actor_loss, actor_metrics = self._actor_loss(networks.actor, given)
        metrics = critic_metrics | actor_metrics | {"flow_loss": flow_loss}
        return critic_loss + flow_loss + actor_loss, metrics

    @jax.named_scope("actor_loss")
    def _actor_loss(self, actor: LatentActor, given: CriticGiven[FQLNetworks, FQLNoise]) -> tuple[Scalar, Metrics]:
        """alpha |mu(s, z) - flow(s, z)|^2 / d - lambda Q(s, mu(s, z))."""
        fixed, batch, noise = given.networks, given.batch, given.noise
        taught = flow_actions(fixed.flow, batch.observations, noise.latent, self.flow_steps)
        actions = actor.unclipped(batch.observations, noise.latent)
        distillation = jnp.mean(losses.behaviour_cloning(actions, taught))
        q_values = fixed.critic(batch.observations, clip_action(actions))
        guidance = bellman.aggregate(q_values, self.actor_q_agg, self.actor_rho)
        q_loss = losses.q_loss(guidance, normalize=self.normalize_q, axis_name=given.axis_name)
        loss = self.alpha * distillation + q_loss
        return loss, {"actor_loss": loss, "distillation_loss": distillation, "q_loss": q_loss}

    def policy(self, state: CriticState[FQLNetworks]) -> LatentPolicy:
        return LatentPolicy(actor=state.networks.actor, critic=state.networks.critic, prior="normal")

    def operations(self, spec: Spec) -> int | float:
        n = operations.Networks.of(self.hidden, spec)
        distillation = n.flow.euler(self.flow_steps) + n.actor.learn()
        guidance = self.ensemble * n.critic.guide()
        values = operations.temporal_difference(n, self.ensemble)
        return n.actor.forward() + values + n.flow.learn() + distillation + guidance


def fql_noise(spec: Spec, rows: Rows, *, key: Key) -> FQLNoise:
    """Fresh latents for the next action, flow matching and the actor, and flow matching's times."""

    def draw(key: Key) -> FQLNoise:
        normal_key, time_key = jax.random.split(key)
        next_latent, flow_x0, latent = jax.random.normal(normal_key, (3, spec.plan_dim))
        return FQLNoise(next_latent, flow_x0, jax.random.uniform(time_key, (1,)), latent)

    return per_row(draw, rows, key)
