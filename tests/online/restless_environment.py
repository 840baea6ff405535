"""The toy environment with noise from a generator that no seed reaches."""

import os

import gymnasium
import numpy as np

from tests.helpers.toy_environment import Toy


class Restless(Toy):
    """Every step is a little different from the one before it."""

    def step(self, action):
        observation, *rest = super().step(action)
        return observation + np.float32(os.urandom(1)[0] / 1000), *rest


gymnasium.register("DrolRestless-v0", Restless, max_episode_steps=30)
