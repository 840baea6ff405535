"""Statistics of scores over seeds and tasks, and their uncertainty, as Agarwal et al. (NeurIPS 2021) define them.

*Deep Reinforcement Learning at the Edge of the Statistical Precipice.* Scores are one array per task, whose last axis
holds one score per seed; numbers of seeds may differ between tasks. Leading axes are resamples.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Scores = Sequence[Float[np.ndarray, "*resamples _"]]

Values = Float[np.ndarray, "*resamples"] | np.floating
"""One value for each resample; a scalar without any."""

RESAMPLES = 10_000
"""Bootstrap resamples: the ends of an interval vary by about a hundredth of its length between random seeds."""

BAND_RESAMPLES = 2_000
"""The same for a band, whose width the eye judges."""

LEVEL = 0.95


class Interval(NamedTuple):
    """The ends of a confidence interval."""

    low: float
    high: float


def mean(scores: Scores) -> Values:
    """The mean over tasks of the mean over seeds."""
    return np.mean([task.mean(axis=-1) for task in scores], axis=0)


def interquartile_mean(scores: Scores) -> Values:
    """The mean of the middle half of all runs of all tasks: a quarter of them, rounded down, is cut at either end."""
    runs = np.sort(np.concatenate(scores, axis=-1), axis=-1)
    cut = runs.shape[-1] // 4
    return runs[..., cut : runs.shape[-1] - cut].mean(axis=-1)


def improvement(scores: Scores, others: Scores) -> Values:
    """The probability that a run scores higher than another method's run on the same task, averaged over tasks.

    Ties count half: the Mann-Whitney statistic, divided by the number of pairs.

    Args:
        scores: of one method.
        others: of the other, on the same tasks in the same order.
    """
    return np.mean([_won(task, other) for task, other in zip(scores, others, strict=True)], axis=0)


def _won(scores: Float[np.ndarray, "*resamples _"], others: Float[np.ndarray, "*resamples _"]) -> Values:
    ahead = scores[..., :, None] - others[..., None, :]
    return np.heaviside(ahead, 0.5).mean(axis=(-2, -1))


def band(scores: Float[np.ndarray, "seeds points"], *, seed: int = 0) -> Float[np.ndarray, "2 points"]:
    """The ends of the 95 % percentile intervals of the mean over seeds at each point; whole seeds are drawn anew."""
    count = len(scores)
    drawn = np.random.default_rng(seed).integers(count, size=(BAND_RESAMPLES, count))
    weights = np.stack([np.bincount(row, minlength=count) for row in drawn]) / count
    return np.quantile(weights @ scores, ((1 - LEVEL) / 2, (1 + LEVEL) / 2), axis=0)


def interval(
    statistic: Callable[..., Values], *methods: Scores, resamples: int = RESAMPLES, seed: int = 0
) -> Interval | None:
    """The 95 % percentile interval of a statistic by a stratified bootstrap: seeds are drawn anew within each task.

    Args:
        statistic: of the scores of as many methods as are given.
        methods: the scores; methods are resampled independently of each other.
        resamples: how often.
        seed: of the draws.

    Returns:
        The interval; None if no task has two seeds, so that nothing can vary.
    """
    if all(task.shape[-1] < 2 for scores in methods for task in scores):
        return None
    rng = np.random.default_rng(seed)
    drawn = [
        [task[rng.integers(len(task), size=(resamples, len(task)))] for task in map(np.asarray, scores)]
        for scores in methods
    ]
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(statistic(*drawn), (tail, 1 - tail))
    return Interval(float(low), float(high))
