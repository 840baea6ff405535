"""Logs of one's own from the command line to a policy that speaks their units."""

import json
import shutil

import numpy as np
import pytest

from drol import load_policy
from drol.data import files
from drol.errors import DataError
from drol.experiment.config import RunConfig
from drol.experiment.inputs import check_same_data
from drol.training.folder import RunFolder
from tests.helpers.commands import TASK, drol, error_of
from tests.helpers.toy_logs import ENVIRONMENT, write_log

SHORT = ("--updates", 40, "--eval-every", 20, "--eval-episodes", 2, "--hidden", 16, "--workers", 1)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "robot.npz"
    write_log(path)
    return path


def test_from_a_log_to_a_policy_in_its_units(log, tmp_path, capsys):
    out = tmp_path / "run"
    options = ("--out", out, "--env", ENVIRONMENT, *SHORT)
    assert drol("train", log, *options, "--normalize-observations") == 0
    said = capsys.readouterr().out
    assert "no hyperparameters are published for robot" in said
    assert f"note: {log}: 25 rows are left out, because their next observation is unknown" in said
    assert "mean success of the last 2 evaluations" in said
    config = json.loads((out / "config.json").read_text())
    assert config["task"] == str(log)
    assert config["evaluated_in"]["id"] == ENVIRONMENT
    assert config["preset"] is None
    policy = load_policy(out)
    raw = np.load(log)
    np.testing.assert_allclose(policy.policy.units.observation_mean, raw["observations"].mean(0), atol=0.2)
    actions = policy(raw["observations"][:50])
    assert actions.min() >= -3
    assert actions.max() <= 1
    assert actions.min() < -1, "the log's units, not the learner's"
    assert "--env" in error_of(capsys, "evaluate", out, "--episodes", 2, "--workers", 1)
    assert drol("evaluate", out, "--episodes", 2, "--workers", 1, "--env", ENVIRONMENT) == 0
    moved = tmp_path / "elsewhere" / "robot.npz"
    moved.parent.mkdir()
    shutil.copy(log, moved)
    resume = ("train", moved, "--out", out, "--resume", "--updates", 60, "--workers", 1)
    assert f"add --env {ENVIRONMENT}" in error_of(capsys, *resume)
    assert drol(*resume, "--env", ENVIRONMENT) == 0
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 3
    assert "--resume cannot change it to [-2.0]" in error_of(
        capsys, "train", log, "--out", out, "--resume", "--env", ENVIRONMENT, "--action-low", -2, "--action-high", 1
    )


FOREIGN = {"observations": "obs", "actions": "acts", "rewards": "rews"}


def test_columns_are_named_recorded_and_kept(log, tmp_path, capsys):
    columns = {FOREIGN.get(name, name): column for name, column in np.load(log).items()}
    np.savez(tmp_path / "foreign.npz", **columns)
    bounds = ("--action-low", -3, "--action-high", 1)
    said = error_of(capsys, "train", tmp_path / "foreign.npz", "--out", tmp_path / "run", *bounds, *SHORT)
    option = said.partition("if you mean these, pass ")[2]
    assert option == "--columns observations=obs,actions=acts,rewards=rews"
    named = ("train", tmp_path / "foreign.npz", "--out", tmp_path / "run", *bounds)
    assert drol(*named, *SHORT, *option.split()) == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["columns"] == FOREIGN
    assert drol(*named, "--resume", "--updates", 60, "--workers", 1) == 0
    assert "--resume cannot change it" in error_of(capsys, *named, "--resume", "--columns", "observations=rews")
    assert drol("doctor", tmp_path / "foreign.npz", *bounds, *option.split()) == 0
    assert "there is no array 'ob' for 'observations'; there are obs, " in error_of(
        capsys, "doctor", tmp_path / "foreign.npz", "--columns", "observations=ob"
    )
    assert drol("doctor", tmp_path / "foreign.npz", "--columns", "obs=observations") == 2
    assert "unknown column 'obs'" in capsys.readouterr().err


def test_what_is_not_there_is_said_before_anything_else(log, tmp_path, capsys):
    assert drol("train", tmp_path / "robo.npz") == 1
    said = capsys.readouterr()
    assert "robo.npz does not exist" in said.err
    assert said.out == ""
    (tmp_path / "robot.csv").write_text("a,b")
    for command in ("train", "doctor"):
        assert "robot.csv is a table of text; read it with pandas" in error_of(capsys, command, tmp_path / "robot.csv")


