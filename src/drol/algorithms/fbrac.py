"""FBRAC: a flow cloned and moved by the critic through all its steps (flow Diffusion-QL; Park et al. 2025)."""

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax

from drol.algorithm import ScalarLike, scalar
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
from drol.algorithms.tables import D4RL, FQL_PAPER, UNKNOWN, Column, OGBench, doubtful
from drol.nn.critic import CriticEnsemble
from drol.nn.flow import VectorField, flow_actions
from drol.ops import bellman, losses
from drol.policy import FlowPolicy
from drol.published import Published
from drol.types import Key, Metrics, Rows, Scalar, Spec

COLUMN = Column("fbrac", ("alpha",), FQL_PAPER)
PUBLISHED = Published(
    advice="tune --alpha first; published: a grid from 1 to 300, and on adroit from 1000 to 30000",
    fields=COLUMN.fields,
    presets=(
        *COLUMN.ogbench(OGBench(3, 10, 30, 30, UNKNOWN, 100, 100, 100, 100, 300)),
        *COLUMN.d4rl(
            D4RL(
                antmaze=(10, 10, 10, 10, 1, 1),
                pen=(30000, 10000, 30000),
                door=(30000, 10000, 30000),
                hammer=(30000, 10000, 30000),
                relocate=(30000, doubtful(3000), 30000),
            )
        ),
    ),
)


class FBRACNetworks(CriticNetworks):
    flow: VectorField
    critic: CriticEnsemble


class FBRAC(CriticLearner[FBRACNetworks, FQLNoise]):
    """alpha L_FM - lambda Q(s, flow(s, z)), differentiated through every Euler step and the final clip."""

    name: ClassVar[str] = "fbrac"
    published: ClassVar[Published | None] = PUBLISHED
    metrics: ClassVar[Mapping[str, str]] = reported(*CRITIC, "actor_loss", "flow_loss", "q_loss")

    alpha: ScalarLike = scalar(10.0, "weight of flow matching; tune from 1 to 300")
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

    def networks(self, spec: Spec, *, key: Key) -> FBRACNetworks:
        flow_key, critic_key = jax.random.split(key)
        return FBRACNetworks(
            flow=VectorField(spec, self.hidden, key=flow_key),
            critic=CriticEnsemble(spec, self.hidden, ensemble=self.ensemble, key=critic_key),
        )

    @jax.named_scope("noise")
    def noise(self, spec: Spec, rows: Rows, *, key: Key) -> FQLNoise:
        return fql_noise(spec, rows, key=key)

    def loss(self, networks: FBRACNetworks, given: CriticGiven[FBRACNetworks, FQLNoise]) -> tuple[Scalar, Metrics]:
        fixed, batch, noise = given.networks, given.batch, given.noise
        next_actions = flow_actions(fixed.flow, batch.next_observations, noise.next_latent, self.flow_steps)
        critic_loss, _, metrics = temporal_difference(
            networks.critic, next_actions, given, discount=self.discount, q_agg=self.q_agg, rho=self.rho
        )
        flow_loss = jnp.mean(cloning_errors(networks.flow, batch, noise.flow_x0, noise.flow_t))
        actions = flow_actions(networks.flow, batch.observations, noise.latent, self.flow_steps)
        q_values = fixed.critic(batch.observations, actions)
        guidance = bellman.aggregate(q_values, self.actor_q_agg, self.actor_rho)
        q_loss = losses.q_loss(guidance, normalize=self.normalize_q, axis_name=given.axis_name)
        actor_loss = self.alpha * flow_loss + q_loss
        return critic_loss + actor_loss, metrics | {
            "actor_loss": actor_loss,
            "flow_loss": flow_loss,
            "q_loss": q_loss,
        }

    def policy(self, state: CriticState[FBRACNetworks]) -> FlowPolicy:
        flow, critic = state.networks.flow, state.networks.critic
        return FlowPolicy(flow=flow, refiner=None, critic=critic, flow_steps=self.flow_steps)

    def operations(self, spec: Spec) -> int | float:
        n, steps = operations.Networks.of(self.hidden, spec), self.flow_steps
        improvement = n.flow.learn_euler(steps) + self.ensemble * n.critic.guide()
        values = operations.temporal_difference(n, self.ensemble)
        return n.flow.euler(steps) + values + n.flow.learn() + improvement
