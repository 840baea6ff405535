"""DeFlow: a flow of the data, and a refiner that a Lagrange multiplier keeps near it."""

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from drol.algorithm import ScalarLike, scalar, static
from drol.algorithms import fields, operations
from drol.algorithms.fql import FQLNoise, fql_noise
from drol.algorithms.learner import (
    CriticGiven,
    CriticLearner,
    CriticNetworks,
    CriticState,
    cloning_errors,
    temporal_difference,
)
from drol.algorithms.metrics import CRITIC, reported
from drol.algorithms.tables import D4RL, Column, OGBench
from drol.nn.actor import clip_action
from drol.nn.critic import CriticEnsemble
from drol.nn.flow import VectorField, flow_actions
from drol.ops import bellman, losses
from drol.policy import FlowPolicy
from drol.published import Published
from drol.types import Key, Metrics, Rows, Scalar, Spec

COLUMN = Column("deflow", ("target_divergence",), "commands of the DeFlow repository")
PUBLISHED = Published(
    advice="tune --target-divergence first; published: 0.001 to 0.015",
    fields=COLUMN.fields,
    presets=(
        *COLUMN.ogbench(OGBench(0.01, 0.01, 0.001, 0.001, 0.01, 0.001, 0.001, 0.001, 0.005, 0.005)),
        *COLUMN.d4rl(
            D4RL(
                antmaze=(0.015, 0.015, 0.015, 0.015, 0.015, 0.015),
                pen=(0.01, 0.01, 0.01),
                door=(0.001, 0.001, 0.001),
                hammer=(0.001, 0.001, 0.001),
                relocate=(0.001, 0.001, 0.001),
            )
        ),
    ),
)


class DeFlowNetworks(CriticNetworks):
    """`log_alpha` is None if alpha is fixed."""

    flow: VectorField
    refiner: VectorField
    critic: CriticEnsemble
    log_alpha: Float[Array, " 1"] | None


class DeFlow(CriticLearner[DeFlowNetworks, FQLNoise]):
    """The policy is a = clip(b + g(s, b)): the flow's action b, and a small correction g guided by the critic.

    The multiplier alpha keeps D = |g|^2 / d, averaged over the batch, near `target_divergence`. Without `lagrange`
    alpha is a constant and weighs D once (the public code applies it twice: its alpha is the square root of this one).
    """

    name: ClassVar[str] = "deflow"
    published: ClassVar[Published | None] = PUBLISHED
    metrics: ClassVar[Mapping[str, str]] = reported(
        *CRITIC,
        *("actor_loss", "flow_loss", "q_loss"),
        divergence="squared correction of the flow's action, mean over action dimensions and batch",
        alpha="weight of the divergence, the Lagrange multiplier if `lagrange` is set",
        alpha_loss="the loss of the multiplier; 0 without `lagrange`",
    )

    target_divergence: ScalarLike = scalar(0.001, "bound on the mean squared correction; tune from 0.001 to 0.015")
    lagrange: bool = static(True, "adapt alpha to the bound")
    alpha: ScalarLike = scalar(10.0, "weight of the squared correction, if lagrange is off")
    discount: ScalarLike = fields.discount()
    tau: ScalarLike = fields.tau()
    learning_rate: ScalarLike = fields.learning_rate()
    q_agg: bellman.Aggregation = fields.q_agg()
    rho: ScalarLike = fields.rho()
    actor_q_agg: bellman.Aggregation = fields.actor_q_agg()
    actor_rho: ScalarLike = fields.actor_rho()
    normalize_q: bool = fields.normalize_q(True)
    flow_steps: int = fields.flow_steps()
    hidden: tuple[int, ...] = fields.hidden()
    ensemble: int = fields.ensemble()
    optimizer: optax.GradientTransformation | None = fields.optimizer()

    def networks(self, spec: Spec, *, key: Key) -> DeFlowNetworks:
        flow_key, refiner_key, critic_key = jax.random.split(key, 3)
        return DeFlowNetworks(
            flow=VectorField(spec, self.hidden, key=flow_key),
            refiner=VectorField(spec, self.hidden, conditions=0, key=refiner_key),
            critic=CriticEnsemble(spec, self.hidden, ensemble=self.ensemble, key=critic_key),
            log_alpha=jnp.ones(1) if self.lagrange else None,
        )

    @jax.named_scope("noise")
    def noise(self, spec: Spec, rows: Rows, *, key: Key) -> FQLNoise:
        return fql_noise(spec, rows, key=key)

    def loss(self, networks: DeFlowNetworks, given: CriticGiven[DeFlowNetworks, FQLNoise]) -> tuple[Scalar, Metrics]:
        fixed, batch, noise = given.networks, given.batch, given.noise
        next_base = flow_actions(fixed.flow, batch.next_observations, noise.next_latent, self.flow_steps)
        next_actions = clip_action(next_base + fixed.refiner(batch.next_observations, next_base))
        critic_loss, _, metrics = temporal_difference(
            networks.critic, next_actions, given, discount=self.discount, q_agg=self.q_agg, rho=self.rho
        )
        flow_loss = jnp.mean(cloning_errors(networks.flow, batch, noise.flow_x0, noise.flow_t))
        actor_loss, actor_metrics = self._actor_loss(networks, given)
        return critic_loss + flow_loss + actor_loss, metrics | actor_metrics | {"flow_loss": flow_loss}

    @jax.named_scope("actor_loss")
    def _actor_loss(
        self, networks: DeFlowNetworks, given: CriticGiven[DeFlowNetworks, FQLNoise]
    ) -> tuple[Scalar, Metrics]:
        """alpha D - lambda Q(s, clip(b + g)) of the refiner, and the multiplier's own loss."""
        fixed, batch, noise = given.networks, given.batch, given.noise
        base = flow_actions(fixed.flow, batch.observations, noise.latent, self.flow_steps)
        corrections = networks.refiner(batch.observations, base)
        divergence = jnp.mean(corrections**2)
        q_values = fixed.critic(batch.observations, clip_action(base + corrections))
        guidance = bellman.aggregate(q_values, self.actor_q_agg, self.actor_rho)
        q_loss = losses.q_loss(guidance, normalize=self.normalize_q, axis_name=given.axis_name)
        if networks.log_alpha is None or fixed.log_alpha is None:
            alpha, alpha_loss = self.alpha, jnp.zeros(())
        else:
            alpha = jnp.exp(fixed.log_alpha[0])
            alpha_loss = losses.lagrangian(networks.log_alpha, divergence, self.target_divergence)
        loss = alpha * divergence + q_loss + alpha_loss
        return loss, {
            "actor_loss": loss,
            "divergence": divergence,
            "q_loss": q_loss,
            "alpha_loss": alpha_loss,
            "alpha": jnp.asarray(alpha),
        }

    def policy(self, state: CriticState[DeFlowNetworks]) -> FlowPolicy:
        networks = state.networks
        return FlowPolicy(
            flow=networks.flow, refiner=networks.refiner, critic=networks.critic, flow_steps=self.flow_steps
        )

    def operations(self, spec: Spec) -> int | float:
        # The refiner sees an observation and an action, as a one-step actor sees an observation and a latent.
        n, steps = operations.Networks.of(self.hidden, spec), self.flow_steps
        refiner, values = n.actor, operations.temporal_difference(n, self.ensemble)
        improvement = n.flow.euler(steps) + refiner.learn() + self.ensemble * n.critic.guide()
        return n.flow.euler(steps) + refiner.forward() + values + n.flow.learn() + improvement
