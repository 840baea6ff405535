"""Commands in processes of their own, each on its share of the cores."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drol.launchers.job import Job
from drol.launchers.local import Commands
from drol.launchers.shares import device_variables, shares, visible_devices
from drol.processes import ASKED_BY


def test_a_command_alone_has_all_cores(tmp_path):
    program = (sys.executable, "-c", "import os, time; time.sleep(0.2); print(len(os.sched_getaffinity(0)))")
    share, whole = (Job(name, program, tmp_path / name) for name in ("share", "all"))
    with Commands(jobs=len(os.sched_getaffinity(0))) as commands:
        assert commands.run(share) == commands.run(whole, alone=True) == 0
    assert int((tmp_path / "share").read_text()) == 1
    assert int((tmp_path / "all").read_text()) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("cores", "jobs", "divided"),
    [
        ({4, 5, 6, 7}, 2, [{4, 6}, {5, 7}]),
        ({0, 1, 2}, 2, [{0, 2}, {1}]),
        ({3}, 2, [None, None]),
        ({0, 1}, 1, [None]),
    ],
)
def test_cores_are_divided_among_jobs(monkeypatch, cores, jobs, divided):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)
    assert [share.cores for share in shares(jobs)] == divided


ASKER = """
import sys
from pathlib import Path
from drol.launchers.job import Job
from drol.launchers.local import Commands

waiting = "import sys, time; from drol.cli import main; main.COMMANDS = {}; main.main(); " + sys.argv[2]
with Commands() as commands:
    commands.run(Job("waiting", (sys.executable, "-c", waiting, sys.argv[1]), Path(sys.argv[1] + ".log")))
"""

NOTE = "import os, signal, pathlib; p = pathlib.Path(sys.argv[1]); q = p.with_suffix('.new'); "


def gone(pid, seconds):
    """Whether a process ends within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("handled", [False, True])
def test_commands_end_when_whoever_asked_for_them_is_killed(tmp_path, handled):
    """As by SIGTERM, which they may handle: then they end in order."""
    child = NOTE
    if handled:
        child += "signal.signal(15, lambda *_: (p.with_suffix('.end').touch(), sys.exit(0))); "
    child += "q.write_text(str(os.getpid())); q.rename(p); time.sleep(60)"
    pid = tmp_path / "pid"
    asker = subprocess.Popen([sys.executable, "-c", ASKER, str(pid), child])
    deadline = time.monotonic() + 30
    while not pid.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    number = int(pid.read_text())
    assert not gone(number, 1.5), "it lives as long as its asker"
    asker.send_signal(signal.SIGKILL)
    asker.wait()
    assert gone(number, 10)
    assert (tmp_path / "pid.end").exists() == handled


def test_what_a_command_starts_is_not_watched_in_turn(tmp_path):
    shown = "import os; from drol.processes import *; end_with_asker(); print(os.environ.get('DROL_ASKED_BY'))"
    with Commands() as commands:
        assert commands.run(Job("shown", (sys.executable, "-c", shown), tmp_path / "log")) == 0
    assert (tmp_path / "log").read_text() == "None\n"
    assert ASKED_BY == "DROL_ASKED_BY"


def test_devices_are_divided_and_shared_ones_give_each_its_memory():
    assert device_variables(2, []) == [{}, {}]
    assert device_variables(2, ["0", "1", "2"]) == [{"CUDA_VISIBLE_DEVICES": "0,2"}, {"CUDA_VISIBLE_DEVICES": "1"}]
    memory = "XLA_PYTHON_CLIENT_MEM_FRACTION"
    assert device_variables(3, ["4", "6"]) == [
        {"CUDA_VISIBLE_DEVICES": "4", memory: "0.45"},
        {"CUDA_VISIBLE_DEVICES": "6", memory: "0.9"},
        {"CUDA_VISIBLE_DEVICES": "4", memory: "0.45"},
    ]


def test_devices_are_those_that_cuda_shows(monkeypatch, tmp_path):
    for name in ("nvidia0", "nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_devices(tmp_path) == ["0", "2", "10"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-ab")
    assert visible_devices(tmp_path) == ["3", "GPU-ab"]
    for nothing in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", nothing)
        assert visible_devices(tmp_path) == []


KILLED = """
import os, signal, sys
with open(sys.argv[1], "a") as file:
    file.write("begun ")
if len(open(sys.argv[1]).read().split()) <= int(sys.argv[2]):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("kills", "status", "begun"), [(0, 0, 1), (2, 0, 3), (9, -signal.SIGKILL, 3)])
def test_a_killed_command_is_started_again_twice(tmp_path, kills, status, begun):
    file = tmp_path / "begun"
    job = Job("killed", (sys.executable, "-c", KILLED, str(file), str(kills)))
    with Commands() as commands:
        assert commands.run(job) == status
    assert len(file.read_text().split()) == begun
