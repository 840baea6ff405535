"""Disks that refuse during training: one line, which says how to resume, and nothing of other libraries."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from drol.cli.main import main
from tests.helpers.samples import sampled
from tests.helpers.toy_logs import write_log


def train(*words):
    code = "import sys; from tests.helpers.refusing_disk import stand_in; sys.exit(stand_in())"
    return subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True)


@pytest.fixture
def place():
    """Unlike pytest's own, a folder that others than its owner find."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


FULL = ("full", "the file would exceed the allowed size: raise the limit (ulimit -f), then continue with the same")
REMOVED = ("removed", "the folder is gone; was it removed or renamed during training?: put it back, then")


@pytest.mark.parametrize(
    ("fault", "said"),
    sampled(
        [
            FULL,
            ("locked", "permission denied: get permission to write there, then continue with the same"),
            REMOVED,
            ("renamed", "the folder is gone; was it removed or renamed during training?: put it back, then"),
        ],
        [FULL, REMOVED],
    ),
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
