"""From a trained run, or from nothing, to a run that learns online."""

import contextlib
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drol.algorithm import Algorithm, TrainState, check_discount, is_continuous
from drol.algorithms.registry import algorithm_class
from drol.data.dataset import Dataset
from drol.data.readers.columns import NOTHING
from drol.data.replay import ReplayData
from drol.data.rewards import MANIPULATION
from drol.environments.pool import EnvironmentPool
from drol.environments.spec import action_bounds
from drol.errors import DataError, DivergedError, UsageError, both
from drol.experiment.compilation import kept_programs
from drol.experiment.config import OPTIONS, RunConfig
from drol.experiment.heading import online_heading
from drol.experiment.inputs import check_named_file, check_same_data, load_inputs, sums_in, sums_of
from drol.experiment.launch import Tell, Trained, needs_of
from drol.experiment.many import stored_config
from drol.experiment.online import ONLINE_OPTIONS, PLACE, OnlineConfig
from drol.experiment.parts import evaluation_of, evaluator_of, held_out, run_of, sinks_of
from drol.experiment.platform import check_platform
from drol.experiment.progress import TrainingProgress
from drol.experiment.records import Json
from drol.experiment.resume import Changes
from drol.experiment.run import Result, print_note, results_of
from drol.extras import quiet, require_all
from drol.files import WriteError, sha256, write_json
from drol.machine import continued, machine
from drol.numerics import check_precision, precision
from drol.online.loop import Prior, Reward, check_online, train_online
from drol.policy import Policy, in_units, planning
from drol.processes import cores
from drol.signals import stop_requests
from drol.sources import Task, environment_of, parse_task
from drol.training.checkpoint import Checkpoints
from drol.training.folder import RunFolder
from drol.training.keeper import Evaluate, initial
from drol.training.probes import probes_of
from drol.training.records import JsonLines, Sink
from drol.types import Key, Spec, Units, inward

logger = logging.getLogger("drol")

CONTINUES = "continues"
"""The entry of config.json that names the run which an online run continues."""

KEPT = ("data", "workers", "keep_last", "keep_every", "no_cache", "tensorboard", "wandb", "eval_episodes")
"""The options of a run on data that its continuation may change."""


@dataclasses.dataclass(frozen=True)
class OnlineRequest:
    """What to train online.

    Attributes:
        begins: the folder of a trained run, or the configuration of a run that begins with nothing.
        online: how it acts and learns; that of a resumed run is as it was, but for what is in `given`.
        given: the options of both kinds that the user gave.
        out: the folder of the online run.
        resume: whether that run has begun.
        sinks: receive its metrics.
        tell: prints notes before training.
        warn: prints what may affect the results.
        progress: whether to show a progress bar.
    """

    begins: Path | RunConfig
    online: OnlineConfig
    given: Changes
    out: Path | None = None
    resume: bool = False
    sinks: Sequence[Sink] = ()
    tell: Tell = print
    warn: Tell = print
    progress: bool = True


@dataclasses.dataclass(frozen=True)
class _Planned:
    """A run to be trained online.

    Attributes:
        config: of the run, resolved.
        online: how it acts and learns.
        folder: its files.
        record: the content of config.json, if the run has begun.
        before: the run that it continues, if any.
    """

    config: RunConfig
    online: OnlineConfig
    folder: RunFolder
    record: Json | None
    before: RunFolder | None


def launch_online(request: OnlineRequest) -> Trained:
    """Train what is requested.

    Raises:
        MissingExtraError: naming all required packages that are not installed.
        DataError, UsageError, ValueError: before anything is written, if the request cannot be met.
        WorkerError: if the environment fails again and again; the last checkpoint is kept.
        OSError: if the disk cannot be written to; the last checkpoint is kept.
    """
    check_platform()
    plan = _resumed(request) if request.resume else _planned(request)
    config, folder = plan.config, plan.folder
    require_all(needs_of(config))
    task = config.resolved_task()
    _refuse(plan, task)
    with contextlib.ExitStack() as stack:
        data = _data(plan, task)
        pool = _pool(plan, stack)
        spec = _spec(plan, data, pool)
        pool.check(spec)
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


