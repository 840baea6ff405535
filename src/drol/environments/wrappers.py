"""Environments whose observations and actions are rows of numbers, whatever their boxes' shapes."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from drol.environments.interface import Answer, InterfaceError, name_of, row, width


class FlatObservations(gymnasium.ObservationWrapper):
    """An environment whose observations are laid in a row: boxes in C order, dictionaries by their keys' order."""

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        self.observation_space = Box(-np.inf, np.inf, (width(env.observation_space),), np.float64)

    def observation(self, observation: Answer) -> np.ndarray:
        """The same, in a row."""
        try:
            return row(self.env.observation_space, observation)
        except InterfaceError as error:
            raise InterfaceError(f"{name_of(self)}: {error}") from None


class ShapedActions(gymnasium.ActionWrapper):
    """An environment that is given rows of float32, and hands them on in its own box's shape and data type.

    Boxes of integers are given the nearest ones.
    """

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        box = env.action_space
        assert isinstance(box, Box)
        self.action_space = gymnasium.spaces.flatten_space(box)
        self._shape, self._dtype = box.shape, box.dtype
        self._low, self._high = box.low.ravel(), box.high.ravel()

    def action(self, action: np.ndarray) -> np.ndarray:
        """The same, as the environment expects it."""
        values = np.asarray(action)
        if np.issubdtype(self._dtype, np.integer):
            values = np.clip(np.rint(values), self._low, self._high)
        else:
            for bound in (self._low, self._high):
                # What float32 makes of a bound may lie just outside.
                values = np.where(np.float32(values) == np.float32(bound), bound, values)
        return values.astype(self._dtype).reshape(self._shape)


def flat(env: gymnasium.Env) -> gymnasium.Env:
    """The same environment with rows of numbers as observations and, where they are boxes, as actions.

    Raises:
        InterfaceError: if its observations are images, or hold anything but numbers.
    """
    try:
        width(env.observation_space)
    except InterfaceError as error:
        raise InterfaceError(f"{name_of(env)}: {error}") from None
    observations, actions = env.observation_space, env.action_space
    if not isinstance(observations, Box) or len(observations.shape) != 1:
        env = FlatObservations(env)
    if isinstance(actions, Box) and (len(actions.shape) != 1 or actions.dtype != np.float32):
        env = ShapedActions(env)
    return env
