"""Jobs on Slurm, by submitit: an array whose tasks are requeued when their time is up or they are preempted."""

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import submitit
import submitit.core.utils
import submitit.helpers

from drol.errors import UsageError
from drol.launchers.job import LOST, POLL_SECONDS, RETRIES, Begun, Ended, Job
from drol.launchers.local import Commands
from drol.processes import END_SECONDS

DEFAULTS = {"name": "drol", "timeout_min": 240, "slurm_signal_delay_s": 120, "stderr_to_stdout": True}
"""submitit's parameters, where they differ from its own."""

TIMEOUTS = 1_000
"""How often a task may run out of time; each time it is requeued and goes on."""


class Task:
    """What one task of the array runs: several jobs side by side on the share of the machine that Slurm gave it.

    Before its time is up, submitit calls `checkpoint`: the commands stop, with checkpoints of their own, and the same
    task is queued again.
    """

    def __init__(self, jobs: Sequence[Job]):
        self._jobs = tuple(jobs)
        self._commands: Commands | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_jobs": self._jobs, "_commands": None}

    def __call__(self) -> list[int]:
        """Run the jobs to their ends; returns their exit statuses."""
        self._commands = commands = Commands(len(self._jobs))
        with ThreadPoolExecutor(len(self._jobs)) as pool:
            return list(pool.map(commands.run, self._jobs))

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """Stop the jobs, and say what is to be run instead: the same again."""
        if self._commands is not None:
            self._commands.stop(signal.SIGTERM)
            self._commands.wait()
        return submitit.helpers.DelayedSubmission(self)


class Slurm:
    """Submits jobs as an array, waits for them, and cancels them if it is stopped. See `Launcher`.

    Args:
        folder: for what submitit writes, on a file system that all nodes share.
        parameters: of submitit: `slurm_partition`, `timeout_min`, `gpus_per_node`, `cpus_per_task`, ...
        together: how many jobs share one allocation, and its device.
        raise_if_stopped: raises `StoppedError` once a signal has come.
        cluster: `slurm`, or submitit's `local`.

    Raises:
        UsageError: if submitit does not know a parameter, or there is no Slurm here.
    """

    def __init__(
        self,
        folder: Path,
        parameters: Mapping[str, Any],
        *,
        together: int = 1,
        raise_if_stopped: Callable[[], None],
        cluster: str = "slurm",
    ):
        self._together, self._raise_if_stopped = together, raise_if_stopped
        try:
            self._executor = submitit.AutoExecutor(folder, cluster=cluster, **{f"{cluster}_max_num_timeout": TIMEOUTS})
            self._executor.update_parameters(**DEFAULTS | dict(parameters))
        except (NameError, TypeError, ValueError, RuntimeError) as error:
            raise UsageError(f"submitit refuses: {' '.join(str(error).split())}") from None

    def launch(self, jobs: Sequence[Job], begun: Begun, ended: Ended) -> None:
        """Run jobs. See `Launcher`."""
        groups = [tuple(jobs[start : start + self._together]) for start in range(0, len(jobs), self._together)]
        running = self._submit(groups, begun)
        lost = dict.fromkeys(groups, 0)
        try:
            while running:
                self._raise_if_stopped()
                for group in [group for group, task in running.items() if task.done()]:
                    statuses = _statuses(running.pop(group))
                    if statuses is None and lost[group] < RETRIES:
                        lost[group] += 1
                        running |= self._submit([group], lambda _: None)
                        continue
                    for job, status in zip(group, statuses or [LOST] * len(group), strict=True):
                        ended(job, status)
                if running:
                    time.sleep(POLL_SECONDS)
        finally:
            _cancel(list(running.values()))

    def _submit(self, groups: Sequence[tuple[Job, ...]], begun: Begun) -> dict[tuple[Job, ...], submitit.Job]:
        with self._executor.batch():
            tasks = [self._executor.submit(Task(group)) for group in groups]
        for group in groups:
            for job in group:
                begun(job)
        return dict(zip(groups, tasks, strict=True))


def _cancel(tasks: Sequence[submitit.Job]) -> None:
    """Cancel tasks, and wait until their commands have ended."""
    for task in tasks:
        task.cancel(check=False)
    deadline = time.monotonic() + END_SECONDS
    while not all(task.done() for task in tasks) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _statuses(task: submitit.Job) -> list[int] | None:
    """The exit statuses of a task's jobs; None if the task was lost."""
    try:
        return task.result()
    except (submitit.core.utils.UncompletedJobError, OSError):
        return None
