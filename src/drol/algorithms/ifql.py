"""IFQL: IQL's critic, a flow of the data, and the best of several samples (Park et al. 2025, after IDQL)."""

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax

from drol.algorithm import ScalarLike, scalar, static
from drol.algorithms import fields, operations
from drol.algorithms.flow_bc import FlowNoise, flow_noise
from drol.algorithms.iql import ValueNetworks, implicit_values
from drol.algorithms.learner import CriticGiven, CriticLearner, CriticState, cloning_errors
from drol.algorithms.metrics import IMPLICIT, reported
from drol.algorithms.tables import D4RL, FQL_PAPER, Column, OGBench, inferred
from drol.nn.critic import CriticEnsemble, Value
from drol.nn.flow import VectorField
from drol.ops import bellman
from drol.policy import Choice, FlowPolicy
from drol.published import Published
from drol.types import Key, Metrics, Rows, Scalar, Spec

COLUMN = Column("ifql", ("num_samples",), FQL_PAPER, number=int, always={"expectile": 0.9}, chooses_aggregation=False)
PUBLISHED = Published(
    advice="try --num-samples 32, 64 and 128, the published values",
    fields=COLUMN.fields,
    presets=(
        *COLUMN.ogbench(OGBench(32, 32, 32, 32, inferred(64), 32, 32, 32, 32, 32)),
        *COLUMN.d4rl(
            D4RL(
                antmaze=(32, 32, 32, 32, 32, 32),
                pen=(32, 32, 32),
                door=(32, 128, 32),
                hammer=(32, 32, 32),
                relocate=(128, 32, 32),
            )
        ),
    ),
)


class IFQLNetworks(ValueNetworks):
    flow: VectorField
    value: Value
    critic: CriticEnsemble


class IFQL(CriticLearner[IFQLNetworks, FlowNoise]):
    """The flow clones the data without the critic; when acting, the critic chooses among the flow's samples.

    Evaluated with the action of the highest min Q among `num_samples`.
    """

    name: ClassVar[str] = "ifql"
    published: ClassVar[Published | None] = PUBLISHED
    metrics: ClassVar[Mapping[str, str]] = reported("flow_loss", **IMPLICIT)

    num_samples: int = static(32, "actions among which the critic chooses when acting", low=1)
    expectile: ScalarLike = scalar(0.9, "expectile kappa of V's regression", high=1.0)
    discount: ScalarLike = fields.discount()
    q_agg: bellman.Aggregation = fields.q_agg("min", "in the target of V")
    rho: ScalarLike = fields.rho()
    tau: ScalarLike = fields.tau()
    learning_rate: ScalarLike = fields.learning_rate()
    flow_steps: int = fields.flow_steps()
    hidden: tuple[int, ...] = fields.hidden()
    ensemble: int = fields.ensemble()
    optimizer: optax.GradientTransformation | None = fields.optimizer()

    def networks(self, spec: Spec, *, key: Key) -> IFQLNetworks:
        flow_key, value_key, critic_key = jax.random.split(key, 3)
        return IFQLNetworks(
            flow=VectorField(spec, self.hidden, key=flow_key),
            value=Value(spec, self.hidden, key=value_key),
            critic=CriticEnsemble(spec, self.hidden, ensemble=self.ensemble, key=critic_key),
        )

    @jax.named_scope("noise")
    def noise(self, spec: Spec, rows: Rows, *, key: Key) -> FlowNoise:
        return flow_noise(spec, rows, key=key)

    def loss(self, networks: IFQLNetworks, given: CriticGiven[IFQLNetworks, FlowNoise]) -> tuple[Scalar, Metrics]:
        noise = given.noise
        critic_loss, _, metrics = implicit_values(
            networks, given, expectile=self.expectile, discount=self.discount, q_agg=self.q_agg, rho=self.rho
        )
        flow_loss = jnp.mean(cloning_errors(networks.flow, given.batch, noise.flow_x0, noise.flow_t))
        return critic_loss + flow_loss, metrics | {"flow_loss": flow_loss}

    def policy(self, state: CriticState[IFQLNetworks]) -> FlowPolicy:
        return FlowPolicy(
            flow=state.networks.flow,
            refiner=None,
            critic=state.networks.critic,
            choice=Choice("best-of-n", self.num_samples, min(8, self.num_samples), q_agg="min"),
            flow_steps=self.flow_steps,
        )

    def operations(self, spec: Spec) -> int | float:
        n = operations.Networks.of(self.hidden, spec)
        return operations.implicit_values(n, self.ensemble) + n.flow.learn()
