"""A data set examined before anybody trains on it: what is wrong, in which rows, why it matters and how to mend it."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from drol.data.doctor.actions import check_actions
from drol.data.doctor.alignment import check_alignment
from drol.data.doctor.coverage import coverage
from drol.data.doctor.duplicates import check_duplicates
from drol.data.doctor.episodes import check_counts, check_crossing
from drol.data.doctor.findings import Finding, Report, ordered
from drol.data.doctor.flags import check_flags
from drol.data.doctor.jumps import check_jumps
from drol.data.doctor.limits import check_both, check_terminations, check_timeouts
from drol.data.doctor.order import check_order
from drol.data.doctor.replay import check_environment
from drol.data.doctor.resets import check_resets
from drol.data.doctor.rewards import check_rewards
from drol.data.doctor.stillness import check_stillness
from drol.data.doctor.structure import check_structure, check_types
from drol.data.doctor.successors import check_successors
from drol.data.doctor.survey import Survey
from drol.data.doctor.timing import check_timing
from drol.data.doctor.values import check_constant, check_finite, check_redundant
from drol.data.log import Log

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
"""Every check that needs nothing but the data; each looks for one kind of fault and may assume a sound structure."""


def examine(log: Log, env: "gymnasium.Env | None" = None, *, seed: int = 0) -> Report:
    """Examine a data set.

    Goes through tables in blocks and samples where a check is expensive, so that a set as large as memory can be
    examined.

    Args:
        log: the data, as its source holds it.
        env: if given, its spaces are compared with the data, and logged actions are taken again from logged states.
        seed: of the samples.

    Returns:
        The findings and figures; the same for the same log and seed, but for the seconds.
    """
    began = time.monotonic()
    findings = [*check_structure(log)]
    figures: dict[str, Any] = {}
    # Values are not yet checked: what overflows or is NaN is for the checks to say, not for NumPy.
    with np.errstate(all="ignore"):
        if not findings:
            survey = Survey(log, seed)
            findings += [*check_types(log), *(found for check in CHECKS for found in check(survey))]
            figures = coverage(survey)
            if env is not None:
                figures["replay"] = {}
                findings += check_environment(survey, env, figures["replay"])
    return Report(log.where, _facts(log) | {"seconds": time.monotonic() - began}, ordered(findings), figures)


def _facts(log: Log) -> dict[str, Any]:
    tables = [log.observations, log.actions, log.rewards, log.next_observations, *log.states.values()]
    return {
        "transitions": len(log),
        "episodes": int(np.asarray(log.ends, bool)[:-1].sum()) + 1 if len(log) else 0,
        "observation_dim": log.observations.shape[-1] if log.observations.ndim > 1 else None,
        "action_dim": log.actions.shape[-1] if log.actions.ndim > 1 else None,
        "bytes": sum(table.nbytes for table in tables if table is not None),
    }
