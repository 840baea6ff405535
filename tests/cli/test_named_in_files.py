"""What a file names is data: nothing is imported, called or opened because a policy or a configuration says so."""

import json
import os
import shutil
import sys

import jax
import numpy as np
import pytest

from drol import DROL, Spec, save_policy
from drol.compare.comparison import Budget, Comparison
from drol.training.folder import RunFolder
from tests.helpers.commands import TASK, drol, error_of
from tests.helpers.small_algorithms import init

HOOK = """
import pathlib
import gymnasium
pathlib.Path(__file__).with_suffix(".imported").touch()
from drol import BC as TD3BC
"""


@pytest.fixture
def hook(tmp_path, monkeypatch):
    """A module that leaves a sign once it is imported, here or in a worker; returns the sign."""
    folder = tmp_path / "hooks"
    folder.mkdir()
    (folder / "setup_hooks.py").write_text(HOOK)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "setup_hooks", raising=False)
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    return folder / "setup_hooks.imported"


def record(name, kind="gymnasium", options=()):
    return {"id": name, "kind": kind, "options": [list(option) for option in options]}


@pytest.fixture(scope="module")
def policy():
    algorithm = DROL(hidden=(8,))
    return algorithm.policy(init(algorithm, Spec(3, 1), jax.random.key(0)))


def evaluate(path, *more):
    return ("evaluate", path, "--episodes", 1, "--workers", 1, *more)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"environment": record("setup_hooks:Pendulum-v1")}, "add --env setup_hooks:Pendulum-v1"),
        ({"environment": record("setup_hooks:ogbench:Pendulum-v1")}, "add --env setup_hooks:ogbench:Pendulum-v1"),
        ({"environment": record("setup_hooks/Pendulum-v1")}, "add --env MODULE:setup_hooks/Pendulum-v1"),
        ({"environment": record("Pendulum-v1", options=[("g", 1)])}, "with options (g)"),
        ({"environment": record("setup_hooks:Pendulum-v1", "d4rl")}, "add --env"),
        ({"environment": record("setup_hooks:Pendulum-v1", "minari")}, "is not the name of a Minari data set"),
        ({"environment": record("../../setup-v0", "minari")}, "is not the name of a Minari data set"),
        ({"task": "setup_hooks:Pendulum-v1"}, "add --env setup_hooks:Pendulum-v1"),
        ({"task": "minari:../../setup-v0"}, "is not the name of a Minari data set"),
        ({"environment": record("Pendulum-v1", "dm_control")}, "names no environment"),
        ({"environment": record(["setup_hooks"])}, "names no environment"),
        ({"environment": "setup_hooks:Pendulum-v1"}, "names no environment"),
        ({"environment": {"id": "Pendulum-v1"}}, "names no environment"),
        ({"environment": {"id": "Pendulum-v1", "kind": ["gymnasium"], "options": []}}, "names no environment"),
        ({"environment": {"id": "Pendulum-v1", "kind": "gymnasium", "options": 3}}, "names no environment"),
        ({"environment": {"id": "Pendulum-v1", "kind": "gymnasium", "options": [["a", 1], [2, 3]]}}, "names no"),
        ({"task": ["setup_hooks"]}, "does not name an environment"),
        ({"task": "/somewhere/log.npz"}, "does not name an environment"),
        ({"task": "/somewhere/log.npz", "environment": None}, "does not name an environment"),
        ({}, "does not name an environment"),
    ],
)
def test_a_policy_file_has_nothing_imported_or_called(hook, policy, tmp_path, capsys, facts, words):
    save_policy(policy, tmp_path / "policy", facts)
    assert words in error_of(capsys, *evaluate(tmp_path / "policy"))
    assert not hook.exists()


def test_an_environment_that_the_user_names_is_made(hook, policy, tmp_path, capsys):
    save_policy(policy, tmp_path / "policy", {"environment": record("setup_hooks:Pendulum-v1", options=[("g", 1.0)])})
    assert drol(*evaluate(tmp_path / "policy", "--env", "setup_hooks:Pendulum-v1")) == 0
    assert hook.exists()
    assert "mean return" in capsys.readouterr().out


@pytest.mark.parametrize("facts", [{"environment": record("Pendulum-v1")}, {"task": "Pendulum-v1"}])
def test_an_environment_that_is_known_is_made(hook, policy, tmp_path, facts):
    save_policy(policy, tmp_path / "policy", facts)
    out = tmp_path / "out.json"
    assert drol(*evaluate(tmp_path / "policy", "--json", out)) == 0
    assert json.loads(out.read_text())["environment"]["id"] == "Pendulum-v1"


def test_a_folder_in_the_place_of_a_report_is_found_before_anything_is_evaluated(policy, tmp_path, capsys):
    save_policy(policy, tmp_path / "policy", {"task": "none"})
    assert "is a folder" in error_of(capsys, *evaluate(tmp_path / "policy", "--json", tmp_path))


def configuration(**changes):
    settings = {"seed": 0, "updates": 40, "batch_size": 16, "eval_every": 20, "chunk": 20}
    return {
        "task": TASK,
        "evaluated_in": record(f"ogbench:{TASK.replace('-navigate', '')}"),
        "algorithm": "drol",
        "hyperparameters": {"hidden": [8]},
        "size": "laptop",
        "preset": None,
        "settings": settings,
        "eval_episodes": 1,
        "collect": None,
        "collect_seed": 0,
        "data_file": None,
        "data": {"kind": "ogbench", "files": [{"name": "maze.npz", "bytes": 3, "sha256": "1" * 64}]},
        **changes,
    }


