"""The standard streams of a command, which may be closed, full, or a pipe whose reader has gone."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

BROKEN_PIPE = 141
"""The exit status of a program that SIGPIPE ended, as a shell reports it."""


class OutputError(Exception):
    """Nothing more can be written to the standard output. Not an OSError, which libraries might handle themselves."""

    def __init__(self, error: OSError):
        super().__init__(f"could not write to the standard output: {error.strerror}")
        self.is_broken_pipe = isinstance(error, BrokenPipeError)


class GuardedStream:
    """A text stream that raises `OutputError` if it cannot be written to; otherwise the same."""

    def __init__(self, stream: Any):
        self._stream = stream

    def write(self, text: str) -> int:
        return _guarded(self._stream.write, text)

    def writelines(self, lines: Iterable[str]) -> None:
        _guarded(self._stream.writelines, lines)

    def flush(self) -> None:
        _guarded(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _guarded(write: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    try:
        return write(*arguments, **named)
    except OSError as error:
        raise OutputError(error) from error


@contextlib.contextmanager
def guarded_output() -> Iterator[None]:
    """The standard output as a `GuardedStream`, flushed at the end.

    Raises:
        OutputError: if something could not be written; what is still buffered is dropped.
    """
    stream = sys.stdout
    guard = GuardedStream(stream)
    sys.stdout = guard
    try:
        try:
            yield
        finally:
            guard.flush()
    except OutputError:
        _drop(stream)
        raise
    finally:
        if sys.stdout is guard:
            sys.stdout = stream


def open_closed_streams() -> None:
    """Connect closed standard streams to the null device; otherwise the next file opened would take their place."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115  (as long as the program runs)


def say(line: str) -> None:
    """Print to the standard error, if that can be written to."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def flush_errors() -> None:
    """Drop what the standard error cannot take; otherwise the interpreter would change the command's exit status."""
    try:
        sys.stderr.flush()
    except OSError:
        _drop(sys.stderr)


def _drop(stream: Any) -> None:
    """Let the interpreter's own flush at exit succeed."""
    with contextlib.suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)
