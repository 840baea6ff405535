"""Faults put into a run on purpose: what is lost, what is said, and that the run then ends as if nothing had been."""

import contextlib
import errno
import fcntl
import logging
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drol.environments.limits import EvaluationLimits
from drol.environments.results import as_record
from drol.environments.rollout import Evaluator
from drol.environments.spec import EnvironmentSpec
from drol.errors import DataError
from drol.training.checkpoint import Checkpoints
from drol.training.folder import RunFolder
from drol.training.keeper import initial
from drol.training.loop import train_chunk
from drol.training.settings import Settings
from tests.helpers.toy_environment import Toy
from tests.helpers.toy_run import algorithm, assert_identical, data, latest, new_folder, records, run


def copy_of(folder, path):
    shutil.copytree(folder.path, path)
    return RunFolder(path)


def assert_undisturbed(folder, state, undisturbed):
    assert_identical(state, undisturbed[1])
    assert records(folder) == records(undisturbed[0])


# Checkpoints


def largest_file(folder):
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def truncate(folder):
    file = largest_file(folder)
    os.truncate(file, file.stat().st_size // 2)


def flip_a_bit(folder):
    file = largest_file(folder)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def remove(folder):
    largest_file(folder).unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [(truncate, "does not match its checksum"), (flip_a_bit, "does not match"), (remove, "is missing")],
)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(undisturbed, tmp_path, caplog, damage, words):
    folder = copy_of(undisturbed[0], tmp_path / "run")
    damage(folder.checkpoints / "40")
    state = run(folder)
    assert any("checkpoint 40" in record.message and words in record.message for record in caplog.records)
    assert_undisturbed(folder, state, undisturbed)
    assert latest(folder) == 40


def test_a_damaged_description_is_damage_too(undisturbed, tmp_path, caplog):
    folder = copy_of(undisturbed[0], tmp_path / "run")
    (folder.checkpoints / "40.json").write_text('{"sha256": ')
    assert_undisturbed(folder, run(folder), undisturbed)
    assert any("description cannot be read" in record.message for record in caplog.records)


def contents(folder):
    return {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file() and path.name != "run.lock"}


def test_without_an_intact_checkpoint_nothing_is_thrown_away(undisturbed, tmp_path, caplog):
    folder = copy_of(undisturbed[0], tmp_path / "run")
    for update in (20, 40):
        flip_a_bit(folder.checkpoints / str(update))
    before = contents(folder)
    with pytest.raises(DataError, match="holds no intact checkpoint; restore one from a backup"):
        run(folder)
    assert sum("is damaged" in record.message for record in caplog.records) == 2
    for update in (20, 40):
        (folder.checkpoints / f"{update}.json").unlink()
        del before[folder.checkpoints / f"{update}.json"]
    with pytest.raises(DataError, match="holds no intact checkpoint"):
        run(folder)
    assert contents(folder) == before


def test_a_checkpoint_that_cannot_be_read_just_now_is_not_given_up(undisturbed, tmp_path, monkeypatch):
    folder = copy_of(undisturbed[0], tmp_path / "run")
    before = contents(folder)

    def refuse(path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr("drol.training.checkpoint.sha256", refuse)
        with pytest.raises(OSError, match="Input/output error"):
            run(folder)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("keep_last", "keep_every", "kept"), [(1, 0, [40]), (3, 0, [20, 30, 40]), (1, 20, [0, 20, 40])]
)
def test_the_newest_checkpoints_and_every_mth_are_kept(tmp_path, keep_last, keep_every, kept):
    folder = new_folder(tmp_path / "run")
    settings = Settings(
        seed=3, updates=40, batch_size=16, eval_every=10, updates_per_call=5, keep_last=keep_last, keep_every=keep_every
    )
    run(folder, settings)
    with contextlib.closing(Checkpoints(folder.checkpoints)) as checkpoints:
        assert checkpoints.updates() == kept
        for update in kept:
            assert checkpoints.newest_intact(update) == update


def test_a_checkpoint_is_of_the_moment_of_its_saving(tmp_path):
    """It is written in the background while training goes on and the state's own buffers are gone."""
    state, key, _ = initial(algorithm(), data().spec, 0)
    expected = jax.tree.map(np.array, state)
    with contextlib.closing(Checkpoints(tmp_path)) as checkpoints:
        checkpoints.save(state, key)
        after, *_ = train_chunk(algorithm(), state, data(), key, batch_size=16, length=5)
        for leaf in jax.tree.leaves(state):
            # As on accelerators, where the chunk takes them over.
            leaf.delete()
        checkpoints.finish()
        restored = checkpoints.restore(after, jax.random.fold_in(key, 1), 0)
    assert_identical(restored.state, expected)
    assert jnp.all(jax.random.key_data(restored.key) == jax.random.key_data(key))


# Disks


