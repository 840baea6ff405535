"""Evaluation of policies: environments in worker processes, within the evaluation's limits."""

import contextlib
import functools
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from drol.environments.camera import Camera
from drol.environments.episodes import Rollout, Seen
from drol.environments.limits import DEFAULT, EvaluationLimits
from drol.environments.results import EpisodeResult, unfinished
from drol.environments.spec import EnvironmentSpec
from drol.errors import DataError
from drol.policy import Policy
from drol.processes import NoAnswerError, RefusedError, Worker, WorkerError, close_all
from drol.types import Spec

logger = logging.getLogger("drol")

SLOTS = 10
"""Number of environments stepped in parallel, and hence the policy's batch size; fixed, since results depend on it."""

START_SECONDS = 120.0
"""Time for a process to start and make its environments; longer if `step_seconds` is."""


class _TimeIsUpError(Exception):
    """The evaluation's time limit has been reached."""


class Evaluator:
    """Worker processes with environments, kept between evaluations.

    Slot i runs episodes i, i + slots, i + 2 slots, ... regardless of which worker holds it, and the policy sees all
    slots in one batch of fixed shape: results depend on the seed and on `slots`, not on the number of workers.

    Args:
        environment: what to evaluate in.
        workers: number of processes; at most one per slot is used.
        slots: number of environments stepped in parallel.
        limits: limits of episodes and of the evaluation.
        variables: of the workers' process environment, in addition to those of this process.

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
        variables: Mapping[str, str] | None = None,
    ):
        if workers < 1 or slots < 1:
            raise ValueError(f"workers and slots must be at least 1, found {workers} and {slots}")
        self.environment, self.slots, self._limits = environment, slots, limits
        self._variables = dict(variables or {})
        self._parts = [part.tolist() for part in np.array_split(np.arange(slots), min(workers, slots))]
        self._place = {slot: (w, local) for w, part in enumerate(self._parts) for local, slot in enumerate(part)}
        self._workers: list[Worker] = []
        self._start(math.inf)

    def _start(self, deadline: float) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self.close)
            for part in self._parts:
                group = "drol.environments.groups:EnvironmentGroup"
                self._workers.append(Worker(group, self.environment, len(part), variables=self._variables))
            for worker in self._workers:
                _receive(worker, self._start_seconds, deadline)
            self._facts = self._workers[0].call("describe", timeout=self._limits.step_seconds)
            stack.pop_all()

    @property
    def _start_seconds(self) -> float | None:
        seconds = self._limits.step_seconds
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
        self._check_widths(spec)
        try:
            self._workers[0].call("rehearse", timeout=self._start_seconds)
        except RefusedError as error:
            raise DataError(str(error)) from None
        except WorkerError as error:
            self.close()
            logger.warning("a test step in %s failed, so evaluations may fail too: %s", self.environment.id, error)
        except BaseException:
            self.close()
            raise

    def check_pictures(self) -> float | None:
        """Check that the environment renders pictures; returns how many steps per second look natural, if known.

        Raises:
            DataError: if its pictures are no pictures.
            WorkerError: if it fails to render.
        """
        try:
            self._workers[0].call("rehearse_picture", timeout=self._start_seconds)
            return self._workers[0].call("frame_rate", timeout=self._limits.step_seconds)
        except RefusedError as error:
            self.close()
            raise DataError(str(error)) from None
        except BaseException:
            self.close()
            raise

    def _check_widths(self, spec: Spec) -> None:
        if self._facts["action_dim"] is None:
            space = self._workers[0].call("action_space", timeout=self._limits.step_seconds)
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

    def run(
        self,
        policy: Policy,
        *,
        episodes: int,
        seed: int,
        progress: Callable[[int, int], None] | None = None,
        camera: Camera | None = None,
    ) -> list[EpisodeResult]:
        """Run episodes 0 .. episodes - 1.

        Args:
            policy: the policy to run; its arrays may change between calls without recompilation.
            episodes: number of episodes.
            seed: for the environments' resets and the policy's draws.
            progress: called with (episodes that ended, `episodes`) at the start and whenever one ends.
            camera: is shown pictures of the episodes that it wants to see; the environment must be `filmed`.

        Returns:
            One result per episode. If the time limit ended the evaluation, only the episodes that had begun, each with
            the number that was `planned`, and a warning is logged.

        Raises:
            ValueError: if the environment's observations or actions do not fit the policy.
            WorkerError: if an environment fails, dies or hangs; the next call starts new workers.
            StoppedError: inside `drol.signals.stop_requests`, after a request to stop.
        """
        seconds = self._limits.seconds
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        try:
            if not self._workers:
                self._start(deadline)
            self._check_widths(policy.spec)
            exchange = functools.partial(self._exchange, deadline=deadline)
            watch = None if camera is None else functools.partial(self._film, camera, deadline)
            rollout = Rollout(
                exchange, self._facts, policy, episodes, seed, slots=self.slots, limits=self._limits, watch=watch
            )
            try:
                ended = 0
                if progress is not None:
                    progress(0, episodes)
                while rollout.advance():
                    if len(rollout.results) > ended:
                        if camera is not None:
                            camera.end(rollout.results[ended:])
                        ended = len(rollout.results)
                        if progress is not None:
                            progress(ended, episodes)
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

    def _film(self, camera: Camera, deadline: float, seen: Sequence[Seen]) -> None:
        """Show the camera what it wants to see of these episodes."""
        wanted = {one.slot: one.episode for one in seen if camera.wants(one.episode, one.step, one.ended)}
        if wanted:
            pictures = self._exchange("render", dict.fromkeys(wanted), deadline)
            camera.take({wanted[slot]: picture for slot, picture in pictures.items()})

    def _exchange(self, method: str, arguments: dict, deadline: float) -> dict[int, Any]:
        """Call a method on all groups that hold the named slots, in parallel."""
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
    """A worker's reply, awaited for at most `seconds` and not beyond the evaluation's deadline."""
    patience, left = math.inf if seconds is None else seconds, deadline - time.monotonic()
    try:
        return worker.receive(max(0.0, min(patience, left)))
    except NoAnswerError:
        if left < patience:
            raise _TimeIsUpError from None
        raise
