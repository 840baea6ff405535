"""Training states as single files, for custom training loops; `drol train` keeps checkpoints instead."""

import hashlib
import json
from pathlib import Path
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as to_safetensors

from drol.algorithm import TrainState
from drol.errors import DataError
from drol.files import parse_json, read_bytes, write_atomic

State = TypeVar("State", bound=TrainState)

FORMAT = "drol-state"

HEADER_BYTES = 1 << 20
"""How much is read as the header, which holds the names and shapes of the arrays."""


def save_state(state: TrainState, path: str | Path) -> None:
    """Write a training state to a file atomically, with a checksum.

    The run's key is not part of a state: fold it with `state.step` as before, and a resumed loop draws what an
    uninterrupted one would have drawn.

    Args:
        state: what `algorithm.init` or `drol.step` returned.
        path: the file; replaced if it exists.

    Raises:
        OSError: with a clear message; an existing file is left as it was.
    """
    arrays = {name: np.asarray(leaf) for name, leaf in _named(state).items()}
    types = {name: array.dtype.name for name, array in arrays.items()}
    stored = {name: np.asarray(_as_stored(array), order="C") for name, array in arrays.items()}
    metadata = {"format": FORMAT, "types": json.dumps(types), "sha256": _checksum(stored)}
    content = to_safetensors(stored, metadata=metadata)
    write_atomic(path, lambda file: file.write(content))


def load_state(path: str | Path, like: State) -> State:
    """Read a training state.

    Args:
        path: what `save_state` wrote.
        like: a state of the same algorithm on data of the same widths, such as `algorithm.init(spec, key=key)`.

    Returns:
        A state with the structure and devices of `like`, bit for bit as it was saved.

    Raises:
        DataError: if the file is damaged, is not a training state, or belongs to other networks.
    """
    content = read_bytes(path)
    try:
        length = int.from_bytes(content[:8], "little")
        metadata = parse_json(content[8 : 8 + min(length, HEADER_BYTES)])["__metadata__"]
        stored = load_safetensors(content)
        if metadata["format"] != FORMAT or metadata["sha256"] != _checksum(stored):
            raise ValueError("its checksum does not match")
        types = parse_json(metadata["types"])
        arrays = {name: array.view(jnp.dtype(types[name])) for name, array in stored.items()}
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is damaged, or not a training state written by drol.save_state ({error})") from None
    named = _named(like)
    found = {name: (array.shape, array.dtype) for name, array in arrays.items()}
    expected = {name: (leaf.shape, leaf.dtype) for name, leaf in named.items()}
    if found != expected:
        other = next(name for name in (*expected, *found) if found.get(name) != expected.get(name))
        raise DataError(
            f"{path} holds the state of other networks: {other!r} is {found.get(other, 'missing')} there, but "
            f"{expected.get(other, 'missing')} in `like`; pass a state of the same algorithm, networks and data"
        )
    leaves = [jax.device_put(arrays[name], leaf.sharding) for name, leaf in named.items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _named(state: TrainState) -> dict[str, jax.Array]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): jnp.asarray(leaf) for path, leaf in leaves}


def _as_stored(array: np.ndarray) -> np.ndarray:
    """The array in one of NumPy's own types: bfloat16 and the like as their bits."""
    return array if array.dtype.kind in "fiub" else array.view(f"u{array.dtype.itemsize}")


def _checksum(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].shape} {arrays[name].dtype}\n".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()
