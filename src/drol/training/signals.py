"""Requests to stop, taken note of instead of obeyed at once."""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collect the first SIGINT or SIGTERM in a list instead of ending the process; a second one acts as usual.

    Outside the main thread, where Python allows no signal handler, the list stays empty.
    """
    requests: list[int] = []
    previous: dict[int, Any] = {}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def request(number: int, _) -> None:
        requests.append(number)
        restore()

    with contextlib.suppress(ValueError):
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, request)
    try:
        yield requests
    finally:
        restore()
