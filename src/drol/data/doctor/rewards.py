"""Rewards that say nothing."""

from collections.abc import Iterator

import numpy as np

from drol.data.doctor.findings import Finding
from drol.data.doctor.survey import Survey


def check_rewards(survey: Survey) -> Iterator[Finding]:
    """No rewards, or the same one everywhere."""
    log = survey.log
    if log.rewards is None:
        yield Finding(
            "no-rewards",
            "note",
            "the source has no rewards",
            "they come from the task that labels the data, so that nothing is said of them here",
            "nothing to do",
        )
        return
    low, high = np.min(log.rewards), np.max(log.rewards)
    if low == high:
        yield Finding(
            "constant-rewards",
            "error",
            f"every reward is {float(low):g}",
            "no action is better than another: only imitation is left to learn",
            "check which column the rewards were taken from, or give data that reach the task's goal now and then",
        )
