"""Commands run one after the other, each in a process of its own, that stop in order when asked to."""

import signal
import subprocess
from collections.abc import Sequence
from typing import Any


class StoppedError(Exception):
    """A signal asked to stop; `number` is which."""

    def __init__(self, number: int):
        super().__init__(f"stopped by signal {number}")
        self.number = number


class Commands:
    """While it is entered, SIGINT and SIGTERM go to the running command, which ends as it sees fit; then `run` raises.

    Must be entered in the main thread.

    Args:
        program: what every command begins with.
    """

    def __init__(self, program: Sequence[str]):
        self._program = program
        self._child: subprocess.Popen | None = None
        self._stopped_by: int | None = None

    def __enter__(self) -> "Commands":
        self._previous = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def run(self, arguments: Sequence[Any]) -> int:
        """Run one command to its end; returns its exit status.

        Raises:
            StoppedError: once the command has ended, if a signal came meanwhile or before.
        """
        self._raise_if_stopped()
        # A session of its own: the terminal's Ctrl-C reaches it through us alone, once.
        self._child = subprocess.Popen([*self._program, *map(str, arguments)], start_new_session=True)
        if self._stopped_by is not None:  # while it was being started
            self._child.send_signal(self._stopped_by)
        status = self._child.wait()
        self._raise_if_stopped()
        return status

    def _stop(self, number: int, _) -> None:
        self._stopped_by = number
        if self._child is not None:
            self._child.send_signal(number)

    def _raise_if_stopped(self) -> None:
        if self._stopped_by is not None:
            raise StoppedError(self._stopped_by)
