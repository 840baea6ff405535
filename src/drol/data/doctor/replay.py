"""The logged actions taken again in the environment, from the logged simulator states."""

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from drol.data.doctor.findings import Finding
from drol.data.doctor.survey import Survey
from drol.data.doctor.timelimit import check_limit
from drol.environments.flatten import flatten
from drol.environments.spec import action_bounds
from drol.extras import quiet
from drol.seeding import reset_seeded

if TYPE_CHECKING:
    import gymnasium

STEPS = 200
"""Transitions replayed: seconds in a simulator of a robot."""

DRIFT = 0.25
"""A median drift of a quarter of a typical step is large: simulators agree to rounding, and what the recorded state
leaves out (contacts' warm start, a controller's memory) amounts to a few hundredths."""

BOUND_TOLERANCE = 1e-3


def check_environment(survey: Survey, env: "gymnasium.Env", figures: dict[str, Any]) -> Iterator[Finding]:
    """Dimensions and bounds against the data; then a replay, whose figures go into `figures`."""
    mismatches = [*_dimensions(survey, env)]
    yield from mismatches
    yield from _bounds(survey, env)
    yield from check_limit(survey, env)
    if any(finding.severity == "error" for finding in mismatches):
        return
    obstacle = _obstacle(survey, env)
    if obstacle:
        yield Finding(
            "no-replay",
            "note",
            f"actions were not replayed: {obstacle}",
            "whether the environment still behaves as it did for the data remains open",
            "record simulator states (qpos, qvel) with the data to know",
        )
        return
    at = survey.sample(STEPS, 12)
    if not len(at):
        return
    try:
        with quiet():
            drift = _replay(survey, env, at)
    except Exception as error:  # what a simulator of any kind may raise when given foreign states
        yield Finding(
            "no-replay",
            "note",
            f"the environment refused the recorded states ({type(error).__name__}: {str(error)[:200]})",
            "whether the environment still behaves as it did for the data remains open",
            "check that the data set was recorded in this environment",
        )
        return
    figures |= {"steps": len(at), "drift_median": float(np.median(drift)), "drift_max": float(drift.max())}
    wrong = at[~(drift <= DRIFT)]
    if not np.median(drift) <= DRIFT:
        yield Finding(
            "drift",
            "error",
            f"replayed actions lead elsewhere: the median drift of one step is {float(np.median(drift)):.2g} typical "
            f"steps, in {len(at)} transitions tried",
            "a policy learned from this data meets other dynamics in the environment",
            "use the version of the environment the data was recorded in, and check the actions' units and rows",
            survey.rows(wrong),
            len(wrong),
        )


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
                f"{name}s of the environment have {expected} numbers, those of the data {found}",
                "a policy trained on the data cannot be used there",
                "give the environment the data was recorded in",
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
            f"the environment's actions lie in [{box[0].min():g}, {box[1].max():g}], the source states "
            f"[{float(np.min(log.action_low)):g}, {float(np.max(log.action_high)):g}]",
            "actions are rescaled by these bounds: the policy would act too strongly or too weakly",
            "give the environment the data was recorded in",
        )


def _obstacle(survey: Survey, env: "gymnasium.Env") -> str | None:
    """Why a replay is not possible; None if it is."""
    setter = getattr(env.unwrapped, "set_state", None)
    if setter is None:
        return "the environment has no `set_state`"
    missing = [name for name in _wanted(setter) if name not in survey.log.states]
    return f"the data has no {', '.join(missing)}" if missing else None


def _wanted(setter: Any) -> list[str]:
    """The simulator states a `set_state` asks for, by the names of its arguments."""
    parameters = inspect.signature(setter).parameters.values()
    return [parameter.name for parameter in parameters if parameter.default is parameter.empty]


def _replay(survey: Survey, env: "gymnasium.Env", at: np.ndarray) -> np.ndarray:
    """How far from the logged s' the environment lands, in typical steps, for each transition of `at`."""
    base: Any = env.unwrapped
    names, landed = _wanted(base.set_state), []
    reset_seeded(env, 0)
    for transition in at:
        row = int(survey.log.index[transition])
        # In the simulator's own precision: float32 would be cast at every use.
        states = [np.asarray(survey.log.states[name][row]) for name in names]
        base.set_state(*(s.astype(np.float64) if s.dtype.kind == "f" else s for s in states))
        observation, _, terminated, truncated, _ = env.step(survey.log.actions[transition])
        landed.append(flatten(observation))
        if terminated or truncated:
            reset_seeded(env, 0)
    expected = survey.successors(at).astype(np.float64)
    typical = np.median(np.linalg.norm(expected - survey.states(at), axis=1))
    return np.linalg.norm(np.array(landed) - expected, axis=1) / max(float(typical), 1e-12)
