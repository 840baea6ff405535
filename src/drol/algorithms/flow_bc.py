"""Behaviour cloning with a flow: FQL's teacher on its own."""

from collections.abc import Mapping
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from drol.algorithm import ScalarLike
from drol.algorithms import fields
from drol.algorithms.learner import CloningLearner, Given, LearnerState, cloning_errors, per_row
from drol.algorithms.metrics import reported
from drol.algorithms.operations import Networks
from drol.algorithms.tables import everywhere
from drol.nn.flow import VectorField
from drol.policy import FlowPolicy
from drol.published import Published
from drol.types import Key, Metrics, Rows, Scalar, Spec

PUBLISHED = Published(
    advice="it has nothing to tune",
    presets=tuple(everywhere("flow-bc", "nothing to tune: the flow that FQL distils, alone")),
)


class FlowBCNetworks(eqx.Module):
    flow: VectorField


class FlowNoise(eqx.Module):
    """The random draws of flow matching: x_0 standard normal, t uniform in [0, 1)."""

    flow_x0: Float[Array, "*batch action"]
    flow_t: Float[Array, "*batch 1"]


class FlowBC(CloningLearner[FlowBCNetworks, FlowNoise]):
    """Flow matching on the data's actions, which keeps their modes apart."""

    name: ClassVar[str] = "flow-bc"
    published: ClassVar[Published | None] = PUBLISHED
    metrics: ClassVar[Mapping[str, str]] = reported("flow_loss")

    discount: ClassVar[None] = None

    learning_rate: ScalarLike = fields.learning_rate()
    flow_steps: int = fields.flow_steps()
    hidden: tuple[int, ...] = fields.hidden()
    optimizer: optax.GradientTransformation | None = fields.optimizer()

    def networks(self, spec: Spec, *, key: Key) -> FlowBCNetworks:
        return FlowBCNetworks(VectorField(spec, self.hidden, key=key))

    @jax.named_scope("noise")
    def noise(self, spec: Spec, rows: Rows, *, key: Key) -> FlowNoise:
        return flow_noise(spec, rows, key=key)

    def loss(self, networks: FlowBCNetworks, given: Given[FlowBCNetworks, None, FlowNoise]) -> tuple[Scalar, Metrics]:
        noise = given.noise
        loss = jnp.mean(cloning_errors(networks.flow, given.batch, noise.flow_x0, noise.flow_t))
        return loss, {"flow_loss": loss}

    def policy(self, state: LearnerState[FlowBCNetworks, None]) -> FlowPolicy:
        return FlowPolicy(flow=state.networks.flow, refiner=None, critic=None, flow_steps=self.flow_steps)

    def operations(self, spec: Spec) -> int | float:
        return Networks.of(self.hidden, spec).flow.learn()


def flow_noise(spec: Spec, rows: Rows, *, key: Key) -> FlowNoise:
    """The random draws of flow matching."""

    def draw(key: Key) -> FlowNoise:
        normal_key, time_key = jax.random.split(key)
        return FlowNoise(jax.random.normal(normal_key, (spec.plan_dim,)), jax.random.uniform(time_key, (1,)))

    return per_row(draw, rows, key)
