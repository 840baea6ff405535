"""A trained policy as files, and back: `policy.json` (kind, configuration, checksum) and its arrays in safetensors."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as to_safetensors

from drol.files import DataError, read_json, write_atomic, write_json
from drol.numerics import key_of_seed, threefry
from drol.policy import POLICIES, Policy, PolicyKind, kind_of

FORMAT = "drol-policy"
DESCRIPTION = "policy.json"
VERSION = 1

AHEAD = 64
"""Calls on a single observation whose draws are made at once."""


def save_policy(policy: Policy, path: str | Path, facts: Mapping[str, Any] | None = None) -> None:
    """Write a policy as a folder, replacing a policy that is there.

    The arrays come first, under a name of their own; then `policy.json`, which names them, is replaced in one step. So
    a reader, or a crash, finds the old policy or the new one.

    Args:
        policy: what to store.
        path: the folder; made if needed.
        facts: JSON values to keep with it, for instance `{"task": ...}`.

    Raises:
        DataError: if the folder holds other things than a policy.
        OSError: with a clear message; an older policy at `path` stays.
    """
    path = Path(path)
    if path.exists() and not (path.is_dir() and all(_is_ours(entry.name) for entry in path.iterdir())):
        raise DataError(f"{path} exists and holds other things than a policy; choose another folder")
    leaves, _ = jax.tree_util.tree_flatten_with_path(policy)
    content = to_safetensors({_name(key): np.ascontiguousarray(leaf) for key, leaf in leaves})
    description = {
        "format": FORMAT,
        "version": VERSION,
        "kind": kind_of(policy),
        "config": policy.config(),
        "facts": dict(facts or {}),
        "arrays": f"arrays-{hashlib.sha256(content).hexdigest()}.safetensors",
    }
    write_atomic(path / description["arrays"], lambda file: file.write(content))
    write_json(path / DESCRIPTION, description | {"checksum": _checksum(description)})
    for entry in path.iterdir():
        if entry.name not in (description["arrays"], DESCRIPTION):
            entry.unlink(missing_ok=True)


def _is_ours(name: str) -> bool:
    return name == DESCRIPTION or name.startswith(("arrays-", ".arrays-", f".{DESCRIPTION}"))


def _checksum(description: Mapping[str, Any]) -> str:
    """The SHA-256 of a description without its checksum; the arrays' own is part of their file name."""
    kept = {name: value for name, value in description.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


class LoadedPolicy:
    """A policy that acts on NumPy observations, ready to deploy; see `load_policy`.

    A call is one compiled pass with the weights as its constants. The draws are compiled apart, and those of single
    observations are made `AHEAD` calls at a time: threads that hand each other such small work cost more than the work.

    Attributes:
        policy: the pure function inside, for use under `jax.jit` and `jax.vmap`.
        facts: what was stored with it.
    """

    def __init__(self, policy: Policy, facts: Mapping[str, Any], *, seed: int = 0):
        self.policy = policy
        self.facts = dict(facts)
        self._width = policy.spec.observation_dim
        self._calls = 0
        self._drawn: tuple[int, Any] = (-1, None)
        root = key_of_seed(seed)

        def of_key(key: jax.Array, rows: jax.Array) -> Any:
            return jax.vmap(lambda row: policy.noise(key=jax.random.fold_in(key, row)))(rows)

        def of_call(call: jax.Array, rows: jax.Array) -> Any:
            return of_key(jax.random.fold_in(root, call), rows)

        self._noise_of_key = jax.jit(of_key)
        self._noise_of_call = jax.jit(of_call)
        self._noise_of_calls = jax.jit(jax.vmap(of_call, in_axes=(0, None)))
        self._act = jax.jit(jax.vmap(policy.act))

    def __call__(self, observation: Any, *, key: jax.Array | None = None) -> np.ndarray:
        """Act on one observation (observation,) or on a batch (n, observation).

        Batches are padded to the next power of two, so that varying sizes compile a handful of programs.

        Args:
            observation: numbers in the units of the training data.
            key: a JAX random key; without one, call number i uses `fold_in(key(seed), i)`.

        Returns:
            float32 actions in the units of the training data ([-1, 1] unless they had bounds of their own), (action,)
            or (n, action), an array of the caller's own.

        Raises:
            ValueError: if the shape does not fit the task.
        """
        observations = np.asarray(observation, np.float32)
        if observations.ndim not in (1, 2) or observations.shape[-1] != self._width:
            raise ValueError(
                f"expected observations of shape ({self._width},) or (n, {self._width}), found {observations.shape}"
            )
        count = 1 if observations.ndim == 1 else len(observations)
        # A copy, because JAX may read the buffer after the call returns, when it is the caller's again.
        padded = np.zeros((1 << max(count - 1, 0).bit_length(), self._width), np.float32)
        padded[:count] = observations
        rows = np.arange(len(padded), dtype=np.int32)
        noise = self._next_noise(rows) if key is None else self._noise_of_key(threefry(key), rows)
        actions = np.array(self._act(padded, noise))
        return actions[:count] if observations.ndim == 2 else actions[0]

    def _next_noise(self, rows: np.ndarray) -> Any:
        """The draws of the call that this is."""
        call = self._calls
        self._calls += 1
        if len(rows) > 1:
            return self._noise_of_call(np.uint32(call), rows)
        block, place = divmod(call, AHEAD)
        if self._drawn[0] != block:
            calls = np.arange(block * AHEAD, (block + 1) * AHEAD, dtype=np.uint32)
            self._drawn = (block, jax.tree.map(np.asarray, self._noise_of_calls(calls, rows)))
        return jax.tree.map(lambda draws: draws[place], self._drawn[1])


def load_policy(path: str | Path, *, kind: PolicyKind | None = None, seed: int = 0) -> LoadedPolicy:
    """Load a policy written by `save_policy` or by `drol train` (its `policy/` folder, or the run's own folder).

    Needs no training data and no algorithm.

    Args:
        path: the folder.
        kind: `one`, `centre`, `best-of-n` or `dense`; as stored by default.
        seed: of the latents drawn when no key is given.

    Raises:
        DataError: if the folder is no policy of this library, of a newer version, or damaged.
        ValueError: for an unknown kind.
    """
    path = Path(path)
    if path.name == DESCRIPTION:
        path = path.parent
    if not (path / DESCRIPTION).exists() and (path / "policy" / DESCRIPTION).exists():
        path = path / "policy"
    if not (path / DESCRIPTION).is_file():
        raise DataError(
            f"{path} is no policy folder (no {DESCRIPTION}); name a run or its policy/ folder. A run that was killed "
            f"writes it when it is continued with --resume"
        )
    description = read_json(path / DESCRIPTION)
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise DataError(f"{path} is not a policy written by drol (its {DESCRIPTION} says no {FORMAT!r})")
    if description.get("version") != VERSION or description.get("kind") not in POLICIES:
        raise DataError(
            f"{path} holds a policy of kind {description.get('kind')!r}, version {description.get('version')!r}; this "
            f"drol reads {', '.join(POLICIES)}, version {VERSION}: load it with the drol that wrote it"
        )
    if description.get("checksum") != _checksum(description):
        raise DataError(f"{path / DESCRIPTION} is damaged or was edited: its checksum does not fit; copy it anew")
    file = path / description["arrays"]
    if not file.is_file():
        raise DataError(f"{path} lacks {file.name}; copy the whole folder")
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() not in file.name:
        raise DataError(f"{file} is damaged: its bytes do not fit the checksum in its name; copy it anew")
    try:
        arrays = load_safetensors(content)
        empty = POLICIES[description["kind"]].empty(description["config"])
        policy = jax.tree.map_with_path(lambda key, leaf: _fitting(arrays, key, leaf), empty)
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise DataError(f"{path} is damaged: its description does not fit its arrays ({error})") from None
    facts = description["facts"]
    if kind is not None:
        policy = policy.with_kind(kind)
    return LoadedPolicy(policy, facts, seed=seed)


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _fitting(arrays: Mapping[str, np.ndarray], path: Any, like: jax.ShapeDtypeStruct) -> jax.Array:
    array = arrays[_name(path)]
    # The type is the file's: what `like` has depends on this process's default precision.
    if array.shape != like.shape or not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(f"{_name(path)} has shape {array.shape} and type {array.dtype}, not {like.shape} and floats")
    return jnp.asarray(array)
