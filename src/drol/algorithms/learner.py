"""What most methods have in common: one loss over all networks, one optimizer, and a target critic."""

import abc
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from drol.algorithm import ScalarLike, TrainState, checked_start
from drol.algorithms.optimizers import Trained, descend, first_state, optimizer_of
from drol.nn.critic import CriticEnsemble
from drol.nn.flow import VectorField
from drol.numerics import threefry
from drol.ops import bellman, flow
from drol.ops.axis import make_varying, mean_over
from drol.types import AxisName, Batch, Key, Metrics, Rows, Scalar, Spec


class CriticNetworks(eqx.Module):
    """Networks with a critic among them."""

    critic: eqx.AbstractVar[CriticEnsemble]


Networks = TypeVar("Networks", bound=eqx.Module)
WithCritic = TypeVar("WithCritic", bound=CriticNetworks)
Target = TypeVar("Target", CriticEnsemble, None)
Noise = TypeVar("Noise", bound=eqx.Module | Array)
Drawn = TypeVar("Drawn")


class LearnerState(TrainState, Generic[Networks, Target]):
    """The training state of a `Learner`.

    Attributes:
        networks: everything that is trained.
        target_critic: the slowly averaged copy of `networks.critic`; None if there is no critic.
        optimizer: the optimizer's state, for all networks together.
        step: the number of updates done.
    """

    networks: Networks
    target_critic: Target
    optimizer: optax.OptState
    step: Int[Array, ""]


CriticState = LearnerState[WithCritic, CriticEnsemble]
"""The training state of a `CriticLearner`."""


class Given(eqx.Module, Generic[Networks, Target, Noise]):
    """What a loss holds constant.

    Attributes:
        networks: a constant copy of the trained networks, so that no gradient crosses from one to another.
        target_critic: the target critic; None if there is no critic.
        batch: transitions.
        noise: this update's draws.
        axis_name: the axis over which the batch is sharded.
    """

    networks: Networks
    target_critic: Target
    batch: Batch
    noise: Noise
    axis_name: AxisName | None = eqx.field(static=True)


CriticGiven = Given[WithCritic, CriticEnsemble, Noise]
"""What the loss of a `CriticLearner` holds constant."""


class Learner(Trained, Generic[Networks, Target, Noise]):
    """An algorithm whose update is one gradient of one loss, the sum of its networks' losses.

    Whatever one network's loss takes from another is a constant in `Given`. Adam works elementwise, so the sum trains
    each network exactly as a separate loss with a separate optimizer would.

    Methods derive from `CloningLearner` or `CriticLearner`.
    """

    @abc.abstractmethod
    def networks(self, spec: Spec, *, key: Key) -> Networks:
        """Fresh networks."""

    @abc.abstractmethod
    def loss(self, networks: Networks, given: Given[Networks, Target, Noise]) -> tuple[Scalar, Metrics]:
        """The sum of the losses of `networks`, and what to report."""

    @abc.abstractmethod
    def first_target(self, networks: Networks) -> Target:
        """The target critic before the first update."""

    @abc.abstractmethod
    def next_target(self, target: Target, before: Networks, after: Networks) -> Target:
        """The target critic after an update that turned the networks `before` into `after`."""

    def init(self, spec: Spec, *, key: Key) -> LearnerState[Networks, Target]:
        networks = self.networks(spec, key=checked_start(spec, key))
        target_critic = self.first_target(networks)
        optimizer = first_state(self, networks)
        return LearnerState(
            networks=networks, target_critic=target_critic, optimizer=optimizer, step=jnp.zeros((), jnp.int32)
        )

    def update(
        self, state: LearnerState[Networks, Target], batch: Batch, noise: Noise, *, axis_name: AxisName | None = None
    ) -> tuple[LearnerState[Networks, Target], Metrics]:
        given = _given(state, batch, noise, axis_name)
        value, gradients, metrics = self._graded(given)
        networks, optimizer = descend(
            optimizer_of(self),
            gradients,
            state.optimizer,
            state.networks,
            value=value,
            loss=lambda trained: self.loss(trained, given)[0],
            axis_name=axis_name,
        )
        target_critic = self.next_target(state.target_critic, state.networks, networks)
        return LearnerState(
            networks=networks, target_critic=target_critic, optimizer=optimizer, step=state.step + 1
        ), metrics

    def gradients(
        self, state: LearnerState[Networks, Target], batch: Batch, noise: Noise, *, axis_name: AxisName | None = None
    ) -> tuple[Networks, Metrics]:
        """The gradients that `update` applies, of the whole batch where it is sharded over `axis_name`."""
        _, gradients, metrics = self._graded(_given(state, batch, noise, axis_name))
        return gradients, metrics

    def _graded(self, given: Given[Networks, Target, Noise]) -> tuple[Scalar, Networks, Metrics]:
        """The loss of the whole batch, its gradients, and the metrics."""
        (value, metrics), gradients = jax.value_and_grad(self.loss, has_aux=True)(given.networks, given)
        return mean_over((value, gradients, metrics), given.axis_name)


