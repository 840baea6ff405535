"""Environments in worker processes, addressed by slot."""

import contextlib
import logging
import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from drol.environments.limits import DEFAULT, EvaluationLimits
from drol.environments.spec import EnvironmentSpec
from drol.errors import DataError, both
from drol.processes import NoAnswerError, RefusedError, Worker, WorkerError, close_all
from drol.types import Spec

logger = logging.getLogger("drol")

START_SECONDS = 120.0
"""Time for a process to start and make its environments; longer if `step_seconds` is."""

REPEATED_STEPS = 10
"""How many steps of an episode are compared to see whether it repeats."""


class TimeIsUpError(Exception):
    """The deadline of a call has passed."""


class EnvironmentPool:
    """Worker processes with environments, kept between uses.

    An environment is addressed by its slot, whichever worker holds it, so that nothing depends on how many workers
    there are.

    Args:
        environment: what to make.
        workers: number of processes; at most one per slot is used.
        slots: number of environments.
        limits: limits of episodes and of single steps.
        variables: of the workers' process environment, in addition to those of this process.

    Attributes:
        environment, slots, limits: as given.
    """

    def __init__(
        self,
        environment: EnvironmentSpec,
        *,
        workers: int = 1,
        slots: int,
        limits: EvaluationLimits = DEFAULT,
        variables: Mapping[str, str] | None = None,
    ):
        if workers < 1 or slots < 1:
            raise ValueError(f"workers and slots must be at least 1, found {workers} and {slots}")
        self.environment, self.slots, self.limits = environment, slots, limits
        self._variables = dict(variables or {})
        self._parts = [part.tolist() for part in np.array_split(np.arange(slots), min(workers, slots))]
        self._place = {slot: (w, local) for w, part in enumerate(self._parts) for local, slot in enumerate(part)}
        self._workers: list[Worker] = []
        self.start()

    def start(self, deadline: float = math.inf) -> None:
        """Start the workers, if they are not running."""
        if self._workers:
            return
        with contextlib.ExitStack() as stack:
            stack.callback(self.close)
            for part in self._parts:
                group = "drol.environments.groups:EnvironmentGroup"
                self._workers.append(Worker(group, self.environment, len(part), variables=self._variables))
            for worker in self._workers:
                _receive(worker, self._start_seconds, deadline)
            self._facts = self._workers[0].call("describe", timeout=self.limits.step_seconds)
            stack.pop_all()

    @property
    def _start_seconds(self) -> float | None:
        seconds = self.limits.step_seconds
        return None if seconds is None else max(START_SECONDS, seconds)

    def describe(self) -> dict:
        """Facts about the environment for the run's record."""
        return self._facts

    def check(self, spec: Spec) -> None:
        """Check that data or a policy fit this environment, and that the environment can be used.

        Takes one step in a separate environment made for this check. If that fails for a reason other than the
        interface, only a warning is logged, since the environment may still work when it is needed.

        Raises:
            ValueError: if its observations or actions have other widths, or it breaks gymnasium's interface.
        """
        self.check_widths(spec)
        try:
            self._try("rehearse")
        except WorkerError as error:
            logger.warning("a test step in %s failed, so evaluations may fail too: %s", self.environment.id, error)

    def check_repeats(self) -> None:
        """Check that an episode is the same again, given its seed and actions, on the first few steps of one.

        An environment that fails for another reason passes: it may still work when it is needed.

        Raises:
            DataError: if it is not.
        """
        try:
            repeats = self._try("repeats", REPEATED_STEPS)
        except WorkerError:
            return
        if not repeats:
            raise DataError(
                *both(
                    f"{self.environment.id} does not repeat an episode from its seed and actions, so a run in it "
                    f"cannot be resumed exactly: let reset(seed=...) seed all that it draws from; or add "
                    f"--restart-episodes, and a resumed run begins new episodes"
                )
            )

    def check_pictures(self) -> float | None:
        """Check that the environment renders pictures; returns how many steps per second look natural, if known.

        Raises:
            DataError: if its pictures are no pictures.
            WorkerError: if it fails to render.
        """
        self._try("rehearse_picture")
        return self._try("frame_rate")

    def _try(self, method: str, *args: Any) -> Any:
        """Call a method of the first group, before any episode; whatever goes wrong ends the workers.

        Raises:
            DataError: if the environment breaks the interface.
            WorkerError: if it fails otherwise.
        """
        self.start()
        try:
            return self._workers[0].call(method, *args, timeout=self._start_seconds)
        except RefusedError as error:
            self.close()
            raise DataError(str(error)) from None
        except BaseException:
            self.close()
            raise

    def check_widths(self, spec: Spec) -> None:
        """Raise a ValueError if data or a policy of these dimensions do not fit the environment."""
        if self._facts["action_dim"] is None:
            space = self._workers[0].call("action_space", timeout=self.limits.step_seconds)
            raise ValueError(
                f"{self.environment.id} has the action space {space}; expected a Box, since policies act in continuous "
                f"spaces"
            )
        for name in ("observation_dim", "action_dim"):
            width = getattr(spec, name)
            if (found := self._facts[name]) != width:
                raise ValueError(
                    f"expected an environment with {name} {width}, as in training, but {self.environment.id} has "
                    f"{found}; evaluate in the environment of the data"
                )

    def exchange(self, method: str, arguments: dict, deadline: float = math.inf) -> dict[int, Any]:
        """Call a method of `EnvironmentGroup` on all groups that hold the named slots, in parallel.

        Raises:
            WorkerError: if an environment fails, dies or hangs.
            TimeIsUpError: if the deadline passes.
            StoppedError: inside `drol.signals.stop_requests`, after a request to stop.
        """
        calls: dict[int, dict] = {}
        for slot, argument in arguments.items():
            worker, local = self._place[slot]
            calls.setdefault(worker, {})[local] = argument
        for worker, call in calls.items():
            self._workers[worker].send(method, call)
        answers = {worker: _receive(self._workers[worker], self.limits.step_seconds, deadline) for worker in calls}
        return {
            slot: answers[worker][local]
            for slot, (worker, local) in self._place.items()
            if worker in answers and local in answers[worker]
        }

    def close(self) -> None:
        """End the worker processes."""
        close_all(self._workers)
        self._workers = []

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _receive(worker: Worker, seconds: float | None, deadline: float) -> Any:
    """A worker's reply, awaited for at most `seconds` and not beyond the evaluation's deadline."""
    patience, left = math.inf if seconds is None else seconds, deadline - time.monotonic()
    try:
        return worker.receive(max(0.0, min(patience, left)))
    except NoAnswerError:
        if left < patience:
            raise TimeIsUpError from None
        raise
