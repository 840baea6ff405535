"""Time-outs recorded as true ends, the reverse, and ends that are marked as both."""

from collections.abc import Iterator

import numpy as np

from drol.doctor.findings import Finding
from drol.doctor.survey import Survey

LIMIT_EPISODES = 5
LIMIT_STEPS = 10
LIMIT_SPIKE = 3
"""There is a time limit if at least 5 episodes have exactly the greatest length, of at least 10 steps (games of a few
steps may have a fixed length), three times as many as have any slightly smaller length: true ends thin out instead."""

MOST = 0.9
"""The share that counts as "all but a few"."""

RARE = 0.02
"""A final reward is distinct if at most this share of the other rows has it."""


def check_timeouts(survey: Survey) -> Iterator[Finding]:
    """Episodes cut at the time limit but marked as terminated: the classic misuse of `dones`."""
    log, lengths = survey.log, survey.lengths
    longest = survey.last[lengths == lengths.max()]
    if _continues(survey) or len(longest) < LIMIT_EPISODES or lengths.max() < LIMIT_STEPS or not _spike(lengths):
        return
    terminated = np.asarray(log.terminated, bool)[longest]
    if log.truncated is not None:
        # Ends that are marked as both are reported separately.
        terminated &= ~np.asarray(log.truncated, bool)[longest]
    if terminated.mean() >= MOST:
        at = longest[terminated]
        yield survey.finding(
            "timeout-as-termination",
            "error",
            f"{len(at)} episodes reach the greatest length, {lengths.max()} steps, and all but a few are marked as "
            f"terminated there",
            "a time limit does not end the task: without the bootstrap, states late in an episode look worthless",
            "mark them as truncated (D4RL: `timeouts`) instead of terminated, unless the task truly ends then",
            at,
        )


def check_terminations(survey: Survey) -> Iterator[Finding]:
    """Episodes that ended before the time limit, with a reward found nowhere else, but marked as truncated."""
    log, lengths = survey.log, survey.lengths
    if log.truncated is None or log.rewards is None or np.asarray(log.terminated, bool).any():
        return
    early = survey.last[(lengths < lengths.max()) & np.asarray(log.truncated, bool)[survey.last]]
    if len(early) < LIMIT_EPISODES or len(np.unique(lengths)) < LIMIT_EPISODES:
        return
    rewards = survey.rewards(slice(None))
    values, counts = np.unique(rewards[early], return_counts=True)
    final = values[counts.argmax()]
    elsewhere = (rewards == final).sum() - counts.max()
    if counts.max() >= MOST * len(early) and elsewhere <= RARE * (len(rewards) - len(early)):
        yield survey.finding(
            "termination-as-timeout",
            "warning",
            f"{len(early)} episodes of varying length are marked as truncated, and nearly all end with a reward of "
            f"{final:g}, which is rare elsewhere",
            "they look like true ends (success, failure): bootstrapping from the state after an end invents values",
            "mark them as terminated if the task ended there",
            early,
        )


def check_both(survey: Survey) -> Iterator[Finding]:
    """Transitions marked as terminated and as truncated."""
    if survey.log.truncated is None or _continues(survey):
        return
    at = np.flatnonzero(np.asarray(survey.log.terminated, bool) & np.asarray(survey.log.truncated, bool))
    if len(at):
        yield survey.finding(
            "both-ends",
            "warning",
            "transitions are marked as terminated and as truncated at once",
            "they count as terminated, so the bootstrap stops; if only the time ran out, it should continue",
            "mark each end as what it was; both is right only if the task ended in the very last step allowed",
            at,
        )


def _continues(survey: Survey) -> bool:
    """Whether episodes continue after a termination, as OGBench's do after a success: it then flags a kind of state."""
    return bool((np.asarray(survey.log.terminated, bool) & ~survey.ends).any())


def _spike(lengths: np.ndarray) -> bool:
    """Whether the greatest length is far more frequent than those up to a tenth (and at least 3 steps) below it."""
    near = np.bincount(lengths)[-1 - max(3, lengths.max() // 10) :]
    return bool(near[-1] >= LIMIT_SPIKE * near[:-1].max(initial=0))
