"""Sound logs of many kinds, by name."""

import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import numpy as np

from drol.sources.ogbench import reading as ogbench
from drol.sources.ogbench.collection import collect

Columns = dict[str, np.ndarray]

ROWS = ("observations", "actions", "rewards", "terminated", "truncated", "next_observations")
STEPS = 3000

MUJOCO = (
    *("Hopper-v5", "Walker2d-v5", "HalfCheetah-v5", "Swimmer-v5", "Ant-v5", "Humanoid-v5", "Reacher-v5", "Pusher-v5"),
    "InvertedDoublePendulum-v5",
)
CONTROL = ("Pendulum-v1", "MountainCarContinuous-v0", "Acrobot-v1", "CartPole-v1")
RECORDED = ("pointmaze-medium-navigate", "cube-single-play")
WALKS = ("walks 200 x 10", "walks 40 x 50", "walks 20 x 200")
BEHAVIOURS = ("random", "smooth", "switching")


def walks(episodes: int, length: int, seed: int = 0) -> Columns:
    """Slow walks, each from a wide choice of starts; rewards and actions are noise."""
    draws = np.random.default_rng(seed)
    starts = draws.normal(size=(episodes, 1, 4))
    paths = starts + np.cumsum(draws.normal(scale=0.01, size=(episodes, length + 1, 4)), axis=1)
    ends = np.zeros((episodes, length), bool)
    ends[:, -1] = True
    count = episodes * length
    return {
        "observations": paths[:, :-1].reshape(count, 4),
        "next_observations": paths[:, 1:].reshape(count, 4),
        "actions": np.clip(draws.normal(scale=0.3, size=(count, 2)), -1, 1),
        "rewards": draws.normal(size=count),
        "terminated": np.zeros(count, bool),
        "truncated": ends.ravel(),
    }


def driven(name: str, behaviour: str = "smooth", *, seed: int = 0, steps: int = STEPS, limit: int | None = None):
    """Steps of a gymnasium environment under random, smooth or switching actions."""
    env = gym.make(name, **({} if limit is None else {"max_episode_steps": limit}))
    draws, rows, episode = np.random.default_rng(seed), [], 0
    while len(rows) < steps:
        state, _ = env.reset(seed=1000 * seed + episode)
        episode, memory, done = episode + 1, 0.0, False
        while not done and len(rows) < steps:
            stored, action, memory = _action(env.action_space, behaviour, draws, memory, state)
            successor, reward, terminated, truncated, _ = env.step(action)
            rows.append((state, stored, reward, terminated, truncated, successor))
            state, done = successor, terminated or truncated
    env.close()
    names = ("observations", "actions", "rewards", "terminated", "truncated", "next_observations")
    columns = {key: np.array(column) for key, column in zip(names, zip(*rows, strict=True), strict=True)}
    columns["truncated"][-1] |= not columns["terminated"][-1]
    if isinstance(env.action_space, gym.spaces.Box):
        columns |= {"action_low": env.action_space.low, "action_high": env.action_space.high}
    if name in ("Acrobot-v1", "CartPole-v1"):
        # Their own rewards are constant, which is a fault of its own.
        columns["rewards"] = columns["observations"][:, 0].astype(np.float64)
    return columns


def _action(space: gym.Space, behaviour: str, draws: np.random.Generator, memory: np.ndarray | float, state):
    """What is stored, what is done, and what smooth actions remember."""
    if isinstance(space, gym.spaces.Discrete):
        number = int(draws.integers(space.n))
        return np.array([2 * number / (space.n - 1) - 1]), number, memory
    if behaviour == "rolling":
        # Pushes the car the way it rolls, into the wall at the left.
        memory = 0.6 * np.sign(state[1:] + 1e-9) + 0.4 * draws.normal(size=1)
    elif behaviour == "smooth":
        memory = 0.9 * memory + 0.25 * draws.normal(size=space.shape)
    elif behaviour == "switching":
        memory = np.where(draws.random(space.shape) < 0.5, -1.0, 1.0)
    else:
        memory = draws.uniform(-1, 1, space.shape)
    middle, half = (space.high + space.low) / 2, (space.high - space.low) / 2
    action = (np.clip(memory, -1, 1) * half + middle).astype(np.float32)
    return action, action, memory


def recorded(name: str, folder: Path) -> Columns:
    """Episodes of OGBench's experts, with a reward that is a distance."""
    path = folder / f"{name}.npz"
    if not path.exists():
        collect(name, out=path, episodes=12, steps=201, workers=2)
    log = ogbench.read(path)
    states, following = log.observations[log.index], log.observations[log.next_index]
    return {
        "observations": states,
        "next_observations": following,
        "actions": np.asarray(log.actions),
        "rewards": -np.linalg.norm(states[:, :2] - states[50, :2], axis=1),
        "terminated": np.zeros(len(states), bool),
        "truncated": np.asarray(log.ends),
    }


@functools.cache
def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="doctor-bench-"))


@functools.cache
def sound(name: str, seed: int = 0) -> Columns:
    """A sound log by name: `walks 40 x 50`, `Hopper-v5 smooth`, `Pendulum-v1 smooth 20` (cut at 20 steps), ..."""
    if name.startswith("walks"):
        _, episodes, _, length = name.split()
        return walks(int(episodes), int(length), seed)
    if name in RECORDED:
        return recorded(name, folder())
    env, behaviour, *limit = name.split()
    return driven(env, behaviour, seed=seed, limit=int(limit[0]) if limit else None)


def all_sound() -> Iterator[str]:
    """The names of all sound logs."""
    yield from WALKS
    for env in (*CONTROL[:2], *MUJOCO):
        yield from (f"{env} {behaviour}" for behaviour in BEHAVIOURS)
    yield from ("MountainCarContinuous-v0 rolling", "Pendulum-v1 smooth 20", "Pendulum-v1 random 50")
    yield from (f"{env} random" for env in CONTROL[2:])
    yield from RECORDED
