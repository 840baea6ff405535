"""Compares the data with an environment: dimensions, bounds, time limit, and a replay of logged actions."""

import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from drol.doctor.findings import Empty, Finding, Replayed
from drol.doctor.survey import Survey
from drol.environments.flatten import flatten
from drol.environments.spec import action_bounds
from drol.extras import quiet
from drol.seeding import reset_seeded

if TYPE_CHECKING:
    import gymnasium

STEPS = 200
"""Transitions to replay: a few seconds in a robot simulator."""

DRIFT = 0.25
"""A median drift of a quarter of a typical step is large: simulators agree up to rounding, and what the recorded state
leaves out (the warm start of contacts, a controller's memory) amounts to a few hundredths."""

BOUND_TOLERANCE = 1e-3

OWN_LIMIT = 5
OWN_SHARE = 0.5
"""Published benchmarks, and recordings with another limit, may have longer episodes than the environment allows.
In that case at least five episodes, and at least half of all, have exactly the greatest length."""


def check_environment(survey: Survey, env: "gymnasium.Env") -> tuple[list[Finding], Replayed | Empty]:
    """Compare dimensions, bounds and the time limit with the data, then replay some actions.

    Returns:
        The findings, and the figures of the replay, empty if there was none.
    """
    mismatches = [*_dimensions(survey, env)]
    findings = [*mismatches, *_bounds(survey, env), *_limit(survey, env)]
    if mismatches:
        return findings, {}
    further, figures = _replay(survey, env)
    return findings + further, figures


def _replay(survey: Survey, env: "gymnasium.Env") -> tuple[list[Finding], Replayed | Empty]:
    """Replay some actions from the logged simulator states."""
    obstacle = _obstacle(survey, env)
    if obstacle:
        remedy = "record simulator states (qpos, qvel) with the data, so that actions can be replayed"
        return [_not_replayed(f"actions were not replayed: {obstacle}", remedy)], {}
    at = survey.sample(STEPS, 12)
    if not len(at):
        return [], {}
    try:
        with quiet():
            drift = _drift(survey, env, at)
    except Exception as error:  # whatever a simulator may raise when given foreign states
        what = f"the environment refused the recorded states ({type(error).__name__}: {str(error)[:200]})"
        return [_not_replayed(what, "check that the data were recorded in this environment")], {}
    figures: Replayed = {
        "steps": len(at),
        "drift_median": float(np.median(drift)),
        "drift_max": float(drift.max()),
    }
    if figures["drift_median"] <= DRIFT:
        return [], figures
    finding = survey.finding(
        "drift",
        "error",
        f"replayed actions lead elsewhere: the median drift of one step is {figures['drift_median']:.2g} typical "
        f"steps, in {len(at)} transitions tried",
        "a policy learned from these data meets different dynamics in the environment",
        "use the version of the environment that the data were recorded in, and check the actions' units and rows",
        at[~(drift <= DRIFT)],
    )
    return [finding], figures


def _not_replayed(what: str, remedy: str) -> Finding:
    why = "it is unknown whether the environment still behaves as it did when the data were recorded"
    return Finding("no-replay", "note", what, why, remedy)


def _dimensions(survey: Survey, env: "gymnasium.Env") -> Iterator[Finding]:
    with quiet():
        widths = {
            "observation": (len(flatten(env.observation_space.sample())), survey.log.observations.shape[1]),
            "action": (len(flatten(env.action_space.sample())), survey.log.actions.shape[1]),
        }
    for name, (expected, found) in widths.items():
        if expected != found:
            yield Finding(
                f"environment-{name}",
                "error",
                f"{name}s of the environment have {expected} numbers, those of the data have {found}",
                "a policy trained on the data cannot be used there",
                "give the environment that the data were recorded in",
            )


def _bounds(survey: Survey, env: "gymnasium.Env") -> Iterator[Finding]:
    box, log = action_bounds(env.action_space), survey.log
    if box is None or len(box[0]) != log.actions.shape[1] or log.action_low is None or log.action_high is None:
        return
    apart = max(np.abs(box[0] - log.action_low).max(), np.abs(box[1] - log.action_high).max())
    if apart > BOUND_TOLERANCE * np.abs(box[1] - box[0]).max():
        yield Finding(
            "environment-bounds",
            "warning",
            f"the environment's actions lie in [{box[0].min():g}, {box[1].max():g}], but the source states "
            f"[{float(np.min(log.action_low)):g}, {float(np.max(log.action_high)):g}]",
            "actions are rescaled by these bounds: the policy would act too strongly or too weakly",
            "give the environment that the data were recorded in",
        )


def _limit(survey: Survey, env: "gymnasium.Env") -> Iterator[Finding]:
    """Episodes longer than the environment's time limit: their ends were not marked."""
    limit = None if env.spec is None else env.spec.max_episode_steps
    if limit is None or survey.lengths.max() <= limit:
        return
    longer = survey.last[survey.lengths > limit]
    longest = int(survey.lengths.max())
    alike = int((survey.lengths == longest).sum())
    own = alike >= OWN_LIMIT and alike >= OWN_SHARE * len(survey.lengths)
    yield survey.finding(
        "episode-limit",
        "note" if own else "error",
        f"{len(longer)} episode{'s are' if len(longer) > 1 else ' is'} longer than the {limit} steps that "
        f"{env.spec.id if env.spec else 'the environment'} allows, the longest {longest:,}"
        + ("; most have exactly this length" if own else ""),
        "the data were recorded with a different limit"
        if own
        else "ends of episodes were not marked: transitions lead from one episode into the next",
        "nothing to do" if own else "mark the last row of each episode (as truncated, if the limit ended it)",
        longer,
    )


def _obstacle(survey: Survey, env: "gymnasium.Env") -> str | None:
    """Why a replay is impossible; None if it is possible."""
    setter = _setter(env)
    if setter is None:
        return "the environment has no `set_state`"
    missing = [name for name in _wanted(setter) if name not in survey.log.states]
    return f"the data have no {', '.join(missing)}" if missing else None


def _setter(env: "gymnasium.Env") -> Callable[..., None] | None:
    """The environment's `set_state`, if it has one."""
    return getattr(env.unwrapped, "set_state", None)


def _wanted(setter: Callable[..., None]) -> list[str]:
    """The simulator states that `set_state` takes, by the names of its arguments."""
    parameters = inspect.signature(setter).parameters.values()
    return [parameter.name for parameter in parameters if parameter.default is parameter.empty]


def _drift(survey: Survey, env: "gymnasium.Env", at: np.ndarray) -> np.ndarray:
    """How far from the logged s' the environment lands, in typical steps, for each transition of `at`."""
    set_state = _setter(env)
    assert set_state is not None
    names, landed = _wanted(set_state), []
    reset_seeded(env, 0)
    for transition in at:
        row = int(survey.log.index[transition])
        # In the simulator's own precision, float64.
        states = [np.asarray(survey.log.states[name][row]) for name in names]
        set_state(*(s.astype(np.float64) if s.dtype.kind == "f" else s for s in states))
        observation, _, terminated, truncated, _ = env.step(survey.log.actions[transition])
        landed.append(flatten(observation))
        if terminated or truncated:
            reset_seeded(env, 0)
    expected = survey.successors(at).astype(np.float64)
    typical = np.median(np.linalg.norm(expected - survey.states(at), axis=1))
    return np.linalg.norm(np.array(landed) - expected, axis=1) / max(float(typical), 1e-12)
