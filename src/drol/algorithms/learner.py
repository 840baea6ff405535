"""What the peers have in common: one loss over all networks, one optimizer, slow copies of the critic."""

import abc
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from drol.algorithm import Algorithm, ScalarLike, TrainState, checked_start
from drol.nn.critic import CriticEnsemble
from drol.nn.flow import VectorField
from drol.numerics import threefry
from drol.ops import bellman, flow
from drol.ops.axis import make_varying, mean_over
from drol.types import AxisName, Batch, Key, Metrics, Rows, Scalar, Spec

Tree = TypeVar("Tree")

EPS_ROOT = 2e-38
"""Added under Adam's root: too little to change an update (it counts where |g| < 1e-16, and the epsilon is 1e-8), but
enough to keep derivatives finite where a gradient is 0, so that hyperparameters can be learned through updates."""


class LearnerState(TrainState):
    """The training state of a `Learner`.

    Attributes:
        networks: everything that is trained, a module of the algorithm's own.
        target_critic: the slow copy of `networks.critic`; None where there is no critic.
        optimizer: of all networks together.
        step: updates done.
    """

    networks: Any
    target_critic: CriticEnsemble | None
    optimizer: optax.OptState
    step: Int[Array, ""]


class Learner(Algorithm):
    """An algorithm whose update is one gradient of one loss, the sum of its networks' losses.

    What one network's loss takes from another comes in a second time as a constant, so that no gradient crosses. Under
    Adam, which works entry by entry, the sum trains each network as a loss and an optimizer of its own would. (A field
    `max_gradient_norm`, where there is one, clips the gradients of all networks together.)
    """

    learning_rate: eqx.AbstractVar[ScalarLike]
    optimizer: eqx.AbstractVar[optax.GradientTransformation | None]

    @abc.abstractmethod
    def networks(self, spec: Spec, *, key: Key) -> Any:
        """Fresh networks. A critic, where there is one, is their field `critic`."""

    @abc.abstractmethod
    def loss(
        self,
        networks: Any,
        fixed: Any,
        target_critic: CriticEnsemble | None,
        batch: Batch,
        noise: Any,
        *,
        axis_name: AxisName | None,
    ) -> tuple[Scalar, Metrics]:
        """The sum of the losses, and what to report.

        Args:
            networks: differentiated.
            fixed: the same networks as constants.
            target_critic: the slow critic.
            batch: transitions.
            noise: this update's draws.
            axis_name: the axis over which the batch is sharded.
        """

    def init(self, spec: Spec, *, key: Key) -> LearnerState:
        networks = self.networks(spec, key=checked_start(spec, key))
        target_critic = jax.tree.map(jnp.copy, getattr(networks, "critic", None))
        optimizer = first_state(self, networks)
        return LearnerState(
            networks=networks, target_critic=target_critic, optimizer=optimizer, step=jnp.zeros((), jnp.int32)
        )

    def update(
        self, state: LearnerState, batch: Batch, noise: Any, *, axis_name: AxisName | None = None
    ) -> tuple[LearnerState, Metrics]:
        fixed = make_varying(state.networks, axis_name)
        value, gradients, metrics = self._graded(fixed, state, batch, noise, axis_name)

        def loss(trained: Any) -> Scalar:
            return self.loss(trained, fixed, state.target_critic, batch, noise, axis_name=axis_name)[0]

        networks, optimizer = descend(
            optimizer_of(self), gradients, state.optimizer, state.networks, value=value, loss=loss, axis_name=axis_name
        )
        target_critic = state.target_critic
        if target_critic is not None:
            tau = self.tau  # pyright: ignore[reportAttributeAccessIssue]  (whoever has a critic has it)
            # One step of lag, as in most public code: the average takes the critic before this update.
            averaged = state.networks if getattr(self, "target_lag", True) else networks
            target_critic = bellman.target_average(target_critic, averaged.critic, tau)
        return LearnerState(
            networks=networks, target_critic=target_critic, optimizer=optimizer, step=state.step + 1
        ), metrics

    def gradients(
        self, state: LearnerState, batch: Batch, noise: Any, *, axis_name: AxisName | None = None
    ) -> tuple[Any, Metrics]:
        """The gradients that `update` applies, of the whole batch where it is sharded over `axis_name`."""
        _, gradients, metrics = self._graded(make_varying(state.networks, axis_name), state, batch, noise, axis_name)
        return gradients, metrics

    def _graded(
        self, networks: Any, state: LearnerState, batch: Batch, noise: Any, axis_name: AxisName | None
    ) -> tuple[Scalar, Any, Metrics]:
        """The loss of the whole batch, its gradients, and the metrics."""
        (value, metrics), gradients = jax.value_and_grad(self.loss, has_aux=True)(
            networks, networks, state.target_critic, batch, noise, axis_name=axis_name
        )
        return mean_over((value, gradients, metrics), axis_name)


