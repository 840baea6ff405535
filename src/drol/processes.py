"""Worker processes that hold one object and answer calls to its methods.

A worker is a fresh interpreter connected by a socket pair. The parent is not forked, so its JAX threads do no harm, and
its main module is not imported again, so scripts need no `__main__` guard.

The interpreter forks once, before it imports anything: the child holds the object, and the original process guards it.
As soon as the parent is gone, the guard ends the child and everything that the child started, even if the child hangs
in code that holds the GIL.
"""

import contextlib
import ctypes
import importlib
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn

from drol.errors import DataError
from drol.extras import MissingExtraError
from drol.signals import raise_if_stopped

BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from drol.processes import serve; "
    "serve(int(sys.argv[2]), int(sys.argv[3]))"
)

POLL_SECONDS = 0.2
"""How often requests to stop are checked while waiting for an answer."""

WATCH_SECONDS = 0.5
"""How often a guard checks on its parent."""

GRACE_SECONDS = 1.0
"""How long a worker may take to exit by itself before it is killed."""

ASKED_BY = "DROL_ASKED_BY"
"""Environment variable with a process id: the command that finds it ends when that process does."""

END_SECONDS = 60.0
"""How long such a command may take to shut down, with a checkpoint, before it is killed."""

PR_SET_PDEATHSIG = 1
"""Linux: option of `prctl` for the signal that a process gets when its parent dies."""


class WorkerError(RuntimeError):
    """A worker process failed, died or did not answer in time."""


class NoAnswerError(WorkerError):
    """A worker did not answer in time."""


class RefusedError(WorkerError):
    """A worker's object refused a call for a reason that the user can fix; the message is only that reason."""


