"""ReFORM: a flow of latents that cannot leave the ball from which the data are generated (Zhang et al. 2026)."""

import dataclasses
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
from drol.algorithms.optimizers import adam
from drol.algorithms.tables import everywhere
from drol.nn.actor import LatentActor
from drol.nn.critic import CriticEnsemble
from drol.nn.flow import VectorField, flow_actions, steered_latents
from drol.ops import bellman, losses
from drol.ops.latent import ball_from_draws, default_radius
from drol.policy import SteeredPolicy
from drol.published import Preset, Published
from drol.types import Key, Metrics, Rows, Scalar, Spec

DEFAULTS = "defaults of the ReFORM repository, one set for all its tasks: antmaze-large, cube and scene"
ELSEWHERE = "borrowed from ReFORM's other tasks, which all have one set: it reports no results here"


def _filled(preset: Preset) -> Preset:
    """With the same values everywhere, marked as borrowed where the method was not run."""
    preset = dataclasses.replace(preset, values={"q_coef": 0.1, "discount": 0.995})
    if preset.family.startswith(("antmaze-large-navigate", "cube", "scene")):
        return preset
    return dataclasses.replace(preset, source=ELSEWHERE, mark="borrowed")


PUBLISHED = Published(
    advice="one set of values is published for all tasks, and --q-coef hardly matters under Adam",
    presets=tuple(map(_filled, everywhere("reform", DEFAULTS))),
)


class ReFORMNetworks(CriticNetworks):
    """The flow of the data, its one-step student, and the flow of the student's latents."""

    flow: VectorField
    actor: LatentActor
    generator: VectorField
    critic: CriticEnsemble


class ReFORMNoise(eqx.Module):
    """Uniform in the latent ball, except for the times."""

    next_latent: Float[Array, "*batch action"]
    flow_x0: Float[Array, "*batch action"]
    flow_t: Float[Array, "*batch 1"]
    taught_latent: Float[Array, "*batch action"]
    latent: Float[Array, "*batch action"]


class ReFORM(CriticLearner[ReFORMNetworks, ReFORMNoise]):
    """Clone the data with a flow from the latent ball, distil it into one step, and let the critic move the latents.

    The policy is mu(s, w(s, z)): w carries a latent z along a second flow, reflected at the ball's surface, and mu is
    the student. No penalty ties the policy to the data. Because w stays in the ball, the policy stays within the
    student's image of the ball: a constraint on support but not on density, by another construction than DROL's.

    Its authors use one set of hyperparameters for all their tasks, which is the default here.
    """

    name: ClassVar[str] = "reform"
    published: ClassVar[Published | None] = PUBLISHED
    metrics: ClassVar[Mapping[str, str]] = reported(*CRITIC, "actor_loss", "flow_loss", "distillation_loss", "q_loss")

    q_coef: ScalarLike = scalar(
        0.1, "weight of critic guidance; hardly matters, as nothing else trains the flow of latents"
    )
    max_gradient_norm: ScalarLike = fields.max_gradient_norm(10.0)
    discount: ScalarLike = fields.discount(0.995)
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

    def adam(self) -> optax.GradientTransformation:
        return adam(self.learning_rate, max_norm=self.max_gradient_norm)

    def networks(self, spec: Spec, *, key: Key) -> ReFORMNetworks:
        flow_key, actor_key, generator_key, critic_key = jax.random.split(key, 4)
        return ReFORMNetworks(
            flow=VectorField(spec, self.hidden, key=flow_key),
            actor=LatentActor(spec, self.hidden, key=actor_key),
            generator=VectorField(spec, self.hidden, key=generator_key),
            critic=CriticEnsemble(spec, self.hidden, ensemble=self.ensemble, key=critic_key),
        )

    @jax.named_scope("noise")
    def noise(self, spec: Spec, rows: Rows, *, key: Key) -> ReFORMNoise:
        radius = default_radius(spec.plan_dim)

        def draw(key: Key) -> ReFORMNoise:
            normal_key, radius_key, time_key = jax.random.split(key, 3)
            normal = jax.random.normal(normal_key, (4, spec.plan_dim))
            latents = ball_from_draws(normal, jax.random.uniform(radius_key, (4,)), radius)
            next_latent, flow_x0, taught_latent, latent = latents
            return ReFORMNoise(next_latent, flow_x0, jax.random.uniform(time_key, (1,)), taught_latent, latent)

        return per_row(draw, rows, key)

    def loss(self, networks: ReFORMNetworks, given: CriticGiven[ReFORMNetworks, ReFORMNoise]) -> tuple[Scalar, Metrics]:
        fixed, batch, noise = given.networks, given.batch, given.noise
        next_latents = steered_latents(fixed.generator, batch.next_observations, noise.next_latent, self.flow_steps)
        next_actions = fixed.actor(batch.next_observations, next_latents)
        critic_loss, _, metrics = temporal_difference(
            networks.critic, next_actions, given, discount=self.discount, q_agg=self.q_agg, rho=self.rho
        )
        flow_loss = jnp.mean(cloning_errors(networks.flow, batch, noise.flow_x0, noise.flow_t))
        distillation_loss = self._distillation_loss(networks.actor, given)
        q_loss = self._q_loss(networks.generator, given)
        actor_loss = flow_loss + distillation_loss + self.q_coef * q_loss
        return critic_loss + actor_loss, metrics | {
            "actor_loss": actor_loss,
            "flow_loss": flow_loss,
            "distillation_loss": distillation_loss,
            "q_loss": q_loss,
        }

    @jax.named_scope("distillation_loss")
    def _distillation_loss(self, actor: LatentActor, given: CriticGiven[ReFORMNetworks, ReFORMNoise]) -> Scalar:
        """|mu(s, z) - flow(s, z)|^2 / d, the student before its clip."""
        fixed, batch, noise = given.networks, given.batch, given.noise
        taught = flow_actions(fixed.flow, batch.observations, noise.taught_latent, self.flow_steps)
        actions = actor.unclipped(batch.observations, noise.taught_latent)
        return jnp.mean(losses.behaviour_cloning(actions, taught))

    @jax.named_scope("actor_loss")
    def _q_loss(self, generator: VectorField, given: CriticGiven[ReFORMNetworks, ReFORMNoise]) -> Scalar:
        """-lambda Q(s, mu(s, w(s, z))), differentiated through every reflected step."""
        fixed, batch, noise = given.networks, given.batch, given.noise
        latents = steered_latents(generator, batch.observations, noise.latent, self.flow_steps)
        actions = fixed.actor(batch.observations, latents)
        q_values = fixed.critic(batch.observations, actions)
        guidance = bellman.aggregate(q_values, self.actor_q_agg, self.actor_rho)
        return losses.q_loss(guidance, normalize=self.normalize_q, axis_name=given.axis_name)

    def policy(self, state: CriticState[ReFORMNetworks]) -> SteeredPolicy:
        networks = state.networks
        return SteeredPolicy(
            actor=networks.actor, generator=networks.generator, critic=networks.critic, flow_steps=self.flow_steps
        )

    def operations(self, spec: Spec) -> int | float:
        # The flow of latents has the shape of the data's flow.
        n, steps = operations.Networks.of(self.hidden, spec), self.flow_steps
        generator, values = n.flow, operations.temporal_difference(n, self.ensemble)
        targets = generator.euler(steps) + n.actor.forward()
        distillation = n.flow.euler(steps) + n.actor.learn()
        improvement = generator.learn_euler(steps) + n.actor.guide() + self.ensemble * n.critic.guide()
        return targets + values + n.flow.learn() + distillation + improvement
