"""Online runs that are killed or damaged, and resumed."""

import random
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import pytest

from drol.algorithm import TrainState
from drol.environments.pool import EnvironmentPool
from drol.errors import DataError
from drol.processes import WorkerError
from drol.training.checkpoint import Checkpoints
from drol.training.folder import RunFolder
from tests.helpers.toy_online import StopAt, online_records, train
from tests.helpers.toy_run import assert_identical, new_folder

RUN = """
import sys
from pathlib import Path
from drol.training.folder import RunFolder
from tests.helpers.toy_online import train
from tests.helpers.toy_run import new_folder

path = Path(sys.argv[1])
train(RunFolder(path) if path.exists() else new_folder(path), workers=2)
print("finished", flush=True)
"""


def killed_after(path, seconds):
    """Run in another process, and kill it; whether it had finished."""
    command = [sys.executable, "-W", "ignore", "-c", RUN, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            out, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL)
    return b"finished" in out


def duration(path):
    """From the first file to the end, and from the start to the first file."""
    command = [sys.executable, "-W", "ignore", "-c", RUN, str(path)]
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not (path / "checkpoints" / "0.json").exists():
            time.sleep(0.05)
        first = time.monotonic() - began
        process.wait()
    return first, time.monotonic() - began


@pytest.mark.slow
def test_25_random_kills_then_resume_are_bit_identical(undisturbed, tmp_path):
    """Killed again and again at random moments between the first file and the end, then left alone."""
    first, whole = duration(tmp_path / "timed")
    draws, kills, number = random.Random(0), 0, 0
    while kills < 25:
        path = tmp_path / f"run{number}"
        number += 1
        for _ in range(4):
            if killed_after(path, draws.uniform(first, 1.1 * whole)):
                break
            kills += 1
        folder = RunFolder(path)
        assert_identical(train(folder).state, undisturbed[1])
        assert online_records(folder) == online_records(undisturbed[0])


MOMENTS = {
    "inside a segment": ("drol.online.log", "_write"),
    "before the checkpoint of a sealed segment": ("drol.training.checkpoint", "write_json"),
    "inside a block": ("drol.online.explorer", "plans_of"),
}


@pytest.mark.parametrize(
    "moment", [pytest.param(moment, marks=[pytest.mark.ci] * (moment != "inside a block")) for moment in MOMENTS]
)
def test_kill_9_then_resume_is_bit_identical(undisturbed, tmp_path, moment):
    """At the third call of what runs at that moment."""
    module, name = MOMENTS[moment]
    path = tmp_path / "run"
    code = f"""
import importlib, os, signal
module = importlib.import_module({module!r})
real, calls = getattr(module, {name!r}), []

def interrupted(*arguments, **options):
    calls.append(1)
    if len(calls) == {40 if name == "plans_of" else 3}:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)

setattr(module, {name!r}, interrupted)
"""
    command = [sys.executable, "-W", "ignore", "-c", code + RUN, str(path)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -signal.SIGKILL
    folder = RunFolder(path)
    assert folder.checkpoints.exists()
    assert_identical(train(folder).state, undisturbed[1])
    assert online_records(folder) == online_records(undisturbed[0])


def stopped(path):
    """A run that was stopped after two evaluations."""
    folder = new_folder(path)
    train(folder, sinks=[StopAt(40)])
    return folder


def test_steps_of_no_checkpoint_are_dropped(undisturbed, tmp_path):
    """A segment that was written before its checkpoint could be sealed."""
    folder = stopped(tmp_path / "run")
    last = sorted(folder.steps.iterdir())[-1]
    (folder.steps / "steps-0000000104-0000000120.npz").write_bytes(last.read_bytes())
    (folder.steps / ".steps-0000000104-0000000120.npz.part").write_bytes(b"torn")
    assert_identical(train(folder).state, undisturbed[1])


def test_damaged_steps_are_not_trusted(tmp_path):
    folder = stopped(tmp_path / "run")
    first, *_, last = sorted(folder.steps.iterdir())
    content = last.read_bytes()
    last.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"steps-.*npz"):
        train(folder)
    last.write_bytes(content)
    first.rename(tmp_path / first.name)
    with pytest.raises(DataError, match="holds the run's first 0 steps, but its checkpoint was made after 104"):
        train(folder)


def test_an_environment_that_does_not_repeat_is_refused_unless_episodes_may_begin_anew(tmp_path, monkeypatch):
    folder = stopped(tmp_path / "run")
    monkeypatch.setattr("drol.online.explorer.ONLINE", 7)  # other seeds: other episodes than those on record
    with pytest.raises(DataError, match=r"does not repeat an episode.*restart_episodes"):
        train(folder)
    outcome = train(folder, restart=True)
    assert int(outcome.state.step) == 48
    given_up = [line for line in folder.episodes.read() if line.get("cut") == "restarted"]
    assert given_up
    assert all(line["step"] == 104 for line in given_up)


def test_a_crash_before_the_first_seal_of_a_continued_run_leaves_it_as_if_it_had_not_begun(tmp_path):
    """Written, but not vouched for: the state to continue from is read again."""
    state, key = {"w": jnp.ones(3), "step": jnp.asarray(40)}, jax.random.key(0)
    for first, expected in ((40, None), (0, DataError)):
        folder = tmp_path / str(first)
        checkpoints = Checkpoints(folder, first=40)
        checkpoints.save(SimpleState(**state), key)
        checkpoints._manager.wait_until_finished()
        checkpoints.close()
        again = Checkpoints(folder, first=first)
        if expected is None:
            assert again.newest_intact() is None
        else:
            with pytest.raises(expected, match="holds no intact checkpoint"):
                again.newest_intact()
        again.close()


class SimpleState(TrainState):
    """An array and a number of updates."""

    w: jax.Array
    step: jax.Array


def test_environments_that_fail_while_they_are_taken_back_are_started_again(undisturbed, tmp_path, monkeypatch):
    folder = stopped(tmp_path / "run")
    real, calls = EnvironmentPool.exchange, []

    def failing(self, method, arguments, *more):
        calls.append(method)
        if len(calls) == 2:
            self.close()
            raise WorkerError("died")
        return real(self, method, arguments, *more)

    monkeypatch.setattr(EnvironmentPool, "exchange", failing)
    assert_identical(train(folder).state, undisturbed[1])