@pytest.mark.parametrize(
    ("place", "nth"),
    [("metrics.jsonl", 3), ("evaluations.jsonl", 1), ("checkpoints", 6), ("checkpoints", -1), ("policy", 1)],
    ids=["logging", "evaluating", "checkpointing", "sealing a checkpoint", "saving the policy"],
)
def test_a_full_disk_loses_nothing(undisturbed, tmp_path, monkeypatch, place, nth):
    """The flush to the disk fails, as it does where the space is found missing late."""
    folder, fsync, met = new_folder(tmp_path / "run"), os.fsync, 0

    def failing(handle):
        nonlocal met
        path = os.readlink(f"/proc/self/fd/{handle}")
        last = path.startswith(f"{folder.checkpoints}/.20.json")
        met += place in path and (nth > 0 or last)
        if met == abs(nth):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        with pytest.raises(OSError, match=f"could not write .*{place}.*the disk is full: free some space"):
            run(folder)
    assert_undisturbed(folder, run(folder), undisturbed)


@contextlib.contextmanager
def unprivileged():
    """Permissions mean nothing to root: be somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_that_must_not_be_written_to_is_said_so(undisturbed, tmp_path):
    folder = copy_of(undisturbed[0], tmp_path / "run")
    before = contents(folder)
    for path in (folder.path, folder.path / "run.lock"):
        path.chmod(0o555)
    with (
        unprivileged(),
        pytest.raises(OSError, match=r"could not write .*: permission denied: get permission to write there, or"),
    ):
        run(folder)
    assert contents(folder) == before


def test_a_read_only_file_system_is_said_so(tmp_path, monkeypatch):
    really = open

    def refuse(file, *args, **kwargs):
        if isinstance(file, str | os.PathLike) and str(tmp_path) in os.fspath(file):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return really(file, *args, **kwargs)

    folder = new_folder(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", refuse)
        with pytest.raises(OSError, match="the folder is read-only: make it writable, or choose another place"):
            run(folder)


def test_other_libraries_say_nothing_of_what_we_raise(tmp_path, caplog):
    """Only Orbax's errors, only while there are checkpoints, and nobody else's."""
    place = "/somewhere/orbax/checkpoint/_src/futures/future.py"

    def logged(path, level=logging.ERROR):
        caplog.clear()
        absl = logging.getLogger("absl")
        absl.handle(absl.makeRecord("absl", level, path, 1, "made up", (), None))
        return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]

    assert logged(place) == ["made up"]
    with contextlib.closing(Checkpoints(tmp_path)):
        assert logged(place) == []
        assert logged(place, logging.WARNING) == ["made up"]
        assert logged("/somewhere/else/checkpoint/future.py") == ["made up"]
    assert logged(place) == ["made up"]


# Environments


@pytest.mark.parametrize(
    ("fault", "words"),
    [("raise", "the simulator broke"), ("die", "died with exit code 3"), ("hang", "no answer within 2")],
)
def test_an_environment_that_fails_costs_one_evaluation(tmp_path, caplog, fault, words):
    """Training goes on after a bounded wait, and the next evaluation finds new workers."""
    signs = tmp_path / "broken"
    signs.touch()
    toy = EnvironmentSpec("tests.helpers.toy_environment:DrolToy-v0", (("fault", fault), ("while_there", str(signs))))
    folder = new_folder(tmp_path / "run")
    with Evaluator(toy, workers=1, slots=2, limits=EvaluationLimits(step_seconds=2.0)) as evaluator:

        def evaluate(policy, update):
            try:
                return [as_record(result) for result in evaluator.run(policy, episodes=2, seed=update)]
            finally:
                signs.unlink(missing_ok=True)

        state = run(folder, evaluate=evaluate)
    assert int(state.step) == 40
    metrics, evaluations, *_ = records(folder)
    at = {line["update"]: line for line in metrics}
    assert words in at[20]["evaluation/error"]
    assert "evaluation/episodes" not in at[20]
    assert at[40]["evaluation/episodes"] == 2
    assert [line["update"] for line in evaluations] == [40, 40]
    assert any("training continues" in record.message and words in record.message for record in caplog.records)


def test_the_toy_heals(tmp_path):
    """Else the test above could not tell new workers from old ones."""
    signs = tmp_path / "broken"
    signs.touch()
    toy = Toy(fault="raise", while_there=str(signs))
    toy.reset(seed=0)
    with pytest.raises(RuntimeError, match="the simulator broke"):
        toy.step(np.zeros(3))
    signs.unlink()
    toy.step(np.zeros(3))


# Clocks and other processes


@pytest.mark.parametrize("jump", [-1e6, 1e6])
def test_a_clock_that_jumps_changes_nothing(undisturbed, tmp_path, monkeypatch, jump):
    """By eleven days, while each checkpoint is being written."""
    clock, save, offset = time.time, Checkpoints.save, 0.0

    def jumping(self, *arguments):
        nonlocal offset
        save(self, *arguments)
        offset += jump

    monkeypatch.setattr(time, "time", lambda: clock() + offset)
    monkeypatch.setattr(Checkpoints, "save", jumping)
    folder = new_folder(tmp_path / "run")
    assert_undisturbed(folder, run(folder), undisturbed)


HOLDING = """
import sys, time
from drol.training.folder import RunFolder
with RunFolder(sys.argv[1]).locked():
    print("here", flush=True)
    time.sleep(60)
