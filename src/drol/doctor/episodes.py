"""Where episodes begin and end."""

from collections.abc import Iterator

import numpy as np

from drol.doctor.findings import Finding
from drol.doctor.flags import looks_like_masks
from drol.doctor.survey import Survey

FEW_EPISODES = 20
"""With fewer, the validation split of one episode in twenty is empty."""

SINGLE_SHARE = 0.2
"""Up to a fifth of the episodes may end after one step, having started at the goal; more is suspicious."""

CROSSING_SHARE = 0.2
"""Episodes that are pieces of one long recording also end where the next begins, with a step like any other. So such
rows are faults only if more than a fifth of them go further than any step inside an episode, or one goes implausibly
far."""


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
        yield survey.finding(
            "crosses-episodes",
            "error",
            "the next observation of an episode's last transition is the first of the following episode, further away "
            "than any step inside an episode goes",
            "the value of the new start leaks into the end of the previous episode",
            f"drop these transitions, or store the true last observation (the source has {cause})",
            beyond,
        )


def check_counts(survey: Survey) -> Iterator[Finding]:
    """Too few episodes, and episodes of one step."""
    count, lengths = len(survey.last), survey.lengths
    if count < FEW_EPISODES:
        yield Finding(
            "few-episodes",
            "note",
            f"there {'is' if count == 1 else 'are'} only {count} episode{'s' if count > 1 else ''}",
            f"a useful validation split needs about {FEW_EPISODES}",
            "train without a validation split, or record more",
        )
    single = survey.first[lengths == 1]
    if len(single) and not looks_like_masks(survey):
        whole = len(single) == len(survey.log)
        yield survey.finding(
            "single-step",
            "warning" if len(single) > SINGLE_SHARE * count else "note",
            "every transition is a separate episode" if whole else f"{len(single)} of {count} episodes have one step",
            "no step follows in them; if there are many, ends were marked in the wrong rows",
            "check the ends, or leave these episodes out",
            single,
        )
