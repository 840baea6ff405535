"""Batch means over a named mapped axis, for `jax.shard_map`, `jax.pmap` and `jax.vmap`."""

from typing import TypeVar

import jax
import jax.numpy as jnp

from drol.types import Rows

Tree = TypeVar("Tree")


def mean_over(tree: Tree, axis_name: str | None) -> Tree:
    """The mean over the shards of a mapped axis; the identity without one."""
    return tree if axis_name is None else jax.lax.pmean(tree, axis_name)


def make_varying(tree: Tree, axis_name: str | None) -> Tree:
    """Mark replicated parameters as varying over the axis before they are differentiated.

    Under `jax.shard_map` the gradient with respect to a replicated value is summed over the shards by
    transposition; averaging it afterwards leaves it N times too large. A varying copy keeps each shard's gradient its
    own, so that `mean_over` gives the gradient of the whole batch. Under `jax.vmap` there is nothing to mark.
    """
    if axis_name is None or axis_name not in jax.sharding.get_abstract_mesh().manual_axes:
        return tree
    return jax.lax.pcast(tree, axis_name, to="varying")


def global_rows(local_rows: int, axis_name: str | None) -> Rows:
    """The rows of the whole batch that this shard holds, in order."""
    rows = jnp.arange(local_rows)
    return rows if axis_name is None else rows + local_rows * jax.lax.axis_index(axis_name)
