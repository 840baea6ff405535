"""Report a failed write once; Orbax itself reports it many times."""

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
    """Keep Orbax from logging failures that it also raises, with a traceback for each of its threads.

    Errors that its modules log go to our own logger at debug level, which is not shown. All other records pass,
    whoever logs them.
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
    """Keep Python from printing errors of writes that continue after another write has failed.

    Tensorstore's threads then call an event loop that is already closed; what they raise does not matter.

    Args:
        failed: whether a write has failed; calls may then still arrive after the checkpoints are closed.

    Returns:
        A function that undoes this, unless a write has failed.
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
