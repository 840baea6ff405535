"""Behaviour cloning with a Gaussian of unit variance."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import optax

from drol.algorithm import ScalarLike
from drol.algorithms import fields
from drol.algorithms.learner import Learner, LearnerState
from drol.nn.critic import CriticEnsemble
from drol.nn.gaussian import MeanActor
from drol.ops import losses
from drol.policy import MeanPolicy
from drol.types import AxisName, Batch, Key, Metrics, Rows, Scalar, Spec


class BCNetworks(eqx.Module):
    """What BC trains."""

    actor: MeanActor


class BCNoise(eqx.Module):
    """BC draws nothing."""


class BC(Learner):
    """Maximum likelihood of the data's actions under N(mu(s), I): least squares, so modes are averaged.

    Evaluated at the mean.

    Raises:
        ValueError: for a hyperparameter out of range.
    """

    name: ClassVar[str] = "bc"

    learning_rate: ScalarLike = fields.learning_rate()
    hidden: tuple[int, ...] = fields.hidden()
    optimizer: optax.GradientTransformation | None = fields.optimizer()

    def networks(self, spec: Spec, *, key: Key) -> BCNetworks:
        return BCNetworks(MeanActor(spec, self.hidden, key=key))

    def noise(self, spec: Spec, rows: Rows, *, key: Key) -> BCNoise:
        return BCNoise()

    def loss(
        self,
        networks: BCNetworks,
        fixed: BCNetworks,
        target_critic: CriticEnsemble | None,
        batch: Batch,
        noise: BCNoise,
        *,
        axis_name: AxisName | None,
    ) -> tuple[Scalar, Metrics]:
        means = networks.actor(batch.observations)
        loss = -jnp.mean(losses.gaussian_log_prob(means, batch.actions))
        return loss, {"actor_loss": loss, "bc_loss": jnp.mean(losses.behaviour_cloning(means, batch.actions))}

    def policy(self, state: LearnerState) -> MeanPolicy:
        return MeanPolicy(actor=state.networks.actor, critic=None)
