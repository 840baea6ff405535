"""One call that rolls a policy out and says how it did."""

import dataclasses
from collections.abc import Sequence

from drol.environments.limits import DEFAULT, EvaluationLimits
from drol.environments.results import EpisodeResult, mean_return, mean_score, success_rate, unfinished
from drol.environments.rollout import Evaluator
from drol.environments.spec import EnvironmentSpec
from drol.policy import Policy
from drol.policy.loaded import LoadedPolicy
from drol.processes import cores
from drol.signals import stop_requests


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a policy achieved.

    Attributes:
        episodes: each one's seed, return, length and verdict, in the order of their numbers.
        success: the share of successful episodes; None where the environment gives no verdict.
        mean_return: undiscounted.
        score: the mean normalised score (0: random, 100: expert), where the environment has reference returns.
        unfinished: what is missing, in words, where the limit of time ended the evaluation: then the means are over
            fewer episodes than were asked for; None for a whole one.
    """

    episodes: Sequence[EpisodeResult]
    success: float | None
    mean_return: float
    score: float | None
    unfinished: str | None


def evaluate(
    policy: Policy | LoadedPolicy,
    environment: EnvironmentSpec,
    *,
    episodes: int = 50,
    seed: int = 0,
    workers: int | None = None,
    limits: EvaluationLimits = DEFAULT,
) -> Evaluation:
    """Roll a policy out, as `drol evaluate` does: the same seed gives the same episodes on any number of workers.

    The environments run in processes of their own. Call it from a script under `if __name__ == "__main__":` or from a
    notebook; nothing has to be pickled.

    Args:
        policy: acts in the environment's units; for a policy in the learner's units see `drol.in_units`.
        environment: see `drol.environment`.
        episodes: how many.
        seed: of the environments' resets and the policy's draws.
        workers: processes; without, one per core, at most 8.
        limits: of steps and seconds.

    Raises:
        ValueError: if the policy's observations or actions have other widths than the environment's.
        DataError: if the environment cannot be used; the message says why.
        StoppedError: on Ctrl-C or SIGTERM.
    """
    plain = policy.policy if isinstance(policy, LoadedPolicy) else policy
    with stop_requests(), Evaluator(environment, workers=workers or min(cores(), 8), limits=limits) as evaluator:
        evaluator.check(plain.spec)
        results = evaluator.run(plain, episodes=episodes, seed=seed)
    return Evaluation(results, success_rate(results), mean_return(results), mean_score(results), unfinished(results))
