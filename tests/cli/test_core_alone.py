"""Commands where only the core is installed: what needs no more works, and the rest is named in one line."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import drol.extras
from drol.cli import terminal  # noqa: F401  (with rich, before tests hide it)
from drol.environments.spec import EnvironmentSpec
from drol.experiment import needs
from drol.sources import environment
from tests.helpers.commands import error_of
from tests.helpers.core_alone import OPTIONAL
from tests.helpers.samples import sampled

ROOT = Path(__file__).parent.parent.parent
CUBE = "cube-single-play-singletask-task2-v0"


def run(*arguments, folder):
    """The finished process of a command."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.helpers.core_alone", *map(str, arguments)]
    search = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": search, "COLUMNS": "80"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def log(tmp_path):
    rng = np.random.default_rng(0)
    starts = rng.normal(size=(40, 1, 4))
    observations = (starts + np.cumsum(rng.normal(scale=0.01, size=(40, 50, 4)), axis=1)).reshape(-1, 4)
    ends = np.tile(np.arange(50) == 49, 40)
    flags = {"terminated": np.zeros(2000, bool), "truncated": ends}
    actions = np.clip(rng.normal(scale=0.3, size=(2000, 2)), -1, 1)
    np.savez(tmp_path / "log.npz", observations=observations, actions=actions, rewards=rng.normal(size=2000), **flags)
    return tmp_path / "log.npz"


@pytest.mark.parametrize("algorithm", sampled(["drol", "all"], ["all"]))
def test_presets_are_listed(algorithm, tmp_path):
    done = run("presets", "--algorithm", algorithm, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert any(line.startswith("cube-double-play ") and line.split()[1].strip(",") == "3" for line in lines)
    assert any(line.split()[:3] == ["paper", "512", "512"] for line in lines), "the table of sizes"


def test_the_doctor_examines_arrays(log):
    done = run("doctor", log, folder=log.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert "sound" in done.stdout
    assert "Coverage" in done.stdout


def test_a_command_names_all_that_is_missing(tmp_path):
    done = run("train", CUBE, "--collect", 5, folder=tmp_path)
    assert done.returncode == 1
    assert not done.stdout
    (line,) = done.stderr.splitlines()
    assert "needs the packages 'rich', 'orbax.checkpoint', 'ogbench' and 'gymnasium', which are not installed" in line
    assert f" install with: cd {ROOT} && " in line
    assert line.endswith("-e '.[ogbench,train]'")


@pytest.mark.parametrize("command", sampled(["train", "evaluate", "compare"], ["train"]))
def test_commands_explain_themselves(command, tmp_path):
    done = run(command, "--help", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "packages", "extras"),
    [
        (("train", "log.npz"), "'rich' and 'orbax.checkpoint'", "train"),
        (("train", "log.npz", "--env", "Pendulum-v1"), "'rich', 'orbax.checkpoint' and 'gymnasium'", "train"),
        (("train", "log.npz", "--wandb", "p"), "'rich', 'orbax.checkpoint' and 'wandb'", "train,wandb"),
        (("train", "pen-human-v1", "--env", "none"), "'rich', 'orbax.checkpoint' and 'h5py'", "hdf5,train"),
        (("train", "minari:D4RL/door/human-v2"), "'rich', 'orbax.checkpoint' and 'minari'", "minari,train"),
        (("compare", "--out", "c"), "'rich', 'orbax.checkpoint', 'ogbench' and 'gymnasium'", "ogbench,train"),
        (("collect", "cube-single-play"), "'ogbench'", "ogbench"),
        (("collect", "maze2d-umaze-v1"), "'gymnasium' and 'h5py'", "hdf5,train"),
        (("doctor", CUBE), "'ogbench'", "ogbench"),
        (("doctor", "folder"), "'h5py'", "hdf5"),
        (("doctor", "log.npz", "--env", "Pendulum-v1"), "'gymnasium'", "train"),
        (("bench", "train"), "'orbax.checkpoint' and 'ogbench'", "ogbench,train"),
    ],
)
def test_what_a_command_needs_is_what_it_was_asked_for(arguments, packages, extras, log, monkeypatch, capsys):
    monkeypatch.chdir(log.parent)
    (log.parent / "folder").mkdir()
    (log.parent / "folder" / "0.hdf5").touch()
    monkeypatch.setattr(drol.extras, "is_installed", lambda name: name.partition(".")[0] not in OPTIONAL)
    line = error_of(capsys, *arguments)
    assert packages in line
    assert line.endswith(f"-e '.[{extras}]'")


def test_a_policy_names_what_its_environment_needs():
    assert needs.of_spec(EnvironmentSpec("ogbench:cube-single-v0")) == {"gymnasium": "train", "ogbench": "ogbench"}
    assert needs.of_spec(environment("minari:D4RL/door/human-v2")) == {"minari": "minari"}
    assert needs.of_spec(EnvironmentSpec("Pendulum-v1")) == {"gymnasium": "train"}
