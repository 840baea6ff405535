"""The number of action modes in one state, estimated from nearest neighbours; a hint for the number of candidates."""

import numpy as np

from drol.doctor.findings import Modes
from drol.doctor.survey import Survey

QUERIES = 2000
REFERENCES = 100_000
"""The most states to find neighbours for, and the most states searched: an exact search then takes seconds."""

NEIGHBOURS = 16
"""Enough to see a handful of modes; more would reach further away."""

CHUNK = 32
"""Queries searched at a time: 32 x 100 000 distances are 13 MB."""

LINK = 0.2
GAP = 3.0
"""Two neighbours act alike if their actions differ by less than a fifth of the typical difference of two random actions
of the data, or by less than three times the neighbours' median distance to the nearest action: noise around one action
is one mode."""

MODE_MEMBERS = 2
"""An action that no other neighbour shares is noise, not a mode."""

DETERMINISTIC = 0.025
VARIED = 0.1
"""If the variance of neighbours' actions is below a fortieth of the total variance, a single candidate is enough. From
a tenth on, the number of modes decides; in between, the hint grows from one to the other."""

PER_MODE = 4
MOST_CANDIDATES = 64
"""About four candidates for each mode, so that several fall into each. The hint is continuous in the spread and in the
number of modes, so that another sample of the same data changes it by about one."""


def action_modes(survey: Survey) -> Modes | None:
    """The spread of actions among nearby states of other episodes, and a hint for K; None if too little is known."""
    references = survey.sample(REFERENCES, 10)
    episodes = survey.episode[references]
    if len(references) < 4 * NEIGHBOURS or len(np.unique(episodes)) < 2:
        return None
    generator = survey.generator(11)
    queries = np.sort(generator.choice(len(references), min(QUERIES, len(references)), replace=False))
    points = _standardised(survey.states(references))
    actions = survey.actions(references).astype(np.float32)
    whole = float(actions.var(axis=0, dtype=np.float64).sum())
    if not whole > 0 or not np.isfinite(whole):
        return None
    near, there = _neighbours(points, episodes, queries)
    near, queries = near[there], queries[there]
    if not len(queries):
        return None
    acted = actions[near].astype(np.float64)
    spread = acted.var(axis=1, ddof=1).sum(axis=1) / whole
    strangers = actions[generator.integers(len(actions), size=(2, QUERIES))].astype(np.float64)
    typical = float(np.median(np.linalg.norm(strangers[0] - strangers[1], axis=-1)))
    counts = _modes(acted, typical)
    ratio, usual = float(np.median(spread)), float(counts.mean())
    return {
        "queries": len(queries),
        "neighbours": NEIGHBOURS,
        "spread": ratio,
        "modes": usual,
        "modes_90%": float(np.quantile(counts, 0.9)),
        "candidates_hint": _hint(usual, ratio),
    }


def _hint(modes: float, spread: float) -> int:
    """A number of candidates; before rounding, continuous in the number of modes and in the spread of actions."""
    weight = np.clip((spread - DETERMINISTIC) / (VARIED - DETERMINISTIC), 0, 1)
    return round(1 + float(weight) * (min(PER_MODE * modes, MOST_CANDIDATES) - 1))


def _standardised(states: np.ndarray) -> np.ndarray:
    """Each dimension with mean 0 and variance 1, constant ones at 0; float32."""
    states = states.astype(np.float32)
    spread = states.std(axis=0, dtype=np.float64)
    states -= states.mean(axis=0, dtype=np.float64)
    states /= np.where((spread > 0) & np.isfinite(spread), spread, np.inf)
    return states


def _neighbours(points: np.ndarray, episodes: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each query, its nearest points in other episodes, (queries, NEIGHBOURS), and whether there are that many."""
    halves = 0.5 * np.einsum("nd,nd->n", points, points)
    near = np.empty((len(queries), NEIGHBOURS), np.int64)
    there = np.empty(len(queries), bool)
    for start in range(0, len(queries), CHUNK):
        chunk = queries[start : start + CHUNK]
        # Half the squared distance, without the query's own part, which is the same for all points.
        distances = halves - points[chunk] @ points.T
        distances[episodes[chunk][:, None] == episodes] = np.inf
        found = np.argpartition(distances, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
        near[start : start + CHUNK] = found
        there[start : start + CHUNK] = np.isfinite(np.take_along_axis(distances, found, 1)).all(axis=1)
    return near, there


def _modes(actions: np.ndarray, typical: float) -> np.ndarray:
    """The number of groups among each query's neighbours' actions (queries, NEIGHBOURS, action), by single linkage."""
    apart = np.linalg.norm(actions[:, :, None] - actions[:, None], axis=-1)
    others = apart + np.where(np.eye(NEIGHBOURS, dtype=bool), np.inf, 0)
    link = np.maximum(LINK * typical, GAP * np.median(others.min(axis=2), axis=1))
    reached = apart <= link[:, None, None]
    # Each product doubles the length of the chains followed.
    for _ in range(int(np.ceil(np.log2(NEIGHBOURS)))):
        reached = (reached.astype(np.float32) @ reached.astype(np.float32)) > 0
    leader = reached.argmax(axis=2) == np.arange(NEIGHBOURS)
    return (leader & (reached.sum(axis=2) >= MODE_MEMBERS)).sum(axis=1).clip(1)
