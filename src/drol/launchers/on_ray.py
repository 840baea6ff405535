"""Jobs on Ray: tasks whose retries go on where they were stopped."""

import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import ray
import ray.exceptions

from drol.errors import UsageError
from drol.launchers.job import LOST, POLL_SECONDS, RETRIES, Begun, Ended, Job
from drol.launchers.local import Commands
from drol.launchers.shares import Share, memory_variables
from drol.processes import END_SECONDS

RESOURCES: Mapping[str, type] = {"num_cpus": float, "num_gpus": float, "memory": float}
"""What a job may ask Ray for; memory in bytes."""


def run(job: Job, share: Share) -> int:
    """Run one job on a Ray worker; returns its exit status."""
    commands = Commands(share=share)
    # In a thread of its own: Ray cancels a task between two steps of Python, not while it waits for a process.
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(commands.run, job)
        try:
            while not running.done():
                wait([running], timeout=POLL_SECONDS)
        except KeyboardInterrupt:
            commands.stop(signal.SIGTERM)
            raise
        return running.result()


class Ray:
    """Runs jobs as Ray tasks, as many at once as their resources allow, and cancels them if it is stopped.

    See `Launcher`. Folders are on a file system that all nodes share.

    Args:
        resources: of one job, by the names of `RESOURCES`; one core if nothing is given. With a part of a device
            (`num_gpus` below 1), the job takes that part of its memory.
        address: of a cluster; None starts Ray on this machine.
        raise_if_stopped: raises `StoppedError` once a signal has come.

    Raises:
        UsageError: if the cluster cannot be reached.
    """

    def __init__(
        self, resources: Mapping[str, float], *, address: str | None = None, raise_if_stopped: Callable[[], None]
    ):
        self._raise_if_stopped = raise_if_stopped
        gpus = resources.get("num_gpus", 0)
        self._share = Share(variables=memory_variables(gpus) if 0 < gpus < 1 else {})
        self._options: dict[str, Any] = {"num_cpus": 1, **resources, "max_retries": RETRIES}
        self._address = address

    def launch(self, jobs: Sequence[Job], begun: Begun, ended: Ended) -> None:
        """Run jobs. See `Launcher`."""
        try:
            ray.init(address=self._address or "local", include_dashboard=False, log_to_driver=False)
        except (ConnectionError, ValueError) as error:
            raise UsageError(f"Ray cannot be reached at {self._address!r}: {' '.join(str(error).split())}") from None
        try:
            self._run(jobs, begun, ended)
        finally:
            ray.shutdown()

    def _run(self, jobs: Sequence[Job], begun: Begun, ended: Ended) -> None:
        remote = ray.remote(**self._options)(run)
        running = {}
        for job in jobs:
            running[remote.remote(job, self._share)] = job
            begun(job)
        try:
            while running:
                self._raise_if_stopped()
                for reference in ray.wait(list(running), timeout=POLL_SECONDS)[0]:
                    ended(running.pop(reference), _status(reference))
        finally:
            for reference in running:
                ray.cancel(reference)
            if running:  # their commands end with checkpoints
                ray.wait(list(running), num_returns=len(running), timeout=END_SECONDS)


def _status(reference: Any) -> int:
    """The exit status of a job; `LOST` if it was lost more often than it is retried."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayError:
        return LOST
