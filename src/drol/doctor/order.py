"""Whether rows are in time order: are the states of a step nearer to each other than those of random rows?"""

from collections.abc import Iterator

import numpy as np

from drol.doctor.findings import Finding
from drol.doctor.numerics import distances_to_others
from drol.doctor.steps import Pairs, Steps, middle_ranks
from drol.doctor.survey import Survey

FEWEST = 30
"""With fewer steps, order cannot be judged."""

SURE = 200
"""From 200 steps on, a lack of order is an error; with fewer, sound logs of fast systems may also lack it."""

VISIBLE = 0.6
SIGMAS = 4.0
"""Order is visible in a number of the state if its step is smaller than that of a random pair in three cases out of
five, by four standard errors; in shuffled rows, it is smaller in one of two. The fastest simulated robots, under random
actions, reach 0.77 in their smoothest number."""

OUT_OF_ORDER = 0.15
CHANCE = 1e-6
"""Half of all random pairs are further apart than the median pair, but hardly any steps are. Twice the share of steps
that go further estimates how many are out of order. Simulated robots reach 0.1 (an inverted pendulum that falls in five
steps); shuffling pieces of five rows gives 0.2. A share beyond 0.15 must also be improbable if the truth is 0.1."""

LAGS = 8
ALTERNATE = 0.6
"""The rows of several recordings alternate if a later row is nearer than the next one in three cases out of five; in a
single recording that happens in less than half of the cases, even if actions switch back and forth at every step."""

KNOWN = 1500
"""States searched for the one nearest to another; the distances between so many take half a second."""


def check_order(survey: Survey) -> Iterator[Finding]:
    """Rows in no order, partly out of order, or interleaved from several recordings; or that this cannot be judged."""
    steps = Steps(survey)
    count = int(steps.inside.sum())
    if not count:
        return
    own = survey.log.next_observations is not None
    pairs = steps.pairs if count >= FEWEST else None
    if pairs is None:
        if not own:
            yield _unknown("there are too few steps" if count < FEWEST else "no number of the state changes")
        return
    # Tuples that include their next observation may be in any order.
    lag = None if own else _alternating(survey, pairs)
    if lag:
        yield _error(
            f"a row is followed not by the next row but by the {_ordinal(lag)} row after it: {lag} recordings seem to "
            f"alternate row by row",
            "put the rows of each recording one after another, and mark each end",
        )
        return
    if not visible(pairs).any():
        yield from _nowhere(survey, pairs, own)
        return
    if own:
        return
    share = _out_of_order(pairs)
    if share is not None:
        yield _error(
            f"about {100 * share:.0f} % of the steps go as far as a step to a random row of the log would",
            "restore the order in which rows were recorded, and mark each end of an episode",
        )


def visible(pairs: Pairs) -> np.ndarray:
    """(numbers,) true where the step of a number is clearly smaller than the difference of a random pair."""
    noise = np.sqrt(1 / (6 * len(pairs.at)))
    return np.array([_smaller(pairs.claimed[:, n], pairs.random[:, n]) for n in range(len(pairs.numbers))]) > max(
        VISIBLE, 0.5 + SIGMAS * noise
    )


def _smaller(one: np.ndarray, other: np.ndarray) -> float:
    """The chance that a draw of `one` is smaller than a draw of `other`; ties count half."""
    return 1 - float(middle_ranks(one, np.sort(other)).mean())


def _nowhere(survey: Survey, pairs: Pairs, own: bool) -> Iterator[Finding]:
    """The findings if no number of the state shows any order: rows are shuffled, or order cannot be judged."""
    if _predictable(survey, pairs):
        return
    states = survey.states(pairs.at)[:, pairs.numbers]
    repeated = 1 - len(np.unique(states, axis=0)) / len(states)
    if repeated > 0.5 or len(pairs.at) < SURE:
        if not own:
            yield _unknown("no number of the state moves smoothly")
    elif own:
        yield Finding(
            "order",
            "error",
            "next observations are no nearer to their observations than those of random rows",
            "what follows an action cannot be learned from them",
            "check that the rows of both tables are in the same order",
        )
    else:
        yield _error(
            "the next row is no nearer than a random one in any number of the state: the rows are shuffled",
            "restore the order in which rows were recorded, or store next observations with each row",
        )


def _unknown(cause: str) -> Finding:
    return Finding(
        "order-unknown",
        "warning",
        f"order cannot be judged: {cause}",
        "without next observations, s' is the next row: if rows are out of order, every transition is wrong",
        "make sure that rows are in the order in which they were recorded, or store next observations with them",
    )


def _error(what: str, remedy: str) -> Finding:
    why = "without next observations, s' is the next row: if rows are out of order, transitions are wrong"
    return Finding("order", "error", what, why, remedy)


def _out_of_order(pairs: Pairs) -> float | None:
    """The share of steps that are out of order, if that is beyond doubt; otherwise None."""
    claimed, random = pairs.closeness
    beyond = int((claimed > np.median(random)).sum())
    expected = 0.05 * len(claimed)
    # The chance that a binomial count exceeds this is below CHANCE (Bernstein's inequality).
    tail = -np.log(CHANCE)
    bound = expected + tail / 3 + np.sqrt((tail / 3) ** 2 + 2 * tail * expected)
    share = 2 * beyond / len(claimed)
    return share if share > OUT_OF_ORDER and beyond > bound else None


def _alternating(survey: Survey, pairs: Pairs) -> int | None:
    """The number of recordings whose rows alternate; None if they do not."""
    at = pairs.at[pairs.at + LAGS < len(survey.log)]
    at = at[survey.episode[at + LAGS - 1] == survey.episode[at]]
    if len(at) < FEWEST:
        return None
    # All numbers, because none may look smooth if rows alternate.
    known = np.sort(survey.states(at)[:, pairs.numbers].astype(np.float64), axis=0)

    def ranks(table: np.ndarray) -> np.ndarray:
        return np.stack([middle_ranks(table[:, n], known[:, k]) for k, n in enumerate(pairs.numbers)], axis=1)

    here = ranks(survey.states(at))
    away = np.stack([np.abs(ranks(survey.successors(at + lag)) - here).mean(axis=1) for lag in range(LAGS)])
    nearer = (away[1:] < away[0]).mean(axis=1)
    best = int(nearer.argmax())
    noise = SIGMAS * np.sqrt(0.25 / len(at))
    return best + 2 if nearer[best] > max(ALTERNATE, 0.5 + noise) else None


def _predictable(survey: Survey, pairs: Pairs) -> bool:
    """Whether rows with nearly the same state and action have successors that are nearer than random ones."""
    at = pairs.at[:KNOWN]
    points = np.concatenate([survey.states(at), survey.actions(at)], axis=1).astype(np.float64)
    spread = points.std(axis=0)
    points = points[:, spread > 0] / spread[spread > 0]
    successors = survey.successors(at).astype(np.float64)
    scale = successors.std(axis=0)
    successors = successors[:, scale > 0] / scale[scale > 0]
    if not successors.shape[1] or not points.shape[1]:
        return False
    near = np.abs(successors[distances_to_others(points).argmin(axis=1)] - successors).mean(axis=1)
    random = np.abs(successors[survey.generator(23).permutation(len(at))] - successors).mean(axis=1)
    return _smaller(near, random) > max(VISIBLE, 0.5 + SIGMAS * float(np.sqrt(1 / (6 * len(at)))))


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")
