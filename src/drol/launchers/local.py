"""Commands run in separate processes, one after the other or several at once, that stop cleanly when asked to."""

import contextlib
import os
import queue
import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from drol.launchers.job import RETRIES, Begun, Ended, Job
from drol.launchers.shares import Share, shares
from drol.processes import ASKED_BY
from drol.signals import StoppedError


class Commands:
    """Runs commands on this machine, each on its share; `stop` sends them a signal.

    As a context, entered in the main thread, it stops them on SIGINT and SIGTERM. Commands that call
    `drol.processes.end_with_asker`, as `drol` does, also end when this process is killed.

    Args:
        jobs: how many commands share the machine.
        share: what the only one gets; None for the whole machine.
    """

    def __init__(self, jobs: int = 1, share: Share | None = None):
        self._jobs = jobs
        self._shares: queue.SimpleQueue[Share] = queue.SimpleQueue()
        for given in [share] if share is not None else shares(jobs):
            self._shares.put(given)
        self._children: set[subprocess.Popen] = set()
        self._stopped_by: int | None = None

    def __enter__(self) -> "Commands":
        stop = lambda number, _: self.stop(number)  # noqa: E731
        self._previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def launch(self, jobs: Sequence[Job], begun: Begun, ended: Ended) -> None:
        """Run jobs, several at once. See `Launcher`."""

        def finish(job: Job) -> int:
            self.raise_if_stopped()
            begun(job)
            return self.run(job)

        with ThreadPoolExecutor(self._jobs) as pool:
            futures = {pool.submit(finish, job): job for job in jobs}
            for future in as_completed(futures):
                with contextlib.suppress(StoppedError):  # raised once all have ended
                    ended(futures[future], future.result())
        self.raise_if_stopped()

    def run(self, job: Job, *, alone: bool = False) -> int:
        """Run one command to its end, on the next free share; returns its exit status. May be called from any thread.

        Args:
            job: the command; if it is killed, it is started again.
            alone: no other command runs at the same time, so it has the whole machine.

        Raises:
            StoppedError: once the command has ended, if a signal came in the meantime or before.
        """
        share = self._shares.get()
        try:
            status = self._run(job, Share() if alone else share)
            for _ in range(RETRIES):
                if status < 0:
                    status = self._run(job, Share() if alone else share)
            return status
        finally:
            self._shares.put(share)

    def _run(self, job: Job, share: Share) -> int:
        self.raise_if_stopped()
        with contextlib.ExitStack() as stack:
            output = None
            if job.log is not None:
                log = job.folder / job.log
                log.parent.mkdir(parents=True, exist_ok=True)
                output = stack.enter_context(log.open("ab"))
            # In a new process session, so that the terminal's Ctrl-C reaches it only once, through us.
            child = subprocess.Popen(
                job.command,
                cwd=job.folder,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=os.environ | share.variables | {ASKED_BY: str(os.getpid())},
            )
            self._children.add(child)
            if share.cores is not None:
                # This is long before JAX starts its threads. A command that has already ended needs no cores.
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(child.pid, share.cores)
            if self._stopped_by is not None:  # while it was being started
                child.send_signal(self._stopped_by)
            status = child.wait()
            self._children.discard(child)
        self.raise_if_stopped()
        return status

    def stop(self, number: int) -> None:
        """Send all commands a signal, and start no more."""
        self._stopped_by = number
        for child in list(self._children):
            child.send_signal(number)

    def wait(self) -> None:
        """Wait until all commands have ended."""
        for child in list(self._children):
            child.wait()

    def raise_if_stopped(self) -> None:
        """Raise `StoppedError` if a signal has come."""
        if self._stopped_by is not None:
            raise StoppedError(self._stopped_by)
