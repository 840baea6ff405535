"""Rewards that are missing, constant, or in rows that are left out."""

from collections.abc import Iterator

import numpy as np

from drol.data.log import LeftOut
from drol.doctor.findings import Finding
from drol.doctor.survey import Survey

MOST = 0.5
"""Losing more than this share of the nonzero rewards deserves a warning."""


def check_rewards(survey: Survey) -> Iterator[Finding]:
    """No rewards, or the same one everywhere."""
    log = survey.log
    if log.rewards is None:
        yield Finding(
            "no-rewards",
            "note",
            "the source has no rewards",
            "they come from the task that labels the data, so they are not examined here",
            "nothing to do",
        )
        return
    low, high = np.min(log.rewards), np.max(log.rewards)
    left = log.left_out
    if left is not None:
        yield _left_out(left, int(np.count_nonzero(log.rewards)))
    if low == high and not (low == 0 and left is not None and left.rewards):
        yield Finding(
            "constant-rewards",
            "error",
            f"every reward is {float(low):g}",
            "no action is better than another, so only imitation can be learned",
            "check which column the rewards were taken from, or give data that sometimes reach the task's goal",
        )


def _left_out(left: LeftOut, kept: int) -> Finding:
    """Rows without a known successor; worse if they hold the rewards. `kept` nonzero rewards are in the other rows."""
    everything, most = left.rewards > 0 and kept == 0, left.rewards > MOST * (left.rewards + kept)
    held = "all nonzero rewards" if everything else "most of the nonzero rewards"
    return Finding(
        "left-out",
        "error" if everything else "warning" if most else "note",
        str(left) + (f"; they hold {held}" if most else ""),
        "without them, no action is better than another" if everything else "training does not see them",
        "store final observations (one more row per episode, or `next_observations`), or mark the rows that truly end "
        "an episode as terminated",
        count=left.rows,
    )
