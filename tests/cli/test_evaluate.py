"""`drol evaluate` and the limits of evaluations: what is printed, what is recorded, what a stop leaves."""

import json
import os
import signal
import threading
import time

import jax
import numpy as np
import pytest

from drol import BC, save_policy
from drol.cli.main import main
from drol.files import read_json
from drol.types import Spec
from tests.helpers.commands import drol, error_of
from tests.helpers.samples import sampled
from tests.helpers.small_algorithms import init


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    algorithm = BC(hidden=(8,))
    path = tmp_path_factory.mktemp("policy") / "policy"
    save_policy(algorithm.policy(init(algorithm, Spec(6, 2), jax.random.key(0))), path)
    return path


def evaluate(policy, case, *options, name="Varied"):
    environment = f"tests.helpers.varied_environment:{name}-{case}-v0"
    return drol("evaluate", policy, "--env", environment, "--episodes", 2, "--workers", 1, *options)


def test_only_figures_that_exist_are_printed(policy, capsys):
    assert evaluate(policy, "plain") == 0
    assert "v0: mean return 4.0 (2 episodes, policy" in capsys.readouterr().out
    assert evaluate(policy, "success-array") == 0
    assert "v0: success 1.000, mean return 4.0 (2 episodes, policy" in capsys.readouterr().out


def test_nan_from_the_environment_becomes_null_and_is_named(policy, tmp_path, capsys, caplog):
    assert evaluate(policy, "reward-nan", "--json", tmp_path / "out.json") == 0
    assert "mean return nan" in capsys.readouterr().out
    assert "episode 0, step 2: the reward holds NaN or infinity" in caplog.text
    written = read_json(tmp_path / "out.json")
    assert written["return"] is None
    assert [result["return"] for result in written["results"]] == [None, None]


def test_episodes_that_the_limit_of_steps_cut_are_marked(policy, tmp_path, capsys):
    assert evaluate(policy, "plain", "--max-steps", 7, "--json", tmp_path / "out.json", name="VariedEndless") == 0
    assert "mean return 7.0 (2 episodes, 2 of them cut, policy" in capsys.readouterr().out
    written = read_json(tmp_path / "out.json")
    assert written["cut"] == 2
    assert written["limits"] == {"steps": 7, "seconds": 3600.0, "step_seconds": 60.0}
    assert [result["cut"] for result in written["results"]] == ["step limit"] * 2


def test_an_evaluation_without_time_is_not_taken_for_a_whole_one(policy, tmp_path, capsys):
    assert evaluate(policy, "hanging", "--max-seconds", 0.5, "--json", tmp_path / "out.json") == 1
    assert "ended by its time limit: 0 of 2 episodes finished" in capsys.readouterr().out
    written = read_json(tmp_path / "out.json")
    assert (written["episodes"], written["planned"], written["return"]) == (0, 2, None)
    assert [result["cut"] for result in written["results"]] == ["time limit"] * 2


def test_what_an_environment_breaks_is_one_sentence(policy, capsys):
    environment = "tests.helpers.varied_environment:Varied-reward-vector-v0"
    said = error_of(capsys, "evaluate", policy, "--env", environment, "--workers", 1)
    assert "the reward should be one number, found an array of shape (2,)" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("number", "status"), sampled([(signal.SIGINT, 130), (signal.SIGTERM, 143)], [(signal.SIGINT, 130)])
)
def test_a_stop_ends_a_hung_evaluation(policy, tmp_path, capsys, number, status):
    threading.Timer(3.0, os.kill, (os.getpid(), number)).start()
    began = time.monotonic()
    assert evaluate(policy, "hanging", "--json", tmp_path / "out.json") == status
    assert time.monotonic() - began < 3.0 + 5.0
    assert f"stopped by {signal.Signals(number).name}" in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize("wrong", ["0", "-1", "many", "1.5"])
def test_limits_are_judged_as_they_are_read(policy, capsys, wrong):
    assert main(["evaluate", str(policy), "--max-steps", wrong]) == 2
    said = capsys.readouterr().err
    assert (
        f"--max-steps: must be at least 1, found {wrong}" in said
        or f"a whole number such as 20000, 1e6, 100k or 1M, found {wrong!r}" in said
    )


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("log") / "log.npz"
    ends = np.arange(80) % 8 == 7
    columns = {"observations": rng.normal(size=(80, 6)), "actions": rng.uniform(-1, 1, (80, 2))}
    np.savez(path, **columns, rewards=rng.normal(size=80), terminated=np.zeros(80, bool), truncated=ends)
    return path


def train(log, out, case, *options):
    sizes = ("--updates", 4, "--eval-every", 2, "--batch-size", 8, "--hidden", 8, "--eval-episodes", 2, "--workers", 1)
    environment = f"tests.helpers.varied_environment:{case}-v0"
    return drol("train", log, "--algorithm", "bc", "--env", environment, "--out", out, *sizes, *options)


def test_a_runs_limits_are_recorded_and_kept(log, tmp_path, capsys):
    out = tmp_path / "run"
    assert train(log, out, "VariedEndless-matrix", "--eval-max-steps", 6, "--step-seconds", 20) == 0
    config = out / "config.json"
    assert read_json(config)["evaluation_limits"] == {"steps": 6, "seconds": 3600.0, "step_seconds": 20.0}
    lines = [json.loads(line) for line in (out / "evaluations.jsonl").read_text().splitlines()]
    assert [(line["length"], line["cut"]) for line in lines] == [(6, "step limit")] * 4
    arguments = ("train", log, "--algorithm", "bc", "--env", "tests.helpers.varied_environment:VariedEndless-matrix-v0")
    assert "eval_max_steps 6" in error_of(capsys, *arguments, "--out", out, "--resume", "--eval-max-steps", 7)
    assert drol(*arguments, "--out", out, "--resume", "--updates", 6, "--eval-max-seconds", "inf") == 0
    assert read_json(config)["evaluation_limits"] == {"steps": 6, "seconds": None, "step_seconds": 20.0}


def test_a_run_of_an_earlier_version_has_the_usual_limits(log, tmp_path):
    out = tmp_path / "run"
    assert train(log, out, "Varied-plain") == 0
    config = read_json(out / "config.json")
    del config["evaluation_limits"]
    (out / "config.json").write_text(json.dumps(config))
    assert train(log, out, "Varied-plain", "--resume") == 0
    assert read_json(out / "config.json")["evaluation_limits"]["seconds"] == 3600.0


def test_an_environment_that_breaks_the_interface_is_refused_before_training(log, tmp_path, capsys):
    assert train(log, tmp_path / "run", "Varied-four") == 1
    assert "`step` should return (observation, reward, terminated, truncated, info)" in capsys.readouterr().err
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_stop_is_heeded_before_training_too(log, tmp_path, capsys):
    """While the environment's first step is tried."""
    threading.Timer(3.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
    began = time.monotonic()
    assert train(log, tmp_path / "run", "Varied-hanging") == 143
    assert time.monotonic() - began < 3.0 + 5.0
    assert "stopped by SIGTERM" in capsys.readouterr().err
