"""What keys, seeds and draws mean, whatever this process's settings of JAX."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from drol.seeding import checked_seed
from drol.types import Key

IMPLEMENTATION = "threefry2x32"
"""The only one of JAX's generators that draws for a batch of keys what it draws for each of them alone. On that rest
sharded batches, runs that share a program, and policies that act on several observations at once."""


def key_of_seed(seed: object) -> Key:
    """`jax.random.key(seed)` of the usual kind, and for seeds from 2^32 on, which JAX cuts off, keys of their own.

    Raises:
        ValueError: for a seed out of range, or where JAX is set to draw other numbers from the same keys.
    """
    number = checked_seed(seed)
    if not getattr(jax.config, "jax_threefry_partitionable", True):
        raise ValueError(
            "with jax_threefry_partitionable off, JAX draws other numbers from a seed than in other processes; leave "
            "JAX_THREEFRY_PARTITIONABLE unset, or set it to true"
        )
    words = jnp.asarray(np.array([number >> 32, number & 0xFFFFFFFF], np.uint32))
    return jax.random.wrap_key_data(words, impl=IMPLEMENTATION)


def threefry(key: object) -> Key:
    """The key itself where it is of the usual kind; otherwise one made of its words, so that promises hold.

    Under `jax_default_prng_impl="rbg"` a batch of keys draws other numbers than its members would. Refusing such keys
    would shut out whoever chose them for the rest of a program, and draws cost an update little, whatever the kind.

    Args:
        key: one typed key, or one of the older kind (`jax.random.PRNGKey`).

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
    """This process's default precision, for a run's record: it decides what every update computes."""
    matmul = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    return {"floats": str(jnp.result_type(float)), "matrix products": str(matmul or "default")}


def check_precision(recorded: Mapping[str, str]) -> None:
    """Refuse to resume in another precision than a run began with.

    Raises:
        ValueError: naming both, and the settings of JAX that decide.
    """
    for name, now in precision().items():
        before = recorded.get(name, now)
        if before != now:
            setting = "JAX_ENABLE_X64" if name == "floats" else "JAX_DEFAULT_MATMUL_PRECISION"
            raise ValueError(
                f"the run was started with {name} in {before}, and this process computes them in {now}: its numbers "
                f"would be others; set {setting} as it was then, or start a new run"
            )


def draw_type(tree: PyTree) -> np.dtype:
    """The type of draws for these networks: theirs, but float32 at least, so that no setting of JAX changes them."""
    floats = [leaf.dtype for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.promote_types(floats[0], jnp.float32) if floats else jnp.dtype(jnp.float32)
