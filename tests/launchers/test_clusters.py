"""Slurm (submitit's local executor) and Ray (a local one): cells run to their ends whatever happens to workers."""

import os
import shutil
import signal
import threading
import time

import pytest

from drol.errors import UsageError
from drol.launchers.local import Commands
from drol.signals import StoppedError
from tests.helpers.cells import alive, cell, counted, hanging, parent
from tests.helpers.ray_marks import RAY

THREE = ["0", "1", "2"]


def nothing():
    """No signal came."""


def slurm(folder, together=1, raise_if_stopped=nothing, cluster="local", **parameters):
    from drol.launchers.slurm import Slurm

    given = {"timeout_min": 5, **parameters}
    return Slurm(folder / "slurm", given, together=together, raise_if_stopped=raise_if_stopped, cluster=cluster)


def ray(folder, together=1, raise_if_stopped=nothing):
    from drol.launchers.on_ray import Ray

    return Ray({"num_cpus": 0.5}, raise_if_stopped=raise_if_stopped)


def local(folder, together=1, raise_if_stopped=nothing):
    return Commands(2)


def launched(launcher, jobs):
    begun, ended = [], {}
    launcher.launch(jobs, lambda job: begun.append(job.name), lambda job, status: ended.update({job.name: status}))
    assert begun == [job.name for job in jobs]
    return ended


@pytest.fixture(params=[local, slurm, pytest.param(ray, marks=RAY)])
def launcher(request):
    if request.param is slurm:
        pytest.importorskip("submitit")
    if request.param is ray:
        pytest.importorskip("ray")
    return request.param


def test_cells_run_to_their_ends_and_one_that_fails_stops_no_other(launcher, tmp_path):
    jobs = [cell(tmp_path, "a"), cell(tmp_path, "b", "fail"), cell(tmp_path, "c", "kill")]
    assert launched(launcher(tmp_path, together=2), jobs) == {"a": 0, "b": 3, "c": 0}
    assert counted(tmp_path, "a") == counted(tmp_path, "c") == THREE
    assert (tmp_path / "b.log").read_text() == "made up\n"


def test_a_killed_worker_goes_on_where_it_was(launcher, tmp_path):
    """The process that runs the command is killed, as with its machine; the command ends, and is started again."""
    job = cell(tmp_path, "a", "hang")

    def kill():
        number = hanging(tmp_path, "a")
        os.kill(number if launcher is local else parent(number), signal.SIGKILL)

    threading.Thread(target=kill).start()
    assert launched(launcher(tmp_path), [job]) == {"a": 0}
    assert counted(tmp_path, "a") == THREE


def test_a_signal_ends_commands_in_order(launcher, tmp_path):
    job, stopped = cell(tmp_path, "a", "hang"), threading.Event()

    def raise_if_stopped():
        if stopped.is_set():
            raise StoppedError(signal.SIGTERM)

    started = launcher(tmp_path, raise_if_stopped=raise_if_stopped)

    def stop():
        hanging(tmp_path, "a")
        if launcher is local:
            started.stop(signal.SIGTERM)
        stopped.set()

    threading.Thread(target=stop).start()
    with pytest.raises(StoppedError):
        started.launch([job], lambda _: None, lambda *_: None)
    number = hanging(tmp_path, "a")
    deadline = time.monotonic() + 20
    while alive(number) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(number)
    assert launched(launcher(tmp_path), [job]) == {"a": 0}
    assert counted(tmp_path, "a") == THREE


def test_slurm_requeues_a_task_whose_time_is_up(tmp_path):
    pytest.importorskip("submitit")
    import submitit

    from drol.launchers.slurm import Task

    executor = submitit.LocalExecutor(tmp_path / "slurm")
    executor.update_parameters(timeout_min=5)
    task = executor.submit(Task((cell(tmp_path, "a", "hang"), cell(tmp_path, "b"))))
    os.kill(parent(hanging(tmp_path, "a")), signal.SIGUSR2)  # what Slurm is asked to send before the end
    assert task.result() == [0, 0]
    assert counted(tmp_path, "a") == counted(tmp_path, "b") == THREE


def test_what_slurm_or_ray_refuse_is_said(tmp_path):
    pytest.importorskip("submitit")
    with pytest.raises(UsageError, match=r"submitit refuses: .*slurm_partitoin"):
        slurm(tmp_path, slurm_partitoin="gpu")
    if shutil.which("srun") is None:
        with pytest.raises(UsageError, match=r"submitit refuses: .*srun"):
            slurm(tmp_path, cluster="slurm")
