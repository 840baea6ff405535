"""The toy environment with one action."""

import gymnasium
import numpy as np

from tests.helpers.toy_environment import Toy


class Narrow(Toy):
    """The action moves all three coordinates."""

    @property
    def action_space(self):
        return gymnasium.spaces.Box(-1, 1, (1,))

    def reset(self, *, seed=None, options=None):
        gymnasium.Env.reset(self, seed=seed)
        self._state = self.np_random.normal(size=4)
        return self._state.astype(np.float32), {}

    def step(self, action):
        return super().step(np.repeat(action, 3))


gymnasium.register("DrolNarrow-v0", Narrow, max_episode_steps=30)