def per_row(draw: Callable[[Key], Any], rows: Rows, key: Key) -> Any:
    """`draw` for every row with a key of its own: shards draw what one device would have drawn."""
    own = threefry(key)
    return jax.vmap(lambda row: draw(jax.random.fold_in(own, row)))(rows)


@jax.named_scope("flow_loss")
def cloning_errors(
    field: VectorField, batch: Batch, start: Float[Array, "batch action"], times: Float[Array, "batch 1"]
) -> Float[Array, " batch"]:
    """Flow matching on the data's actions, per row: behaviour cloning by a flow."""

    def velocity(x: flow.Points, t: flow.Times | float) -> flow.Points:
        return field(batch.observations, x, t)

    return flow.matching_errors(velocity, start, batch.actions, times)


@jax.named_scope("critic_loss")
def temporal_difference(
    critic: CriticEnsemble,
    target_critic: CriticEnsemble | None,
    next_actions: Float[Array, "batch action"],
    batch: Batch,
    *,
    discount: ScalarLike,
    q_agg: bellman.Aggregation,
) -> tuple[Scalar, Float[Array, "ensemble batch"], Metrics]:
    """The Bellman error of the critic at one next action per state (eq. 2), and Q(s, a)."""
    assert target_critic is not None
    next_q = bellman.aggregate(target_critic(batch.next_observations, next_actions), q_agg)
    return fit_critic(critic, next_q, batch, discount=discount)


def fit_critic(
    critic: CriticEnsemble, next_q: Float[Array, " batch"], batch: Batch, *, discount: ScalarLike
) -> tuple[Scalar, Float[Array, "ensemble batch"], Metrics]:
    """The Bellman error of the critic for given values of the next states, and Q(s, a)."""
    targets = bellman.backup(batch.rewards, batch.masks, next_q, discount)
    q_values = critic(batch.observations, batch.actions)
    loss = bellman.bellman_error(q_values, targets)
    return loss, q_values, {"critic_loss": loss, "q_mean": jnp.mean(q_values), "target_mean": jnp.mean(targets)}


def optimizer_of(algorithm: Any) -> optax.GradientTransformation:
    """Adam, after a clip by the global norm where the algorithm has a `max_gradient_norm`; or what the user gave.

    `learning_rates`, where the algorithm has them, name every network and give it a rate of its own.
    Adam is rebuilt from its learning rate at every trace: kept as a field, its closures would differ from one algorithm
    to the next and compile each of them anew.
    """
    if algorithm.optimizer is not None:
        return algorithm.optimizer
    adam = _adam(getattr(algorithm, "learning_rates", algorithm.learning_rate))
    if not hasattr(algorithm, "max_gradient_norm"):
        return adam
    return optax.chain(_clip(algorithm.max_gradient_norm), adam)


def _clip(limit: ScalarLike) -> optax.GradientTransformation:
    """`optax.clip_by_global_norm`, which cannot take a limit of another type than the gradients'."""

    def clipped(updates: Any, _: Any) -> Any:
        norm = jnp.sqrt(sum(jnp.sum(g**2) for g in jax.tree.leaves(updates)))
        return jax.tree.map(lambda g: jnp.where(norm < limit, g, (g / norm * limit).astype(g.dtype)), updates)

    return optax.stateless(clipped)