def _planned(request: OnlineRequest) -> _Planned:
    """A run that has not begun. Writes nothing."""
    if isinstance(request.begins, RunConfig):
        config, before, start = request.begins.resolved(), None, 0
        default = _folder_of(config)
    else:
        before = RunFolder(request.begins)
        record = before.read_config()
        if PLACE in record:
            raise DataError(
                *both(
                    f"{before.path} learns online itself: add --resume with more --steps to extend it, or continue the "
                    f"run that it continues with another --out"
                )
            )
        check_precision(record.get("precision", {}))
        config = _changed(stored_config(before, request.given), request.given)
        start, default = _newest(before), before.path.with_name(f"{before.path.name}-online")
    folder = RunFolder(default if request.out is None else request.out)
    folder.refuse_existing()
    data = _collected_file(before, config)
    config = dataclasses.replace(config, out=folder.path, data=data)
    return _Planned(request.online.of_run(config, start=start), request.online, folder, None, before)


def _resumed(request: OnlineRequest) -> _Planned:
    """A run that has begun. Writes nothing."""
    folder = RunFolder(_begun(request))
    record = folder.read_config()
    if PLACE not in record:
        raise DataError(
            *both(f"{folder.path} does not learn online: leave --resume out to continue it in its environment")
        )
    check_precision(record.get("precision", {}))
    named = record.get(CONTINUES)
    before = RunFolder(named["folder"]) if isinstance(named, Mapping) and isinstance(named.get("folder"), str) else None
    _check_same(request, folder, before)
    stored = stored_config(folder, request.given)
    free = {name: value for name, value in request.given.items() if name in OPTIONS and name not in ONLINE_OPTIONS}
    other = ("out",) if isinstance(request.begins, RunConfig) else ("out", "task")
    given = {name: value for name, value in free.items() if name not in other}
    given |= {"hyperparameters": request.given["hyperparameters"]} if "hyperparameters" in request.given else {}
    config = dataclasses.replace(stored.extended(given), out=folder.path)
    online = OnlineConfig.from_json(record, str(folder.config)).extended(request.given)
    config = online.of_run(config, start=stored.start, length=stored.updates_per_call)
    return _Planned(config, online, folder, record, before)


def _check_same(request: OnlineRequest, folder: RunFolder, before: RunFolder | None) -> None:
    """Refuse to resume another run than the one that is named.

    Raises:
        DataError: naming both.
    """
    if isinstance(request.begins, RunConfig) or request.begins.resolve() == folder.path.resolve():
        return
    if before is None or before.path.resolve() != request.begins.resolve():
        found = "begins with nothing" if before is None else f"continues {before.path}"
        raise DataError(*both(f"{folder.path} {found}, not {request.begins}; name another folder with --out"))


def _begun(request: OnlineRequest) -> Path:
    """The folder of the run to resume: the one that is named, or where it would have begun."""
    if request.out is not None:
        return request.out
    if isinstance(request.begins, RunConfig):
        return _folder_of(request.begins)
    if PLACE in RunFolder(request.begins).read_config():
        return request.begins
    return request.begins.with_name(f"{request.begins.name}-online")


def _folder_of(config: RunConfig) -> Path:
    """Where a run that begins with nothing goes."""
    named = type(config.algorithm) if isinstance(config.algorithm, Algorithm) else algorithm_class(config.algorithm)
    return Path(config.out or f"runs/{parse_task(config.task).label}-{named.name}-online-seed{config.seed}")


