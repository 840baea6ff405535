"""What OGBench's files of ants tell: how far they walk, where they get to, and how long they lie on their backs.

`python examples/ant_statistics.py FILE.npz ...` prints a row per file, of data that were collected or downloaded, so
that the two can be compared.
"""

import sys
from pathlib import Path

import numpy as np

CELL = 4.0
"""Metres from one cell of a maze to the next."""


def statistics(path: Path) -> dict[str, float]:
    """Figures of one file.

    Returns:
        episodes; steps: of an episode, in the mean; metres: walked in 1,000 steps; cells: in which an ant was;
        cells_per_episode: in the mean; on_back: the share of steps in which an ant lies on its back.
    """
    with np.load(path) as file:
        qpos, ends = file["qpos"], np.flatnonzero(file["terminals"])
    episodes = np.split(qpos, ends[:-1] + 1)
    walked = sum(float(np.linalg.norm(np.diff(episode[:, :2], axis=0), axis=-1).sum()) for episode in episodes)
    steps = len(qpos) - len(episodes)
    cells = [set(map(tuple, np.round(episode[:, :2] / CELL).astype(int))) for episode in episodes]
    # The third row and column of the rotation that the quaternion (w, x, y, z) stands for: where the ant's top points.
    upright = 1 - 2 * (qpos[:, 4] ** 2 + qpos[:, 5] ** 2)
    return {
        "episodes": len(episodes),
        "steps": steps / len(episodes),
        "metres": 1_000 * walked / steps,
        "cells": len(set.union(*cells)),
        "cells_per_episode": float(np.mean([len(found) for found in cells])),
        "on_back": float(np.mean(upright < 0)),
    }


def main(paths: list[Path]) -> None:
    """Print a table."""
    for number, path in enumerate(paths):
        found = statistics(path)
        if number == 0:
            print("| file |", " | ".join(name.replace("_", " ") for name in found), "|")
            print("|---|" + "---|" * len(found))
        print(f"| {path.name} |", " | ".join(f"{value:.4g}" for value in found.values()), "|")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
