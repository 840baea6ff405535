"""`drol train` from Python: the same folders, records and resumed runs."""

import dataclasses
import json
import os
import shutil
import signal
import threading

import jax
import numpy as np
import optax
import pytest

import drol
from drol import BC, DROL, RunConfig
from drol.errors import DataError
from drol.training.folder import RunFolder
from tests.helpers.commands import drol as command
from tests.helpers.commands import error_of
from tests.helpers.toy_logs import ENVIRONMENT
from tests.helpers.toy_run import WALL_CLOCK

SHORT = {"updates": 40, "eval_every": 20, "eval_episodes": 2, "workers": 1, "hyperparameters": {"hidden": (8,)}}


@pytest.fixture(scope="module")
def config(log):
    return RunConfig(task=str(log), env=ENVIRONMENT, **SHORT)


def train(config, folder, **options):
    return drol.train(dataclasses.replace(config, out=folder), progress=False, **options)


def lines(folder):
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in WALL_CLOCK} for line in records]


@pytest.fixture(scope="module")
def result(config, tmp_path_factory):
    return train(config, tmp_path_factory.mktemp("runs") / "whole")


def test_a_result_holds_what_was_trained(result):
    assert int(result.state.step) == 40
    assert [line["update"] for line in result.evaluations] == [20, 40]
    assert result.figure.episodes == 4
    assert result.divergence is None
    assert result.config.hyperparameters["hidden"] == (8,)
    observations = np.zeros((3, 4), np.float32)
    keys = jax.random.split(jax.random.key(0), 3)
    stored = drol.load_policy(result.folder)
    np.testing.assert_array_equal(jax.vmap(lambda o, k: result.policy(o, key=k))(observations, keys).shape, (3, 3))
    assert jax.tree.all(jax.tree.map(np.array_equal, stored.policy, result.policy))


def test_notes_name_options_as_in_python(config, tmp_path, capsys):
    drol.train(dataclasses.replace(config, out=tmp_path / "run", updates=4, eval_every=2))
    said = capsys.readouterr().out
    assert "tune bc_coef first" in said
    assert "--bc-coef" not in said


def test_the_command_leaves_the_same_folder(result, log, tmp_path):
    options = ("--updates", 40, "--eval-every", 20, "--eval-episodes", 2, "--hidden", 8, "--workers", 1)
    assert command("train", log, "--env", ENVIRONMENT, "--out", tmp_path / "run", *options) == 0
    assert lines(tmp_path / "run") == lines(result.folder)
    configs = [json.loads((folder / "config.json").read_text()) for folder in (tmp_path / "run", result.folder)]
    for facts in configs:
        del facts["command"]
    assert configs[0] == configs[1]
    assert {path.name for path in (tmp_path / "run").iterdir()} == {path.name for path in result.folder.iterdir()}


def test_a_run_is_resumed_from_either_side(config, result, log, tmp_path):
    longer = dataclasses.replace(config, updates=80)
    undisturbed = lines(train(longer, tmp_path / "undisturbed").folder)
    shutil.copytree(result.folder, tmp_path / "run")
    assert lines(train(longer, tmp_path / "run", resume=True).folder) == undisturbed
    shutil.copytree(result.folder, tmp_path / "other")
    resume = ("--out", tmp_path / "other", "--resume", "--updates", 80, "--workers", 1, "--env", ENVIRONMENT)
    assert command("train", log, *resume) == 0
    assert lines(tmp_path / "other") == undisturbed


def test_a_scheduler_starts_the_same_command_again(config, result, log, tmp_path, capsys):
    """`--requeue` starts a run that is not there, goes on with one that is, and leaves a finished one alone."""
    size = ("--eval-every", 20, "--eval-episodes", 2, "--hidden", 8, "--workers", 1)
    given = ("train", log, "--env", ENVIRONMENT, "--out", tmp_path / "run", *size, "--requeue")
    assert command(*given, "--updates", 20) == 0
    assert command(*given, "--updates", 40) == 0
    assert lines(tmp_path / "run") == lines(result.folder)
    record = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    assert command(*given, "--updates", 40) == 0
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == record
    assert "--resume and --requeue cannot be combined" in error_of(capsys, *given, "--resume")
    assert lines(train(config, tmp_path / "python", resume=None).folder) == lines(result.folder)
    assert train(config, tmp_path / "python", resume=None).state.step == 40


def test_a_run_that_another_process_began_in_the_meantime_is_left_alone(config, result, tmp_path, monkeypatch):
    locked = RunFolder.locked

    def after_another(folder, *given):
        shutil.copytree(result.folder, folder.path)
        return locked(folder, *given)

    monkeypatch.setattr(RunFolder, "locked", after_another)
    with pytest.raises(DataError, match="already exists"):
        train(config, tmp_path / "run", resume=None)
    assert lines(tmp_path / "run") == lines(result.folder)


