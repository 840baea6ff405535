"""Policy files: `policy.json` (kind, configuration, checksum) and the arrays in safetensors."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.tree_util import KeyPath
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as to_safetensors

from drol.errors import DataError
from drol.files import parse_json, read_bytes, read_json, write_atomic, write_json
from drol.policy.choice import PolicyKind
from drol.policy.contract import Policy
from drol.policy.description import POLICIES, class_name, describe, empty
from drol.policy.loaded import LoadedPolicy
from drol.policy.units import PolicyInUnits

FORMAT = "drol-policy"
DESCRIPTION = "policy.json"
VERSION = 1

ARRAYS = re.compile(r"arrays-[0-9a-f]{64}\.safetensors")

HEADER_BYTES = 1 << 20
"""Allowance for the names and shapes of arrays; a policy's take a few kilobytes."""


def save_policy(policy: Policy | LoadedPolicy, path: str | Path, facts: Mapping[str, Any] | None = None) -> None:
    """Write a policy as a folder, replacing any policy already there.

    The arrays are written first, under a new name; then `policy.json`, which names them, is replaced in one step. So a
    reader finds either the old policy or the new one, even after a crash.

    Args:
        policy: what to store; a loaded policy keeps its facts unless others are given.
        path: the folder; made if needed.
        facts: JSON values to keep with it, for instance `{"task": ...}`.

    Raises:
        ValueError: if `policy` is not one of this library's policies, or `facts` are not JSON values.
        DataError: if the folder holds anything but a policy.
        OSError: if writing fails, with a clear message; an older policy at `path` is kept.
    """
    if isinstance(policy, LoadedPolicy):
        policy, facts = policy.policy, policy.facts if facts is None else facts
    _check_policy(policy, path)
    path, facts = Path(path), _as_json(facts or {})
    if path.exists() and not (path.is_dir() and all(_is_ours(entry.name) for entry in path.iterdir())):
        raise DataError(f"{path} exists and contains something other than a policy; choose another folder")
    leaves, _ = jax.tree_util.tree_flatten_with_path(policy)
    content = to_safetensors({_name(key): np.ascontiguousarray(leaf) for key, leaf in leaves})
    description = {
        "format": FORMAT,
        "version": VERSION,
        "kind": class_name(policy),
        "config": describe(policy),
        "facts": facts,
        "arrays": f"arrays-{hashlib.sha256(content).hexdigest()}.safetensors",
    }
    write_atomic(path / description["arrays"], lambda file: file.write(content))
    write_json(path / DESCRIPTION, description | {"checksum": _checksum(description)})
    for entry in path.iterdir():
        if entry.name not in (description["arrays"], DESCRIPTION):
            entry.unlink(missing_ok=True)


def _check_policy(policy: Policy, path: str | Path) -> None:
    """Raise a ValueError if the policy cannot be stored, or the path is not one."""
    if not isinstance(policy, Policy):
        swapped = isinstance(path, Policy | LoadedPolicy)
        hint = "the two are swapped" if swapped else "get it with algorithm.policy(state)"
        raise ValueError(f"save_policy(policy, path) expects a policy first, found {type(policy).__name__}; {hint}")
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"save_policy(policy, path) expects the name of a folder, found {type(path).__name__}")
    inner = policy.policy if isinstance(policy, PolicyInUnits) else policy
    for part in (policy, inner):
        if type(part) not in POLICIES.values():
            known = ", ".join(cls.__name__ for cls in POLICIES.values())
            raise ValueError(f"only drol's own policies can be stored ({known}), found {type(part).__name__}")
    for key, leaf in jax.tree_util.tree_flatten_with_path(policy)[0]:
        if not isinstance(leaf, jax.Array | np.ndarray) or isinstance(leaf, Tracer):
            raise ValueError(f"a policy to store must hold arrays, but {_name(key)!r} is a {type(leaf).__name__}")


