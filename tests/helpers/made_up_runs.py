"""Folders of runs as `drol train` leaves them, made up."""

import json

from drol.compare.comparison import Budget, Comparison
from drol.training.folder import RunFolder
from tests.helpers.commands import TASK

SHORT = Budget(updates=40, eval_every=10)
PROTOCOL = Comparison({TASK: SHORT}, ("drol", "fql"))


def write_run(path, *successes, seed=0, updates=40, diverged=False, sha="5" * 64, chunk=1, **hyperparameters):
    """A run folder with evaluations every 10 updates, as far as there are successes."""
    folder = RunFolder(path)
    path.mkdir(parents=True, exist_ok=True)
    config = {
        "task": TASK,
        "algorithm": path.parent.name.partition(",")[0],
        "hyperparameters": {"learning_rate": 0.5, "hidden": [256, 256, 256]} | hyperparameters,
        "chunk": chunk,
        "size": "laptop",
        "preset": {"family": "made-up", "source": "nobody", "tuned": False},
        "settings": {"seed": seed, "updates": updates, "batch_size": 256, "eval_every": 10, "chunk": 10},
        "eval_episodes": 20,
        "data_file": "/somewhere/maze.npz",
        "data": {"kind": "ogbench", "files": [{"name": "maze.npz", "bytes": 5, "sha256": sha}]},
        "environment": {"id": "maze", "success_timing": "pre"},
        "versions": {"jax": "1", "d4rl": None},
        "device": {"platform": "cpu"},
        "machine": {"cores": 2},
        "command": ["train"],
    }
    folder.config.write_text(json.dumps(config))
    done = len(folder.metrics.read())
    for number, success in enumerate(successes[done:], done + 1):
        folder.metrics.append({"update": 10 * number, "evaluation/success": success, "evaluation/episodes": 20})
    if diverged:
        folder.divergence.write_text('{"message": "made up"}')


def fill(cell, *runs, **options):
    for seed, successes in enumerate(runs):
        write_run(cell.path / f"seed{seed}", *successes, seed=seed, **options)
