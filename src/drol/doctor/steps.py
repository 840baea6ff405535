"""How far each claimed step goes, compared with the log's other steps and with random pairs of its rows.

Two scores judge a whole step, all numbers of the state at once, so that a contact or a wrapped angle, which moves a few
of them, counts little, and a reset, which moves nearly all, counts much:

- `far`: the mean of log(1 + step / typical step) over the state's numbers, without the quarter that moves most, in
  units of the log's own spread;
- `closeness`: the mean, over the state's smooth numbers, of how many of the log's values the step passes (a distance of
  ranks).
"""

import dataclasses
import functools

import numpy as np

from drol.doctor.survey import SAMPLE, Survey

PAIRS = 4000
"""Steps, and random pairs of rows, that are compared: shares are then known to within a hundredth."""

MOST_NUMBERS = 64
"""The most numbers of the state that are judged, evenly spaced if it has more: enough for a mean."""

SET_ASIDE = 4
"""The quarter of the numbers that move most in a step does not count: a reset moves nearly all, a contact a few."""

MOVING = 0.5
"""A number that rests in more than half of the steps (a button, an object until it is touched) has no typical step."""

SMOOTH = 0.5
"""A number is smooth if its median step passes at most half as many values as the median random pair, or if it is the
smoothest of all. The ratio is 0.4 for the fastest simulated robots and 1 for shuffled rows."""


@dataclasses.dataclass(frozen=True)
class Steps:
    """The claimed steps of a log inside its episodes.

    Attributes:
        survey: the log.
    """

    survey: Survey

    @functools.cached_property
    def inside(self) -> np.ndarray:
        """(T,) true where s' belongs to the same episode and all is finite."""
        return self.survey.finite & ~self.survey.ends

    @functools.cached_property
    def sample(self) -> np.ndarray:
        """Some transitions inside episodes."""
        return self.survey.sample(SAMPLE, 20, self.inside)

    @functools.cached_property
    def typical(self) -> np.ndarray:
        """(observation,) the median step of each number; infinite where it mostly rests."""
        at = self.sample
        typical = np.full(self.survey.width, np.inf)
        if not len(at):
            return typical
        steps = np.abs(self.survey.successors(at).astype(np.float64) - self.survey.states(at))
        for number, step in enumerate(steps.T):
            moves = step[step > 0]
            if len(moves) > MOVING * len(step):
                typical[number] = np.median(moves)
        moving = np.flatnonzero(np.isfinite(typical))
        if len(moving) > MOST_NUMBERS:
            left = np.setdiff1d(moving, moving[np.linspace(0, len(moving) - 1, MOST_NUMBERS).astype(int)])
            typical[left] = np.inf
        return typical

    @functools.cached_property
    def _scale(self) -> tuple[float, float]:
        """The median of the raw score and its distance to the upper quartile, inside episodes."""
        raw = self._raw(self.survey.states(self.sample), self.survey.successors(self.sample))
        if not len(raw):
            return 0.0, np.inf
        middle, upper = np.quantile(raw, [0.5, 0.75])
        return float(middle), float(upper - middle) or np.inf

    def _raw(self, states: np.ndarray, successors: np.ndarray) -> np.ndarray:
        moving = np.isfinite(self.typical)
        if not moving.any():
            return np.zeros(len(states))
        steps = np.abs(successors[:, moving].astype(np.float64) - states[:, moving])
        scores, most = np.log1p(steps / self.typical[moving]), int(moving.sum()) // SET_ASIDE
        if most:
            # A tossed object may move ten thousand times as far as usual, and would outweigh the rest.
            scores = np.partition(scores, scores.shape[1] - most, axis=1)[:, :-most]
        return scores.mean(axis=1)

    def far_between(self, states: np.ndarray, successors: np.ndarray) -> np.ndarray:
        """(n,) how far the steps between pairs of states go: 0 for the median step, 1 for the upper quartile."""
        middle, spread = self._scale
        return (self._raw(states, successors) - middle) / spread

    @functools.cached_property
    def far(self) -> np.ndarray:
        """(T,) the score of each transition; minus infinity at ends of episodes and where it is not finite."""
        scores = np.full(len(self.survey.log), -np.inf, np.float32)
        if np.isfinite(self.typical).any():
            for block in self.survey.blocks():
                scores[block] = self.far_between(self.survey.states(block), self.survey.successors(block))
        scores[~self.inside] = -np.inf
        return scores

    @functools.cached_property
    def pairs(self) -> "Pairs | None":
        """Claimed steps compared with random pairs; None if there are no steps or no number varies."""
        at = self.survey.sample(PAIRS, 21, self.inside)
        return Pairs.of(self.survey, at) if len(at) else None


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Claimed steps compared with random pairs of states, n of each, in ranks.

    Attributes:
        at: (n,) the transitions.
        claimed: (n, numbers) the share of the log's values that each number's step passes.
        random: (n, numbers) the same for random pairs.
        numbers: (numbers,) which numbers of the state these are: those that vary.
    """

    at: np.ndarray
    claimed: np.ndarray
    random: np.ndarray
    numbers: np.ndarray

    @classmethod
    def of(cls, survey: Survey, at: np.ndarray) -> "Pairs | None":
        """Compare the steps of `at`; None if no number varies."""
        states, successors = survey.states(at).astype(np.float64), survey.successors(at).astype(np.float64)
        numbers = np.flatnonzero((states != states[0]).any(axis=0))
        if not len(numbers):
            return None
        if len(numbers) > MOST_NUMBERS:
            numbers = numbers[np.linspace(0, len(numbers) - 1, MOST_NUMBERS).astype(int)]
        order = survey.generator(22).permutation(len(at))
        claimed, random = np.empty((2, len(at), len(numbers)))
        for column, number in enumerate(numbers):
            known = np.sort(states[:, number])
            here, there = (middle_ranks(table[:, number], known) for table in (states, successors))
            claimed[:, column] = np.abs(there - here)
            random[:, column] = np.abs(there[order] - here)
        return cls(at, claimed, random, numbers)

    @functools.cached_property
    def ratio(self) -> np.ndarray:
        """(numbers,) the median claimed step divided by the median random pair; 1 if rows are in no order."""
        random = np.median(self.random, axis=0)
        return np.where(random > 0, np.median(self.claimed, axis=0) / np.where(random > 0, random, 1), 1)

    @functools.cached_property
    def smooth(self) -> np.ndarray:
        """(numbers,) true where a number moves smoothly."""
        return (self.ratio <= max(SMOOTH, self.ratio.min())) & (np.median(self.random, axis=0) > 0)

    @functools.cached_property
    def closeness(self) -> tuple[np.ndarray, np.ndarray]:
        """The mean over smooth numbers, of claimed steps and of random pairs, (n,) each."""
        smooth = self.smooth if self.smooth.any() else np.ones_like(self.smooth)
        return self.claimed[:, smooth].mean(axis=1), self.random[:, smooth].mean(axis=1)


def middle_ranks(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The share of `known` (sorted) below each value, half of those that equal it included."""
    return (np.searchsorted(known, values, "left") + np.searchsorted(known, values, "right")) / (2 * len(known))
