"""Where episodes begin and end."""

from collections.abc import Iterator

import numpy as np

from drol.data.doctor.findings import Finding
from drol.data.doctor.flags import looks_like_masks
from drol.data.doctor.survey import Survey

FEW_EPISODES = 20
"""A validation split of a tenth then is a single episode, or none."""

SINGLE_SHARE = 0.2
"""Up to a fifth of the episodes may end at once, having started at the goal; more is suspicious."""

CROSSING_SHARE = 0.2
"""Episodes that are pieces of one long recording also end where the next begins, with a step like any other. So such
rows are faults only if a fifth of them step further than any step inside an episode, or one steps implausibly far."""


def check_crossing(survey: Survey) -> Iterator[Finding]:
    """Transitions whose s' is the first state of the following episode."""
    log = survey.log
    at = survey.last[:-1]
    same = (survey.successors(at) == survey.states(at + 1)).all(axis=1)
    at = at[same]
    inside = survey.scores[~survey.ends]
    usual = inside[inside <= 1].max(initial=0)
    beyond = at[survey.scores[at] > usual]
    if np.isfinite(survey.limits).any() and (len(beyond) > CROSSING_SHARE * len(at) or (survey.scores[at] > 1).any()):
        cause = "no table of next observations" if log.next_observations is None else "its table of next observations"
        yield Finding(
            "crosses-episodes",
            "error",
            "the next observation of an episode's last transition is the first of the following episode, further away "
            "than any step inside an episode",
            "the value of a new start leaks into the end of the episode before",
            f"drop these transitions, or store the true last observation (the source has {cause})",
            survey.rows(beyond),
            len(beyond),
        )


def check_counts(survey: Survey) -> Iterator[Finding]:
    """Too few episodes, and episodes of one step."""
    count, lengths = len(survey.last), survey.lengths
    if count < FEW_EPISODES:
        yield Finding(
            "few-episodes",
            "note",
            f"there {'is' if count == 1 else 'are'} only {count} episode{'s' if count > 1 else ''}",
            f"a validation split needs about {FEW_EPISODES} to say anything",
            "train without a validation split, or record more",
        )
    single = survey.first[lengths == 1]
    if len(single) and not looks_like_masks(survey):
        whole = len(single) == len(survey.log)
        yield Finding(
            "single-step",
            "warning" if len(single) > SINGLE_SHARE * count else "note",
            "every transition is an episode of its own"
            if whole
            else f"{len(single)} of {count} episodes have one step",
            "nothing follows in them; where there are many, ends were marked in the wrong rows",
            "check the ends, or leave these episodes out",
            survey.rows(single),
            len(single),
        )
