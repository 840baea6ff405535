"""IFQL: IQL's critic, a flow of the data, and the best of several samples (Park et al. 2025, after IDQL)."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from drol.algorithm import ScalarLike, scalar, static
from drol.algorithms import fields
from drol.algorithms.flow_bc import FlowNoise, flow_noise
from drol.algorithms.iql import implicit_values
from drol.algorithms.learner import Learner, LearnerState, cloning_errors
from drol.nn.critic import CriticEnsemble, Value
from drol.nn.flow import VectorField
from drol.policy import FlowPolicy
from drol.types import AxisName, Batch, Key, Metrics, Rows, Scalar, Spec


class IFQLNetworks(eqx.Module):
    """What IFQL trains."""

    flow: VectorField
    value: Value
    critic: CriticEnsemble


class IFQL(Learner):
    """The flow clones the data and never hears of the critic; the critic chooses among its samples when acting.

    Evaluated with the action of highest min Q among `num_samples`.

    Raises:
        ValueError: for a hyperparameter out of range.
    """

    name: ClassVar[str] = "ifql"

    num_samples: int = static(32, "actions among which the critic chooses when acting", low=1)
    expectile: ScalarLike = scalar(0.9, "kappa of V's regression", high=1.0)
    discount: ScalarLike = fields.discount()
    tau: ScalarLike = fields.tau()
    learning_rate: ScalarLike = fields.learning_rate()
    flow_steps: int = fields.flow_steps()
    hidden: tuple[int, ...] = fields.hidden()
    ensemble: int = fields.ensemble()
    optimizer: optax.GradientTransformation | None = fields.optimizer()

    def networks(self, spec: Spec, *, key: Key) -> IFQLNetworks:
        flow_key, value_key, critic_key = jax.random.split(key, 3)
        return IFQLNetworks(
            VectorField(spec, self.hidden, key=flow_key),
            Value(spec, self.hidden, key=value_key),
            CriticEnsemble(spec, self.hidden, ensemble=self.ensemble, key=critic_key),
        )

    @jax.named_scope("noise")
    def noise(self, spec: Spec, rows: Rows, *, key: Key) -> FlowNoise:
        return flow_noise(spec, rows, key=key)

    def loss(
        self,
        networks: IFQLNetworks,
        fixed: IFQLNetworks,
        target_critic: CriticEnsemble | None,
        batch: Batch,
        noise: FlowNoise,
        *,
        axis_name: AxisName | None,
    ) -> tuple[Scalar, Metrics]:
        critic_loss, _, metrics = implicit_values(
            networks, fixed, target_critic, batch, expectile=self.expectile, discount=self.discount
        )
        flow_loss = jnp.mean(cloning_errors(networks.flow, batch, noise.flow_x0, noise.flow_t))
        return critic_loss + flow_loss, metrics | {"flow_loss": flow_loss}

    def policy(self, state: LearnerState) -> FlowPolicy:
        return FlowPolicy(
            flow=state.networks.flow,
            refiner=None,
            critic=state.networks.critic,
            kind="best-of-n",
            flow_steps=self.flow_steps,
            num_samples=self.num_samples,
            dense_topk=min(8, self.num_samples),
            q_agg="min",
        )
