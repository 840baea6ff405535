"""From a trained run, or from nothing, to a run that learns online."""

import contextlib
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drol.algorithm import Algorithm, TrainState
from drol.data.dataset import Dataset
from drol.data.replay import ReplayData
from drol.environments.pool import EnvironmentPool
from drol.environments.spec import action_bounds
from drol.errors import DataError, DivergedError, UsageError
from drol.experiment.compilation import kept_programs
from drol.experiment.config import RunConfig
from drol.experiment.continuing import (
    CONTINUES,
    OnlineRequest,
    Planned,
    has_checkpoints,
    has_data,
    new_run,
    refuse,
    resumed_run,
)
from drol.experiment.heading import online_heading
from drol.experiment.inputs import check_named_file, check_same_data, load_inputs, sums_in, sums_of
from drol.experiment.launch import Tell, Trained, needs_of
from drol.experiment.online import ONLINE_OPTIONS, PLACE, OnlineConfig
from drol.experiment.parts import evaluation_of, evaluator_of, held_out, run_of, sinks_of
from drol.experiment.platform import check_platform
from drol.experiment.progress import TrainingProgress
from drol.experiment.records import Json
from drol.experiment.run import Result, print_note, results_of
from drol.extras import quiet, require_all
from drol.files import WriteError, sha256, write_json
from drol.machine import continued, machine
from drol.numerics import precision
from drol.online.loop import Prior, Reward, train_online
from drol.policy import Policy, in_units, planning
from drol.processes import cores
from drol.signals import stop_requests
from drol.sources import Task
from drol.training.checkpoint import Checkpoints
from drol.training.keeper import Evaluate, initial
from drol.training.probes import probes_of
from drol.training.records import JsonLines, Sink
from drol.types import Key, Spec, Units, inward

logger = logging.getLogger("drol")


def launch_online(request: OnlineRequest) -> Trained:
    """Train what is requested.

    Raises:
        MissingExtraError: naming all required packages that are not installed.
        DataError, UsageError, ValueError: before anything is written, if the request cannot be met.
        WorkerError: if the environment fails again and again; the last checkpoint is kept.
        OSError: if the disk cannot be written to; the last checkpoint is kept.
    """
    check_platform()
    plan = resumed_run(request) if request.resume else new_run(request)
    config, folder = plan.config, plan.folder
    require_all(needs_of(config))
    task = config.resolved_task()
    refuse(plan, task)
    with contextlib.ExitStack() as stack:
        data = _data(plan, task)
        pool = _pool(plan, stack)
        spec = _spec(plan, data, pool)
        pool.check(spec)
        if plan.record is None and not plan.online.restart_episodes:
            pool.check_repeats()
        stack.enter_context(folder.locked())
        prior = _prior(plan, spec, data)
        units = _bounds(plan) if data is None else data.units
        for line in online_heading(config, plan.online.settings(), data, folder.path, plan.record is not None):
            request.tell(line)
        if not config.no_cache:
            stack.enter_context(kept_programs())
        evaluator = evaluator_of(config, spec, stack)
        record = _record(plan, data, None if evaluator is None else evaluator.describe(), request.warn)
        write_json(folder.config, record)
        _copy_records(plan)
        bars = stack.enter_context(TrainingProgress(config.settings().updates)) if request.progress else None
        bar = None if bars is None else bars.of("learning")
        further = sinks_of(config, folder, record)
        sinks = [stack.enter_context(contextlib.closing(sink)) for sink in further]
        sinks += [*request.sinks, *([] if bar is None else [bar])]
        evaluate = _marked(evaluation_of(evaluator, config, bar), plan)
        probes = None if data is None else probes_of(data.train, config.chunking())
        try:
            outcome = train_online(
                run_of(config, folder, sinks, evaluate, units, probes),
                plan.online.settings(),
                pool,
                prior,
                reward=_reward(config, task),
                restart=plan.online.restart_episodes and plan.record is not None,
            )
        except WriteError as error:
            # What was learned so far is kept, so the remedy is to resume, not to start again.
            again = "continue with the same command and --resume"
            raise WriteError(error.errno or 0, error.path, error.remedy, again) from error
    policy = in_units(planning(config.build().policy(outcome.state), config.chunk or 1, config.replan), units)
    return Trained(config, folder, outcome, policy)


