"""Episodes in OGBench's columns. Does not import JAX."""

from typing import Any

import numpy as np

Episode = dict[str, np.ndarray]


def own_draws(seed: int) -> np.random.Generator:
    """A generator for the collection, independent of the environment's, which gymnasium seeds with `seed` alone."""
    return np.random.default_rng([seed, 1])


class Recorder:
    """Records one episode in OGBench's columns."""

    def __init__(self):
        self._rows: dict[str, list] = {}

    def add(self, observation: np.ndarray, action: np.ndarray, terminal: bool, info: dict[str, Any]) -> None:
        """Add an observation, the action taken there, and the simulator state it belongs to."""
        row = {"observations": observation, "actions": action, "terminals": terminal}
        row |= {"qpos": info["prev_qpos"], "qvel": info["prev_qvel"]}
        if "prev_button_states" in info:
            row["button_states"] = info["prev_button_states"]
        for key, value in row.items():
            self._rows.setdefault(key, []).append(np.array(value))

    def episode(self) -> Episode:
        """The episode as arrays, with the dtypes of OGBench's published files."""
        dtypes = {"terminals": np.bool_, "button_states": np.int64}
        return {key: np.stack(rows).astype(dtypes.get(key, np.float32)) for key, rows in self._rows.items()}
