"""Optimizers: Adam, or any optax transform that the user gives."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from drol.algorithm import Algorithm, ScalarLike
from drol.ops.axis import make_varying, mean_over
from drol.types import AxisName, Scalar

Tree = TypeVar("Tree")

EPS_ROOT = 2e-38
"""Added under Adam's square root: too small to change an update (it matters only where |g| < 1e-16, and the epsilon is
1e-8), but enough to keep derivatives finite where a gradient is 0, so that meta-gradients pass through updates."""


class Trained(Algorithm):
    """An algorithm whose networks are trained by Adam, unless the user gives another `optimizer`."""

    learning_rate: eqx.AbstractVar[ScalarLike]
    optimizer: eqx.AbstractVar[optax.GradientTransformation | None]

    def adam(self) -> optax.GradientTransformation:
        """Adam as this method configures it; methods with several rates or a gradient clip define their own."""
        return adam(self.learning_rate)


def optimizer_of(algorithm: Trained) -> optax.GradientTransformation:
    """The user's optimizer, or the method's Adam.

    Adam is rebuilt from its learning rate at every trace: as a field, its closures would differ between algorithm
    objects, and each object would be compiled again.
    """
    return algorithm.adam() if algorithm.optimizer is None else algorithm.optimizer


def adam(
    rates: ScalarLike | Mapping[str, ScalarLike], *, max_norm: ScalarLike | None = None
) -> optax.GradientTransformation:
    """Adam; its state has the same structure for one learning rate and for several.

    Args:
        rates: one learning rate, or one for each network by the name of its field.
        max_norm: gradients are first clipped to this global norm.
    """
    scaled = optax.adam(rates, eps_root=EPS_ROOT) if not isinstance(rates, Mapping) else _adam_of_each(rates)
    return scaled if max_norm is None else optax.chain(_clip(max_norm), scaled)


def _clip(limit: ScalarLike) -> optax.GradientTransformation:
    """Like `optax.clip_by_global_norm`, which cannot take a limit of a dtype other than the gradients'."""

    def clipped(updates: PyTree, _: PyTree) -> PyTree:
        norm = jnp.sqrt(sum(jnp.sum(g**2) for g in jax.tree.leaves(updates)))
        return jax.tree.map(lambda g: jnp.where(norm < limit, g, (g / norm * limit).astype(g.dtype)), updates)

    return optax.stateless(clipped)


def _adam_of_each(rates: Mapping[str, ScalarLike]) -> optax.GradientTransformation:
    """Adam with a learning rate for each network."""

    def scaled(updates: PyTree, _: PyTree) -> PyTree:
        parts = [jax.tree.map(lambda u, rate=rate: -rate * u, getattr(updates, name)) for name, rate in rates.items()]
        return eqx.tree_at(lambda networks: [getattr(networks, name) for name in rates], updates, parts)

    return optax.chain(optax.scale_by_adam(eps_root=EPS_ROOT), optax.stateless(scaled))


def leaves(networks: Tree) -> Tree:
    """The arrays that are trained."""
    return eqx.filter(networks, eqx.is_inexact_array)


def first_state(algorithm: Trained, networks: PyTree) -> optax.OptState:
    """The initial state of an algorithm's optimizer for these networks; a user's optimizer is first tried on shapes.

    Raises:
        ValueError: if it cannot train them.
    """
    optimizer = optimizer_of(algorithm)
    if algorithm.optimizer is None:
        return optimizer.init(leaves(networks))

    def total(parameters: PyTree) -> Scalar:
        return sum((jnp.sum(leaf) for leaf in jax.tree.leaves(parameters)), jnp.zeros(())).astype(float)

    def first_step(parameters: PyTree) -> PyTree:
        told = {"value": jnp.zeros(()), "grad": parameters, "value_fn": total}
        update = optax.with_extra_args_support(optimizer).update
        return update(parameters, optimizer.init(parameters), parameters, **told)

    try:
        jax.eval_shape(first_step, leaves(networks))
        return optimizer.init(leaves(networks))
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"optimizer cannot train these networks ({type(error).__name__}: {error}); it is given gradients, "
            f"parameters, value, grad and value_fn; transforms that need parameters in another form, such as "
            f"optax.lookahead, cannot be used"
        ) from error


@jax.named_scope("optimizer")
def descend(
    optimizer: optax.GradientTransformation,
    gradients: Tree,
    optimizer_state: optax.OptState,
    networks: Tree,
    *,
    value: Scalar | None = None,
    loss: Callable[[Tree], Scalar] | None = None,
    axis_name: AxisName | None = None,
) -> tuple[Tree, optax.OptState]:
    """One optimizer step: the new networks and the new optimizer state, with all dtypes unchanged.

    The learning rate is float32, or float64 under `jax_enable_x64`, and must not widen the parameters.

    Args:
        optimizer: receives `grad`, `value` and, from `loss`, `value_fn`, if it accepts them.
        gradients: of the loss of the whole batch.
        optimizer_state: its state.
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
    updates, new_state = update(gradients, optimizer_state, leaves(networks), **extra)  # pyright: ignore[reportArgumentType]  (optax's types of trees)
    return like(eqx.apply_updates(networks, updates), networks), like(new_state, optimizer_state)


def _of_whole_batch(
    loss: Callable[[Tree], Scalar], networks: Tree, axis_name: AxisName | None
) -> Callable[[Tree], Scalar]:
    """The loss as a function of the trained arrays; over shards, their mean, with the gradient of the whole batch."""
    rest = eqx.filter(networks, eqx.is_inexact_array, inverse=True)

    def of_shard(parameters: Tree) -> Scalar:
        return loss(eqx.combine(parameters, rest))

    if axis_name is None:
        return of_shard

    def forward(parameters: Tree) -> tuple[Scalar, Tree]:
        return mean_over(jax.value_and_grad(of_shard)(make_varying(parameters, axis_name)), axis_name)

    # The gradient of a mean over shards differs between vmap, pmap and shard_map: average the shards' gradients.
    of_whole = jax.custom_vjp(lambda parameters: forward(parameters)[0])
    of_whole.defvjp(forward, lambda gradient, scale: (jax.tree.map(lambda g: scale * g, gradient),))
    return of_whole


def like(tree: Tree, before: PyTree) -> Tree:
    """The arrays of a tree in the dtypes of those in `before`. Costs nothing where they are the same."""
    return jax.tree.map(lambda new, old: new.astype(old.dtype) if hasattr(old, "dtype") else new, tree, before)
