"""Requests to stop: recorded instead of ending the process at once, and honoured where it waits for its workers."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)

_active: dict[int, list[int]] = {}
"""The request lists of all active contexts, in any thread, by identity."""

_previous: dict[int, Any] = {}
"""The signal handlers that ours replace, while ours are installed."""


class StoppedError(Exception):
    """A request to stop was honoured.

    Attributes:
        number: the signal's number.

    Args:
        number: the signal's number.
        kept: what of the work is kept, and how to go on.
    """

    def __init__(self, number: int, kept: str | None = None):
        said = f"stopped by {signal.Signals(number).name}"
        super().__init__(said if kept is None else f"{said}: {kept}")
        self.number = number


@contextlib.contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collect the first SIGINT or SIGTERM in a list instead of ending the process; a second one acts as usual.

    Python runs signal handlers only in the main thread, so they are installed there. A context in another thread is
    notified of signals only while the main thread is in a context too, but always of `request_stop`.
    """
    requests = [*_heard()[:1]]
    _active[id(requests)] = requests
    installs = threading.current_thread() is threading.main_thread() and not _previous and not requests
    if installs:
        for number in SIGNALS:
            _previous[number] = signal.signal(number, _on_signal)
    try:
        yield requests
    finally:
        del _active[id(requests)]
        if installs:
            _restore()


def request_stop(number: int = signal.SIGTERM) -> None:
    """Ask everything inside `stop_requests` to stop, as the signal would; may be called from any thread."""
    for requests in list(_active.values()):
        requests.append(number)


def raise_if_stopped() -> None:
    """Raise `StoppedError` inside `stop_requests`, once a stop has been requested."""
    if heard := _heard():
        raise StoppedError(heard[0])


def _heard() -> list[int]:
    return next((requests for requests in list(_active.values()) if requests), [])


def _on_signal(number: int, _: FrameType | None) -> None:
    request_stop(number)
    _restore()


def _restore() -> None:
    while _previous:
        number, handler = _previous.popitem()
        # None stands for a handler that was not installed from Python, which therefore cannot restore it.
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
