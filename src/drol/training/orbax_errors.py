"""Orbax reports a failed write many times over; once is enough."""

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

logger = logging.getLogger("drol")


@contextlib.contextmanager
def said_once() -> Iterator[None]:
    """Keep Orbax from logging, with a traceback for each of its threads, the failures that it raises as well.

    What its modules log as errors is passed on to our own logger, below the level that is shown. All else is let
    through, whoever logs it.
    """

    def is_wanted(record: logging.LogRecord) -> bool:
        if record.levelno < logging.ERROR or "orbax" not in Path(record.pathname).parts:
            return True
        logger.debug("Orbax: %s", record.getMessage())
        return False

    absl = logging.getLogger("absl")
    absl.addFilter(is_wanted)
    try:
        yield
    finally:
        absl.removeFilter(is_wanted)


def drop_late_callbacks(failed: Callable[[], bool]) -> Callable[[], None]:
    """Keep Python from printing that writes which go on after one has failed find nobody to report to.

    Tensorstore's threads then call an event loop that is closed already, and what they raise concerns no one.

    Args:
        failed: whether a write has; calls may still be on their way after the checkpoints are closed.

    Returns:
        What takes this back, if none has failed.
    """
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        late = isinstance(unraisable.exc_value, RuntimeError) and str(unraisable.exc_value) == "Event loop is closed"
        if not (late and unraisable.object is None and threading.current_thread() is not threading.main_thread()):
            before(unraisable)

    def take_back() -> None:
        if not failed() and sys.unraisablehook is hook:
            sys.unraisablehook = before

    sys.unraisablehook = hook
    return take_back
