"""A small environment: walk to the origin, with noise from every generator there is."""

import os
import time

import gymnasium
import numpy as np


class Toy(gymnasium.Env):
    """State in R^4, actions in [-1, 1]^3. Success: the first coordinate comes near 0 within 30 steps."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,))

    def __init__(self, fault: str | None = None, while_there: str | None = None):
        self._chosen, self._while_there = fault, while_there

    @property
    def _fault(self):
        """The fault to show; with `while_there`, only as long as that file exists."""
        return self._chosen if self._while_there is None or os.path.exists(self._while_there) else None

    @property
    def action_space(self):
        """A new, unseeded space at every access, as OGBench's manipulation environments have it."""
        return gymnasium.spaces.Box(-1, 1, (3,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._state = self.np_random.normal(size=4) + np.append(self.action_space.sample(), np.random.normal())
        return self._state.astype(np.float32), {}

    def step(self, action):
        if self._fault == "raise":
            raise RuntimeError("the simulator broke")
        if self._fault == "hang":
            time.sleep(60)
        if self._fault == "die":
            raise SystemExit(3)
        self._state[:3] += 0.3 * action + 0.01 * np.random.normal(size=3)
        success = abs(self._state[0]) < 0.1
        return self._state.astype(np.float32), -1.0, bool(success), False, {"success": float(success)}


class ScaledToy(Toy):
    """The same with actions in other units: from -3 to 1."""

    @property
    def action_space(self):
        return gymnasium.spaces.Box(-3, 1, (3,))

    def step(self, action):
        assert action.min() >= -3, action
        assert action.max() <= 1, action
        return super().step((action + 1) / 2)


class ScoredToy(Toy):
    """The same with reference returns: -40 counts as 0, and -10 as 100."""

    reference_scores = (-40.0, -10.0)


gymnasium.register("DrolToyScored-v0", ScoredToy, max_episode_steps=30)
gymnasium.register("DrolToyScaled-v0", ScaledToy, max_episode_steps=30)
gymnasium.register("DrolToy-v0", Toy, max_episode_steps=30)


class PicturedToy(Toy):
    """The same with pictures: grey, lighter with every step, twice as wide as high."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012  (gymnasium declares it so)

    def __init__(self, render_mode: str | None = None, fault: str | None = None):
        super().__init__(fault)
        self.render_mode, self._steps = render_mode, 0

    def reset(self, *, seed=None, options=None):
        self._steps = 0
        return super().reset(seed=seed, options=options)

    def step(self, action):
        self._steps += 1
        return super().step(action)

    def render(self):
        np.random.normal()  # what rendering draws must not reach the episode
        return np.full((20, 40, 3), 5 * self._steps, np.uint8)


class FlatToy(Toy):
    """The same with pictures that are none."""

    def __init__(self, render_mode: str | None = None):
        super().__init__()

    def render(self):
        return np.zeros((20, 40))


gymnasium.register("DrolToyPictured-v0", PicturedToy, max_episode_steps=30)
gymnasium.register("DrolToyFlat-v0", FlatToy, max_episode_steps=30)
