"""Disks that refuse during training: one line, which says how to resume, and nothing of other libraries."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from drol.cli.main import main
from drol.experiment.progress import RunProgress
from tests.cli.test_own_data import write_log

AT = 20
"""The update after which the disk refuses; the next checkpoint is due at 30."""


def full(_):
    """Every file that is written in one piece and every one of tensorstore's ends early, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))


def locked(run):
    for folder, _, _ in os.walk(run):
        os.chmod(folder, 0o555)
    if os.geteuid() == 0:
        os.seteuid(65534)  # permissions mean nothing to root


def removed(run):
    shutil.rmtree(run)


def renamed(run):
    os.rename(run, f"{run}-renamed")


FAULTS = {fault.__name__: fault for fault in (full, locked, removed, renamed)}


def stand_in():
    """`drol train`, whose disk refuses after an update."""
    fault, run, *arguments = sys.argv[1:]
    write = RunProgress.write

    def writing(self, update, metrics):
        write(self, update, metrics)
        if update == AT:
            FAULTS[fault](run)

    RunProgress.write = writing
    return main(["train", *arguments, "--out", run])


def train(*words):
    code = "import sys; from tests.cli.test_disk import stand_in; sys.exit(stand_in())"
    return subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True)


@pytest.fixture
def place():
    """Unlike pytest's own, a folder that others than its owner find."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("full", "the file would exceed the allowed size: raise the limit (ulimit -f), then continue with the same"),
        ("locked", "permission denied: get permission to write there, then continue with the same"),
        ("removed", "the folder is gone; was it removed or renamed during training?: put it back, then"),
        ("renamed", "the folder is gone; was it removed or renamed during training?: put it back, then"),
    ],
)
def test_one_line_says_what_happened_and_how_to_resume(place, fault, said):
    log, run = place / "robot.npz", place / "run"
    write_log(log)
    options = ("--env", "none", "--algorithm", "bc", "--hidden", 32, 32, "--eval-every", 10, "--action-low", -3)
    result = train(fault, run, log, *options, "--action-high", 1, "--updates", 60)
    assert result.returncode == 1
    line, *more = result.stderr.splitlines()
    assert not more, result.stderr
    assert line.startswith(f"drol: error: could not write {run}/checkpoints: {said}")
    if fault == "full":
        assert line.endswith("continue with the same command and --resume")
        assert main(["train", str(log), "--out", str(run), "--resume"]) == 0
