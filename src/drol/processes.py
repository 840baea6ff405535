"""Worker processes that hold one object and answer calls to its methods.

A worker is a fresh interpreter (`python -m drol.processes`) joined by a socket pair. Nothing is forked, so JAX's
threads in the parent do no harm; and the parent's main module is not imported again, so scripts need no guard.
"""

import contextlib
import importlib
import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any


class WorkerError(RuntimeError):
    """A worker process failed, died or did not answer in time."""


class Worker:
    """One child process holding an object.

    Args:
        target: import path of the class the child builds, `"package.module:Class"`.
        args: its arguments.
    """

    def __init__(self, target: str, *args: Any):
        ours, theirs = socket.socketpair()
        # One thread each: the parent decides how many workers share the cores.
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        environment.setdefault("MUJOCO_GL", "disable")
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "drol.processes", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment,
                # Ctrl-C goes to the parent alone, which then closes its workers in order.
                start_new_session=True,
            )
        self.connection = Connection(ours.detach())
        self._target = target
        self.send(target, *args)

    def send(self, method: str, *args: Any) -> None:
        """Ask for a method of the object; `receive` gives its result. Calls are answered in order."""
        try:
            self.connection.send((method, args))
        except OSError:
            raise WorkerError(self._obituary()) from None

    def receive(self, timeout: float | None = None) -> Any:
        """The next result.

        Args:
            timeout: seconds to wait, or None without end.

        Raises:
            WorkerError: with the child's own traceback, if the call raised, the child died or time ran out.
        """
        try:
            if not self.connection.poll(timeout):
                raise WorkerError(f"a worker ({self._target}) gave no answer within {timeout:g} seconds")
            succeeded, result = self.connection.recv()
        except (EOFError, OSError):
            raise WorkerError(self._obituary()) from None
        if not succeeded:
            raise WorkerError(f"a worker ({self._target}) failed:\n{result}")
        return result

    def call(self, method: str, *args: Any, timeout: float | None = None) -> Any:
        """`send`, then `receive`."""
        self.send(method, *args)
        return self.receive(timeout)

    def close(self) -> None:
        """End the child: politely, then by force."""
        self.connection.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _obituary(self) -> str:
        code = self._process.wait(timeout=10)
        cause = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"a worker ({self._target}) died with {cause}; its messages, if any, are above"


@contextlib.contextmanager
def pool(count: int, target: str, *args: Any) -> Iterator[list[Worker]]:
    """`count` workers with the same object, ready to be called; closed at the end."""
    workers: list[Worker] = []
    try:
        for _ in range(count):
            workers.append(Worker(target, *args))
        for worker in workers:
            worker.receive()
        yield workers
    finally:
        close_all(workers)


def close_all(workers: Sequence[Worker]) -> None:
    """Close every worker: all are told first, so that they end side by side."""
    for worker in workers:
        worker.connection.close()
    for worker in workers:
        worker.close()


def ready(workers: Sequence[Worker]) -> list[Worker]:
    """Wait until at least one worker has an answer (or has died), and return all that have."""
    answered = wait([worker.connection for worker in workers])
    return [worker for worker in workers if worker.connection in answered]


def _serve(connection: Connection) -> None:
    target, args = connection.recv()
    module, attribute = target.split(":")
    held = None
    while True:
        try:
            if held is None:
                held = getattr(importlib.import_module(module), attribute)(*args)
                answer = (True, None)
            else:
                answer = (True, getattr(held, target)(*args))
        except Exception:
            answer = (False, traceback.format_exc())
        connection.send(answer)
        target, args = connection.recv()


if __name__ == "__main__":
    with contextlib.suppress(EOFError, ConnectionError, KeyboardInterrupt):
        _serve(Connection(int(sys.argv[1])))
