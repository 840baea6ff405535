"""From a configuration to trained runs: plan them, load their data, train them side by side."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import jax

from drol.algorithm import Algorithm, TrainState, check_discount
from drol.algorithms.registry import algorithm_class
from drol.data.dataset import Dataset
from drol.data.mapped import scratch
from drol.data.readers.columns import NOTHING
from drol.data.replay import Replay, replay
from drol.environments.rollout import Evaluator
from drol.errors import DataError, UsageError, both
from drol.experiment import devices, needs
from drol.experiment.compilation import kept_programs
from drol.experiment.config import RunConfig
from drol.experiment.heading import heading
from drol.experiment.inputs import (
    check_named_file,
    check_same_data,
    load_inputs,
    refuse_to_collect,
    sums_in,
    sums_of,
)
from drol.experiment.many import (
    Sweep,
    check_alike,
    check_sweep,
    like_stored,
    members,
    new_config,
    refuse_twice,
    stored_config,
)
from drol.experiment.notes import notes
from drol.experiment.online import PLACE
from drol.experiment.parts import (
    background_of,
    evaluation_of,
    evaluator_of,
    held_out,
    run_of,
    sinks_of,
    with_evaluations_placed,
)
from drol.experiment.platform import check_platform
from drol.experiment.progress import TrainingProgress
from drol.experiment.records import Json
from drol.experiment.resume import Changes
from drol.extras import require_all
from drol.files import WriteError, write_json
from drol.machine import continued, machine
from drol.numerics import check_precision, precision
from drol.policy import Policy, in_units, planning
from drol.processes import END_SECONDS
from drol.report.summary import write_summary
from drol.sources import parse_task
from drol.training.distributed import Leader
from drol.training.folder import RunFolder
from drol.training.keeper import initial
from drol.training.pack import fastest_width
from drol.training.probes import probes_of
from drol.training.records import Sink
from drol.training.run import Outcome, train_runs

Tell = Callable[[str], None]
"""Prints a line for the user."""


@dataclasses.dataclass(frozen=True)
class Request:
    """What to train.

    Attributes:
        config: of new runs; if there are several, without the values that distinguish them.
        given: the options that the user gave, with which resumed runs are compared.
        seeds: of several runs; None for the one seed of `config`.
        sweep: values of continuous hyperparameters, one run for each.
        width: how many runs share a program; None for the recorded width or, failing that, the fastest by trial.
        resume: whether the folders hold runs to continue; None if they may, as for a scheduler that starts the same
            command again.
        sinks: receive the metrics of one run, in addition to those that `config` names.
        tell: prints notes before training.
        warn: prints what may affect the results.
        progress: whether to show progress bars.
    """

    config: RunConfig
    given: Changes
    seeds: Sequence[int] | None = None
    sweep: Sweep = dataclasses.field(default_factory=dict)
    width: int | None = None
    resume: bool | None = False
    sinks: Sequence[Sink] = ()
    tell: Tell = print
    warn: Tell = print
    progress: bool = True

    @property
    def is_several(self) -> bool:
        """Whether each run has its own folder inside the one that is named."""
        return self.seeds is not None or bool(self.sweep)


@dataclasses.dataclass(frozen=True)
class Trained:
    """A run that was trained, to its end or until it was stopped.

    Attributes:
        config: resolved.
        folder: its files; None on processes that follow process 0.
        outcome: how it ended.
        policy: of its last state, in the units of its data.
    """

    config: RunConfig
    folder: RunFolder | None
    outcome: Outcome
    policy: Policy


@dataclasses.dataclass(frozen=True)
class _Planned:
    """A run to be trained.

    Attributes:
        config: resolved.
        folder: its files.
        record: the content of config.json, if the run has begun.
        width: how many runs shared its program, or are to share it; None if that is open.
    """

    config: RunConfig
    folder: RunFolder
    record: Json | None
    width: int | None


def launch(request: Request) -> list[Trained]:
    """Train what is requested.

    Raises:
        MissingExtraError: naming all required packages that are not installed.
        DataError, UsageError, ValueError: before anything is written, if the request cannot be met.
        OSError: if the disk cannot be written to; the last checkpoints are kept.
    """
    config = request.config
    require_all(needs_of(config))
    _refuse_contradictions(request)
    if not config.distributed:
        check_platform()
        return _lead(request, None)
    if devices.join(config) > 0:
        return _follow(config)
    with Leader() as leader:
        return _lead(request, leader)


def needs_of(config: RunConfig) -> needs.Needs:
    """The optional packages that a run needs."""
    sinks = {"tensorboardX": "tensorboard"} if config.tensorboard else {}
    sinks |= {"wandb": "wandb"} if config.wandb else {}
    return needs.RUNS | needs.of_data(config.task) | needs.of_evaluation(config.task, config.env) | sinks


def _refuse_contradictions(request: Request) -> None:
    config = request.config
    if (config.shard_batch or config.distributed) and request.width not in (None, 1):
        raise UsageError(
            *both("--shard-batch and --distributed train one run at a time over all devices: leave --width out")
        )
    if config.distributed and request.is_several:
        raise UsageError(*both("--distributed trains one run over all processes: leave --seeds and --sweep out"))


def _follow(config: RunConfig) -> list[Trained]:
    led, state = devices.follow(config)
    if state is None:
        return []
    policy = planning(led.build().policy(state), led.chunk or 1, led.replan)
    return [Trained(led, None, Outcome(state, None, None), policy)]


def _lead(request: Request, leader: Leader | None) -> list[Trained]:
    sharded = request.config.shard_batch or leader is not None
    plans = _planned(request)
    configs, folders = [plan.config for plan in plans], [plan.folder for plan in plans]
    check_alike(configs, [folder.path for folder in folders])
    if leader is not None:
        refuse_to_collect(configs[0])
    if sharded:
        configs[0].settings().check_devices(jax.device_count())
    # A resumed run is evaluated where it was before, even if the command leaves that out.
    task = configs[0].resolved_task()
    stored = [sums_in(plan.record) for plan in plans if plan.record is not None]
    if stored and request.given.get("data") is None and configs[0].data is not None:
        check_named_file(Path(configs[0].data), stored)
    with contextlib.ExitStack() as stack:
        mapped = not sharded and task.source.is_large(task.name, configs[0].columns or NOTHING)
        room = stack.enter_context(scratch()) if mapped else None
        data = load_inputs(configs[0], task, folders[0].path.parent / "data", room)
        for sums in stored:
            check_same_data(sums, sums_of(data.source))
        for plan in plans:
            # The run that is to be continued may still be ending.
            stack.enter_context(plan.folder.locked(END_SECONDS if request.resume is None else 0.0))
            if plan.record is None:  # another process may have begun it in the meantime
                plan.folder.refuse_existing()
        # Only once it is certain that there will be training.
        begun = sum(plan.record is not None for plan in plans)
        shown = folders[0].path.parent if request.is_several else folders[0].path
        given = {*request.config.hyperparameters, *request.sweep}
        further = notes(configs[0], task, data, given, resumed=begun > 0)
        for line in (*heading(configs, data, shown, begun), *further):
            request.tell(line)
        if not request.config.no_cache:
            stack.enter_context(kept_programs())
        outcomes = _train(request, plans, data, leader)
    if request.is_several:
        try:
            write_summary(folders[0].path.parent)
        except (DataError, OSError) as error:  # the runs themselves are complete
            request.warn(f"warning: no summary was written: {error}")
    policies = [
        in_units(planning(c.build().policy(o.state), c.chunk or 1, c.replan), data.units)
        for c, o in zip(configs, outcomes, strict=True)
    ]
    return [Trained(*fields) for fields in zip(configs, folders, outcomes, policies, strict=True)]


def _planned(request: Request) -> list[_Planned]:
    """The configuration of each run: the stored one of a run that is resumed, a new one otherwise. Writes nothing."""
    config = request.config
    task = parse_task(config.task, environment=config.env, present=True)
    cls = type(config.algorithm) if isinstance(config.algorithm, Algorithm) else algorithm_class(config.algorithm)
    refuse_twice(request.sweep, config.hyperparameters)
    runs = members([config.seed] if request.seeds is None else request.seeds, request.sweep)
    folders = [RunFolder(_path(request, f"{task.label}-{cls.name}", member.name)) for member in runs]
    begun = [request.resume is not False and folder.config.exists() for folder in folders]
    resume = any(begun)
    if request.resume and not resume:
        folders[0].read_config()  # raises, saying what is missing
    if not resume:
        check_sweep(cls, request.sweep)
    plans = []
    for member, folder, there in zip(runs, folders, begun, strict=True):
        if not there:
            folder.refuse_existing()
        if not resume:
            new = with_evaluations_placed(new_config(config, member))
            plans.append(_Planned(new, folder, None, request.width))
            if plans[-1].config.chunking().steps > 1:
                check_discount(cls)
            continue
        # A new run among old ones takes their configuration.
        source = folder if there else folders[begun.index(True)]
        stored, record = stored_config(source, request.given), source.read_config()
        if PLACE in record:
            raise DataError(
                f"{source.path} learns online; continue it with `drol finetune {source.path} --steps N --resume`"
            )
        given = dict(request.given) | {"hyperparameters": {**given_values(request.given), **member.values}}
        if request.seeds is not None:
            given["seed"] = member.seed
        if there:
            check_precision(record.get("precision", {}))
        else:
            check_sweep(type(stored.build()), request.sweep)
            stored = like_stored(stored, member)
        width = record.get("width") if request.width is None else request.width
        plans.append(_Planned(stored.extended(given), folder, record if there else None, width))
    return plans


def given_values(given: Changes) -> dict[str, object]:
    """The hyperparameters that were given."""
    values = given.get("hyperparameters")
    return dict(values) if isinstance(values, dict) else {}


def _path(request: Request, start: str, name: str) -> Path:
    out = request.config.out
    if out is None:
        return Path("runs") / f"{start}-{name}"
    return Path(out, name) if request.is_several else Path(out)


def _train(request: Request, plans: Sequence[_Planned], data: Dataset, leader: Leader | None) -> list[Outcome]:
    sharded = request.config.shard_batch or leader is not None
    config = plans[0].config
    chunking = config.chunking()
    training = replay(data.train, chunking=chunking)
    validation = held_out(data.validation, chunking)
    with contextlib.ExitStack() as stack:
        evaluator, probes = evaluator_of(config, training.spec, stack), probes_of(data.train, chunking)
        width = 1 if sharded or not training.shareable else _width(request, plans, training)
        bars = stack.enter_context(TrainingProgress(config.settings().updates)) if request.progress else None
        background = background_of(config, evaluator)
        if background is not None:
            stack.enter_context(contextlib.closing(background))
        runs = []
        for plan in plans:
            record = _record(request, plan, data, evaluator)
            if len(plans) > 1 and not sharded:
                record |= {"width": width}
            write_json(plan.folder.config, record)
            if leader is not None:
                leader.brief(record)
            sinks = [
                stack.enter_context(contextlib.closing(sink)) for sink in sinks_of(plan.config, plan.folder, record)
            ]
            bar = None if bars is None else bars.of(plan.folder.path.name if len(plans) > 1 else "training")
            sinks += [*request.sinks, *([] if bar is None else [bar])]
            evaluate = evaluation_of(evaluator, plan.config, bar)
            runs.append(run_of(plan.config, plan.folder, sinks, evaluate, data.units, probes, background))
        if sharded:
            training = replay(data.train, jax.devices(), chunking=chunking)
        try:
            return train_runs(runs, training, validation=validation, width=width, devices=jax.devices())
        except WriteError as error:
            # What was trained so far is kept, so the remedy is to resume, not to start again.
            again = "continue with the same command and --resume"
            raise WriteError(error.errno or 0, error.path, error.remedy, again) from error


def _record(request: Request, plan: _Planned, data: Dataset, evaluator: Evaluator | None) -> Json:
    """The new content of config.json."""
    if plan.record is not None:
        return continued(plan.record | plan.config.to_json() | {"width": plan.width}, request.warn)
    environment = evaluator and evaluator.describe()
    facts = {"precision": precision(), "width": plan.width, "data": data.source, "environment": environment}
    return plan.config.to_json() | facts | machine()


def _width(request: Request, plans: Sequence[_Planned], data: Replay) -> int:
    """How many runs share a program: as given, as before, or else found by trial."""
    if len(plans) == 1:
        return 1
    widths = {plan.width for plan in plans}
    if len(widths) == 1 and (known := widths.pop()) is not None:
        return known
    request.tell(f"finding out how many of {len(plans)} runs to train side by side")
    trial: list[tuple[Algorithm, TrainState, jax.Array]] = []
    for plan in plans:
        algorithm = plan.config.build()
        state, key, _ = initial(algorithm, data.spec, plan.config.seed)
        trial.append((algorithm, state, key))
    width = fastest_width(trial, data, batch_size=plans[0].config.batch_size, devices=jax.devices())
    request.tell(f"{width} of {len(plans)} runs share a program")
    return width
