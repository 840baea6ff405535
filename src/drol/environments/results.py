"""What comes out of an evaluation: steps, episodes, their summary, their records. Imports no JAX."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np


@dataclasses.dataclass(frozen=True)
class StepResult:
    """What one environment answered to one action (or, without reward, to a reset)."""

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
        success: the environment's verdict at the last step, None where it gives none.
        score: the return between the environment's reference returns, which count as 0 and 100; None where it has none.
        cut: what ended the episode where the environment did not: the limit of its steps, the evaluation's limit of
            time, or an action that was NaN or infinite. Return, length and success are those until then.
        planned: how many episodes the evaluation was to have, where the limit of time ended it before.
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
    """An episode as a line of `evaluations.jsonl`; score, cut and planned only where there are any."""
    names, fields = {"episode_return": "return"}, dataclasses.asdict(result)
    for name in ("score", "cut", "planned"):
        if fields[name] is None:
            del fields[name]
    return {names.get(name, name): value for name, value in fields.items()}


def unfinished(results: Sequence[EpisodeResult]) -> str | None:
    """What is missing from an evaluation that its limit of time ended, in words; None for a whole one."""
    if not results or results[0].planned is None:
        return None
    return f"ended by its time limit: {len(finished(results))} of {results[0].planned} episodes finished"


def finished(results: Sequence[EpisodeResult]) -> list[EpisodeResult]:
    """The episodes that the evaluation's limit of time did not cut."""
    return [result for result in results if result.cut != "time limit"]


def success_rate(results: Sequence[EpisodeResult]) -> float | None:
    """The share of successful episodes, None where the environment gives no verdict."""
    verdicts = [result.success for result in results if result.success is not None]
    return float(np.mean(verdicts)) if verdicts else None


def mean_return(results: Sequence[EpisodeResult]) -> float:
    """The mean undiscounted return."""
    return float(np.mean([result.episode_return for result in results]))


def mean_score(results: Sequence[EpisodeResult]) -> float | None:
    """The mean normalised score, None where the environment has no reference returns."""
    scores = [result.score for result in results if result.score is not None]
    return float(np.mean(scores)) if scores else None


def normalised_score(episode_return: float, low: float, high: float) -> float:
    """An undiscounted return on the scale on which the return `low` counts as 0 and `high` as 100."""
    return 100 * (episode_return - low) / (high - low)