def test_a_run_is_resumed_from_its_folder_alone(config, result, tmp_path):
    shutil.copytree(result.folder, tmp_path / "run")
    with pytest.raises(DataError, match="is not imported just because a file names it"):
        RunConfig.read(tmp_path / "run")
    stored = RunConfig.read(tmp_path / "run", named={"env": ENVIRONMENT})
    assert stored.out == tmp_path / "run"
    assert drol.train(stored, resume=True, progress=False).config == stored
    longer = drol.train(stored.extended({"updates": 80}), resume=True, progress=False)
    assert [line["update"] for line in longer.evaluations] == [20, 40, 60, 80]


def test_what_would_be_lost_or_changed_is_refused(config, result):
    with pytest.raises(DataError, match="already exists"):
        train(config, result.folder)
    with pytest.raises(DataError, match="holds no run"):
        train(config, result.folder.parent / "nowhere", resume=True)
    other = dataclasses.replace(config, batch_size=8)
    with pytest.raises(DataError, match="started with batch_size 256, and resume cannot change it to 8"):
        train(other, result.folder, resume=True)
    assert len(lines(result.folder)) == 2


def test_seeds_and_swept_values_have_folders_of_their_own(config, result, tmp_path):
    several = dataclasses.replace(config, updates=20, out=tmp_path)
    results = drol.train_many(several, seeds=[0, 1], sweep={"bc_coef": [1.0, 2.0]}, width=2, progress=False)
    names = ["bc_coef1-seed0", "bc_coef1-seed1", "bc_coef2-seed0", "bc_coef2-seed1"]
    assert [result.folder.name for result in results] == names
    assert [result.config.seed for result in results] == [0, 1, 0, 1]
    assert results[2].config.hyperparameters["bc_coef"] == 2.0
    again = drol.train_many(several, seeds=[0, 1], sweep={"bc_coef": [1.0, 2.0]}, resume=True, progress=False)
    for before, after in zip(results, again, strict=True):
        assert jax.tree.all(jax.tree.map(np.array_equal, before.state, after.state))
    with pytest.raises(ValueError, match="sweep takes hyperparameters that change no shape"):
        drol.train_many(several, sweep={"ensemble": [2.0]}, progress=False)


class _Stop:
    """A sink that asks to stop after the first chunk."""

    def __init__(self, stop):
        self._stop = stop

    def write(self, update, metrics):
        self._stop()

    def close(self):
        pass


def interrupted(config, folder, stop, **options):
    with pytest.raises(drol.Interrupted, match="resume=True") as caught:
        train(config, folder, sinks=[_Stop(stop)], **options)
    return caught.value


def test_ctrl_c_ends_training_with_a_checkpoint(config, result, tmp_path):
    stop = interrupted(config, tmp_path / "run", lambda: os.kill(os.getpid(), signal.SIGINT))
    assert stop.signal == signal.SIGINT
    assert isinstance(stop, KeyboardInterrupt)
    assert int(stop.results[0].state.step) == 20
    assert lines(train(config, tmp_path / "run", resume=True).folder) == lines(result.folder)


def test_training_in_another_thread_is_stopped_by_a_call(config, tmp_path):
    caught = []
    thread = threading.Thread(target=lambda: caught.append(interrupted(config, tmp_path / "run", drol.request_stop)))
    thread.start()
    thread.join()
    assert caught[0].signal == signal.SIGTERM
    assert int(caught[0].results[0].state.step) == 20


def test_new_runs_among_old_ones_are_of_their_kind(config, tmp_path):
    several = dataclasses.replace(config, updates=20, out=tmp_path)
    drol.train_many(several, sweep={"bc_coef": [1.0]}, progress=False)
    results = drol.train_many(several, sweep={"bc_coef": [1.0, 2.0]}, width=1, resume=True, progress=False)
    assert [result.config.hyperparameters["bc_coef"] for result in results] == [1.0, 2.0]


def test_a_run_with_an_optimizer_of_its_own_is_resumed_from_python_alone(log, tmp_path, capsys):
    bounds = {"action_low": -3.0, "action_high": 1.0}
    algorithm = BC(hidden=(8,), optimizer=optax.sgd(1e-2))
    given = RunConfig(task=str(log), env="none", updates=4, eval_every=2, algorithm=algorithm, **bounds)
    train(given, tmp_path / "run")
    assert int(train(dataclasses.replace(given, updates=8), tmp_path / "run", resume=True).state.step) == 8
    said = error_of(capsys, "train", log, "--out", tmp_path / "run", "--resume", "--updates", 12)
    assert "a custom optimizer, which no file can store" in said


def test_an_algorithm_may_be_given_as_it_is(config, log, tmp_path):
    given = RunConfig(
        task=str(log),
        env="none",
        action_low=-3.0,
        action_high=1.0,
        updates=4,
        eval_every=2,
        algorithm=DROL(hidden=(8,), bc_coef=2.5),
    )
    result = train(given, tmp_path / "run")
    assert result.config.build().bc_coef == 2.5
    assert json.loads((tmp_path / "run" / "config.json").read_text())["hyperparameters"]["bc_coef"] == 2.5
    assert int(train(dataclasses.replace(given, updates=8), tmp_path / "run", resume=True).state.step) == 8
