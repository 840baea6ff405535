"""Trained ants: the actors that collect OGBench's locomotion data, as small files. Act in NumPy; do not import JAX.

OGBench's own experts are not downloaded. Ours are trained by `drol expert` with OGBench's recipe
(seohongpark/ogbench: data_gen_scripts), and their bytes are part of what a collected data set is: contacts amplify any
other rounding.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drol.data.readers.npz import read_npz
from drol.errors import DataError
from drol.files import read_json, sha256, write_atomic, write_json

SHIPPED = Path(__file__).parent / "actors"
"""The actors that come with the package."""

INPUTS = {"ant": 29, "antball": 42}
"""What each observes; see `drol.sources.ogbench.locomotion`."""

WEIGHT, BIAS = "weight{}", "bias{}"


@dataclasses.dataclass(frozen=True)
class Actor:
    """The mean of a squashed Gaussian policy: linear layers with tanh-gelu between them, and tanh at the end.

    Attributes:
        layers: weights (in, out) and biases, float32.
        sha256: of the file.
        record: how it was trained, and how far it walks or how often it scores.
    """

    layers: Sequence[tuple[np.ndarray, np.ndarray]]
    sha256: str
    record: Mapping[str, Any]

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """The action for one observation, in [-1, 1]."""
        x = np.asarray(observation, np.float32)
        for number, (weight, bias) in enumerate(self.layers):
            if number:
                x = np.float32(0.5) * x * (1 + np.tanh(np.float32(0.7978846) * (x + np.float32(0.044715) * x**3)))
            x = x @ weight + bias
        return np.tanh(x)


def save_actor(path: Path, layers: Sequence[tuple[np.ndarray, np.ndarray]], record: Mapping[str, Any]) -> None:
    """Write an actor's layers as float16, and its record with their checksum next to them.

    Args:
        path: ends in `.npz`; the record ends in `.json`.
        layers: weights (in, out) and biases.
        record: JSON values.
    """
    arrays: dict[str, Any] = {}
    for number, (weight, bias) in enumerate(layers):
        arrays |= {WEIGHT.format(number): weight.astype(np.float16), BIAS.format(number): bias.astype(np.float16)}
    write_atomic(path, lambda file: np.savez(file, **arrays))
    write_json(path.with_suffix(".json"), {**record, "sha256": sha256(path)})


def load_actor(name: str, folder: Path | None = None) -> Actor:
    """Read the actor `ant` or `antball`.

    Args:
        name: which.
        folder: where it is, if it holds any; by default, and for what it lacks, among those that come with the package.

    Raises:
        DataError: if it is not there, or damaged.
    """
    path = (folder or SHIPPED) / f"{name}.npz"
    if folder is not None and not path.is_file() and any((folder / f"{other}.npz").is_file() for other in INPUTS):
        path = SHIPPED / path.name
    if not path.is_file():
        raise DataError(
            f"there is no expert {path.name} in {path.parent}; train one with `drol expert {name} --out DIR`, which "
            f"takes an hour or more, and collect with `drol collect ... --experts DIR`"
        )
    record = read_json(path.with_suffix(".json"))
    found = sha256(path)
    if not isinstance(record, dict) or record.get("sha256") != found:
        raise DataError(f"{path} is damaged, or not the actor that {path.stem}.json describes; copy both again")
    arrays = read_npz(path)
    count = sum(key.startswith("weight") for key in arrays)
    try:
        layers = [
            (arrays[WEIGHT.format(n)].astype(np.float32), arrays[BIAS.format(n)].astype(np.float32))
            for n in range(count)
        ]
    except KeyError as error:
        raise DataError(f"{path} is not an actor: {error} is missing") from None
    if not layers or layers[0][0].shape[0] != INPUTS[name]:
        raise DataError(f"{path} is not the actor of {name}, which observes {INPUTS[name]} numbers")
    return Actor(layers, found, record)
