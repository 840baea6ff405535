"""Runs: records, evaluation, exact resume after kill -9, clean stops, refusals."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from drol import DROL, ReplayData, load_policy
from drol.errors import DataError, DivergedError
from drol.training.checkpoint import Checkpoints
from drol.training.folder import RunFolder
from drol.training.settings import Settings, call_length, slowed
from tests.helpers.samples import sampled
from tests.helpers.toy_run import (
    SETTINGS,
    algorithm,
    assert_identical,
    data,
    free_action,
    latest,
    new_folder,
    records,
    run,
    train,
)


def test_a_run_leaves_its_records(undisturbed):
    folder, state = undisturbed
    assert int(state.step) == 40
    metrics, evaluations, *_ = records(folder)
    assert [line["update"] for line in metrics] == list(range(5, 41, 5))
    assert {"actor_loss", "critic_loss", "bc_loss", "routing_margin"} <= set(metrics[0])
    evaluated = [line for line in metrics if "evaluation/success" in line]
    assert [line["update"] for line in evaluated] == [20, 40]
    assert evaluated[0]["evaluation/success"] == pytest.approx(2 / 3)
    assert {"validation/bc_loss", "validation/critic_loss"} <= set(evaluated[0])
    assert [(line["update"], line["episode"]) for line in evaluations] == [(u, e) for u in (20, 40) for e in range(3)]
    assert {"update", "episode", "seed", "return", "length", "success"} <= set(evaluations[0])
    loaded = load_policy(folder.path)
    assert loaded.facts["update"] == 40
    np.testing.assert_array_equal(free_action(loaded.policy), free_action(algorithm().policy(state)))


def test_runs_repeat_bit_by_bit(undisturbed, tmp_path):
    folder = new_folder(tmp_path / "again")
    assert_identical(run(folder), undisturbed[1])
    assert records(folder) == records(undisturbed[0])


@pytest.mark.parametrize("stop_at", sampled([5, 20, 35], [20]))
def test_an_interrupted_run_resumes_exactly(undisturbed, tmp_path, stop_at):
    """SIGINT between two chunks: checkpoint, clean end; going on gives the undisturbed run."""
    folder = new_folder(tmp_path / "run")

    class StopAt:
        def write(self, update, metrics):
            if update == stop_at:
                os.kill(os.getpid(), signal.SIGINT)

        def close(self):
            pass

    state = run(folder, sinks=[StopAt()])
    assert int(state.step) == stop_at
    assert latest(folder) == stop_at
    assert_identical(run(folder), undisturbed[1])
    assert records(folder) == records(undisturbed[0])


KILLED = """
import sys, time
from pathlib import Path
import orbax.checkpoint as ocp
import drol.policy.files
from tests.helpers.toy_run import RunFolder, fake_evaluation, new_folder, run

path, moment, update = sys.argv[1], sys.argv[2], int(sys.argv[3])
folder = RunFolder(path) if Path(path).exists() else new_folder(path)

def here():
    print("here", flush=True)

class Wait:
    def write(self, now, metrics):
        if now == update and moment == "after the record":
            here()
            time.sleep(60)
    def close(self):
        pass

def evaluating(policy, now):
    if now == update and moment == "inside the evaluation":
        here()
        time.sleep(60)
    return fake_evaluation(policy, now)

save, describe = ocp.CheckpointManager.save, drol.policy.files.write_json

def saving(self, step, **options):
    if step == update and moment == "inside a checkpoint":
        here()
    return save(self, step, **options)

def describing(*arguments):
    if moment == "inside the policy":
        here()
        time.sleep(60)
    return describe(*arguments)

