"""Sound logs of many kinds, and faults to plant in them: what the doctor finds, as a table.

`python -m tests.doctor.bench` prints it (a few minutes).
"""

import collections
import functools
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import gymnasium as gym
import numpy as np

from drol.data.readers.named_arrays import log_of_columns
from drol.doctor import examine
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


# Sound logs


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


# Faults


def _taken(log: Columns, at) -> Columns:
    return {name: column[at] if name in ROWS else column for name, column in log.items()}


def _ends(log: Columns) -> np.ndarray:
    return log["terminated"] | log["truncated"]


def _draws() -> np.random.Generator:
    return np.random.default_rng(77)


def _starts(log: Columns) -> np.ndarray:
    return np.append(0, np.flatnonzero(_ends(log))[:-1] + 1)


def shuffled(log: Columns) -> Columns:
    return _taken(log, _draws().permutation(len(log["actions"])))


def shuffled_between_flags(log: Columns) -> Columns:
    """All rows in disorder, with flags where they were."""
    return shuffled(log) | {name: log[name] for name in ("terminated", "truncated")}


def pieces(length: int):
    def plant(log: Columns) -> Columns:
        order = _draws().permutation(len(log["actions"]) // length)
        return _taken(log, (order[:, None] * length + np.arange(length)).ravel())

    return plant


def reversed_rows(log: Columns) -> Columns:
    return _taken(log, slice(None, None, -1))


def reversed_episodes(log: Columns) -> Columns:
    parts = np.split(np.arange(len(log["actions"])), _starts(log)[1:])
    moved = _taken(log, np.concatenate([part[::-1] for part in parts]))
    return moved | {name: log[name] for name in ("terminated", "truncated")}


def alternating(log: Columns) -> Columns:
    """Two recordings, row by row in turn."""
    half = len(log["actions"]) // 2
    return _taken(log, np.stack([np.arange(half), np.arange(half) + half], axis=1).ravel())


def no_flags(log: Columns) -> Columns:
    none = np.zeros(len(log["actions"]), bool)
    return log | {"terminated": none, "truncated": none}


def flags_moved(by: int):
    def plant(log: Columns) -> Columns:
        moved = {name: np.roll(log[name], by) for name in ("terminated", "truncated")}
        for column in moved.values():
            column[slice(0, by) if by > 0 else slice(by, None)] = False
        return log | moved

    return plant


def flags_lost(share: float):
    def plant(log: Columns) -> Columns:
        at = np.flatnonzero(_ends(log))
        lost = at[_draws().random(len(at)) < share]
        flags = {name: log[name].copy() for name in ("terminated", "truncated")}
        for column in flags.values():
            column[lost] = False
        return log | flags

    return plant


def repeated(log: Columns, counts: np.ndarray) -> Columns:
    """Each row so many times, flags on the last."""
    at = np.repeat(np.arange(len(counts)), counts)
    result, last = _taken(log, at), np.append(at[1:] != at[:-1], True)
    return result | {name: result[name] & last for name in ("terminated", "truncated")}


def every_row(times: int):
    return lambda log: repeated(log, np.full(len(log["actions"]), times))


def some_rows_twice(log: Columns) -> Columns:
    return repeated(log, 1 + (_draws().random(len(log["actions"])) < 0.2))


def frames(length: int):
    """Observations refreshed only at every so many rows."""

    def plant(log: Columns) -> Columns:
        number, starts = np.arange(len(log["actions"])), _starts(log)
        start = starts[np.searchsorted(starts, number, "right") - 1]
        return log | {"observations": log["observations"][start + (number - start) // length * length]}

    return plant


def rolled(name: str, by: int):
    return lambda log: log | {name: np.roll(log[name], by, axis=0)}


def padded(log: Columns) -> Columns:
    """Episodes filled up with zeros to the same length."""
    last, starts = np.flatnonzero(_ends(log)), _starts(log)
    length = int((last - starts + 1).max() * 1.2) + 3
    parts = collections.defaultdict(list)
    for first, end in zip(starts, last, strict=True):
        for name in (name for name in ROWS if name in log):
            column = log[name][first : end + 1]
            filling = np.zeros((length - len(column), *column.shape[1:]), column.dtype)
            parts[name].append(np.concatenate([column, filling]))
    result = log | {name: np.concatenate(columns) for name, columns in parts.items()}
    flags = np.arange(len(result["actions"])) % length == length - 1
    return result | {"terminated": np.zeros_like(flags), "truncated": flags}


def masks(log: Columns) -> Columns:
    """1 where the episode continues."""
    return log | {"terminated": ~_ends(log), "truncated": np.zeros(len(log["actions"]), bool)}


FAULTS: dict[str, Callable[[Columns], Columns]] = {
    "rows shuffled": shuffled,
    "rows shuffled between flags": shuffled_between_flags,
    "pieces of 2 shuffled": pieces(2),
    "pieces of 5 shuffled": pieces(5),
    "pieces of 20 shuffled": pieces(20),
    "rows reversed": reversed_rows,
    "episodes reversed": reversed_episodes,
    "two recordings alternate": alternating,
    "no flags": no_flags,
    "flags a row late": flags_moved(1),
    "flags a row early": flags_moved(-1),
    "flags two rows late": flags_moved(2),
    "half of the flags lost": flags_lost(0.5),
    "every row twice": every_row(2),
    "every row three times": every_row(3),
    "a fifth of the rows twice": some_rows_twice,
    "every other frame missing": frames(2),
    "actions a row late": rolled("actions", 1),
    "actions a row early": rolled("actions", -1),
    "rewards a row late": rolled("rewards", 1),
    "rewards a row early": rolled("rewards", -1),
    "rewards three rows late": rolled("rewards", 3),
    "episodes padded": padded,
    "masks for flags": masks,
}


def alarms(columns: Columns, *, own_successors: bool = False) -> list[str]:
    """The names of errors and warnings."""
    chosen = {name: column for name, column in columns.items() if own_successors or name != "next_observations"}
    chosen["truncated"] = chosen["truncated"].copy()
    chosen["truncated"][-1] |= not chosen["terminated"][-1]
    report = examine(log_of_columns(chosen, "log"))
    return [finding.name for finding in report.findings if finding.severity != "note"]


def main() -> int:
    """Print the findings on every sound log, then those on planted faults."""
    print("False alarms on sound logs, without and with next observations of their own:")
    names = list(all_sound())
    for name in names:
        found = {own: alarms(sound(name), own_successors=own) for own in (False, True)}
        print(f"  {name:34} {'; '.join(map(', '.join, found.values())) if any(found.values()) else 'none'}")
    print("\nPlanted faults: found in so many logs; the others.")
    logs = [name for name in names if "random" not in name and "switching" not in name]
    for fault, plant in FAULTS.items():
        missed = [name for name in logs if not alarms(plant(sound(name)))]
        print(f"  {fault:30} {len(logs) - len(missed):2} of {len(logs)}   {', '.join(missed)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