def _changed(config: RunConfig, given: Changes) -> RunConfig:
    """The configuration of a trained run with what its continuation may change.

    Raises:
        UsageError: for anything else.
    """
    kept = {name: value for name, value in given.items() if name in OPTIONS and name not in ONLINE_OPTIONS}
    for name in kept:
        if name not in (*KEPT, "task", "algorithm", "env", "out"):
            raise UsageError(*both(f"--{name.replace('_', '-')} is that of the run which is continued: leave it out"))
    # Both only vouch for a module that the run's configuration names.
    same = {name: kept.pop(name) for name in ("task", "algorithm", "env", "out") if name in kept}
    if config.evaluated_in is None and "env" in same:
        named = environment_of(str(same.pop("env")))
        config = dataclasses.replace(config, evaluated_in=named)
    config = config.extended({name: same[name] for name in ("algorithm", "env") if name in same})
    values = given.get("hyperparameters") or {}
    assert isinstance(values, Mapping)
    if values and isinstance(config.algorithm, Algorithm):
        raise UsageError("an algorithm given as an object has hyperparameters of its own: leave one of the two out")
    if values:
        config = dataclasses.replace(config, hyperparameters=_other_coefficients(config, values))
    return dataclasses.replace(config, **kept)  # pyright: ignore[reportArgumentType]


