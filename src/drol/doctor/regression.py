"""Held-out errors of small regressions, used to compare hypotheses about the data."""

import dataclasses

import numpy as np

RIDGE = 1e-3
COSINES = 150
"""Random cosines in addition to numbers and squares: enough for rewards that are smooth functions of a few numbers."""

SEED = 5
WIDEST = 120
"""The most numbers that a regression uses; if there are more, it uses those that correlate most with the labels."""

FOLDS = 3


@dataclasses.dataclass(frozen=True)
class ErrorComparison:
    """Squared errors of two models on the same held-out rows.

    Attributes:
        ratio: the second's errors divided by the first's.
        sigma: the difference in standard errors; positive if the second is better.
    """

    ratio: float
    sigma: float

    @classmethod
    def of(cls, one: np.ndarray, other: np.ndarray, groups: np.ndarray, floor: float) -> "ErrorComparison":
        """Compare errors of rows, (n,) each, whose noise is independent between groups."""
        difference = np.bincount(np.unique(groups, return_inverse=True)[1], weights=one - other)
        noise = difference.std() * np.sqrt(len(difference))
        ratio = (other.sum() + floor) / (one.sum() + floor)
        return cls(float(ratio), float(difference.sum() / (noise + floor)))


def penalty(features: np.ndarray) -> np.ndarray:
    """(features, features) what a ridge regression on (rows, features) adds to their Gram matrix."""
    rows, width = features.shape
    return RIDGE * rows / width * np.eye(width)


def ridge(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Weights of a ridge regression, (features,) or (features, labels)."""
    return np.linalg.solve(features.T @ features + penalty(features), features.T @ labels)


def smooth_errors(values: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Squared errors, summed over labels, of a regression on numbers, their squares and random cosines of them.

    Args:
        values: (n, numbers).
        labels: (n, labels), preferably of variance 1.
        groups: (n,) rows of the same group are never used to predict one another.

    Returns:
        (n,) errors.
    """
    features, folds = _features(values, labels), np.unique(groups, return_inverse=True)[1] % FOLDS
    errors = np.empty(len(labels))
    low, high = labels.min(axis=0), labels.max(axis=0)
    for fold in range(FOLDS):
        held = folds == fold
        weights = ridge(features[~held], labels[~held])
        errors[held] = ((np.clip(features[held] @ weights, low, high) - labels[held]) ** 2).sum(axis=1)
    return errors


def trained_errors(values: np.ndarray, labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Squared errors, (rows, labels), of the first `count` rows and of the rest.

    Each half of the first rows is predicted by a regression on the other half, the rest by one on all the first rows.
    """
    features = _features(values, labels)

    def predicted(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
        return features[asked] @ ridge(features[known], labels[known])

    numbers = np.arange(len(labels))
    errors = np.empty(labels.shape)
    for half in range(2):
        asked = numbers[(numbers < count) & (numbers % 2 == half)]
        errors[asked] = predicted(numbers[(numbers < count) & (numbers % 2 != half)], asked) - labels[asked]
    errors[count:] = predicted(numbers[:count], numbers[count:]) - labels[count:]
    return errors[:count] ** 2, errors[count:] ** 2


def _features(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    values = standardised(values)
    if values.shape[1] > WIDEST:
        related = np.abs(values.T @ (labels - labels.mean(axis=0))).max(axis=1)
        values = values[:, np.sort(np.argsort(-related)[:WIDEST])]
    draws = np.random.default_rng(SEED)
    directions = draws.normal(size=(values.shape[1], COSINES)) / np.sqrt(max(values.shape[1], 1))
    cosines = np.cos(values @ directions + draws.uniform(0, 2 * np.pi, COSINES))
    return np.column_stack([np.ones(len(values)), values, values**2 - 1, cosines])


def standardised(values: np.ndarray) -> np.ndarray:
    """Numbers that vary, with mean 0 and variance 1, clipped at 10 standard deviations; float64."""
    values = values.astype(np.float64)
    spread = values.std(axis=0)
    moving = spread > 1e-9 * (np.abs(values).max(axis=0, initial=0) + 1e-300)
    return np.clip((values[:, moving] - values[:, moving].mean(axis=0)) / spread[moving], -10, 10)
