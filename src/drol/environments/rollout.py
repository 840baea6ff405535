"""Evaluations of a policy: environments in worker processes, and the limits of what they may take."""

import contextlib
import dataclasses
import functools
import logging
import math
import time
from typing import Any

import numpy as np

from drol.environments.episodes import Rollout
from drol.environments.limits import DEFAULT, EvaluationLimits
from drol.environments.results import EpisodeResult, StepResult, unfinished
from drol.environments.spec import EnvironmentSpec
from drol.errors import DataError
from drol.policy import Policy
from drol.processes import NoAnswerError, RefusedError, Worker, WorkerError, close_all
from drol.types import Spec

logger = logging.getLogger("drol")

SLOTS = 10
"""Environments stepped side by side, and so the policy's batch: fixed, or results would depend on it."""

START_SECONDS = 120.0
"""For a process to start and make its environments, unless a step may take longer."""


class _TimeIsUpError(Exception):
    """The evaluation's limit of time is reached."""


class Evaluator:
    """Worker processes with environments, kept between evaluations.

    Slot i runs episodes i, i + slots, i + 2 slots, ... whichever worker holds it, and the policy sees all slots in one
    batch of fixed shape: results depend on the seed and on `slots`, not on the number of workers.

    Args:
        environment: what to evaluate in.
        workers: processes; at most one per slot is used.
        slots: environments side by side.
        limits: what ends an episode or an evaluation that would not end by itself.

    Attributes:
        environment, slots: as given.
    """

    def __init__(
        self,
        environment: EnvironmentSpec,
        *,
        workers: int = 1,
        slots: int = SLOTS,
        limits: EvaluationLimits = DEFAULT,
    ):
        if workers < 1 or slots < 1:
            raise ValueError(f"workers and slots must be at least 1, found {workers} and {slots}")
        self.environment, self.slots, self._limits = environment, slots, limits
        self._parts = [part.tolist() for part in np.array_split(np.arange(slots), min(workers, slots))]
        self._place = {slot: (w, local) for w, part in enumerate(self._parts) for local, slot in enumerate(part)}
        self._workers: list[Worker] = []
        self._start(math.inf)

    def _start(self, deadline: float) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self.close)
            for part in self._parts:
                group = "drol.environments.groups:EnvironmentGroup"
                self._workers.append(Worker(group, self.environment, len(part)))
            for worker in self._workers:
                _receive(worker, self._start_seconds, deadline)
            self._facts = self._workers[0].call("describe", timeout=self._limits.step_seconds)
            stack.pop_all()

    @property
    def _start_seconds(self) -> float | None:
        seconds = self._limits.step_seconds
        return None if seconds is None else max(START_SECONDS, seconds)

    def describe(self) -> dict:
        """Facts about the environment, for the run's record."""
        return self._facts

    def check(self, spec: Spec) -> None:
        """Refuse data or a policy that do not belong in this environment, and an environment that cannot be used.

        Takes one step in an environment made for this alone. Where that fails for reasons other than the interface, a
        warning says so: the environment may work when it is needed.

        Raises:
            ValueError: if it has observations or actions of another width, or breaks gymnasium's interface.
        """
        self._check_widths(spec)
        try:
            self._workers[0].call("rehearse", timeout=self._start_seconds)
        except RefusedError as error:
            raise DataError(str(error)) from None
        except WorkerError as error:
            self.close()
            logger.warning("a first step in %s failed; evaluations there may, too: %s", self.environment.id, error)
        except BaseException:
            self.close()
            raise

    def _check_widths(self, spec: Spec) -> None:
        if self._facts["action_dim"] is None:
            space = self._workers[0].call("action_space", timeout=self._limits.step_seconds)
            raise ValueError(
                f"{self.environment.id} takes actions of the space {space}; expected a box of numbers, since policies "
                f"act in continuous spaces"
            )
        for name, width in dataclasses.asdict(spec).items():
            if (found := self._facts[name]) != width:
                raise ValueError(
                    f"expected an environment with {name} {width}, as in training; {self.environment.id} has {found}; "
                    f"evaluate in the data's own environment"
                )

    def run(self, policy: Policy, *, episodes: int, seed: int) -> list[EpisodeResult]:
        """Run episodes 0 .. episodes - 1.

        Args:
            policy: acts; its arrays may change between calls without a new compilation.
            episodes: how many.
            seed: of the environments' resets and the policy's draws.

        Returns:
            One result per episode. Where the limit of time ended the evaluation, those that had begun, each with the
            number that was `planned`; a warning says so.

        Raises:
            ValueError: if the environment's observations or actions do not fit the policy.
            WorkerError: if an environment fails, dies or hangs; the next call starts new ones.
            StoppedError: inside `drol.signals.stop_requests`, once a request to stop has come.
        """
        seconds = self._limits.seconds
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        try:
            if not self._workers:
                self._start(deadline)
            self._check_widths(policy.spec)
            exchange = functools.partial(self._exchange, deadline=deadline)
            rollout = Rollout(exchange, self._facts, policy, episodes, seed, slots=self.slots, limits=self._limits)
            try:
                while rollout.advance():
                    if time.monotonic() > deadline:
                        raise _TimeIsUpError
            except _TimeIsUpError:
                self.close()
                rollout.cut_short()
        except _TimeIsUpError:
            raise WorkerError(f"the time limit of {seconds:g} seconds passed while the environments started") from None
        except BaseException:
            # Replies to abandoned requests may still arrive.
            self.close()
            raise
        results = sorted(rollout.results, key=lambda result: result.episode)
        if missing := unfinished(results):
            logger.warning("the evaluation was %s (%g seconds)", missing, seconds)
        return results

    def _exchange(self, method: str, arguments: dict, deadline: float) -> dict[int, StepResult]:
        """Call a method on the groups that hold the named slots, all at once."""
        calls: dict[int, dict] = {}
        for slot, argument in arguments.items():
            worker, local = self._place[slot]
            calls.setdefault(worker, {})[local] = argument
        for worker, call in calls.items():
            self._workers[worker].send(method, call)
        answers = {worker: _receive(self._workers[worker], self._limits.step_seconds, deadline) for worker in calls}
        return {
            slot: answers[worker][local]
            for slot, (worker, local) in self._place.items()
            if worker in answers and local in answers[worker]
        }

    def close(self) -> None:
        """End the worker processes."""
        close_all(self._workers)
        self._workers = []

    def __enter__(self) -> "Evaluator":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _receive(worker: Worker, seconds: float | None, deadline: float) -> Any:
    """A worker's answer, awaited so long, but not beyond the deadline of the evaluation."""
    patience, left = math.inf if seconds is None else seconds, deadline - time.monotonic()
    try:
        return worker.receive(max(0.0, min(patience, left)))
    except NoAnswerError:
        if left < patience:
            raise _TimeIsUpError from None
        raise