class Worker:
    """One child process holding an object.

    It finds the modules that this process finds: `sys.path` and the current folder are passed on.

    Args:
        target: import path of the class the child builds, `"package.module:Class"`.
        args: the class's arguments.
        variables: of its environment, in addition to those of this process.
    """

    def __init__(self, target: str, *args: Any, variables: Mapping[str, str] | None = None):
        ours, theirs = socket.socketpair()
        # One thread each: the parent decides how many workers share the cores.
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} | dict(variables or {})
        environment.setdefault("MUJOCO_GL", "disable")
        handle, parent = str(theirs.fileno()), str(os.getpid())
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-P", "-c", BOOT, json.dumps(_search_path()), handle, parent],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment,
                # Ctrl-C reaches only the parent, which then shuts its workers down cleanly.
                start_new_session=True,
            )
        self.connection = Connection(ours.detach())
        self._target = target
        self.send(target, *args)

    def send(self, method: str, *args: Any) -> None:
        """Call a method of the object; `receive` returns its result. Calls are answered in order."""
        try:
            self.connection.send((method, args))
        except OSError:
            raise WorkerError(self._obituary()) from None

    def receive(self, timeout: float | None = None) -> Any:
        """The next result.

        Args:
            timeout: seconds to wait; None waits indefinitely.

        Raises:
            NoAnswerError: if time ran out.
            RefusedError: if the object refused the call, with its reason.
            WorkerError: with the child's own traceback if the call raised, or if the child died.
            StoppedError: inside `stop_requests`, once a stop has been requested.
        """
        try:
            if not _wait([self], timeout):
                raise NoAnswerError(f"a worker ({self._target}) gave no answer within {timeout:g} seconds")
            outcome, result = self.connection.recv()
        except (EOFError, OSError):
            raise WorkerError(self._obituary()) from None
        if outcome == "refused":
            raise RefusedError(result)
        if outcome == "failed":
            raise WorkerError(f"a worker ({self._target}) failed:\n{result}")
        return result

    def call(self, method: str, *args: Any, timeout: float | None = None) -> Any:
        """`send`, then `receive`."""
        self.send(method, *args)
        return self.receive(timeout)

    def close(self) -> None:
        """End the child: ask first, then kill it."""
        close_all([self])

    def _obituary(self) -> str:
        try:
            code = self._process.wait(timeout=GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return f"a worker ({self._target}) closed its connection unexpectedly; did its environment do that?"
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


def end_with_asker() -> None:
    """Watch the process that started this command, if the environment names it: once it is gone, end as on SIGTERM.

    This covers a parent that was killed and could not pass a signal on. The processes that this one starts do not watch
    in turn.
    """
    asker = os.environ.pop(ASKED_BY, "")
    if asker.isdecimal():
        threading.Thread(target=_watch, args=(int(asker),), name="asker", daemon=True).start()


def _watch(asker: int) -> None:
    while os.getppid() == asker:
        time.sleep(WATCH_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(END_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def close_all(workers: Sequence[Worker]) -> None:
    """Close every worker; all are asked first, so that together they take no longer than one grace period."""
    for worker in workers:
        worker.connection.close()
    # A terminated guard ends its child first; if it has to be killed, on Linux its child dies with it.
    left = _ended([worker._process for worker in workers], GRACE_SECONDS)
    for process in left:
        process.terminate()
    for process in _ended(left, GRACE_SECONDS / 2):
        process.kill()
        process.wait()


def _ended(processes: Sequence[subprocess.Popen], seconds: float) -> list[subprocess.Popen]:
    """Wait `seconds` in total for processes to end; returns those that have not."""
    deadline, left = time.monotonic() + seconds, []
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            left.append(process)
    return left


def ready(workers: Sequence[Worker]) -> list[Worker]:
    """Wait until at least one worker has an answer (or has died), and return all that have.

    Raises:
        StoppedError: inside `stop_requests`, once a stop has been requested.
    """
    return _wait(workers, None)


def _wait(workers: Sequence[Worker], timeout: float | None) -> list[Worker]:
    """The workers that have an answer, as soon as one has; none if time runs out. Raises as `ready`."""
    deadline = float("inf") if timeout is None else time.monotonic() + timeout
    while True:
        raise_if_stopped()
        left = deadline - time.monotonic()
        answered = wait([worker.connection for worker in workers], min(max(left, 0.0), POLL_SECONDS))
        if answered or left <= 0:
            return [worker for worker in workers if worker.connection in answered]


def _search_path() -> list[str]:
    """Where a worker looks for modules: where this process does, then in the current folder."""
    path = [os.path.abspath(entry) for entry in sys.path]
    return [*path, *({os.getcwd()} - set(path))]


def serve(handle: int, parent: int) -> None:
    """A worker's main function: answer incoming calls, guarded by another process.

    Args:
        handle: file descriptor of the socket.
        parent: id of the process that makes the calls.
    """
    os.set_inheritable(handle, False)  # or processes that the child starts would keep the connection open
    watched, held = os.pipe()
    guard, child = os.getpid(), os.fork()
    if child:
        os.close(held)
        os.close(handle)
        _guard(child, parent, watched)
    os.close(watched)
    os.setpgid(0, 0)
    _die_with(guard)
    with contextlib.suppress(EOFError, ConnectionError, KeyboardInterrupt):
        _answer(Connection(handle))


def _die_with(guard: int) -> None:
    """Have the kernel kill this process when its guard dies, where supported."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != guard:
        os._exit(1)


def _guard(child: int, parent: int, watched: int) -> NoReturn:
    """Wait until the child ends, the parent is gone or SIGTERM arrives; kill what is left, and exit as the child did.

    Args:
        child: id of the process to guard, together with its process group.
        parent: id of the process whose end also ends the child.
        watched: a pipe that closes when the child ends.
    """
    requests: list[int] = []
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _: requests.append(number))
    with contextlib.suppress(OSError):  # the child has already done so
        os.setpgid(child, child)
    pipes, ended, status = [watched], 0, 0
    while not requests and not ended and os.getppid() == parent:
        # Once the pipe closes, the child ends soon, unless it has merely closed all its file descriptors.
        if select.select(pipes, [], [], WATCH_SECONDS if pipes else WATCH_SECONDS / 10)[0]:
            pipes = []
        ended, status = os.waitpid(child, os.WNOHANG)
    with contextlib.suppress(OSError):  # no process is left
        os.killpg(child, signal.SIGKILL)
    if not ended:
        _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if code != -signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)


def _answer(connection: Connection) -> None:
    """Build the object, then answer calls to its methods until the connection ends."""
    target, args = connection.recv()
    module, attribute = target.split(":")
    held = None
    while True:
        try:
            if held is None:
                held = getattr(importlib.import_module(module), attribute)(*args)
                answer = ("done", None)
            else:
                answer = ("done", getattr(held, target)(*args))
        except (DataError, MissingExtraError) as error:
            answer = ("refused", str(error))
        except Exception:
            answer = ("failed", traceback.format_exc())
        connection.send(answer)
        target, args = connection.recv()


def cores() -> int:
    """The number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
