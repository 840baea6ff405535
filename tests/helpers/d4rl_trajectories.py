"""What D4RL's environments do under random actions."""

import hashlib

import numpy as np

from drol.seeding import reset_seeded
from drol.sources import environment

FOUR = ("antmaze-medium-play-v2", "pen-human-v1", "maze2d-umaze-v1", "hopper-medium-v2")
"""One task of each family."""


def make(name):
    return environment(name).make()


def trajectory(name, seed, steps=60):
    """A digest of everything random actions lead to, from reset on."""
    env = make(name)
    digest = hashlib.sha256()
    # First another episode, which must leave no trace.
    env.reset(seed=12345)
    env.step(env.action_space.sample())
    observation, _ = reset_seeded(env, seed)
    for _ in range(steps):
        action = env.action_space.sample()
        digest.update(observation.tobytes() + action.tobytes())
        observation, reward, terminated, _, _ = env.step(action)
        digest.update(np.float64(reward).tobytes())
        if terminated:
            observation, _ = env.reset()
    return digest.hexdigest()
