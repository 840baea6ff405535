"""One run over two processes of two devices each, on this machine: JAX's distributed runtime over gloo."""

import os
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from drol.cli.main import _expected_errors
from drol.training import distributed
from tests.helpers.ports import free_port
from tests.helpers.toy_run import latest, new_folder, records, run

PROCESS = """
import os, signal, sys
from drol.training import distributed
from drol.training.pack import Pack

process, port, path, number, at = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
distributed.start(f"localhost:{port}", 2, process)

import jax
from tests.helpers.toy_run import SETTINGS, RunFolder, algorithm, data, run

assert jax.device_count() == 4 and jax.local_device_count() == 2
table = data().sharded(jax.devices())
if process == 0:
    with distributed.Leader() as leader:
        leader.brief({"seed": SETTINGS.seed})
        state = run(RunFolder(path), table=table)
    print("update", int(state.step), flush=True)
else:
    train = Pack.train

    def signalled(self, **options):
        if int(self._state.step) == at:
            os.kill(os.getpid(), number)
        return train(self, **options)

    Pack.train = signalled
    config = distributed.briefing()
    with distributed.getting_ready():
        if at < 0:
            raise distributed.DataError("no data here")
        rows = [shard.data.shape[0] for shard in table.actions.addressable_shards]
        assert rows == [50, 50], rows
    print("good", distributed.follow(algorithm(), table, config["seed"]) is not None, flush=True)
"""


def two_processes(path, number, at):
    """Status and output of both, of which process 1 gets a signal before the chunk that begins at an update."""
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    arguments = [str(free_port()), str(path), str(int(number)), str(at)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    processes = [
        subprocess.Popen([sys.executable, "-W", "ignore", "-c", PROCESS, str(process), *arguments], **pipes)
        for process in (0, 1)
    ]
    try:
        outputs = [process.communicate(timeout=180) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *output) for process, output in zip(processes, outputs, strict=True)]


@pytest.mark.ci
def test_two_processes_train_what_one_trains_and_survive_signals(undisturbed, tmp_path):
    """A SIGTERM at process 1 ends both with a checkpoint; a kill -9 of it ends process 0 with a clear error."""
    folder = new_folder(tmp_path / "run")
    leader, follower = two_processes(folder.path, signal.SIGTERM, 20)
    assert leader[0] == follower[0] == 0, (leader, follower)
    assert "update 25" in leader[1]
    assert "good True" in follower[1]
    assert latest(folder) == 25
    leader, follower = two_processes(folder.path, signal.SIGKILL, 35)
    assert follower[0] == -signal.SIGKILL
    assert leader[0] not in (0, None)
    assert "LostProcessError: another process of this run is gone" in leader[2], leader[2]
    assert "--resume" in leader[2]
    assert latest(folder) == 25
    state = run(folder)
    for mine, other in zip(jax.tree.leaves(state), jax.tree.leaves(undisturbed[1]), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)
    (metrics, evaluations, *_), (expected, *_) = records(folder), records(undisturbed[0])
    assert [line.keys() for line in metrics] == [line.keys() for line in expected]
    assert [line["critic_loss"] for line in metrics] == pytest.approx(
        [line["critic_loss"] for line in expected], rel=1e-4
    )
    assert len(evaluations) == 6


def test_a_process_that_cannot_begin_ends_all(tmp_path):
    """Each says why, and no checkpoint is begun."""
    folder = new_folder(tmp_path / "run")
    leader, follower = two_processes(folder.path, 0, -1)
    assert "DataError: no data here" in follower[2]
    assert "DataError: process 1 could not begin; its own output says why" in leader[2]
    assert leader[0] != 0
    assert follower[0] != 0
    assert not folder.checkpoints.exists()


def test_what_only_one_process_can_do_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ValueError, match="several processes train one run on sharded data"):
        run(new_folder(tmp_path / "run"))


def test_processes_that_cannot_be_counted_are_asked_for():
    """In a process of its own: JAX must not have begun."""
    code = "from drol.cli.main import main; raise SystemExit(main(['train', 'x', '--distributed']))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    assert "give --coordinator HOST:PORT, --processes N and --process I" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_lost_process_is_no_bug():
    assert distributed.LostProcessError in _expected_errors()
