"""Keys, seeds and draws that mean the same whatever the process's JAX settings."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from drol.seeding import checked_seed
from drol.types import Key

IMPLEMENTATION = "threefry2x32"
"""The only JAX generator that draws the same numbers for a batch of keys as for each key alone. Sharded batches, runs
that share a program, and policies that act on several observations at once all rely on this."""


def key_of_seed(seed: object) -> Key:
    """`jax.random.key(seed)` for threefry; seeds from 2^32 on, which JAX truncates, get distinct keys too.

    Raises:
        ValueError: for a seed out of range, or if JAX is set to draw different numbers from the same keys.
    """
    number = checked_seed(seed)
    if not getattr(jax.config, "jax_threefry_partitionable", True):
        raise ValueError(
            "with jax_threefry_partitionable off, JAX draws different numbers from a seed than by default; leave "
            "JAX_THREEFRY_PARTITIONABLE unset, or set it to true"
        )
    words = jnp.asarray(np.array([number >> 32, number & 0xFFFFFFFF], np.uint32))
    return jax.random.wrap_key_data(words, impl=IMPLEMENTATION)


def threefry(key: object) -> Key:
    """The key itself if it is a threefry key; otherwise a threefry key made of its words.

    Under `jax_default_prng_impl="rbg"` a batch of keys draws different numbers than its members would. Such keys are
    converted, not refused: a program may use them elsewhere, and draws cost an update little with any generator.

    Args:
        key: one typed key, or one old-style key (`jax.random.PRNGKey`).

    Raises:
        ValueError: for anything else.
    """
    if isinstance(key, np.ndarray):
        key = jnp.asarray(key)
    if not isinstance(key, jax.Array) or not _is_one_key(key):
        found = f"an array of shape {key.shape}" if isinstance(key, jax.Array) else repr(key)
        raise ValueError(f"key must be one JAX random key, such as jax.random.key(0), found {found}")
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        words = key
    elif str(jax.random.key_impl(key)) == IMPLEMENTATION:
        return key
    else:
        words = jax.random.key_data(key)
    first = jax.random.wrap_key_data(words[:2], impl=IMPLEMENTATION)
    for word in words[2:]:
        first = jax.random.fold_in(first, word)
    return first


def _is_one_key(key: Array) -> bool:
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key.shape == ()
    return key.dtype == np.uint32 and key.shape in ((2,), (4,))


def precision() -> dict[str, str]:
    """This process's default precision, recorded with a run because every update depends on it."""
    matmul = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    return {"floats": str(jnp.result_type(float)), "matrix products": str(matmul or "default")}


def check_precision(recorded: Mapping[str, str]) -> None:
    """Refuse to resume a run in a precision other than the one it was started in.

    Raises:
        ValueError: naming both, and the JAX setting that decides.
    """
    for name, now in precision().items():
        before = recorded.get(name, now)
        if before != now:
            setting = "JAX_ENABLE_X64" if name == "floats" else "JAX_DEFAULT_MATMUL_PRECISION"
            raise ValueError(
                f"the run was started with {name} in {before}, but this process computes them in {now}, which would "
                f"change its results; set {setting} as it was then, or start a new run"
            )


def draw_type(tree: PyTree) -> np.dtype:
    """The dtype of draws for these networks: theirs, but at least float32, so that no JAX setting changes the draws."""
    floats = [leaf.dtype for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.promote_types(floats[0], jnp.float32) if floats else jnp.dtype(jnp.float32)
