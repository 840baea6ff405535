"""Folders of runs with chosen evaluations, for summaries."""

import json

from drol.training.folder import RunFolder

TASK = "pointmaze-medium-navigate-singletask-task1-v0"


def write_run(path, values, *, seed=0, task=TASK, algorithm="drol", updates=None, measure="success", **facts):
    """A run with one evaluation of 20 episodes every 10 updates; finished unless `updates` is larger."""
    folder = RunFolder(path)
    path.mkdir(parents=True)
    hyperparameters = {"bc_coef": facts.pop("bc_coef", 1.0), "hidden": [8]}
    settings = {"seed": seed, "updates": updates or 10 * len(values), "batch_size": 256, "eval_every": 10, "chunk": 10}
    config = {
        "task": task,
        "algorithm": algorithm,
        "hyperparameters": hyperparameters,
        "settings": settings,
        "size": "laptop",
        "data": {"files": [{"name": "a.npz", "sha256": "5" * 64}]},
    } | facts
    folder.config.write_text(json.dumps(config))
    for number, value in enumerate(values, start=1):
        folder.metrics.append({"update": 10 * number, f"evaluation/{measure}": value, "evaluation/episodes": 20})
    return folder
