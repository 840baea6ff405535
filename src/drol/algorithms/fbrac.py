"""FBRAC: a flow cloned and moved by the critic through all its steps (flow Diffusion-QL; Park et al. 2025)."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from drol.algorithm import ScalarLike, scalar
from drol.algorithms import fields
from drol.algorithms.fql import FQLNoise, fql_noise
from drol.algorithms.learner import Learner, LearnerState, cloning_errors, temporal_difference
from drol.nn.critic import CriticEnsemble
from drol.nn.flow import VectorField, flow_actions
from drol.ops import bellman, losses
from drol.policy import FlowPolicy
from drol.types import AxisName, Batch, Key, Metrics, Rows, Scalar, Spec


class FBRACNetworks(eqx.Module):
    """What FBRAC trains."""

    flow: VectorField
    critic: CriticEnsemble


class FBRAC(Learner):
    """alpha L_FM - lambda Q(s, flow(s, z)), differentiated through every Euler step and the final clip.

    Raises:
        ValueError: for a hyperparameter out of range.
    """

    name: ClassVar[str] = "fbrac"

    alpha: ScalarLike = scalar(10.0, "weight of flow matching; tune from 1 to 300")
    discount: ScalarLike = fields.discount()
    tau: ScalarLike = fields.tau()
    learning_rate: ScalarLike = fields.learning_rate()
    q_agg: bellman.Aggregation = fields.q_agg()
    normalize_q: bool = fields.normalize_q(False)
    flow_steps: int = fields.flow_steps()
    hidden: tuple[int, ...] = fields.hidden()
    ensemble: int = fields.ensemble()
    optimizer: optax.GradientTransformation | None = fields.optimizer()

    def networks(self, spec: Spec, *, key: Key) -> FBRACNetworks:
        flow_key, critic_key = jax.random.split(key)
        return FBRACNetworks(
            VectorField(spec, self.hidden, key=flow_key),
            CriticEnsemble(spec, self.hidden, ensemble=self.ensemble, key=critic_key),
        )

    @jax.named_scope("noise")
    def noise(self, spec: Spec, rows: Rows, *, key: Key) -> FQLNoise:
        return fql_noise(spec, rows, key=key)

    def loss(
        self,
        networks: FBRACNetworks,
        fixed: FBRACNetworks,
        target_critic: CriticEnsemble | None,
        batch: Batch,
        noise: FQLNoise,
        *,
        axis_name: AxisName | None,
    ) -> tuple[Scalar, Metrics]:
        next_actions = flow_actions(fixed.flow, batch.next_observations, noise.next_latent, self.flow_steps)
        critic_loss, _, metrics = temporal_difference(
            networks.critic, target_critic, next_actions, batch, discount=self.discount, q_agg=self.q_agg
        )
        flow_loss = jnp.mean(cloning_errors(networks.flow, batch, noise.flow_x0, noise.flow_t))
        actions = flow_actions(networks.flow, batch.observations, noise.latent, self.flow_steps)
        q_values = bellman.aggregate(fixed.critic(batch.observations, actions), "mean")
        q_loss = losses.q_loss(q_values, normalize=self.normalize_q, axis_name=axis_name)
        actor_loss = self.alpha * flow_loss + q_loss
        return critic_loss + actor_loss, metrics | {
            "actor_loss": actor_loss,
            "flow_loss": flow_loss,
            "q_loss": q_loss,
        }

    def policy(self, state: LearnerState) -> FlowPolicy:
        flow, critic = state.networks.flow, state.networks.critic
        return FlowPolicy(flow=flow, refiner=None, critic=critic, flow_steps=self.flow_steps)