ocp.CheckpointManager.save, drol.policy.files.write_json = saving, describing
run(folder, sinks=[Wait()], evaluate=evaluating)
"""


def kill_at(path, moment, update):
    """Run in another process, and kill it with signal 9 at a moment it announces."""
    command = [sys.executable, "-W", "ignore", "-c", KILLED, str(path), moment, str(update)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"here\n"
        if moment == "inside a checkpoint":
            time.sleep(0.02)
        process.kill()
    assert process.returncode == -signal.SIGKILL


def test_kill_9_inside_a_checkpoint_and_a_policy_then_resume_is_bit_identical(undisturbed, tmp_path):
    """Of a killed run stays what a checkpoint vouches for; what came after it is undone and done again."""
    path = tmp_path / "run"
    folder = RunFolder(path)
    kill_at(path, "inside a checkpoint", 20)
    assert latest(folder) in (0, 20)
    kill_at(path, "inside the policy", 20)
    assert latest(folder) == 20
    with open(path / "metrics.jsonl", "ab") as file:
        file.write(b'{"update": 99, "actor_lo')
    assert_identical(run(folder), undisturbed[1])
    assert records(folder) == records(undisturbed[0])
    assert load_policy(folder.path).facts["update"] == 40


@pytest.mark.slow
def test_kill_9_then_resume_is_bit_identical(undisturbed, tmp_path):
    """Killed five times, each where it hurts; what remains is the undisturbed run, parameters and records."""
    path = tmp_path / "run"
    folder = RunFolder(path)
    kill_at(path, "after the record", 10)
    assert latest(folder) == 0
    assert folder.metrics.read()[-1]["update"] == 10, "recorded, and to be undone"
    kill_at(path, "inside the evaluation", 20)
    assert latest(folder) == 20
    assert folder.metrics.read()[-1]["update"] == 15, "evaluated and recorded by the run that goes on"
    kill_at(path, "inside the policy", 20)
    kill_at(path, "inside a checkpoint", 40)
    assert latest(folder) in (20, 40)
    kill_at(path, "inside the policy", 40)
    assert latest(folder) == 40
    assert load_policy(folder.path).facts["update"] == 20, "the policy before stays whole"
    with open(path / "metrics.jsonl", "ab") as file:
        file.write(b'{"update": 99, "actor_lo')
    assert_identical(run(folder), undisturbed[1])
    assert records(folder) == records(undisturbed[0])
    assert load_policy(folder.path).facts["update"] == 40


def test_an_early_ctrl_c_is_a_clean_stop(tmp_path, monkeypatch):
    """Before the first chunk there is a checkpoint and nothing else; the run goes on from there."""
    folder = new_folder(tmp_path / "run")
    save = Checkpoints.save

    def interrupted(self, state, key, metrics):
        monkeypatch.setattr(Checkpoints, "save", save)
        os.kill(os.getpid(), signal.SIGINT)
        save(self, state, key, metrics)

    monkeypatch.setattr(Checkpoints, "save", interrupted)
    assert int(run(folder).step) == 0
    assert latest(folder) == 0
    assert folder.metrics.read() == []


def test_a_finished_run_can_be_extended(undisturbed, tmp_path):
    folder = new_folder(tmp_path / "run")
    run(folder, Settings(seed=3, updates=20, batch_size=16, eval_every=20, updates_per_call=5))
    assert_identical(run(folder), undisturbed[1])
    assert records(folder) == records(undisturbed[0])


def test_divergence_stops_with_the_last_good_checkpoint(tmp_path):
    folder = new_folder(tmp_path / "run")
    broken = data()
    broken = ReplayData(**{**vars(broken), "rewards": broken.rewards.at[:].set(np.nan)})
    with pytest.raises(DivergedError, match="the update after update 0 was refused: critic_loss"):
        train(algorithm(), broken, folder, SETTINGS)


def test_a_used_folder_is_refused(tmp_path):
    new_folder(tmp_path / "run")
    before = (tmp_path / "run" / "config.json").read_text()
    with pytest.raises(DataError, match="already exists; add --resume"):
        new_folder(tmp_path / "run")
    assert (tmp_path / "run" / "config.json").read_text() == before
    with pytest.raises(DataError, match="holds no run"):
        RunFolder(tmp_path / "nowhere").read_config()


def test_compiled_calls_must_fit():
    assert call_length(45_000, 5_000) == 500
    assert call_length(21, 14) == 7
    with pytest.raises(ValueError, match="multiples of the 4 updates"):
        Settings(updates=10, eval_every=5, updates_per_call=4)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        Settings(batch_size=0)


@pytest.mark.parametrize(
    ("updates", "every", "nearest"),
    [
        (1001, 1000, "1000 or 1500 updates, or an evaluation every 1001"),
        (1001, 5000, "1000 or 1500 updates, or an evaluation every 1001"),
        (7, 3, "6 or 9 updates, or an evaluation every 7"),
        (1009, 1009, "1000 updates with an evaluation every 1000"),
        (503, 503, "500 updates with an evaluation every 500"),
        (7, 1, "an evaluation every 7"),
        (1, 1, "2 updates with an evaluation every 2"),
        (99_991, 997, "100000 updates with an evaluation every 1000"),
    ],
)
def test_lengths_that_fit_no_call_are_refused_with_the_nearest_that_do(updates, every, nearest):
    with pytest.raises(ValueError, match=rf"{updates} updates with .* every {every} cannot .*: {nearest}$"):
        call_length(updates, every)


@pytest.mark.parametrize(
    ("updates", "every", "length", "nearest"),
    [
        (1002, 500, 2, "1000 or 1500 updates, or an evaluation every 334"),
        (12_345, 5_000, 5, "12000 or 12500 updates"),
        (21, 14, 7, "14 or 28 updates, or an evaluation every 21"),
        (45_000, 5_000, 500, None),
        (20_000, 2_500, 500, None),
        (1_000_000, 100_000, 500, None),
        (2_000, 100, 100, None),
        (120, 60, 60, None),
        (4, 2, 2, None),
        (20, 5_000, 20, None),
    ],
)
def test_short_calls_are_stated_with_the_nearest_numbers_that_make_long_ones(updates, every, length, nearest):
    assert call_length(updates, every) == length
    line = slowed(updates, every, length)
    if nearest is None:
        assert line is None
        return
    assert line.startswith(f"a run of {updates} updates with an evaluation every {every} is trained in compiled calls")
    assert f"calls of {length} updates, " in line
    assert line.endswith(f"the nearest alternatives: {nearest}")


@pytest.mark.parametrize("every", [14, 49, 50, 500, 997, 1000, 1002, 2500, 4001, 5000])
def test_what_is_offered_can_be_had(every):
    """Whatever numbers a message names are cut into calls that are not short."""
    for updates in range(1, 3_000, 7):
        try:
            line = slowed(updates, every, call_length(updates, every))
        except ValueError as error:
            line = str(error)
        if line is None:
            continue
        offered = line.rpartition("the nearest alternatives: ")[2]
        for part in offered.split(", or "):
            of_updates = re.match(r"([\d or]+) updates", part)
            of_every = re.search(r"an evaluation every (\d+)", part)
            for number in of_updates.group(1).split(" or ") if of_updates else [updates]:
                pair = int(number), int(of_every.group(1)) if of_every else every
                assert slowed(*pair, call_length(*pair)) is None, (updates, part)


def test_a_checkpoint_of_another_shape_is_refused(undisturbed):
    folder, _ = undisturbed
    other = DROL(hidden=(8, 8), num_candidates=4)
    with pytest.raises(DataError, match="does not fit this configuration"):
        train(other, data(), folder, SETTINGS)


FULL = """
import resource, signal, sys
from tests.helpers.toy_run import RunFolder, Settings, run

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
try:
    run(RunFolder(sys.argv[1]), evaluate=None)
except OSError as error:
    print(error)
"""


def test_a_checkpoint_that_cannot_be_written_keeps_the_earlier_ones(undisturbed, tmp_path):
    """The operating system refuses files beyond 3000 bytes: one clear message, and the run can go on later."""
    folder = new_folder(tmp_path / "run")
    run(folder, Settings(seed=3, updates=20, batch_size=16, eval_every=20, updates_per_call=5))
    command = [sys.executable, "-W", "ignore", "-c", FULL, str(folder.path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "could not write" in result.stdout, result.stderr
    assert "exceed the allowed size" in result.stdout
    assert latest(folder) == 20
    assert_identical(run(folder), undisturbed[1])
    assert records(folder) == records(undisturbed[0])
