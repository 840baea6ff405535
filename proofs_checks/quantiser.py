"""The exact reference of Proposition 4.1: the optimal quantiser of points on a line.

The cells of an optimal one-dimensional quantiser are intervals, so sorted points are cut into consecutive runs, and
dynamic programming over the cuts finds the global optimum. Costs are exact rational numbers.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from fractions import Fraction


@dataclasses.dataclass(frozen=True)
class Quantiser:
    """An optimal quantiser: its mean cost, the points of each cell, and the prototypes, the cells' weighted means."""

    cost: Fraction
    cells: tuple[tuple[Fraction, ...], ...]
    prototypes: tuple[Fraction, ...]


def optimal(points: Sequence[Fraction], weights: Sequence[Fraction], count: int) -> Quantiser:
    """The global minimum of sum_i w_i min_k (x_i - c_k)^2 over `count` prototypes.

    Args:
        points: distinct numbers in ascending order.
        weights: positive, summing to 1.
        count: number of prototypes, at most the number of points.
    """
    n = len(points)
    mass = [Fraction(0), *itertools.accumulate(weights)]
    first = [Fraction(0), *itertools.accumulate(w * x for w, x in zip(weights, points, strict=True))]
    second = [Fraction(0), *itertools.accumulate(w * x * x for w, x in zip(weights, points, strict=True))]

    def cell(i: int, j: int) -> Fraction:
        """The cost of one prototype, at the mean, for points i .. j - 1."""
        moment = first[j] - first[i]
        return second[j] - second[i] - moment * moment / (mass[j] - mass[i])

    best: list[Fraction | None] = [Fraction(0)] + [None] * n
    choices = []
    for _ in range(count):
        row: list[Fraction | None] = [None] * (n + 1)
        choice = [0] * (n + 1)
        for j in range(1, n + 1):
            for i in range(j):
                before = best[i]
                if before is not None and (row[j] is None or before + cell(i, j) < row[j]):  # pyright: ignore
                    row[j], choice[j] = before + cell(i, j), i
        best = row
        choices.append(choice)
    cuts, end = [], n
    for choice in reversed(choices):
        cuts.append((choice[end], end))
        end = choice[end]
    cells = tuple(tuple(points[i:j]) for i, j in reversed(cuts))
    prototypes = tuple((first[j] - first[i]) / (mass[j] - mass[i]) for i, j in reversed(cuts))
    cost = best[n]
    assert cost is not None
    return Quantiser(cost, cells, prototypes)


def uniform_intervals(
    lengths: Sequence[Fraction], gaps: Sequence[Fraction], masses: Sequence[Fraction], points: int
) -> tuple[list[Fraction], list[Fraction], list[int]]:
    """Uniform distributions on consecutive intervals, each as the midpoints of `points` equal parts.

    Returns:
        Positions in ascending order, their weights, and the number of the interval each belongs to. On cells that are
        unions of parts, the cost of the continuous mixture is that of the midpoints plus `within_parts`.
    """
    positions, weights, owners, start = [], [], [], Fraction(0)
    for number, (length, mass) in enumerate(zip(lengths, masses, strict=True)):
        positions += [start + length * (2 * i + 1) / (2 * points) for i in range(points)]
        weights += [mass / points] * points
        owners += [number] * points
        start += length + (gaps[number] if number < len(gaps) else 0)
    return positions, weights, owners


def within_parts(lengths: Sequence[Fraction], masses: Sequence[Fraction], points: int) -> Fraction:
    """What the midpoints of the parts leave out: the variance inside each part, the same for every choice of cells.

    With it the cost of `optimal` is exact for the continuous mixture on its cells, and so an upper bound on the minimum
    over all cells.
    """
    return sum((mass * (length / points) ** 2 / 12 for length, mass in zip(lengths, masses, strict=True)), Fraction(0))
