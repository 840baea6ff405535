"""Environments of Minari data sets, and what a data set may name that is none."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, Tuple

LOW, HIGH = np.array([-2.0, 0.0], np.float32), np.array([2.0, 10.0], np.float32)


class Reach(gymnasium.Env):
    """Dictionaries within dictionaries; ends truly after three steps where its seed is even."""

    observation_space = Dict(
        {
            "where": Box(-np.inf, np.inf, (2,), np.float64),
            "goal": Dict({"x": Box(-5, 5, (1,)), "kind": Discrete(3)}),
            "bits": MultiBinary(2),
            "pair": Tuple([Box(0, 1, (1,)), Box(2, 3, (1, 2))]),
        }
    )
    action_space = Box(LOW, HIGH)

    def _observation(self):
        return self.observation_space.sample()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self._left = 3 if seed is not None and seed % 2 == 0 else -1
        return self._observation(), {}

    def step(self, action):
        assert action.shape == self.action_space.shape
        self._left -= 1
        return self._observation(), float(action.sum()), self._left == 0, False, {}


class Matrix(Reach):
    """Matrices of observations and actions."""

    observation_space = Box(-1, 1, (2, 3))
    action_space = Box(-1, 1, (2, 2))


def reach_by_function():
    return Reach()


def not_an_environment(**_):
    raise AssertionError("called, though a data set alone names it")


class NoEnvironment:
    """A class that does what it likes."""

    def __init__(self, **_):
        not_an_environment()


gymnasium.register("DrolReach-v0", "tests.helpers.minari_environments:Reach", max_episode_steps=5)
gymnasium.register("DrolMatrix-v0", "tests.helpers.minari_environments:Matrix", max_episode_steps=5)
