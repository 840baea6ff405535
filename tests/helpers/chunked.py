"""Logs of episodes with a number of its own in every cell, and what their chunks must hold, step by step in Python."""

import numpy as np

from drol.data.transitions import Transitions

WIDTH, DIM = 2, 2


def episodes(ends, masks) -> Transitions:
    """Transitions of consecutive episodes; every observation, action and reward occurs once.

    Args:
        ends: whether each transition is the last of its episode; the last one always is.
        masks: 1 - terminated of each.
    """
    count = len(ends)
    number = np.arange(count)
    last = np.append(np.asarray(ends[:-1], bool), True)
    observations = np.arange(2 * count * WIDTH, dtype=np.float32).reshape(-1, WIDTH)
    return Transitions(
        observations=observations,
        actions=np.linspace(-1, 1, count * DIM, dtype=np.float32).reshape(count, DIM),
        rewards=np.linspace(0.5, 2, count, dtype=np.float32),
        masks=np.asarray(masks, np.float32),
        index=number.astype(np.int32),
        next_index=(count + number).astype(np.int32),
        next_action_index=np.where(last, number, number + 1).astype(np.int32),
    )


def walked(log: Transitions, start: int, chunk: int, steps: int, discount: float, absorbing: bool = True) -> dict:
    """What the chunk that begins at a transition must hold."""
    row, total, mask, counted = start, 0.0, 1.0, []
    for step in range(steps):
        counted.append(row)
        total += discount**step * float(log.rewards[row])
        mask = min(mask, float(log.masks[row]))
        follows = log.next_action_index[row] != row
        if step + 1 == steps or not follows or (absorbing and log.masks[row] == 0):
            break
        row += 1
    following = [row]
    for _ in range(chunk):
        following.append(int(log.next_action_index[following[-1]]))
    rows = (counted + [counted[-1]] * steps)[:steps]
    return {
        "return": total,
        "mask": mask,
        "weight": float(len(counted) == steps or (absorbing and mask == 0)),
        "valid": [float(step < len(counted)) for step in range(chunk)],
        "actions": log.actions[rows[:chunk]].ravel(),
        "next_observation": log.observations[log.next_index[row]],
        "next_actions": log.actions[following[1:]].ravel(),
    }
