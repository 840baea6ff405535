"""A cell of a grid as a command, and what runs many of them."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

RETRIES = 2
"""How often a command that was killed, or whose machine was lost, is started again."""

LOST = -256
"""Instead of an exit status, if a job was lost with its machine as often as that."""

POLL_SECONDS = 1.0
"""How often jobs elsewhere are asked for."""


@dataclasses.dataclass(frozen=True)
class Job:
    """A command that goes on where it was stopped when it is started again, as `drol train --requeue` does.

    Attributes:
        name: what it is called.
        command: program and arguments.
        log: the file to which its output is appended; None for the terminal.
        folder: where it runs.
    """

    name: str
    command: tuple[str, ...]
    log: Path | None = None
    folder: Path = dataclasses.field(default_factory=Path.cwd)


Begun = Callable[[Job], None]
Ended = Callable[[Job, int], None]


@runtime_checkable
class Launcher(Protocol):
    """Runs jobs."""

    def launch(self, jobs: Sequence[Job], begun: Begun, ended: Ended) -> None:
        """Run jobs to their ends. One that fails does not stop the others; one that is killed is started again.

        Args:
            jobs: what to run.
            begun: is told of each job when it is started or submitted.
            ended: is told of each job with its exit status (negative: the signal that killed it, or `LOST`).

        Raises:
            StoppedError: once all that was started has ended, if a signal came in the meantime or before.
        """
        ...
