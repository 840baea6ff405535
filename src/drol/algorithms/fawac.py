"""FAWAC: a flow cloned with advantage weights (flow AWAC; Park et al. 2025)."""

from collections.abc import Mapping
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from drol.algorithm import ScalarLike, scalar
from drol.algorithms import fields, operations
from drol.algorithms.iql import ValueNetworks
from drol.algorithms.learner import (
    CriticGiven,
    CriticLearner,
    CriticState,
    cloning_errors,
    per_row,
    temporal_difference,
)
from drol.algorithms.metrics import CRITIC, reported
from drol.algorithms.tables import D4RL, FQL_PAPER, UNKNOWN, Column, OGBench
from drol.nn.critic import CriticEnsemble, Value
from drol.nn.flow import VectorField, flow_actions
from drol.ops import bellman, losses
from drol.policy import FlowPolicy
from drol.published import Published
from drol.types import Key, Metrics, Rows, Scalar, Spec

COLUMN = Column("fawac", ("inverse_temperature",), FQL_PAPER)
PUBLISHED = Published(
    advice="tune --inverse-temperature first; published: the grid 0.3, 1, 3, 10, and on adroit 0.03 to 3",
    fields=COLUMN.fields,
    presets=(
        *COLUMN.ogbench(OGBench(3, 3, 3, 3, UNKNOWN, 1, 0.3, 0.3, 0.3, 0.3)),
        *COLUMN.d4rl(
            D4RL(
                antmaze=(3, 3, 3, 3, 3, 3),
                pen=(0.03, 0.3, 0.1),
                door=(1, 1, 3),
                hammer=(3, 0.03, 3),
                relocate=(0.3, 0.1, 1),
            )
        ),
    ),
)


class FAWACNetworks(ValueNetworks):
    flow: VectorField
    value: Value
    critic: CriticEnsemble


class FAWACNoise(eqx.Module):
    """Standard normal, except for the times."""

    next_latent: Float[Array, "*batch action"]
    flow_x0: Float[Array, "*batch action"]
    flow_t: Float[Array, "*batch 1"]


class FAWAC(CriticLearner[FAWACNetworks, FAWACNoise]):
    """Flow matching weighted by min(exp(beta (Q - V)), 100); the critic backs up the flow's own next action.

    The paper does not specify V or the cap. Here V regresses on the target critic at the data's actions, as in the
    implementation of a later work by one of its authors (Q-learning with adjoint matching).
    """

    name: ClassVar[str] = "fawac"
    published: ClassVar[Published | None] = PUBLISHED
    metrics: ClassVar[Mapping[str, str]] = reported(
        *CRITIC,
        *("value_mean", "actor_loss", "flow_loss"),
        value_loss="squared error of V(s) and the target critic's Q(s, a), mean over batch and ensemble",
        weight_mean="the weight of a row, from its advantage, mean over the batch",
    )

    inverse_temperature: ScalarLike = scalar(3.0, "beta of the weights exp(beta A); tune among 0.3, 1, 3 and 10")
    discount: ScalarLike = fields.discount()
    tau: ScalarLike = fields.tau()
    learning_rate: ScalarLike = fields.learning_rate()
    q_agg: bellman.Aggregation = fields.q_agg()
    rho: ScalarLike = fields.rho()
    actor_q_agg: bellman.Aggregation = fields.actor_q_agg(where="in the advantage")
    actor_rho: ScalarLike = fields.actor_rho()
    flow_steps: int = fields.flow_steps()
    hidden: tuple[int, ...] = fields.hidden()
    ensemble: int = fields.ensemble()
    optimizer: optax.GradientTransformation | None = fields.optimizer()

    def networks(self, spec: Spec, *, key: Key) -> FAWACNetworks:
        flow_key, value_key, critic_key = jax.random.split(key, 3)
        return FAWACNetworks(
            flow=VectorField(spec, self.hidden, key=flow_key),
            value=Value(spec, self.hidden, key=value_key),
            critic=CriticEnsemble(spec, self.hidden, ensemble=self.ensemble, key=critic_key),
        )

    @jax.named_scope("noise")
    def noise(self, spec: Spec, rows: Rows, *, key: Key) -> FAWACNoise:
        def draw(key: Key) -> FAWACNoise:
            normal_key, time_key = jax.random.split(key)
            next_latent, flow_x0 = jax.random.normal(normal_key, (2, spec.plan_dim))
            return FAWACNoise(next_latent, flow_x0, jax.random.uniform(time_key, (1,)))

        return per_row(draw, rows, key)

    def loss(self, networks: FAWACNetworks, given: CriticGiven[FAWACNetworks, FAWACNoise]) -> tuple[Scalar, Metrics]:
        fixed, batch, noise = given.networks, given.batch, given.noise
        next_actions = flow_actions(fixed.flow, batch.next_observations, noise.next_latent, self.flow_steps)
        critic_loss, q_values, critic_metrics = temporal_difference(
            networks.critic, next_actions, given, discount=self.discount, q_agg=self.q_agg, rho=self.rho
        )
        values = networks.value(batch.observations)
        slow_q = given.target_critic(batch.observations, batch.actions)
        value_loss = bellman.bellman_error(slow_q, values, batch.weights)
        advantages = bellman.aggregate(q_values, self.actor_q_agg, self.actor_rho) - values
        weights = losses.advantage_weights(advantages, self.inverse_temperature)
        errors = cloning_errors(networks.flow, batch, noise.flow_x0, noise.flow_t)
        actor_loss = losses.row_mean(weights * errors, batch.weights)
        return critic_loss + value_loss + actor_loss, critic_metrics | {
            "value_loss": value_loss,
            "value_mean": jnp.mean(values),
            "actor_loss": actor_loss,
            "flow_loss": jnp.mean(errors),
            "weight_mean": jnp.mean(weights),
        }

    def policy(self, state: CriticState[FAWACNetworks]) -> FlowPolicy:
        flow, critic = state.networks.flow, state.networks.critic
        return FlowPolicy(flow=flow, refiner=None, critic=critic, flow_steps=self.flow_steps)

    def operations(self, spec: Spec) -> int | float:
        n = operations.Networks.of(self.hidden, spec)
        # The advantage's Q(s, a) and V(s) are those of the losses; V's own target Q'(s, a) is one more pass.
        value = n.value.learn() + self.ensemble * n.critic.forward()
        values = operations.temporal_difference(n, self.ensemble)
        return n.flow.euler(self.flow_steps) + values + value + n.flow.learn()
