"""Wrappers that flatten observations and actions into vectors, whatever the shape of their spaces."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from drol.environments.interface import Answer, InterfaceError, name_of, row, width


class FlatObservations(gymnasium.ObservationWrapper):
    """Flattens observations into a vector: boxes in C order, dictionaries in the order of their sorted keys."""

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        self.observation_space = Box(-np.inf, np.inf, (width(env.observation_space),), np.float64)

    def observation(self, observation: Answer) -> np.ndarray:
        """The observation as a vector, (observation,)."""
        try:
            return row(self.env.observation_space, observation)
        except InterfaceError as error:
            raise InterfaceError(f"{name_of(self)}: {error}") from None


class ShapedActions(gymnasium.ActionWrapper):
    """Accepts actions as float32 vectors and passes them on with the shape and dtype of the environment's own box.

    For boxes of integers, actions are rounded.
    """

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        box = env.action_space
        assert isinstance(box, Box)
        self.action_space = gymnasium.spaces.flatten_space(box)
        self._shape, self._dtype = box.shape, box.dtype
        self._low, self._high = box.low.ravel(), box.high.ravel()

    def action(self, action: np.ndarray) -> np.ndarray:
        """The action in the shape and dtype that the environment expects."""
        values = np.asarray(action)
        if np.issubdtype(self._dtype, np.integer):
            values = np.clip(np.rint(values), self._low, self._high)
        else:
            for bound in (self._low, self._high):
                # A bound rounded to float32 may lie just outside the box.
                values = np.where(np.float32(values) == np.float32(bound), bound, values)
        return values.astype(self._dtype).reshape(self._shape)


def flat(env: gymnasium.Env) -> gymnasium.Env:
    """The same environment with vectors as observations and, if its action space is a box, as actions.

    Raises:
        InterfaceError: if its observations are images or hold anything but numbers.
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
