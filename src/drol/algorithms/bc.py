"""Behaviour cloning with a Gaussian of unit variance."""

from collections.abc import Mapping
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import optax

from drol.algorithm import ScalarLike
from drol.algorithms import fields
from drol.algorithms.learner import CloningLearner, Given, LearnerState
from drol.algorithms.metrics import reported
from drol.algorithms.operations import Networks
from drol.algorithms.tables import FQL_PAPER, everywhere
from drol.nn.gaussian import MeanActor
from drol.ops import losses
from drol.policy import MeanPolicy
from drol.published import Published
from drol.types import Key, Metrics, Rows, Scalar, Spec

PUBLISHED = Published(
    advice="it has nothing to tune",
    presets=tuple(
        everywhere(
            "bc",
            f"nothing to tune, as in the {FQL_PAPER}",
            on_d4rl="on D4RL the FQL paper copies its results from earlier work",
        )
    ),
)


class BCNetworks(eqx.Module):
    actor: MeanActor


class BCNoise(eqx.Module):
    """BC has no random draws."""


class BC(CloningLearner[BCNetworks, BCNoise]):
    """Maximum likelihood of the data's actions under N(mu(s), I): least squares, so modes are averaged.

    Evaluated at the mean.
    """

    name: ClassVar[str] = "bc"
    published: ClassVar[Published | None] = PUBLISHED
    metrics: ClassVar[Mapping[str, str]] = reported("actor_loss", "bc_loss")

    discount: ClassVar[None] = None

    learning_rate: ScalarLike = fields.learning_rate()
    hidden: tuple[int, ...] = fields.hidden()
    optimizer: optax.GradientTransformation | None = fields.optimizer()

    def networks(self, spec: Spec, *, key: Key) -> BCNetworks:
        return BCNetworks(MeanActor(spec, self.hidden, key=key))

    def noise(self, spec: Spec, rows: Rows, *, key: Key) -> BCNoise:
        return BCNoise()

    def loss(self, networks: BCNetworks, given: Given[BCNetworks, None, BCNoise]) -> tuple[Scalar, Metrics]:
        batch = given.batch
        means = networks.actor(batch.observations)
        loss = -jnp.mean(losses.gaussian_log_prob(means, batch.actions, batch.valid))
        bc = losses.behaviour_cloning(means, batch.actions, batch.valid)
        return loss, {"actor_loss": loss, "bc_loss": jnp.mean(bc)}

    def policy(self, state: LearnerState[BCNetworks, None]) -> MeanPolicy:
        return MeanPolicy(actor=state.networks.actor, critic=None)

    def operations(self, spec: Spec) -> int | float:
        return Networks.of(self.hidden, spec).mean.learn()