def _adam(rates: ScalarLike | Mapping[str, ScalarLike]) -> optax.GradientTransformation:
    """Adam, with one learning rate or with one for each network; its state is the same either way."""
    if not isinstance(rates, Mapping):
        return optax.adam(rates, eps_root=EPS_ROOT)

    def scaled(updates: Any, _: Any) -> Any:
        parts = [jax.tree.map(lambda u, rate=rate: -rate * u, getattr(updates, name)) for name, rate in rates.items()]
        return eqx.tree_at(lambda networks: [getattr(networks, name) for name in rates], updates, parts)

    return optax.chain(optax.scale_by_adam(eps_root=EPS_ROOT), optax.stateless(scaled))


def leaves(networks: Any) -> Any:
    """The arrays that are trained."""
    return eqx.filter(networks, eqx.is_inexact_array)


def first_state(algorithm: Any, networks: Any) -> optax.OptState:
    """The state with which an algorithm's optimizer begins on these networks; the user's own is tried on shapes first.

    Raises:
        ValueError: if it cannot train them.
    """
    optimizer = optimizer_of(algorithm)
    if algorithm.optimizer is None:
        return optimizer.init(leaves(networks))

    def total(parameters: Any) -> Scalar:
        return sum((jnp.sum(leaf) for leaf in jax.tree.leaves(parameters)), jnp.zeros(())).astype(float)

    def first_step(parameters: Any) -> Any:
        told = {"value": jnp.zeros(()), "grad": parameters, "value_fn": total}
        update = optax.with_extra_args_support(optimizer).update
        return update(parameters, optimizer.init(parameters), parameters, **told)

    try:
        jax.eval_shape(first_step, leaves(networks))
        return optimizer.init(leaves(networks))
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"optimizer cannot train these networks ({type(error).__name__}: {error}); it is given gradients, "
            f"parameters, value, grad and value_fn, and transforms that want parameters in a form of their own, such "
            f"as optax.lookahead, cannot be used"
        ) from error


@jax.named_scope("optimizer")
def descend(
    optimizer: optax.GradientTransformation,
    gradients: Any,
    optimizer_state: optax.OptState,
    networks: Any,
    *,
    value: Scalar | None = None,
    loss: Callable[[Any], Scalar] | None = None,
    axis_name: AxisName | None = None,
) -> tuple[Any, optax.OptState]:
    """One step of an optimizer: the networks after it, and its state, all in the types that they had.

    A learning rate is float32, and float64 under `jax_enable_x64`: it must not widen the parameters.

    Args:
        optimizer: told `grad`, `value` and, from `loss`, `value_fn`, if it asks for them.
        gradients: of the loss of the whole batch.
        optimizer_state: of the optimizer.
        networks: what is trained.
        value: the loss of the whole batch.
        loss: networks -> the loss of this shard, for line searches; not traced otherwise.
        axis_name: the axes over which the batch is sharded.
    """
    extra: dict[str, Any] = {"grad": gradients}
    if value is not None:
        extra["value"] = value
    if loss is not None:
        extra["value_fn"] = _of_whole_batch(loss, networks, axis_name)
    update = optax.with_extra_args_support(optimizer).update
    updates, new_state = update(gradients, optimizer_state, leaves(networks), **extra)
    return like(eqx.apply_updates(networks, updates), networks), like(new_state, optimizer_state)


def _of_whole_batch(
    loss: Callable[[Any], Scalar], networks: Any, axis_name: AxisName | None
) -> Callable[[Any], Scalar]:
    """The loss as a function of the trained arrays; over shards, their mean, with the gradient of the whole batch."""
    rest = eqx.filter(networks, eqx.is_inexact_array, inverse=True)

    def of_shard(parameters: Any) -> Scalar:
        return loss(eqx.combine(parameters, rest))

    if axis_name is None:
        return of_shard

    def forward(parameters: Any) -> tuple[Scalar, Any]:
        return mean_over(jax.value_and_grad(of_shard)(make_varying(parameters, axis_name)), axis_name)

    # The gradient of a mean over shards differs between vmap, pmap and shard_map: take the mean of their gradients.
    of_whole = jax.custom_vjp(lambda parameters: forward(parameters)[0])
    of_whole.defvjp(forward, lambda gradient, scale: (jax.tree.map(lambda g: scale * g, gradient),))
    return of_whole


def like(tree: Tree, before: Any) -> Tree:
    """The arrays of a tree in the types of those in `before`. Costs nothing where they are the same."""
    return jax.tree.map(lambda new, old: new.astype(old.dtype) if hasattr(old, "dtype") else new, tree, before)
