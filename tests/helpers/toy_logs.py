"""Logs of the scaled toy as users keep them."""

import numpy as np

ENVIRONMENT = "tests.helpers.toy_environment:DrolToyScaled-v0"


def write_log(path, episodes=25, length=12):
    """Walks towards the origin in the scaled toy's units, each with its final observation left to the next row."""
    rng = np.random.default_rng(0)
    columns = {name: [] for name in ("observations", "actions", "rewards", "terminated", "truncated")}
    for _ in range(episodes):
        state = rng.normal(loc=(0, 0, 0, 5))
        for step in range(length):
            action = np.clip(-2 * state[:3] / 0.3 - 1 + rng.normal(size=3), -3, 1)
            row = (state, action, -np.abs(state[:3]).sum(), False, step == length - 1)
            for name, value in zip(columns, row, strict=True):
                columns[name].append(value)
            state = state + np.append(0.3 * (action + 1) / 2, 0)
    np.savez(path, **{name: np.array(column) for name, column in columns.items()})