class CloningLearner(Learner[Networks, None, Noise]):
    """A learner without a critic."""

    def first_target(self, networks: Networks) -> None:
        return None

    def next_target(self, target: None, before: Networks, after: Networks) -> None:
        return None


class CriticLearner(Learner[WithCritic, CriticEnsemble, Noise]):
    """A learner with a critic and a target critic."""

    discount: eqx.AbstractVar[ScalarLike]
    tau: eqx.AbstractVar[ScalarLike]

    def first_target(self, networks: WithCritic) -> CriticEnsemble:
        return jax.tree.map(jnp.copy, networks.critic)

    def next_target(self, target: CriticEnsemble, before: WithCritic, after: WithCritic) -> CriticEnsemble:
        return bellman.target_average(target, self.averaged(before, after).critic, self.tau)

    def averaged(self, before: WithCritic, after: WithCritic) -> WithCritic:
        """The networks whose critic enters the target average: as in most public code, those before the update."""
        return before


def _given(
    state: LearnerState[Networks, Target], batch: Batch, noise: Noise, axis_name: AxisName | None
) -> Given[Networks, Target, Noise]:
    return Given(make_varying(state.networks, axis_name), state.target_critic, batch, noise, axis_name)


def per_row(draw: Callable[[Key], Drawn], rows: Rows, key: Key) -> Drawn:
    """`draw` for every row with its own key, so that shards draw what a single device would have drawn."""
    own = threefry(key)
    return jax.vmap(lambda row: draw(jax.random.fold_in(own, row)))(rows)


@jax.named_scope("flow_loss")
def cloning_errors(
    field: VectorField, batch: Batch, start: Float[Array, "batch action"], times: Float[Array, "batch 1"]
) -> Float[Array, " batch"]:
    """Flow matching on the data's actions, per row: behaviour cloning with a flow."""

    def velocity(x: flow.Points, t: flow.Times | float) -> flow.Points:
        return field(batch.observations, x, t)

    return flow.matching_errors(velocity, start, batch.actions, times, batch.valid)


@jax.named_scope("critic_loss")
def temporal_difference(
    critic: CriticEnsemble,
    next_actions: Float[Array, "batch action"],
    given: Given[Any, CriticEnsemble, Any],
    *,
    discount: ScalarLike,
    q_agg: bellman.Aggregation,
    rho: ScalarLike = 0.5,
) -> tuple[Scalar, Float[Array, "ensemble batch"], Metrics]:
    """The Bellman error of the critic at one next action per state (eq. 2), Q(s, a), and what to report."""
    next_q = bellman.aggregate(given.target_critic(given.batch.next_observations, next_actions), q_agg, rho)
    return fit_critic(critic, next_q, given.batch, discount=discount)


def fit_critic(
    critic: CriticEnsemble, next_q: Float[Array, " batch"], batch: Batch, *, discount: ScalarLike
) -> tuple[Scalar, Float[Array, "ensemble batch"], Metrics]:
    """The Bellman error of the critic for given values of the next states, Q(s, a), and what to report."""
    targets = bellman.backup(batch.rewards, batch.masks, next_q, discount)
    q_values = critic(batch.observations, batch.actions)
    loss = bellman.bellman_error(q_values, targets, batch.weights)
    return loss, q_values, {"critic_loss": loss, "q_mean": jnp.mean(q_values), "target_mean": jnp.mean(targets)}
