"""Episodes and transitions that occur twice."""

from collections.abc import Iterator

import numpy as np

from drol.doctor.findings import Finding
from drol.doctor.survey import Survey

REPEATED_SHARE = 0.01
"""Below this share, repeated transitions may be chance in a system with few states."""


def check_duplicates(survey: Survey) -> Iterator[Finding]:
    """Episodes with the same observations and actions; then single transitions."""
    hashes = _transition_hashes(survey)
    copies = _episode_copies(survey, hashes)
    if len(copies):
        starts = survey.first[copies]
        yield survey.finding(
            "duplicate-episodes",
            "warning",
            f"{len(copies)} of {len(survey.last)} episodes repeat an earlier one exactly; their first rows are listed",
            "they count twice in training, and a copy in the validation split makes it worthless",
            "remove the copies",
            starts,
        )
    # A state that does not change is not a copied row: the system is at rest or at a wall; see also `repeated_rows`.
    fresh = ~np.isin(survey.episode, copies) & ~_resting(survey)
    at = np.flatnonzero(fresh)
    at = at[_repeats(hashes[at])]
    if len(at):
        yield survey.finding(
            "duplicate-transitions",
            "warning" if len(at) > REPEATED_SHARE * fresh.sum() else "note",
            "transitions repeat an earlier one (s, a and s') exactly",
            "they count twice in training; many of them suggest that pieces of the recording were copied",
            "remove the copies unless the system truly repeated itself",
            at,
        )


def _resting(survey: Survey) -> np.ndarray:
    """(T,) whether s' is s."""
    resting = np.zeros(len(survey.log), bool)
    for block in survey.blocks():
        resting[block] = (survey.states(block) == survey.successors(block)).all(axis=1)
    return resting & ~survey.ends


def _transition_hashes(survey: Survey) -> np.ndarray:
    """A 64-bit hash of the float32 numbers of s, a and s' of each transition, (T,)."""
    draws = survey.generator(5)
    width = 2 * survey.log.observations.shape[1] + survey.log.actions.shape[1]
    factors = draws.integers(0, 2**64, (2, width), np.uint64) | np.uint64(1)
    hashes = np.zeros(len(survey.log), np.uint64)
    for block in survey.blocks():
        parts = (survey.states(block), survey.actions(block), survey.successors(block))
        column = 0
        for part in parts:
            for values in part.T:
                # Adding zero makes -0.0 the same as 0.0.
                bits = (values.astype(np.float32) + np.float32(0)).view(np.uint32).astype(np.uint64)
                # Floats often end in zeros; the shift carries high bits down before the second product.
                bits = (bits + factors[1, column]) * factors[0, column]
                bits ^= bits >> np.uint64(29)
                hashes[block] += bits * factors[1, column]
                column += 1
    return hashes ^ (hashes >> np.uint64(32))


def _episode_copies(survey: Survey, hashes: np.ndarray) -> np.ndarray:
    """The episodes, of two steps or more, that repeat an earlier one."""
    odd = survey.generator(6).integers(0, 2**64, dtype=np.uint64) | np.uint64(1)
    steps = (np.arange(len(hashes)) - np.repeat(survey.first, survey.lengths)).astype(np.uint64)
    mixed = (hashes + steps * odd) * odd
    mixed ^= mixed >> np.uint64(31)
    sums = np.add.reduceat(mixed * odd, survey.first)
    longer = np.flatnonzero(survey.lengths > 1)
    return longer[_repeats(sums[longer])]


def _repeats(hashes: np.ndarray) -> np.ndarray:
    """True where a hash was seen before."""
    repeated = np.ones(len(hashes), bool)
    repeated[np.unique(hashes, return_index=True)[1]] = False
    return repeated