def _data(plan: Planned, task: Task) -> Dataset | None:
    """The data of the run, checked to be those of the run that it continues; None if it begins without."""
    if not has_data(plan, task):
        return None
    record = plan.record if plan.before is None or plan.record is not None else plan.before.read_config()
    if record is not None and plan.config.data is not None:
        check_named_file(Path(plan.config.data), [sums_in(record)])
    data = load_inputs(plan.config, task, plan.folder.path.parent / "data")
    if record is not None:
        check_same_data(sums_in(record), sums_of(data.source))
    return data


def _pool(plan: Planned, stack: contextlib.ExitStack) -> EnvironmentPool:
    """The environments in which the run acts."""
    config, slots = plan.config, plan.online.environments
    assert config.evaluated_in is not None
    with stop_requests():
        workers = min(slots, config.workers or min(cores(), 8))
        return stack.enter_context(
            EnvironmentPool(config.evaluated_in, workers=workers, slots=slots, limits=config.limits())
        )


def _spec(plan: Planned, data: Dataset | None, pool: EnvironmentPool) -> Spec:
    """The dimensions of observations and actions: those of the data, or else of the environment."""
    chunk = plan.config.chunk or 1
    if data is not None:
        return Spec(data.train.observations.shape[-1], data.train.actions.shape[-1], chunk)
    facts = pool.describe()
    if facts["action_dim"] is None or facts["observation_dim"] is None:
        raise DataError(f"{pool.environment.id} has no box of actions; policies act in continuous spaces")
    return Spec(facts["observation_dim"], facts["action_dim"], chunk)


def _prior(plan: Planned, spec: Spec, data: Dataset | None) -> Prior:
    """What the run begins with."""
    chunking = plan.config.chunking()
    known = None if data is None else lambda: ReplayData.from_transitions(data.train, chunking)
    validation = None if data is None else held_out(data.validation, chunking)
    return Prior(spec, chunking, known, _start(plan, spec), validation)


def _start(plan: Planned, spec: Spec) -> tuple[TrainState, Key] | None:
    """The state from which the run goes on; None if it has checkpoints of its own, or begins with nothing."""
    if plan.before is None or has_checkpoints(plan.folder):
        return None
    state, key, _ = initial(plan.config.build(), spec, plan.config.seed)
    with plan.before.locked(), contextlib.closing(Checkpoints(plan.before.checkpoints)) as checkpoints:
        restored = checkpoints.restore(state, key, plan.config.start)
    return restored.state, restored.key


def _bounds(plan: Planned) -> Units | None:
    """The units of an environment without data: its action bounds; None if they are -1 and 1, or it has none."""
    environment = plan.config.evaluated_in
    assert environment is not None
    with quiet():
        env = environment.make()
    with contextlib.closing(env):
        bounds, width = action_bounds(env.action_space), env.observation_space.shape
    if bounds is None or ((bounds[0] == -1).all() and (bounds[1] == 1).all()):
        return None
    assert width is not None
    low, high = inward(*bounds)
    identity = Units.identity(Spec(width[0], len(low)))
    return dataclasses.replace(identity, action_low=low, action_high=high)


def _record(plan: Planned, data: Dataset | None, environment: Json | None, warn: Tell) -> Json:
    """The new content of config.json."""
    entries = plan.config.to_json() | {PLACE: plan.online.to_json()}
    if plan.record is not None:
        return continued(plan.record | entries, warn)
    source = {"kind": "none", "files": []} if data is None else data.source
    facts: Json = {"precision": precision(), "width": None, "data": source, "environment": environment}
    if plan.before is not None:
        before = plan.before.read_config()
        facts[CONTINUES] = {
            "folder": str(plan.before.path.absolute()),
            "update": plan.config.start,
            "updates": before["settings"]["updates"],
            "eval_every": before["settings"]["eval_every"],
            "hyperparameters": before["hyperparameters"],
            "config_sha256": sha256(plan.before.config),
        }
    return entries | facts | machine()


