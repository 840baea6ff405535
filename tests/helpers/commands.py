"""Commands as tests give them, in this process."""

import json

from drol.cli.main import main
from drol.extras import quiet

TASK = "pointmaze-medium-navigate-singletask-task1-v0"


def drol(*arguments):
    """Run a command in this process."""
    with quiet():
        return main([str(argument) for argument in arguments])


def error_of(capsys, *arguments, status=(1, 2)):
    """The one line that a command prints which fails, or that a wrong command line gets."""
    capsys.readouterr()
    assert drol(*arguments) in status
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def train(data, out, *more):
    options = ("--updates", 40, "--eval-every", 20, "--eval-episodes", 2, "--hidden", 16, "--workers", 1)
    options += ("--eval-max-steps", 25)
    return drol("train", TASK, "--data", data, "--out", out, *options, *more)


def assert_real_result(out, name, updates):
    """Of a method that `drol compare` trained on robot.npz with one seed and one hidden layer of 8 units."""
    result = json.loads((out / "results" / "robot" / f"{name}.json").read_text())
    assert result["hyperparameters"]["hidden"] == [8]
    assert list(result["seeds"]["0"]["evaluations"]) == updates
    assert 0 <= result["figure"]["mean"] <= 1
    assert result["figure"]["standard_deviation"] is None
    assert len(result["data"]["robot.npz"]) == 64
    assert str(out.parent) not in json.dumps(result)


def last_update(folder):
    return json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])["update"]
