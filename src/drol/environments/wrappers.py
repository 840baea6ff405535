"""Environments seen through others."""

from typing import Any

import gymnasium
import numpy as np

from drol.environments.flatten import flatten


class FlatObservations(gymnasium.ObservationWrapper):
    """An environment whose observations `flatten` has laid in a row."""

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        size = len(flatten(env.observation_space.sample()))
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float64)

    def observation(self, observation: Any) -> np.ndarray:
        """The same, in a row."""
        return flatten(observation)