def resume(out, *more):
    return ("train", TASK, "--out", out, "--resume", "--workers", 1, *more)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"evaluated_in": record("setup_hooks:Pendulum-v1")}, "add --env setup_hooks:Pendulum-v1"),
        ({"evaluated_in": record("Pendulum-v1", options=[("g", 1)])}, "with options (g)"),
        ({"algorithm": "setup_hooks:TD3BC"}, "add --algorithm setup_hooks:TD3BC"),
    ],
)
def test_a_run_is_resumed_once_its_modules_are_named_again(hook, tmp_path, capsys, changes, words):
    RunFolder(tmp_path / "run").create(configuration(**changes))
    for more in ((), ("--env", "none"), ("--seeds", "0,1", "--out", tmp_path)):
        if more[:1] == ("--seeds",):
            shutil.copytree(tmp_path / "run", tmp_path / "seed0")
        assert words in error_of(capsys, *resume(tmp_path / "run", *more))
    assert words in error_of(capsys, "bench", "churn", tmp_path / "run") or "algorithm" in changes
    assert not hook.exists()


def test_modules_that_are_named_again_are_imported(hook, tmp_path, capsys):
    """And the run gets as far as to its data, which are elsewhere."""
    changes = {"algorithm": "setup_hooks:TD3BC", "evaluated_in": record("setup_hooks:Pendulum-v1")}
    RunFolder(tmp_path / "run").create(configuration(**changes))
    named = ("--algorithm", "setup_hooks:TD3BC", "--env", "setup_hooks:Pendulum-v1")
    assert "gone.npz" in error_of(capsys, *resume(tmp_path / "run", *named, "--data", tmp_path / "gone.npz"))
    assert hook.exists()


@pytest.mark.parametrize("kind", ["other", "pipe", "folder", "missing"])
def test_a_data_file_that_only_the_configuration_names_is_the_one_it_recorded(tmp_path, capsys, kind):
    path = tmp_path / "maze.npz"
    if kind == "other":
        path.write_bytes(b"anything")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    RunFolder(tmp_path / "run").create(configuration(data_file=str(path)))
    assert "gone or has changed since; name its data with --data" in error_of(capsys, *resume(tmp_path / "run"))
    assert "gone or has changed since" in error_of(capsys, "bench", "churn", tmp_path / "run")


def test_a_log_of_ones_own_is_named_to_be_opened(tmp_path, capsys):
    log = tmp_path / "log.npz"
    np.savez(log, observations=np.zeros((1, 1)))
    RunFolder(tmp_path / "run").create(configuration(task=str(log), evaluated_in=record("Pendulum-v1")))
    assert f"add --data {log}" in error_of(capsys, "bench", "churn", tmp_path / "run")


@pytest.mark.parametrize(
    "changes",
    [
        {"task": 3},
        {"algorithm": ["drol"]},
        {"evaluated_in": "Pendulum-v1"},
        {"evaluated_in": {}},
        {"settings": {"updates": "40"}},
        {"settings": {"updates": True}},
        {"settings": {"updates": 40, "unknown": 1}},
        {"settings": {"updates": -1}},
        {"settings": None},
        {"hyperparameters": 3},
        {"collect": "../../elsewhere"},
        {"collect_seed": "../../elsewhere"},
        {"data_file": 7},
        {"data": {}},
        {"data": {"files": [3]}},
        {"data": {"files": [{"name": 3, "sha256": 4}]}},
        {"action_low": ["a"]},
        {"normalize_observations": 3},
        {"width": "2"},
        {"preset": 3},
        {"eval_episodes": None},
    ],
)
def test_an_edited_configuration_ends_in_one_error(tmp_path, capsys, changes):
    RunFolder(tmp_path / "run").create(configuration(**changes))
    assert "configuration" in error_of(capsys, *resume(tmp_path / "run"))


@pytest.mark.parametrize("content", ["[]", "{", "[" * 100_000, '{"task": NaN}', "3", '{"task": "x"}'])
def test_a_damaged_configuration_ends_in_one_error(tmp_path, capsys, content):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(content)
    assert "config.json is not" in error_of(capsys, *resume(tmp_path / "run"))


def compared(out, **changes):
    stored = {"tasks": {TASK: Budget(40, 20)}, "algorithms": ("drol",)} | changes
    Comparison(**stored).save(out / "results")
    return ("compare", "--out", out, "--no-train")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"env": "setup_hooks:Pendulum-v1"}, "add --env setup_hooks:Pendulum-v1"),
        ({"algorithms": ("drol", "setup_hooks:TD3BC")}, "add --algorithms drol,setup_hooks:TD3BC"),
    ],
)
def test_a_comparison_has_nothing_imported(hook, tmp_path, capsys, changes, words):
    assert words in error_of(capsys, *compared(tmp_path, **changes))
    assert not hook.exists()
    named = ("--env", changes["env"]) if "env" in changes else ("--algorithms", ",".join(changes["algorithms"]))
    assert drol(*compared(tmp_path, **changes), *named) == 0
    assert hook.exists()


@pytest.mark.parametrize("name", ["../up", "/etc/x", "..", "", "a\0b"])
@pytest.mark.parametrize("what", ["tasks", "algorithms"])
def test_a_comparison_stays_in_its_folder(tmp_path, capsys, what, name):
    changes = {"tasks": {name: Budget(40, 20)}} if what == "tasks" else {"algorithms": (name,)}
    assert "expected names of tasks and algorithms" in error_of(capsys, *compared(tmp_path, **changes))


def test_a_comparison_in_no_environment_is_continued(tmp_path):
    assert drol(*compared(tmp_path, env="none")) == 0
