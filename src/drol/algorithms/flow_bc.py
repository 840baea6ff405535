"""Behaviour cloning with a flow: the teacher of FQL by itself."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from drol.algorithm import ScalarLike
from drol.algorithms import fields
from drol.algorithms.learner import Learner, LearnerState, cloning_errors, per_row
from drol.nn.critic import CriticEnsemble
from drol.nn.flow import VectorField
from drol.policy import FlowPolicy
from drol.types import AxisName, Batch, Key, Metrics, Rows, Scalar, Spec


class FlowBCNetworks(eqx.Module):
    """What flow BC trains."""

    flow: VectorField


class FlowNoise(eqx.Module):
    """The random draws of flow matching: x_0 standard normal, t uniform in [0, 1)."""

    flow_x0: Float[Array, "*batch action"]
    flow_t: Float[Array, "*batch 1"]


class FlowBC(Learner):
    """Flow matching on the data's actions, which keeps their modes apart.

    Raises:
        ValueError: for a hyperparameter out of range.
    """

    name: ClassVar[str] = "flow-bc"

    learning_rate: ScalarLike = fields.learning_rate()
    flow_steps: int = fields.flow_steps()
    hidden: tuple[int, ...] = fields.hidden()
    optimizer: optax.GradientTransformation | None = fields.optimizer()

    def networks(self, spec: Spec, *, key: Key) -> FlowBCNetworks:
        return FlowBCNetworks(VectorField(spec, self.hidden, key=key))

    @jax.named_scope("noise")
    def noise(self, spec: Spec, rows: Rows, *, key: Key) -> FlowNoise:
        return flow_noise(spec, rows, key=key)

    def loss(
        self,
        networks: FlowBCNetworks,
        fixed: FlowBCNetworks,
        target_critic: CriticEnsemble | None,
        batch: Batch,
        noise: FlowNoise,
        *,
        axis_name: AxisName | None,
    ) -> tuple[Scalar, Metrics]:
        loss = jnp.mean(cloning_errors(networks.flow, batch, noise.flow_x0, noise.flow_t))
        return loss, {"flow_loss": loss}

    def policy(self, state: LearnerState) -> FlowPolicy:
        return FlowPolicy(flow=state.networks.flow, refiner=None, critic=None, flow_steps=self.flow_steps)


def flow_noise(spec: Spec, rows: Rows, *, key: Key) -> FlowNoise:
    """The draws of flow matching alone."""

    def draw(key: Key) -> FlowNoise:
        normal_key, time_key = jax.random.split(key)
        return FlowNoise(jax.random.normal(normal_key, (spec.action_dim,)), jax.random.uniform(time_key, (1,)))

    return per_row(draw, rows, key)
