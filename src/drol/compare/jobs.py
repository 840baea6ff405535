"""Commands run in separate processes, one after the other or several at once, that stop cleanly when asked to."""

import contextlib
import os
import queue
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drol.processes import ASKED_BY
from drol.signals import StoppedError


class Commands:
    """Runs commands; inside this context, they receive SIGINT and SIGTERM, and `run` raises once they have ended.

    Commands that call `drol.processes.end_with_asker`, as `drol` does, also end when this process is killed.

    Must be entered in the main thread; `run` may be called from any.

    Args:
        program: what every command begins with.
        jobs: how many commands share the machine. With more than one, each has its own cores: products of small
            matrices gain little from a second core, while training two networks at once uses all of it.
    """

    def __init__(self, program: Sequence[str], jobs: int = 1):
        self._program = program
        self._places: queue.SimpleQueue[set[int] | None] = queue.SimpleQueue()
        for place in _shares(jobs):
            self._places.put(place)
        self._children: set[subprocess.Popen] = set()
        self._stopped_by: int | None = None

    def __enter__(self) -> "Commands":
        self._previous = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def run(self, arguments: Sequence[Any], *, log: Path | None = None, alone: bool = False) -> int:
        """Run one command to its end, on the next free share of the cores; returns its exit status.

        Args:
            arguments: what follows the program.
            log: a file to which the command's output is appended; None for the terminal.
            alone: no other command runs at the same time, so it has all cores.

        Raises:
            StoppedError: once the command has ended, if a signal came in the meantime or before.
        """
        place = self._places.get()
        try:
            self.raise_if_stopped()
            status = self._run([*self._program, *map(str, arguments)], None if alone else place, log)
        finally:
            self._places.put(place)
        self.raise_if_stopped()
        return status

    def _run(self, command: list[str], place: set[int] | None, log: Path | None) -> int:
        with contextlib.ExitStack() as stack:
            output = None
            if log is not None:
                log.parent.mkdir(parents=True, exist_ok=True)
                output = stack.enter_context(log.open("ab"))
            # In a new process session, so that the terminal's Ctrl-C reaches it only once, through us.
            child = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=os.environ | {ASKED_BY: str(os.getpid())},
            )
            self._children.add(child)
            if place is not None:
                # This is long before JAX starts its threads. A command that has already ended needs no cores.
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(child.pid, place)
            if self._stopped_by is not None:  # while it was being started
                child.send_signal(self._stopped_by)
            try:
                return child.wait()
            finally:
                self._children.discard(child)

    def _stop(self, number: int, _) -> None:
        self._stopped_by = number
        for child in list(self._children):
            child.send_signal(number)

    def raise_if_stopped(self) -> None:
        """Raise `StoppedError` if a signal has come."""
        if self._stopped_by is not None:
            raise StoppedError(self._stopped_by)


def _shares(jobs: int) -> list[set[int] | None]:
    """The cores of each job; None if they are not divided: for one job, too few cores, or no way to assign them."""
    if jobs == 1 or not hasattr(os, "sched_getaffinity"):
        return [None] * jobs
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < jobs:
        return [None] * jobs
    return [set(cores[job::jobs]) for job in range(jobs)]