def _as_json(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts as they will be read back.

    Raises:
        ValueError: if they are not JSON values.
    """
    if not isinstance(facts, Mapping):
        raise ValueError(f"facts must be JSON values by name, found {type(facts).__name__}")
    for name, value in facts.items():
        try:
            parse_json(json.dumps({"facts": {name: value}}, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"facts must be JSON values by name, but {name!r} is not ({error})") from None
    return parse_json(json.dumps(dict(facts), allow_nan=False))


def _is_ours(name: str) -> bool:
    return name == DESCRIPTION or name.startswith(("arrays-", ".arrays-", f".{DESCRIPTION}"))


def _checksum(description: Mapping[str, Any]) -> str:
    """The SHA-256 of a description without its checksum; the arrays' own checksum is part of their file name."""
    kept = {name: value for name, value in description.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def load_policy(
    path: str | Path, *, kind: PolicyKind | None = None, seed: int = 0, replan: int | None = None
) -> LoadedPolicy:
    """Load a policy written by `save_policy` or by `drol train` (its `policy/` folder, or the run's own folder).

    Needs no training data and no algorithm.

    Args:
        path: the folder.
        kind: `one`, `centre`, `best-of-n` or `dense`; as stored by default.
        seed: of the latents drawn when no key is given.
        replan: how many actions of a plan to execute before the next one is made; as stored by default.

    Raises:
        DataError: if the folder is not a policy of this library, is of a newer version, or is damaged.
        ValueError: for an unknown kind, or a plan that has no `replan` actions.
    """
    path = _policy_folder(Path(path))
    try:
        description = _description(path)
        policy = _read(description, path / description["arrays"])
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None
    if kind is not None:
        policy = policy.with_kind(kind)
    if replan is not None:
        policy = policy.in_chunks(policy.spec.chunk, replan)
    return LoadedPolicy(policy, description["facts"], seed=seed)


def _policy_folder(path: Path) -> Path:
    """The folder of a policy, given that folder, its description or the folder of its run."""
    if path.name == DESCRIPTION:
        path = path.parent
    if not (path / DESCRIPTION).exists() and (path / "policy" / DESCRIPTION).exists():
        path = path / "policy"
    if (path / DESCRIPTION).exists():
        return path
    if not path.exists():
        raise DataError(f"{path} is not a policy folder: it does not exist; name a run or its policy/ folder")
    if (path / "config.json").exists():
        raise DataError(
            f"{path} is not a policy folder yet (no {DESCRIPTION}): its run has not saved one. It does so at its "
            f"first evaluation, or when it is resumed with --resume"
        )
    raise DataError(f"{path} is not a policy folder (no {DESCRIPTION}); name a run or its policy/ folder")


def _description(path: Path) -> dict[str, Any]:
    """The description of the policy in a folder.

    Raises:
        DataError: if it does not describe a policy of this library, or was damaged or edited.
        OSError: if it cannot be read.
    """
    description = read_json(path / DESCRIPTION)
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise DataError(f"{path} is not a policy written by drol (its {DESCRIPTION} does not say {FORMAT!r})")
    version, kind = description.get("version"), description.get("kind")
    if type(version) is not int or version != VERSION or not isinstance(kind, str) or kind not in POLICIES:
        raise DataError(
            f"{path} holds a policy of kind {kind!r:.100}, version {version!r:.100}; this drol reads "
            f"{', '.join(POLICIES)}, version {VERSION}: load it with the version of drol that wrote it"
        )
    if description.get("checksum") != _checksum(description):
        raise DataError(f"{path / DESCRIPTION} is damaged or was edited: its checksum does not match; copy it again")
    for name, kinds in (("config", dict), ("facts", dict), ("arrays", str)):
        if not isinstance(description.get(name), kinds):
            raise DataError(f"{path / DESCRIPTION} is damaged: {name!r} should be {kinds.__name__}; copy it again")
    if ARRAYS.fullmatch(description["arrays"]) is None:
        raise DataError(
            f"{path / DESCRIPTION} is damaged: 'arrays' should be the name of a file next to it, found "
            f"{description['arrays']!r:.100}; copy it again"
        )
    return description


def _read(description: Mapping[str, Any], file: Path) -> Policy:
    """The policy that a description and the file of its arrays make up.

    Raises:
        DataError: if they do not match.
        OSError: if the file cannot be read.
    """
    try:
        shapes = empty(description["kind"], description["config"])
        largest = HEADER_BYTES + sum(8 * leaf.size for leaf in jax.tree.leaves(shapes))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{file.parent} is damaged: its description does not match its arrays ({error})") from None
    if not file.exists():
        raise DataError(f"{file.parent} lacks {file.name}; copy the whole folder")
    content = read_bytes(file, largest)
    if hashlib.sha256(content).hexdigest() not in file.name:
        raise DataError(f"{file} is damaged: its bytes do not match the checksum in its name; copy it again")
    try:
        arrays = load_safetensors(content)
        policy = jax.tree.map_with_path(lambda key, leaf: _fitting(arrays, key, leaf), shapes)
        if isinstance(policy, PolicyInUnits):
            policy.units.check()
        return policy
    except (KeyError, TypeError, ValueError, AttributeError, SafetensorError) as error:
        raise DataError(f"{file.parent} is damaged: its description does not match its arrays ({error})") from None


def _name(path: KeyPath) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _fitting(arrays: Mapping[str, np.ndarray], path: KeyPath, like: jax.ShapeDtypeStruct) -> jax.Array:
    array = arrays[_name(path)]
    # The file's dtype is kept: that of `like` depends on this process's default precision.
    if array.shape != like.shape or not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(f"{_name(path)} has shape {array.shape} and type {array.dtype}, not {like.shape} and floats")
    if not np.isfinite(array).all():
        raise ValueError(f"{_name(path)} holds NaN or infinity")
    return jnp.asarray(array)