def test_runs_of_earlier_versions_are_completed(tmp_path):
    folder = RunFolder(tmp_path)
    first = {"algorithm": "drol", "size": "laptop", "preset": None, "eval_episodes": 50, "collect": None}
    first |= {"collect_seed": 0, "data_file": None, "data": {"files": []}, "hyperparameters": {}, "settings": {}}
    folder.create(first | {"task": "scene-play-singletask-task2-v0"})
    config = RunConfig.from_json(folder.read_config())
    assert config.resolved_task().environment.id == "ogbench:scene-singletask-task2-v0"
    assert (config.action_low, config.normalize_observations) == (None, False)
    assert config.columns is None


def test_other_data_are_named_when_a_run_is_resumed():
    before, after = {"1" * 64: "a.npz", "2" * 64: "b.npz"}, {"1" * 64: "a.npz", "3" * 64: "c.npz"}
    check_same_data(before, before)
    with pytest.raises(DataError, match=r"b.npz \(SHA-256 222222222222...\) is missing now"):
        check_same_data(before, after)
    with pytest.raises(DataError, match=r"c.npz .* was not among them"):
        check_same_data({"1" * 64: "a.npz"}, after)


def test_sizes_know_d4rls_updates():
    for task, updates in (("pen-human-v1", 500_000), ("hopper-medium-v2", 500_000), (TASK, 1_000_000)):
        assert RunConfig(task=task, size="paper").resolved().updates == updates


def test_the_doctor_takes_the_bounds_that_training_takes(log, capsys):
    assert drol("doctor", log) == 1
    assert drol("doctor", log, "--env", ENVIRONMENT) == 0
    assert drol("doctor", log, "--action-low", -3, "--action-high", 1) == 0
    assert "belong together" in error_of(capsys, "doctor", log, "--action-low", -3)


def test_the_doctor_reports_and_sets_the_exit_status(log, tmp_path, capsys):
    bounded = dict(np.load(log)) | {"action_low": -3.0, "action_high": 1.0}
    np.savez(tmp_path / "good.npz", **bounded)
    assert drol("doctor", tmp_path / "good.npz", "--json", tmp_path / "good.json") == 0
    assert "25 episodes" in capsys.readouterr().out
    bounded["rewards"] = np.where(np.arange(len(bounded["rewards"])) == 7, np.nan, bounded["rewards"])
    np.savez(tmp_path / "bad.npz", **bounded)
    assert drol("doctor", tmp_path / "bad.npz", "--json", tmp_path / "bad.json") == 1
    said = capsys.readouterr().out
    assert "row 7" in said
    assert "remedy" in said
    for name, sound in (("good", True), ("bad", False)):
        findings = json.loads((tmp_path / f"{name}.json").read_text())["findings"]
        assert ("error" not in {finding["severity"] for finding in findings}) == sound


def test_a_log_larger_than_memory_trains_from_the_disk(log, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(files, "memory_bytes", lambda: 1)
    monkeypatch.setenv("DROL_SCRATCH", str(tmp_path / "scratch"))
    out = tmp_path / "run"
    assert drol("train", log, "--out", out, "--action-low", -3, "--action-high", 1, *SHORT) == 0
    assert "load it with drol.load_policy" in capsys.readouterr().out
    assert not list((tmp_path / "scratch").iterdir())
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["update"] for line in lines] == [20, 40]
    assert "evaluation/return" not in lines[-1], "no environment was named"
    assert np.isfinite(lines[-1]["critic_loss"])
    assert load_policy(out)(np.zeros(4)).shape == (3,)
    assert "does not name an environment" in error_of(capsys, "evaluate", out)
    assert drol("doctor", log, "--action-low", -3, "--action-high", 1) == 0
    assert not list((tmp_path / "scratch").iterdir())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "actions must lie in [-1, 1]"),
        (("--action-low", -3), "--action-low and --action-high belong together"),
        (("--data", "other.npz", "--action-low", -3, "--action-high", 1), "leave --data out"),
        (("--action-low", -3, "--action-high", 1, "--sha256", "0" * 64), "not the expected 0000"),
        (("--collect", 5), "--collect needs a task with an expert"),
        (("--tuned",), "no preset is published"),
        (("--action-low", -3, -3, "--action-high", 1, 1), "bounds of actions must be 3 finite numbers"),
    ],
)
def test_refusals_say_what_to_do(log, tmp_path, capsys, options, words):
    assert words in error_of(capsys, "train", log, "--out", tmp_path / "run", *options, *SHORT)
    assert not (tmp_path / "run").exists()
