"""Logs as users keep them: a walk on a plane, in episodes."""

import numpy as np

LIMIT = 7


def walk(episodes=3, seed=0, low=-1.0, high=1.0):
    """Rows of (s, a, r, s') with both ways of ending: every third episode ends early, the others at the limit."""
    rng = np.random.default_rng(seed)
    columns = {
        name: [] for name in ("observations", "actions", "rewards", "terminated", "truncated", "next_observations")
    }
    for episode in range(episodes):
        state = rng.normal(size=3)
        length = LIMIT - 2 if episode % 3 == 0 else LIMIT
        for step in range(length):
            action = rng.uniform(low, high, 2)
            following = state + np.append(action, 0.1)
            last = step == length - 1
            row = (state, action, rng.normal(), last and length < LIMIT, last and length == LIMIT, following)
            for name, value in zip(columns, row, strict=True):
                columns[name].append(value)
            state = following
    return {name: np.array(column) for name, column in columns.items()}


def rows_only(columns):
    """The same without successors."""
    return {name: column for name, column in columns.items() if name != "next_observations"}


def episodes_of(columns):
    """One dictionary per episode, each with its final observation."""
    ends = np.flatnonzero(columns["terminated"] | columns["truncated"]) + 1
    for start, stop in zip([0, *ends[:-1]], ends, strict=True):
        episode = {name: column[start:stop] for name, column in columns.items()}
        final = episode.pop("next_observations")[-1:]
        yield episode | {"observations": np.concatenate([episode["observations"], final])}


def write_hdf5(path, columns):
    """Store arrays; names with `/` make groups."""
    import h5py

    with h5py.File(path, "w") as file:
        for name, column in columns.items():
            file[name] = column