def _copy_records(plan: Planned) -> None:
    """Begin the records with those of the run that is continued."""
    if plan.before is None or has_checkpoints(plan.folder):
        return
    for name in ("metrics", "evaluations", "probes"):
        ours: JsonLines = getattr(plan.folder, name)
        lines = [line for line in getattr(plan.before, name).read() if line["update"] <= plan.config.start]
        ours.cut(-1)
        ours.append(*lines)


def _marked(evaluate: Evaluate | None, plan: Planned) -> Evaluate | None:
    """Evaluations whose records also say after how many steps they were made."""
    if evaluate is None:
        return None
    settings, start = plan.online.settings(), plan.config.start

    def marked(policy: Policy, update: int) -> list[Mapping[str, Any]]:
        return [{"step": settings.steps_at(update - start), **record} for record in evaluate(policy, update)]

    return marked


def _reward(config: RunConfig, task: Task) -> Reward:
    """The learner's reward, given the environment's: as the data have it."""
    if config.sparse_rewards:
        return lambda reward: -float(reward != 0)
    own = config.evaluated_in == task.source.environment(task.name)
    return task.source.reward(task.name) if own else float


def finetune(
    run: str | Path | RunConfig,
    online: OnlineConfig | None = None,
    *,
    out: str | Path | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    env: str | None = None,
    algorithm: str | Algorithm | None = None,
    workers: int | None = None,
    resume: bool = False,
    progress: bool = True,
    sinks: Sequence[Sink] = (),
) -> Result:
    """Go on training a policy while it acts in its environment, or begin with nothing: `drol finetune` from Python.

    It writes a folder of its own, whose records begin with those of the run that it continues. Ctrl-C and SIGTERM end
    it with a checkpoint, as in `drol.train`.

    Args:
        run: the folder of a trained run; or the configuration of a run that begins with nothing, on a task with data
            (which are then drawn from as well), or in an environment (`task="Pendulum-v1"`).
        online: how it acts and learns; with `resume`, only `steps` may differ, and grow.
        out: the folder of the new run; the name of the old one with `-online` by default.
        hyperparameters: of a trained run, the continuous ones that are to change.
        env, algorithm: of a trained run, the same as it has; needed if they are in modules of your own, which are not
            imported just because a file names them.
        workers: processes for environments.
        resume: continue the online run in its folder, from its newest checkpoint, exactly.
        progress: show a progress bar, and print notes before training.
        sinks: receive all metrics, in addition to the folder.

    Returns:
        The result, once all steps are done. Its evaluations include those of the run that it continues.

    Raises:
        DataError: if the run cannot be continued, the folder holds a run and `resume` is not set, or the environment
            does not repeat an unfinished episode.
        UsageError, ValueError: for options that contradict each other or are out of range.
        DivergedError: if a loss or a parameter stops being finite; the run is kept as it was before that.
        MissingExtraError: naming the packages that are not installed, and the command that installs them.
        Interrupted: on a request to stop.
        WorkerError: if the environment fails again and again; the last checkpoint is kept.
        OSError: if the disk cannot be written to; the last checkpoint is kept.
    """
    options = {"env": env, "algorithm": algorithm, "workers": workers, "hyperparameters": hyperparameters}
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if online is not None:
        given |= {name: getattr(online, name) for name in ONLINE_OPTIONS}
    begins: Path | RunConfig
    if isinstance(run, RunConfig):
        if unused := [name for name in ("hyperparameters", "env", "algorithm") if name in given]:
            raise UsageError(f"{unused[0]} belongs into the configuration of a run that begins with nothing")
        begins = run if workers is None else dataclasses.replace(run, workers=workers)
        given |= {n: v for n, v in begins.resolved().changes().items() if n not in ONLINE_OPTIONS} if resume else {}
    else:
        begins = Path(run)
    request = OnlineRequest(
        begins,
        online or OnlineConfig(),
        given,
        out=None if out is None else Path(out),
        resume=resume,
        sinks=sinks,
        tell=print_note if progress else logger.info,
        warn=logger.warning,
        progress=progress,
    )
    (result,) = results_of([launch_online(request)])
    if result.divergence is not None:
        raise DivergedError(result.divergence)
    return result
