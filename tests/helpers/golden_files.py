"""Stored numbers of public implementations: where they are, and their networks in this library's structures."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp

from tests.helpers.samples import sampled

FOLDER = Path(os.environ.get("DROL_GOLDEN_DIR", Path(__file__).parents[1] / "golden"))

SAMPLE = ("drol-k4-mean", "fql-a", "iql-a", "rebrac-a")


def sampled_files(files: list[Path]) -> list:
    """Parameters for pytest: of the files that are here, all but `SAMPLE` are slow; of another folder, none."""
    here = "DROL_GOLDEN_DIR" not in os.environ
    return sampled(files, [path for path in files if path.stem in SAMPLE or not here])


def network(arrays, prefix: str, like):
    """The arrays under `prefix` in the structure of the network `like`; all of them, and no others."""
    mlp = getattr(like, "members", like)
    mlp = getattr(mlp, "mlp", mlp)

    def stored(path, leaf):
        kind, index, name = path[0].name, path[1].idx, path[2].name
        if kind == "layers":
            key = f"dense_{index}/{'kernel' if name == 'weight' else 'bias'}"
        else:
            key = f"layer_norm_{index}/{name}"
        array = jnp.asarray(arrays[f"{prefix}/{key}"])
        assert array.shape == leaf.shape
        return array

    loaded = jax.tree.map_with_path(stored, mlp)
    assert sum(name.startswith(f"{prefix}/") for name in arrays) == len(jax.tree.leaves(mlp))
    return jax.tree.unflatten(jax.tree.structure(like), jax.tree.leaves(loaded))
