"""Batch means over named mapped axes, for `jax.shard_map`, `jax.pmap` and `jax.vmap`."""

from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

from drol.types import AxisName, Rows

Tree = TypeVar("Tree")


def mean_over(tree: Tree, axis_name: AxisName | None) -> Tree:
    """The mean over the shards of the mapped axes; the identity if there are none."""
    names = _names(axis_name)
    return jax.lax.pmean(tree, names) if names else tree


def make_varying(tree: Tree, axis_name: AxisName | None) -> Tree:
    """Mark replicated parameters as varying over the axes before they are differentiated.

    Under `jax.shard_map` the gradient with respect to a replicated value is summed over the shards by
    transposition; averaging it afterwards leaves it N times too large. A varying copy keeps each shard's gradient
    separate, so that `mean_over` gives the gradient of the whole batch. Under `jax.vmap` there is nothing to mark.
    """
    manual = jax.sharding.get_abstract_mesh().manual_axes
    names = [name for name in _names(axis_name) if name in manual]

    def mark(leaf: Array) -> Array:
        # Marked leaf by leaf, and never twice.
        missing = tuple(name for name in names if name not in getattr(jax.typeof(leaf), "vma", ()))
        return jax.lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(mark, tree) if names else tree


def global_rows(local_rows: int, axis_name: AxisName | None) -> Rows:
    """The rows of the whole batch that this shard holds, in order."""
    rows = jnp.arange(local_rows)
    names = _names(axis_name)
    return rows + local_rows * jax.lax.axis_index(names) if names else rows


def _names(axis_name: AxisName | None) -> tuple[str, ...]:
    if axis_name is None:
        return ()
    return (axis_name,) if isinstance(axis_name, str) else tuple(axis_name)
