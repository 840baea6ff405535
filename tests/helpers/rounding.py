"""How far two float32 implementations of one formula may differ: the bounds of every comparison with golden numbers.

Backward error. A float32 evaluation of a network, a loss or a gradient gives the exact result for inputs (parameters,
batch, draws) that are each off by a few units u = 2^-24 (Higham, Accuracy and Stability of Numerical Algorithms,
chapter 3): a dot product of n = 32 terms, added up in whatever order, by about n / sqrt(6) u of a typical term, which
is what relative changes of 2 to 3 u of every term make. Another processor, or another order of the same sums, is
another draw of these errors. So they are drawn: the production program runs on `MEMBERS` copies of its inputs, every
number of which is moved by `ULPS` u up or down, and the spread of its results is what rounding does to each of them.
The spread knows

* the scale of the summands: where a mean cancels to nearly 0, its summands still move by u times their own size;
* the scale of a network's gradient, not that of one entry: an entry that nearly cancels moves as its neighbours do;
* what Adam makes of it: an entry moves by lr m / (sqrt(v) + eps), so an error e of its gradient g moves it by about
  lr e / |g|, nothing for most entries, but up to lr in either direction where |g| is of the order of e;
* what the moved parameters do to later losses and gradients.

Bounds. Both sides round, so their difference has sqrt(2) times the standard deviation of either. The spread is that of
16 copies, so a number in units of its spread follows Student's distribution of 16 degrees of freedom, which goes beyond
6.2 deviations once in 10^5, the numbers of a file: `DEVIATIONS` = 9 times the spread. An entry's spread is at least the
median of its array's. And no number is held to more than `ULPS` u of its own size.

Parameters after n updates of Adam round in two more ways, which all copies share and no spread shows: n additions
round to u of the parameter's size each, sqrt(n) u together; and the correction 1 - 0.999^t, of which float32 knows 1 to
u, has the relative error u / (1 - 0.999^t), which moves update t by half as much of lr (3e-5 of the first update).

A choice (winner, minimum, clip, cap) within rounding of its alternative is beyond these bounds, and rare: about one row
in 10^6.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

UNIT = 2.0**-24
ULPS = 4
MEMBERS = 16
DEVIATIONS = 9.0
B2 = 0.999


def moved(tree: Any, generator: np.random.Generator) -> Any:
    """Every float of a tree, `ULPS` units of its own size up or down; integers stay."""

    def move(leaf):
        leaf = np.asarray(leaf)
        if not np.issubdtype(leaf.dtype, np.floating):
            return leaf
        signs = generator.choice(np.array([-1.0, 1.0]), leaf.shape)
        return (leaf * (1 + ULPS * UNIT * signs)).astype(leaf.dtype)

    return jax.tree.map(move, tree)


def ensemble(function: Callable[..., Any], *inputs: Any) -> list[Any]:
    """What `function` makes of its inputs, and then of `MEMBERS` moved copies of them."""
    generators = [np.random.default_rng(member) for member in range(MEMBERS)]
    return [function(*inputs), *(function(*moved(inputs, generator)) for generator in generators)]


def histories(update: Callable[..., Any], state: Any, inputs: Sequence[tuple[Any, ...]]) -> list[list[tuple[Any, Any]]]:
    """(state, metrics) after every update, from the given start and from `MEMBERS` moved copies of it.

    A copy's first state is moved once and its batches and draws one by one. Its states are given less the first move,
    so that they differ by what came of it.
    """

    def history(start, batches):
        current, results = start, []
        for batch in batches:
            current, metrics = update(current, *batch)
            placed = jax.tree.map(lambda now, own, common: np.float64(now) - own + common, current, start, state)
            results.append((placed, metrics))
        return results

    generators = [np.random.default_rng(member) for member in range(MEMBERS)]
    copies = [history(moved(state, g), (moved(batch, g) for batch in inputs)) for g in generators]
    return [history(state, inputs), *copies]


def adams_rounding(updates: int, learning_rate: float) -> Callable[[np.ndarray], np.ndarray]:
    """What rounding inside of Adam may do to parameters of a given size after so many updates."""
    corrections = sum(1 / (2 * (1 - B2**t)) for t in range(1, updates + 1))

    def of(parameters: np.ndarray) -> np.ndarray:
        return ULPS * UNIT * (np.sqrt(updates) * np.abs(parameters) + learning_rate * corrections)

    return of


def of_its_size(values: np.ndarray) -> np.ndarray:
    """The rounding of a result itself."""
    return ULPS * UNIT * np.abs(values)


def bounds(values: Sequence[Any], rounding: Callable[[np.ndarray], np.ndarray] = of_its_size) -> np.ndarray:
    """How far the first of an ensemble's values may be from another implementation's, entry by entry."""
    first, *others = (np.asarray(value, np.float64) for value in values)
    spread = np.sqrt(np.mean([(other - first) ** 2 for other in others], axis=0))
    return DEVIATIONS * np.maximum(spread, np.median(spread)) + rounding(first)


def assert_within(
    values: Sequence[Any], stored: Any, name: str = "", rounding: Callable[[np.ndarray], np.ndarray] = of_its_size
) -> None:
    """The first of an ensemble's trees is `stored`, up to rounding."""
    first, structure = jax.tree.flatten_with_path(values[0])
    assert jax.tree.structure(stored) == structure, name
    leaves = zip(*(jax.tree.leaves(value) for value in values), strict=True)
    for (path, ours), members, theirs in zip(first, leaves, jax.tree.leaves(stored), strict=True):
        place = f"{name}{jax.tree_util.keystr(path)}"
        ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
        assert ours.shape == theirs.shape, f"{place}: {ours.shape}, stored {theirs.shape}"
        error, limit = np.abs(ours - theirs), bounds(members, rounding)
        # Not-a-number is no agreement.
        wrong = ~(error <= limit)
        if wrong.any():
            worst = np.unravel_index(np.argmax(np.where(wrong, error - limit, -np.inf)), error.shape)
            raise AssertionError(
                f"{place}{[int(i) for i in worst]}: {ours[worst]:.9g}, stored {theirs[worst]:.9g}: off by "
                f"{error[worst]:.2g}, where rounding explains {limit[worst]:.2g} ({wrong.sum()} of {wrong.size})"
            )
