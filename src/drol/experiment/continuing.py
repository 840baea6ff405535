"""What an online run begins with: a trained run, nothing, or itself where it was interrupted; and what is refused."""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drol.algorithm import Algorithm, check_discount, is_continuous
from drol.algorithms.registry import algorithm_class
from drol.data.readers.columns import NOTHING
from drol.data.rewards import MANIPULATION
from drol.errors import DataError, UsageError, both
from drol.experiment.config import OPTIONS, RunConfig
from drol.experiment.launch import Tell
from drol.experiment.many import stored_config
from drol.experiment.online import KEPT, ONLINE_OPTIONS, PLACE, OnlineConfig
from drol.experiment.options import option_name
from drol.experiment.records import Json
from drol.experiment.resume import Changes
from drol.numerics import check_precision
from drol.online.loop import check_online
from drol.sources import Task, environment_of, parse_task
from drol.training.checkpoint import Checkpoints
from drol.training.folder import RunFolder
from drol.training.records import Sink

CONTINUES = "continues"
"""The entry of config.json that names the run which an online run continues."""


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
class Planned:
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


def new_run(request: OnlineRequest) -> Planned:
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
    # Evaluations take turns with acting.
    config = dataclasses.replace(config, out=folder.path, data=data, eval_async=False)
    return Planned(request.online.of_run(config, start=start), request.online, folder, None, before)


def resumed_run(request: OnlineRequest) -> Planned:
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
    return Planned(config, online, folder, record, before)


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
        if name not in (*KEPT, "task", "algorithm", "env", "out") and kept[name] != getattr(config, name):
            changed = ", ".join(map(option_name, KEPT))
            raise UsageError(
                *both(
                    f"{option_name(name)} is that of the run which is continued: leave it out (what may change "
                    f"is {changed}, continuous hyperparameters, and how the policy acts and learns)"
                )
            )
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
                    f"{option_name(name)} shapes the program of the run which is continued, and cannot change; "
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


def refuse(plan: Planned, task: Task) -> None:
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
    if plan.before is not None and not has_checkpoints(plan.folder) and not plan.before.checkpoints.is_dir():
        raise DataError(f"the run that this one continues, {plan.before.path}, is gone; put it back, or start again")
    if plan.online.settings().prior_rows(config.batch_size) is not None and not has_data(plan, task):
        raise UsageError(*both("--prior-share draws from data, and this run has none: leave it out"))
    if plan.record is None:
        _refuse_without_effect(plan, task)
    if has_data(plan, task) and task.source.is_large(task.name, config.columns or NOTHING):
        raise DataError(
            *both(
                f"the data of {config.task} are so large that they stay on disk, and a run that learns online needs "
                f"them on the device; train on fewer of them"
            )
        )


OF_DATA = ("data", "sha256", "collect", "columns", "action_low", "action_high", "normalize_observations")
"""Options that say something about data."""


def _refuse_without_effect(plan: Planned, task: Task) -> None:
    """Refuse options that would change nothing, or not what they say.

    Raises:
        UsageError: naming the option.
    """
    config = plan.config
    if plan.before is not None and plan.online.no_data:
        raise UsageError(
            *both("--no-data is for runs that begin with nothing; a run that is continued keeps its data: leave it out")
        )
    if has_data(plan, task):
        return
    for name in (name for name in OF_DATA if getattr(config, name) not in (None, False)):
        raise UsageError(*both(f"{option_name(name)} is about data, and this run has none: leave it out"))
    if config.sparse_rewards and not task.name.startswith(MANIPULATION):
        raise UsageError(*both("--sparse-rewards is for OGBench's manipulation tasks: leave it out"))


def has_data(plan: Planned, task: Task) -> bool:
    return not plan.online.no_data and task.source.has_data(task.name)


def has_checkpoints(folder: RunFolder) -> bool:
    return folder.checkpoints.is_dir() and any(folder.checkpoints.glob("*.json"))
