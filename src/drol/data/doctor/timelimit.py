"""Episodes longer than the environment allows."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from drol.data.doctor.findings import Finding
from drol.data.doctor.survey import Survey

if TYPE_CHECKING:
    import gymnasium

OWN_LIMIT = 5
OWN_SHARE = 0.5
"""Episodes of published benchmarks, or of a limit changed for the recording, may be longer than the environment's own
limit allows: five episodes, and half of all, are then of exactly the greatest length."""


def check_limit(survey: Survey, env: "gymnasium.Env") -> Iterator[Finding]:
    """Episodes of more steps than the environment's time limit: ends that were not marked."""
    limit = None if env.spec is None else env.spec.max_episode_steps
    if limit is None or survey.lengths.max() <= limit:
        return
    longer = survey.last[survey.lengths > limit]
    longest = int(survey.lengths.max())
    alike = int((survey.lengths == longest).sum())
    own = alike >= OWN_LIMIT and alike >= OWN_SHARE * len(survey.lengths)
    yield Finding(
        "episode-limit",
        "note" if own else "error",
        f"{len(longer)} episode{'s are' if len(longer) > 1 else ' is'} longer than the {limit} steps that "
        f"{env.spec.id if env.spec else 'the environment'} allows, the longest {longest:,}"
        + ("; most have exactly this length" if own else ""),
        "the data were recorded with another limit"
        if own
        else "ends of episodes were not marked: transitions lead from one episode into the next",
        "nothing to do" if own else "mark the last row of each episode (as truncated, if the limit ended it)",
        survey.rows(longer),
        len(longer),
    )
