"""Runs: records, evaluation, exact resume after kill -9, clean stops, refusals."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from drol import DROL, ReplayData, from_arrays, load_policy
from drol.files import DataError
from drol.training.checkpoint import Checkpoints
from drol.training.run import DivergedError, RunFolder, Settings, chunk_length, train

WALL_CLOCK = {"updates_per_second"}


def data(seed=0, count=200):
    rng = np.random.default_rng(seed)
    observations = rng.normal(size=(count, 4))
    following = np.concatenate([observations[1:], rng.normal(size=(1, 4))])
    actions = rng.uniform(-1, 1, (count, 3))
    terminated = rng.random(count) < 0.05
    arrays = from_arrays(observations, actions, rng.normal(size=count), terminated, following)
    return ReplayData.from_transitions(arrays)


def algorithm(**options):
    return DROL(hidden=(16, 16), num_candidates=4, **options)


SETTINGS = Settings(seed=3, updates=40, batch_size=16, eval_every=20, chunk=5)


def fake_evaluation(policy, update):
    """An 'environment' whose outcome depends on the policy's parameters."""
    action = free_action(policy)
    return [
        {"episode": i, "seed": i, "return": float(action[0]) + i, "length": 1, "success": i % 2 == 0} for i in range(3)
    ]


def free_action(policy):
    return np.asarray(jax.jit(lambda p: p(jnp.full(4, 0.5), key=jax.random.key(0)))(policy))


def run(folder, settings=SETTINGS, **options):
    options = {"validation": data(1), "evaluate": fake_evaluation} | options
    return train(algorithm(), data(), folder, settings, **options)


def new_folder(path):
    folder = RunFolder(path)
    folder.create({"hello": 1})
    return folder


def latest(folder):
    with contextlib.closing(Checkpoints(folder.checkpoints)) as checkpoints:
        return checkpoints.latest()


def records(folder):
    """Both record files without wall-clock fields."""
    metrics = [{k: v for k, v in line.items() if k not in WALL_CLOCK} for line in folder.metrics.read()]
    return metrics, folder.evaluations.read()


def assert_identical(ours, theirs):
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = new_folder(tmp_path_factory.mktemp("runs") / "undisturbed")
    return folder, run(folder)


def test_a_run_leaves_its_records(undisturbed):
    folder, state = undisturbed
    assert int(state.step) == 40
    metrics, evaluations = records(folder)
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


@pytest.mark.parametrize("stop_at", [5, 20, 35])
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
import sys
from tests.training.test_run import SETTINGS, new_folder, RunFolder, run
from pathlib import Path
folder = RunFolder(sys.argv[1]) if Path(sys.argv[1]).exists() else new_folder(sys.argv[1])
print("ready", flush=True)
run(folder)
"""


def test_kill_9_then_resume_is_bit_identical(undisturbed, tmp_path):
    """Killed at several moments of its life, each time in the middle of whatever it does."""
    path = tmp_path / "run"
    flags = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache")}
    for wait in (3.0, 4.0, 5.5):
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", KILLED, str(path)], stdout=subprocess.PIPE, env=flags
        )
        process.stdout.readline()
        threading.Timer(wait, process.kill).start()
        process.wait()
        process.stdout.close()
    # As if it had died between a record and its checkpoint, and within a line.
    folder = RunFolder(path)
    if folder.metrics._path.exists():
        last = latest(folder) or 0
        folder.metrics.append({"update": last + 5, "torn": 1})
        with open(folder.metrics._path, "ab") as file:
            file.write(b'{"update": 99')
    assert_identical(run(folder), undisturbed[1])
    assert records(folder) == records(undisturbed[0])


def test_a_finished_run_can_be_extended(undisturbed, tmp_path):
    folder = new_folder(tmp_path / "run")
    run(folder, Settings(seed=3, updates=20, batch_size=16, eval_every=20, chunk=5))
    assert_identical(run(folder), undisturbed[1])
    assert records(folder) == records(undisturbed[0])


def test_divergence_stops_with_the_last_good_checkpoint(tmp_path):
    folder = new_folder(tmp_path / "run")
    broken = data()
    broken = ReplayData(**{**vars(broken), "rewards": broken.rewards.at[:].set(np.nan)})
    with pytest.raises(DivergedError, match=r"between updates 0 and 5; the last good checkpoint is update 0"):
        train(algorithm(), broken, folder, SETTINGS)


def test_a_used_folder_is_refused(tmp_path):
    new_folder(tmp_path / "run")
    before = (tmp_path / "run" / "config.json").read_text()
    with pytest.raises(DataError, match="exists already; add --resume"):
        new_folder(tmp_path / "run")
    assert (tmp_path / "run" / "config.json").read_text() == before
    with pytest.raises(DataError, match="holds no run"):
        RunFolder(tmp_path / "nowhere").read_config()


def test_chunks_must_fit():
    assert chunk_length(45_000, 5_000) == 500
    assert chunk_length(21, 14) == 7
    with pytest.raises(ValueError, match="common divisor"):
        chunk_length(1001, 1000)
    with pytest.raises(ValueError, match="multiples of the chunk length"):
        Settings(updates=10, eval_every=5, chunk=4)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        Settings(batch_size=0)


def test_a_checkpoint_of_another_shape_is_refused(undisturbed):
    folder, _ = undisturbed
    other = DROL(hidden=(8, 8), num_candidates=4)
    with pytest.raises(DataError, match="does not fit this configuration"):
        train(other, data(), folder, SETTINGS)


def test_a_checkpoint_on_a_full_disk_keeps_the_earlier_ones(tmp_path, monkeypatch):
    folder = new_folder(tmp_path / "run")
    run(folder, Settings(seed=3, updates=20, batch_size=16, eval_every=20, chunk=5), evaluate=None)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ocp.CheckpointManager, "save", full)
    with pytest.raises(OSError, match="the disk is full: free some space"):
        run(folder, evaluate=None)
    assert latest(folder) == 20
