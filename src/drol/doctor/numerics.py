"""Formulas that several checks share."""

import numpy as np


def relative_entropy(share: np.ndarray | float, expected: float) -> np.ndarray | np.float64:
    """The relative entropy of shares to an expected one, for Hoeffding's bound.

    If each of n draws succeeds with probability `expected`, the probability that a larger share of at least `share`
    succeeds is at most exp(-n x relative entropy).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return sum(
            (np.where(p > 0, p * np.log(p / q), 0.0) for p, q in ((share, expected), (1 - share, 1 - expected))),
            start=np.zeros(()),
        )


def distances_to_others(points: np.ndarray) -> np.ndarray:
    """(n, n) squared distances between points; infinite from each point to itself."""
    squares = (points**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * points @ points.T
    np.fill_diagonal(distances, np.inf)
    return distances