"""


def test_one_folder_is_for_one_process(undisturbed, tmp_path):
    """The second is refused and told whom to wait for; a killed process leaves no lock behind."""
    folder = new_folder(tmp_path / "run")
    with subprocess.Popen([sys.executable, "-c", HOLDING, str(folder.path)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"here\n"
        with pytest.raises(DataError, match=rf"another process \(ID {process.pid}\) is training in"):
            run(folder)
        process.kill()
    assert_undisturbed(folder, run(folder), undisturbed)


def test_a_requeued_run_waits_for_the_one_that_is_ending(tmp_path):
    folder = new_folder(tmp_path / "run")
    with subprocess.Popen([sys.executable, "-c", HOLDING, str(folder.path)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"here\n"
        with pytest.raises(DataError, match=rf"ID {process.pid}"), RunFolder(folder.path).locked(0.5):
            pass
        threading.Timer(0.5, process.kill).start()
        with RunFolder(folder.path).locked(30.0):
            assert process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("when", ["gone", "another", "old"])
def test_removing_the_lock_lets_nobody_in(tmp_path, when):
    """Whether the file is gone, or another stands in its place; who holds the folder is still told."""
    folder = new_folder(tmp_path / "run")
    with subprocess.Popen([sys.executable, "-c", HOLDING, str(folder.path)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"here\n"
        if when != "old":
            (folder.path / "run.lock").unlink()
        if when == "another":
            (folder.path / "run.lock").touch()
        for _ in range(2):
            with pytest.raises(DataError, match=rf"another process \(ID {process.pid}\) is training in"):
                RunFolder(folder.path).locked().__enter__()
        process.kill()
    with folder.locked():
        assert (folder.path / "run.lock").read_text() == f"{os.getpid()}\n"


def test_a_run_of_an_earlier_version_keeps_its_folder(tmp_path):
    """It locks the file alone."""
    folder = new_folder(tmp_path / "run")
    with open(folder.path / "run.lock", "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("4711\n")
        file.flush()
        with pytest.raises(DataError, match=r"another process \(ID 4711\) is training in"), folder.locked():
            pass
    with folder.locked():
        pass


def test_where_folders_cannot_be_locked_the_file_is(tmp_path, monkeypatch):
    flock = fcntl.flock

    def refuse(handle, operation):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EBADF, "a network file system")
        flock(handle, operation)

    monkeypatch.setattr("drol.training.folder.fcntl.flock", refuse)
    folder = new_folder(tmp_path / "run")
    with folder.locked(), pytest.raises(DataError, match=rf"\(ID {os.getpid()}\)"), RunFolder(folder.path).locked():
        pass


def test_a_lock_removed_between_its_opening_and_its_locking_is_taken_again(tmp_path, monkeypatch):
    flock, removed = fcntl.flock, []

    def remove(handle, operation):
        if not stat.S_ISDIR(os.fstat(handle).st_mode) and not removed:
            removed.append((folder.path / "run.lock").unlink())
        flock(handle, operation)

    folder = new_folder(tmp_path / "run")
    monkeypatch.setattr("drol.training.folder.fcntl.flock", remove)
    with folder.locked():
        assert (folder.path / "run.lock").read_text() == f"{os.getpid()}\n"


# Random kills

VICTIM = """
import sys
import threading
from drol.training.background import Background
from tests.helpers.toy_run import RunFolder, Settings, run
print("here", flush=True)
settings = Settings(**eval(sys.argv[2]))
run(RunFolder(sys.argv[1]), settings, background=Background() if settings.seed % 2 else None)
"""
LONG = {"updates": 3000, "batch_size": 16, "eval_every": 10, "updates_per_call": 5}


def kill_somewhere(path, settings, rng):
    """Train in another process until a random moment; False if training came to its end before."""
    command = [sys.executable, "-W", "ignore", "-c", VICTIM, str(path), repr(settings)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"here\n"
        try:
            return process.wait(timeout=rng.uniform(0.0, 30.0)) != 0
        except subprocess.TimeoutExpired:
            process.kill()
    assert process.returncode == -signal.SIGKILL
    return True


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing(tmp_path):
    """At least 25 of them, and for DROL_SOAK_MINUTES; a run that comes to its end is compared, and the next begins.

    Every other run is evaluated in the background.
    """
    rng, kills, finished, runs = random.Random(), 0, 0, 0
    until = time.monotonic() + 60 * float(os.environ.get("DROL_SOAK_MINUTES", "0"))
    while kills < 25 or time.monotonic() < until:
        runs += 1
        settings = LONG | {"seed": runs}
        folder, reached = new_folder(tmp_path / f"run{runs}"), 0
        while kill_somewhere(folder.path, settings, rng):
            kills += 1
            if folder.checkpoints.exists():
                now = latest(folder) or 0
                assert now >= reached, "a checkpoint was lost"
                reached = now
            if kills >= 25 and time.monotonic() >= until:
                break
        state = run(folder, Settings(**settings))
        again = new_folder(tmp_path / f"undisturbed{runs}")
        assert_undisturbed(folder, state, (again, run(again, Settings(**settings))))
        finished += 1
    print(f"{kills} kills, {finished} runs as if there had been none")
