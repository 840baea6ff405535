"""Examines a data set before training: what is wrong, in which rows, why it matters and how to fix it."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from drol.data.log import Log
from drol.doctor.action_shift import check_alignment
from drol.doctor.actions import check_actions
from drol.doctor.coverage import coverage
from drol.doctor.duplicates import check_duplicates
from drol.doctor.environment import check_environment
from drol.doctor.episodes import check_counts, check_crossing
from drol.doctor.findings import Coverage, Empty, Facts, Finding, Report, ordered
from drol.doctor.flags import check_flags
from drol.doctor.jumps import check_jumps
from drol.doctor.order import check_order
from drol.doctor.repeated_rows import check_stillness
from drol.doctor.resets import check_resets
from drol.doctor.reward_timing import check_timing
from drol.doctor.rewards import check_rewards
from drol.doctor.structure import check_structure, check_types
from drol.doctor.successors import check_successors
from drol.doctor.survey import Survey
from drol.doctor.timeouts import check_both, check_terminations, check_timeouts
from drol.doctor.values import check_constant, check_finite, check_redundant

if TYPE_CHECKING:
    import gymnasium

__all__ = ["CHECKS", "Finding", "Report", "examine"]

CHECKS: tuple[Callable[[Survey], Iterator[Finding]], ...] = (
    check_finite,
    check_order,
    check_flags,
    check_crossing,
    check_jumps,
    check_resets,
    check_successors,
    check_timeouts,
    check_terminations,
    check_both,
    check_counts,
    check_duplicates,
    check_stillness,
    check_actions,
    check_rewards,
    check_alignment,
    check_timing,
    check_constant,
    check_redundant,
)
"""All checks that need only the data; each looks for one kind of fault and may assume that the structure is sound."""


def examine(log: Log, env: "gymnasium.Env | None" = None, *, seed: int = 0) -> Report:
    """Examine a data set.

    Tables are read in blocks, and expensive checks use samples, so that a data set as large as memory can be examined.

    Args:
        log: the data as stored in its source.
        env: if given, its spaces are compared with the data, and logged actions are replayed from logged states.
        seed: for the samples.

    Returns:
        The findings and figures, which depend only on the log and the seed, except for the elapsed seconds.
    """
    began = time.monotonic()
    findings = [*check_structure(log)]
    figures: Coverage | Empty = {}
    # Values have not been checked yet: NaN and overflow are reported by the checks, not by NumPy.
    with np.errstate(all="ignore"):
        if not findings:
            survey = Survey(log, seed)
            findings += [*check_types(log), *(found for check in CHECKS for found in check(survey))]
            figures = coverage(survey)
            if env is not None:
                further, figures["replay"] = check_environment(survey, env)
                findings += further
    return Report(log.where, _facts(log, time.monotonic() - began), ordered(findings), figures)


def _facts(log: Log, seconds: float) -> Facts:
    tables = [log.observations, log.actions, log.rewards, log.next_observations, *log.states.values()]
    return {
        "transitions": len(log),
        "episodes": int(np.asarray(log.ends, bool)[:-1].sum()) + 1 if len(log) else 0,
        "observation_dim": log.observations.shape[-1] if log.observations.ndim > 1 else None,
        "action_dim": log.actions.shape[-1] if log.actions.ndim > 1 else None,
        "bytes": sum(table.nbytes for table in tables if table is not None),
        "seconds": seconds,
    }
