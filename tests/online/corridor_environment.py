"""An open floor with a goal to the right, and data of walks to the left."""

import gymnasium
import numpy as np

LIMIT = 20
GOAL = 0.8


class Corridor(gymnasium.Env):
    """A place in R^2, moved by a fifth of an action in [-1, 1]^2. An episode ends with success beyond x = GOAL."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))
    action_space = gymnasium.spaces.Box(-1, 1, (2,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._place = self.np_random.uniform(-0.1, 0.1, size=2)
        return self._place.astype(np.float32), {}

    def step(self, action):
        self._place = self._place + 0.2 * np.asarray(action, np.float64)
        there = bool(self._place[0] > GOAL)
        return self._place.astype(np.float32), -1.0, there, False, {"success": float(there)}


def write_walks(path, episodes=40):
    """Walks that never come near the goal, though some steps lead to the right."""
    rng = np.random.default_rng(0)
    columns = {name: [] for name in ("observations", "actions", "rewards", "terminated", "truncated")}
    for _ in range(episodes):
        place = rng.uniform(-0.1, 0.1, size=2)
        for step in range(LIMIT):
            action = np.clip(rng.normal((-0.3, 0.0), 0.5), -1, 1)
            if place[0] + 0.2 * action[0] > GOAL / 2:
                action[0] = -abs(action[0])
            row = (place, action, -1.0, False, step == LIMIT - 1)
            for name, value in zip(columns, row, strict=True):
                columns[name].append(value)
            place = place + 0.2 * action
    np.savez(path, **{name: np.array(column) for name, column in columns.items()})


gymnasium.register("DrolCorridor-v0", Corridor, max_episode_steps=LIMIT)
