"""One call that rolls out a policy and summarises its performance."""

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
    """The results of evaluating a policy.

    Attributes:
        episodes: each episode's seed, return, length and verdict, in order of episode number.
        success: the fraction of successful episodes; None if the environment gives no verdict.
        mean_return: the mean undiscounted return.
        score: the mean normalised score (0: random, 100: expert); None if the environment has no reference returns.
        unfinished: what is missing, in words, if the time limit ended the evaluation, so that the means are over fewer
            episodes than requested; None for a complete one.
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
    """Roll out a policy, as `drol evaluate` does: the same seed gives the same episodes for any number of workers.

    The environments run in separate processes. In a script, call this under `if __name__ == "__main__":`; in a notebook
    it can be called anywhere. Nothing has to be picklable.

    Args:
        policy: a policy that acts in the environment's units; for one in the learner's units see `drol.in_units`. Of
            its plans the first `policy.executed` actions are executed, see `drol.Policy.in_chunks`.
        environment: where to evaluate; see `drol.environment`.
        episodes: number of episodes.
        seed: for the environments' resets and the policy's draws.
        workers: number of processes; defaults to one per core, at most 8.
        limits: limits on steps and seconds.

    Raises:
        ValueError: if the widths of the policy's observations or actions differ from the environment's.
        DataError: if the environment cannot be used; the message says why.
        StoppedError: on Ctrl-C or SIGTERM.
    """
    plain = policy.policy if isinstance(policy, LoadedPolicy) else policy
    with stop_requests(), Evaluator(environment, workers=workers or min(cores(), 8), limits=limits) as evaluator:
        evaluator.check(plain.spec)
        results = evaluator.run(plain, episodes=episodes, seed=seed)
    return summarised(results)


def summarised(results: Sequence[EpisodeResult]) -> Evaluation:
    """Episodes and their means."""
    return Evaluation(results, success_rate(results), mean_return(results), mean_score(results), unfinished(results))
