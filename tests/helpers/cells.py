"""Commands that take the place of cells in tests of launchers: they count to three, and remember how far they came."""

import os
import signal
import sys
import time
from pathlib import Path

from drol.launchers.job import Job
from drol.processes import end_with_asker

COUNTING = "import sys; from tests.helpers.cells import count; sys.exit(count(*sys.argv[1:]))"


def cell(folder, name, plan="count"):
    """A job that counts in `folder/NAME.count`."""
    command = (sys.executable, "-c", COUNTING, str(folder / f"{name}.count"), plan)
    return Job(name, command, folder / f"{name}.log")


def count(path, plan):
    """Append numbers up to three, one every tenth of a second; SIGTERM ends it in order.

    Args:
        path: the file.
        plan: `count`; `fail`; `hang` after the first number, unless there already is one; `kill` likewise, with SIGKILL
            for itself.
    """
    end_with_asker()
    path = Path(path)
    reached = len(path.read_text().split()) if path.exists() else 0
    if plan == "fail":
        print("made up", flush=True)
        return 3
    first = reached == 0
    for number in range(reached, 3):
        with path.open("a") as file:
            file.write(f"{number} ")
        if plan == "hang" and first:
            signal.signal(signal.SIGTERM, lambda *_: end(path))
            path.with_suffix(".hangs").write_text(str(os.getpid()))
            while True:
                time.sleep(0.05)
        if plan == "kill" and first:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.1)
    return 0


def end(path):
    """What a cell does when it is stopped: it takes a while, as a checkpoint does."""
    time.sleep(0.5)
    path.with_suffix(".ended").touch()
    sys.exit(143)


def counted(folder, name):
    """How far a cell came, as it wrote it."""
    return (folder / f"{name}.count").read_text().split()


def hanging(folder, name, seconds=60):
    """The process of a cell that hangs, once it does."""
    path, deadline = folder / f"{name}.hangs", time.monotonic() + seconds
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, f"{name} was not started"
        time.sleep(0.05)
    return int(path.read_text())


def parent(process):
    """The process that started another."""
    return int(_stat(process)[1])


def alive(process):
    """Whether a process has not ended."""
    try:
        return _stat(process)[0] != "Z"
    except OSError:
        return False


def _stat(process):
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
