"""Results of an evaluation: steps, episodes, their summaries and records. Does not import JAX."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np


@dataclasses.dataclass(frozen=True)
class StepResult:
    """One environment's response to an action, or to a reset, in which case only the observation is set."""

    observation: np.ndarray
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    success: bool | None = None


Cut = Literal["step limit", "time limit", "not finite"]


@dataclasses.dataclass(frozen=True)
class EpisodeResult:
    """One evaluation episode.

    Attributes:
        success: the environment's verdict at the last step; None if it gives none.
        score: the normalised return: 0 and 100 at the environment's reference returns; None if it has none.
        cut: what ended the episode if the environment did not: the step limit, the evaluation's time limit, or an
            action that was NaN or infinite. Return, length and success are those up to that point.
        planned: how many episodes the evaluation was to have, if its time limit ended it early; else None.
    """

    episode: int
    seed: int
    episode_return: float
    length: int
    success: bool | None
    score: float | None
    cut: Cut | None = None
    planned: int | None = None


def as_record(result: EpisodeResult) -> dict[str, Any]:
    """An episode as a line of `evaluations.jsonl`; score, cut and planned are omitted if None."""
    names, fields = {"episode_return": "return"}, dataclasses.asdict(result)
    for name in ("score", "cut", "planned"):
        if fields[name] is None:
            del fields[name]
    return {names.get(name, name): value for name, value in fields.items()}


def unfinished(results: Sequence[EpisodeResult]) -> str | None:
    """What is missing from an evaluation that its time limit ended, in words; None for a complete one."""
    if not results or results[0].planned is None:
        return None
    return f"ended by its time limit: {len(finished(results))} of {results[0].planned} episodes finished"


def finished(results: Sequence[EpisodeResult]) -> list[EpisodeResult]:
    """The episodes that were not cut by the evaluation's time limit."""
    return [result for result in results if result.cut != "time limit"]


def success_rate(results: Sequence[EpisodeResult]) -> float | None:
    """The fraction of successful episodes; None if the environment gives no verdict."""
    verdicts = [result.success for result in results if result.success is not None]
    return float(np.mean(verdicts)) if verdicts else None


def mean_return(results: Sequence[EpisodeResult]) -> float:
    """The mean undiscounted return."""
    return float(np.mean([result.episode_return for result in results]))


def mean_score(results: Sequence[EpisodeResult]) -> float | None:
    """The mean normalised score; None if the environment has no reference returns."""
    scores = [result.score for result in results if result.score is not None]
    return float(np.mean(scores)) if scores else None


def normalised_score(episode_return: float, low: float, high: float) -> float:
    """An undiscounted return rescaled so that the return `low` becomes 0 and `high` becomes 100."""
    return 100 * (episode_return - low) / (high - low)