def _other_coefficients(config: RunConfig, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The hyperparameters with other continuous ones, which fit the same networks and optimizer.

    Raises:
        UsageError: for one that would not.
    """
    fields = {field.name: field for field in dataclasses.fields(config.build())}
    for name in values:
        if name not in fields or not is_continuous(fields[name]):
            raise UsageError(
                *both(
                    f"--{name.replace('_', '-')} shapes the program of the run which is continued, and cannot change; "
                    f"only continuous hyperparameters can"
                )
            )
    return {**config.hyperparameters, **values}


def _collected_file(before: RunFolder | None, config: RunConfig) -> Path | None:
    """The data file of the run that is continued, if it was collected next to it."""
    if config.data is not None or before is None or config.collect is None:
        return None if config.data is None else Path(config.data)
    names = [Path(file["name"]).name for file in before.read_config()["data"]["files"]]
    candidates = [before.path.parent / "data" / name for name in names if not name.endswith("-val.npz")]
    return next((path.absolute() for path in candidates if path.is_file()), None)


def _newest(before: RunFolder) -> int:
    """The update of the newest intact checkpoint of a trained run.

    Raises:
        DataError: if there is none, or the run diverged.
    """
    if (said := before.read_divergence()) is not None:
        raise DataError(f"{before.path} diverged and cannot be continued: {said}")
    if not before.checkpoints.is_dir():
        raise DataError(f"{before.path} holds no checkpoints, so it cannot be continued; were they removed?")
    with contextlib.closing(Checkpoints(before.checkpoints)) as checkpoints:
        newest = checkpoints.newest_intact()
    if newest is None:
        raise DataError(f"{before.path} holds no complete checkpoint yet; continue it once it has one")
    return newest


def _refuse(plan: _Planned, task: Task) -> None:
    """Refuse what cannot learn online.

    Raises:
        DataError, ValueError: saying why.
    """
    config = plan.config
    check_online(config.build())
    if config.chunking().steps > 1:
        check_discount(type(config.build()))
    if config.evaluated_in is None:
        raise DataError(*both(f"{config.task} names no environment to act in; name one with --env"))
    config.settings()
    if plan.before is not None and not _has_checkpoints(plan.folder) and not plan.before.checkpoints.is_dir():
        raise DataError(f"the run that this one continues, {plan.before.path}, is gone; put it back, or start again")
    if plan.online.settings().prior_rows(config.batch_size) is not None and not _has_data(plan, task):
        raise UsageError(*both("--prior-share draws from data, and this run has none: leave it out"))
    if plan.record is None:
        _refuse_without_effect(plan, task)
    if _has_data(plan, task) and task.source.is_large(task.name, config.columns or NOTHING):
        raise DataError(
            *both(
                f"the data of {config.task} are so large that they stay on disk, and a run that learns online needs "
                f"them on the device; train on fewer of them"
            )
        )


OF_DATA = ("data", "sha256", "collect", "columns", "action_low", "action_high", "normalize_observations")
"""Options that say something about data."""


def _refuse_without_effect(plan: _Planned, task: Task) -> None:
    """Refuse options that would change nothing, or not what they say.

    Raises:
        UsageError: naming the option.
    """
    config = plan.config
    if plan.before is not None and plan.online.no_data:
        raise UsageError(
            *both("--no-data is for runs that begin with nothing; a run that is continued keeps its data: leave it out")
        )
    if _has_data(plan, task):
        return
    for name in (name for name in OF_DATA if getattr(config, name) not in (None, False)):
        raise UsageError(*both(f"--{name.replace('_', '-')} is about data, and this run has none: leave it out"))
    if config.sparse_rewards and not task.name.startswith(MANIPULATION):
        raise UsageError(*both("--sparse-rewards is for OGBench's manipulation tasks: leave it out"))


def _has_data(plan: _Planned, task: Task) -> bool:
    return not plan.online.no_data and task.source.has_data(task.name)


def _data(plan: _Planned, task: Task) -> Dataset | None:
    """The data of the run, checked to be those of the run that it continues; None if it begins without."""
    if not _has_data(plan, task):
        return None
    record = plan.record if plan.before is None or plan.record is not None else plan.before.read_config()
    if record is not None and plan.config.data is not None:
        check_named_file(Path(plan.config.data), [sums_in(record)])
    data = load_inputs(plan.config, task, plan.folder.path.parent / "data")
    if record is not None:
        check_same_data(sums_in(record), sums_of(data.source))
    return data


def _pool(plan: _Planned, stack: contextlib.ExitStack) -> EnvironmentPool:
    """The environments in which the run acts."""
    config, slots = plan.config, plan.online.environments
    assert config.evaluated_in is not None
    with stop_requests():
        workers = min(slots, config.workers or min(cores(), 8))
        return stack.enter_context(
            EnvironmentPool(config.evaluated_in, workers=workers, slots=slots, limits=config.limits())
        )


def _spec(plan: _Planned, data: Dataset | None, pool: EnvironmentPool) -> Spec:
    """The dimensions of observations and actions: those of the data, or else of the environment."""
    chunk = plan.config.chunk or 1
    if data is not None:
        return Spec(data.train.observations.shape[-1], data.train.actions.shape[-1], chunk)
    facts = pool.describe()
    if facts["action_dim"] is None or facts["observation_dim"] is None:
        raise DataError(f"{pool.environment.id} has no box of actions; policies act in continuous spaces")
    return Spec(facts["observation_dim"], facts["action_dim"], chunk)


def _prior(plan: _Planned, spec: Spec, data: Dataset | None) -> Prior:
    """What the run begins with."""
    chunking = plan.config.chunking()
    known = None if data is None else lambda: ReplayData.from_transitions(data.train, chunking)
    validation = None if data is None else held_out(data.validation, chunking)
    return Prior(spec, chunking, known, _start(plan, spec), validation)


def _start(plan: _Planned, spec: Spec) -> tuple[TrainState, Key] | None:
    """The state from which the run goes on; None if it has checkpoints of its own, or begins with nothing."""
    if plan.before is None or _has_checkpoints(plan.folder):
        return None
    state, key, _ = initial(plan.config.build(), spec, plan.config.seed)
    with plan.before.locked(), contextlib.closing(Checkpoints(plan.before.checkpoints)) as checkpoints:
        restored = checkpoints.restore(state, key, plan.config.start)
    return restored.state, restored.key


def _has_checkpoints(folder: RunFolder) -> bool:
    return folder.checkpoints.is_dir() and any(folder.checkpoints.glob("*.json"))


def _bounds(plan: _Planned) -> Units | None:
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


def _record(plan: _Planned, data: Dataset | None, environment: Json | None, warn: Tell) -> Json:
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


def _copy_records(plan: _Planned) -> None:
    """Begin the records with those of the run that is continued."""
    if plan.before is None or _has_checkpoints(plan.folder):
        return
    for name in ("metrics", "evaluations", "probes"):
        ours: JsonLines = getattr(plan.folder, name)
        lines = [line for line in getattr(plan.before, name).read() if line["update"] <= plan.config.start]
        ours.cut(-1)
        ours.append(*lines)


def _marked(evaluate: Evaluate | None, plan: _Planned) -> Evaluate | None:
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
