"""Evaluation of policies: environments in worker processes, within the evaluation's limits."""

import functools
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence

from drol.environments.camera import Camera
from drol.environments.episodes import Rollout, Seen
from drol.environments.limits import DEFAULT, EvaluationLimits
from drol.environments.pool import EnvironmentPool, TimeIsUpError
from drol.environments.results import EpisodeResult, unfinished
from drol.environments.spec import EnvironmentSpec
from drol.policy import Policy
from drol.processes import WorkerError

logger = logging.getLogger("drol")

SLOTS = 10
"""Number of environments stepped in parallel, and hence the policy's batch size; fixed, since results depend on it."""


class Evaluator(EnvironmentPool):
    """Worker processes with environments, kept between evaluations.

    Slot i runs episodes i, i + slots, i + 2 slots, ... regardless of which worker holds it, and the policy sees all
    slots in one batch of fixed shape: results depend on the seed and on `slots`, not on the number of workers.

    Args:
        environment: what to evaluate in.
        workers: number of processes; at most one per slot is used.
        slots: number of environments stepped in parallel.
        limits: limits of episodes and of the evaluation.
        variables: of the workers' process environment, in addition to those of this process.
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
        super().__init__(environment, workers=workers, slots=slots, limits=limits, variables=variables)

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
        seconds = self.limits.seconds
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        try:
            self.start(deadline)
            self.check_widths(policy.spec)
            exchange = functools.partial(self.exchange, deadline=deadline)
            watch = None if camera is None else functools.partial(self._film, camera, deadline)
            rollout = Rollout(
                exchange, self._facts, policy, episodes, seed, slots=self.slots, limits=self.limits, watch=watch
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
                        raise TimeIsUpError
            except TimeIsUpError:
                self.close()
                rollout.cut_short()
        except TimeIsUpError:
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
            pictures = self.exchange("render", dict.fromkeys(wanted), deadline)
            camera.take({wanted[slot]: picture for slot, picture in pictures.items()})
