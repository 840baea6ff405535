"""Sound logs of a point robot in a room, for the doctor's tests to plant faults in."""

import dataclasses

import numpy as np

from drol.data.log import Log

LIMIT = 60
GOAL = np.array([0.6, 0.5])
NEAR = 0.25
FIRST_ROW = 1000
"""The source's rows do not start at 0, so that positions and row numbers cannot be mistaken for one another."""


@dataclasses.dataclass
class Recording:
    """Episodes as lists of arrays: states (L + 1, 6), actions (L, 2), and whether each reached the goal."""

    states: list[np.ndarray]
    actions: list[np.ndarray]
    reached: list[bool]


def record(episodes: int = 40, *, seed: int = 0, stop_at_goal: bool = False) -> Recording:
    """Drives through the room: position, velocity, a button (0 or 1) and a box that hardly moves until it is pushed."""
    draws = np.random.default_rng(seed)
    recording = Recording([], [], [])
    for _ in range(episodes):
        position, velocity = draws.uniform(-1, 1, 2), np.zeros(2)
        button, box, target = 0.0, 0.3, draws.uniform(-1, 1, 2)
        states, actions, reached = [np.array([*position, *velocity, button, box])], [], False
        for _ in range(LIMIT):
            if np.linalg.norm(target - position) < 0.1:
                target = draws.uniform(-1, 1, 2)
            direction = (GOAL if stop_at_goal else target) - position
            action = np.clip(2 * direction + draws.normal(0, 0.4, 2), -1, 1)
            velocity = 0.7 * velocity + 0.03 * action
            position = np.clip(position + velocity, -1.1, 1.1)
            button = 1 - button if draws.random() < 0.02 else button
            box += 0.2 * draws.normal() if draws.random() < 0.005 else 1e-5 * draws.normal()
            states.append(np.array([*position, *velocity, button, box]))
            actions.append(action)
            reached = bool(np.linalg.norm(position - GOAL) < NEAR)
            if stop_at_goal and reached:
                break
        recording.states.append(np.array(states))
        recording.actions.append(np.array(actions))
        recording.reached.append(reached and stop_at_goal)
    return recording


def success(states: np.ndarray) -> np.ndarray:
    """Whether the robot is at the goal."""
    return np.linalg.norm(states[:, :2] - GOAL, axis=1) < NEAR


def minari_like(recording: Recording, *, timing: str = "post", dtype: type = np.float64) -> Log:
    """Every state once, final ones included; flags apart. Rewards are 1 at the goal."""
    lengths = np.array([len(actions) for actions in recording.actions])
    steps = np.concatenate([np.arange(length) for length in lengths])
    starts = np.repeat(np.cumsum(lengths + 1) - lengths - 1, lengths)
    index = starts + steps
    observations = np.concatenate(recording.states).astype(dtype)
    ends = steps == np.repeat(lengths, lengths) - 1
    terminated = ends & np.repeat(recording.reached, lengths)
    return Log(
        where="room",
        observations=observations,
        actions=np.concatenate(recording.actions).astype(dtype),
        rewards=success(observations[index + (timing == "post")]).astype(dtype),
        terminated=terminated,
        truncated=ends & ~terminated,
        ends=ends,
        index=index,
        next_index=index + 1,
        rows=index + FIRST_ROW,
    )


def ogbench_like(recording: Recording) -> Log:
    """The same without rewards and flags of true ends, in float32."""
    log = minari_like(recording, dtype=np.float32)
    return dataclasses.replace(log, rewards=None, terminated=np.zeros_like(log.ends), truncated=log.ends.copy())


def d4rl_like(recording: Recording, *, dense: bool = False) -> Log:
    """Transitions in rows with a table of next observations; with `dense`, rewards fall with the distance."""
    log = minari_like(recording, dtype=np.float32)
    count = np.arange(len(log))
    following = log.observations[log.next_index]
    rewards = log.rewards
    if dense:
        rewards = np.exp(-np.linalg.norm(following[:, :2] - GOAL, axis=1)).astype(np.float32)
    return dataclasses.replace(
        log,
        observations=log.observations[log.index],
        next_observations=following,
        rewards=rewards,
        index=count,
        next_index=count,
        rows=count + FIRST_ROW,
    )
