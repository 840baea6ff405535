"""`drol train`: train policies on a task."""

import argparse
import contextlib
import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drol.cli import devices, needs, plan
from drol.cli.numbers import count, seed, sha256_of
from drol.cli.options import (
    add_bounds,
    add_columns,
    add_hyperparameters,
    add_limits,
    cores,
    given_hyperparameters,
    not_of,
)
from drol.cli.parser import Parser, UsageError
from drol.cli.plan import seed_list, sweep
from drol.cli.platform import check_platform
from drol.cli.report import continued, machine, report
from drol.data.mapped import scratch
from drol.data.tasks import Task, parse_task
from drol.extras import require_all
from drol.files import WriteError
from drol.presets import SIZES, note
from drol.signals import stop_requests


def add_arguments(parser: Parser, arguments: list[str]) -> None:
    """Declare the command's options, those of the chosen algorithm included."""
    from drol.algorithms.registry import ALGORITHMS, algorithm_class

    parser.add_argument(
        "task",
        metavar="TASK",
        help="an OGBench or D4RL task (cube-single-play-singletask-task2-v0, pen-human-v1, ...;\nsee `drol presets`), "
        "minari:DATASET, or a log of your own: FILE.npz, FILE.hdf5, or a\nfolder with one such file per episode",
    )
    parser.add_argument(
        "--algorithm",
        metavar="NAME",
        help=f"one of {', '.join(ALGORITHMS)},\nor MODULE:CLASS of your own (default: drol)",
    )
    data = parser.add_argument_group(
        "data",
        "By default the folder where ogbench, d4rl or minari keeps its data is searched, then the official download "
        "tried.",
    )
    data.add_argument(
        "--data",
        type=Path,
        metavar="FILE",
        help="the task's training file: OGBench's npz, with FILE-val.npz beside it, or D4RL's HDF5",
    )
    data.add_argument(
        "--sha256",
        type=sha256_of,
        metavar="HEX",
        help="refuse a training file, downloaded or not, that has another SHA-256",
    )
    data.add_argument(
        "--collect",
        type=count(),
        metavar="N",
        help="make N episodes here with the experts of OGBench, or of D4RL's maze2d\n(kept in data/ beside the run, "
        "and used again)",
    )
    data.add_argument("--collect-seed", type=seed, metavar="S", help="seed of that collection (default: 0)")
    data.add_argument(
        "--env",
        metavar="ENV",
        help="evaluate in this gymnasium environment (module:Id-v0) or task instead, or in none;\na log of your own is "
        "not evaluated unless you set it",
    )
    add_bounds(data)
    add_columns(data)
    data.add_argument(
        "--normalize-observations",
        action="store_true",
        help="to mean 0 and standard deviation 1; the policy keeps both",
    )
    length = parser.add_argument_group("length and size")
    length.add_argument("--size", choices=tuple(SIZES), help="networks, updates and evaluations (default: laptop)")
    length.add_argument("--updates", type=count(), metavar="N", help="updates in all")
    length.add_argument("--eval-every", type=count(), metavar="N", help="updates between evaluations")
    length.add_argument("--eval-episodes", type=count(), metavar="N", help="episodes per evaluation")
    add_limits(length, "eval-")
    length.add_argument("--batch-size", type=count(), metavar="N", help="transitions per update (default: 256)")
    run = parser.add_argument_group("the run")
    run.add_argument("--seed", type=seed, metavar="S", help="of networks, batches, latents, evaluations (default: 0)")
    run.add_argument(
        "--seeds",
        type=seed_list,
        metavar="LIST",
        help="several runs, for instance 0-7 or 0,3,5, each in its own folder",
    )
    run.add_argument(
        "--sweep",
        type=sweep,
        action="append",
        metavar="NAME=X,Y",
        help="several runs, one at each value of a continuous hyperparameter:\nbc_coef=1,3,10 (with --seeds: all "
        "combinations; may be repeated)",
    )
    run.add_argument(
        "--width", type=count(), metavar="N", help="runs in one compiled program (default: what a trial finds fastest)"
    )
    run.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="run folder, or the folder of several (default: runs/TASK-ALGORITHM-seedS)",
    )
    run.add_argument(
        "--resume", action="store_true", help="continue the run in its folder; with --updates MORE, extend it"
    )
    run.add_argument("--keep-last", type=count(), metavar="N", help="newest checkpoints to keep (default: 2)")
    run.add_argument("--keep-every", type=count(0), metavar="N", help="also keep those at multiples of N updates")
    run.add_argument(
        "--workers",
        type=count(),
        default=min(cores(), 8),
        metavar="W",
        help="processes for collection and evaluation\n(default: all cores, at most 8)",
    )
    run.add_argument("--tuned", action="store_true", help="the preset's DROL* instead of DROL(16); for DROL only")
    run.add_argument("--tensorboard", action="store_true", help="also write TensorBoard files into the run folder")
    run.add_argument("--wandb", metavar="PROJECT", help="also log to a Weights & Biases project")
    devices.add_arguments(parser)
    cls = algorithm_class(_chosen_algorithm(arguments))
    add_hyperparameters(parser, cls)
    parser.explain = functools.partial(not_of, cls)


def run(parsed: argparse.Namespace) -> int:
    """Plan the runs, then train them."""
    sinks = {"tensorboardX": "tensorboard"} if parsed.tensorboard else {}
    sinks |= {"wandb": "wandb"} if parsed.wandb else {}
    require_all(needs.RUNS | needs.of_data(parsed.task) | needs.of_evaluation(parsed.task, parsed.env) | sinks)
    _refuse_contradictions(parsed)
    if not parsed.distributed:
        check_platform()
        return _run(parsed)
    from drol.training.distributed import Leader

    parsed.shard_batch = True
    if devices.join(parsed) > 0:
        return devices.follow(parsed)
    with Leader() as leader:
        return _run(parsed, leader)


def _refuse_contradictions(parsed: argparse.Namespace) -> None:
    if parsed.seed is not None and parsed.seeds is not None:
        raise UsageError("--seed and --seeds cannot be combined: give one run's seed, or those of several runs")
    devices.refuse_contradictions(parsed)
    swept = [name for name, _ in parsed.sweep or []]
    for name in swept:
        if swept.count(name) > 1 or name in given_hyperparameters(parsed):
            raise UsageError(f"{name} is given twice: name all its values in one --sweep")


def _run(parsed: argparse.Namespace, leader: Any = None) -> int:
    import jax

    from drol.algorithms.registry import algorithm_class
    from drol.training.folder import RunFolder
    from drol.training.settings import Settings

    task, name = parse_task(parsed.task, environment=parsed.env, present=True), parsed.algorithm or "drol"
    members = plan.members(parsed)
    start = f"{task.label}-{algorithm_class(name).name}"
    folders = [RunFolder(_path(parsed, start, member)) for member in members]
    configs = _configurations(parsed, task, name, members, folders)
    # What is resumed is judged where it was, whatever was left out of the command.
    task = plan.task_of(configs[0])
    plan.check_alike(configs, [folder.path for folder in folders])
    if leader is not None:
        plan.refuse_to_collect(configs[0], parsed)
    if parsed.shard_batch:
        Settings(**configs[0]["settings"]).check_devices(jax.device_count())
    stored = [config["data"] for config in configs if "data" in config]
    if stored and parsed.data is None and configs[0]["data_file"] is not None:
        plan.check_named_file(Path(configs[0]["data_file"]), stored)
    with contextlib.ExitStack() as stack:
        mapped = plan.is_mapped(task, configs[0]) and not parsed.shard_batch
        room = stack.enter_context(scratch()) if mapped else None
        data = plan.data_of(task, configs[0], folders[0].path, parsed, room)
        for source in stored:
            plan.check_same_data(source, data.source)
        for folder in folders:
            stack.enter_context(folder.locked())
        _show_notes(parsed, name, task, [*plan.notes_on(configs[0]["settings"], begun=parsed.resume), *data.notes])
        return _train(parsed, configs, folders, data, leader)


def _show_notes(parsed: argparse.Namespace, name: str, task: Task, further: Sequence[str]) -> None:
    """What there is to know before training, once it is sure that there will be any."""
    given = {*given_hyperparameters(parsed), *dict(parsed.sweep or [])}
    if not parsed.resume and (line := note(task.name, name, task.label, given)) is not None:
        print(line)
    for line in further:
        print(f"note: {line}")


def _path(parsed: argparse.Namespace, start: str, member: plan.Member) -> Path:
    if parsed.out is None:
        return Path("runs") / f"{start}-{member.name}"
    return parsed.out / member.name if parsed.seeds or parsed.sweep else parsed.out


def _configurations(
    parsed: argparse.Namespace, task: Task, name: str, members: list[plan.Member], folders: list[Any]
) -> list[dict[str, Any]]:
    """One per run: the stored one of a run that is resumed, a new one otherwise. Nothing is written yet."""
    begun = [folder.config.exists() for folder in folders]
    if parsed.resume and not any(begun):
        folders[0].read_config()  # which says what is missing
    configs = []
    for member, folder, there in zip(members, folders, begun, strict=True):
        if not (parsed.resume and there):
            folder.refuse_existing()
        if parsed.resume:
            # Runs that are new among old ones are of their kind.
            stored = plan.stored_in(folder if there else folders[begun.index(True)])
            stored = stored if there else plan.alike(stored, member)
            configs.append(plan.resumed(parsed, task, stored, member))
        else:
            configs.append(plan.planned(parsed, task, name, member))
    return configs


def _train(
    parsed: argparse.Namespace, configs: list[dict[str, Any]], folders: list[Any], data: Any, leader: Any
) -> int:
    import jax

    from drol.cli.progress import TrainingProgress
    from drol.data.mapped import MappedData
    from drol.data.replay import ReplayData
    from drol.evaluation.limits import EvaluationLimits
    from drol.evaluation.rollout import Evaluator
    from drol.files import write_json
    from drol.training.keeper import Run
    from drol.training.run import train_runs
    from drol.training.settings import Settings

    mapped = isinstance(data.train.observations, np.memmap)
    training: Any = MappedData(data.train) if mapped else ReplayData.from_transitions(data.train)
    validation = None if data.validation is None else ReplayData.from_transitions(data.validation)
    with contextlib.ExitStack() as stack:
        evaluator = None
        if (environment := plan.task_of(configs[0]).environment) is not None:
            limits = EvaluationLimits(**configs[0]["evaluation_limits"])
            with stop_requests():
                evaluator = stack.enter_context(Evaluator(environment, workers=parsed.workers, limits=limits))
                evaluator.check(training.spec)
        width = 1 if parsed.shard_batch or mapped else _width(configs, training)
        progress = stack.enter_context(TrainingProgress(configs[0]["settings"]["updates"]))
        runs = []
        for config, folder in zip(configs, folders, strict=True):
            if "data" in config:
                config = continued(config)
            else:
                config |= {"data": data.source, "environment": evaluator and evaluator.describe(), **machine()}
            if len(configs) > 1 and not parsed.shard_batch:
                config |= {"width": width}
            write_json(folder.config, config)
            label = folder.path.name if len(folders) > 1 else "training"
            sinks = [stack.enter_context(contextlib.closing(sink)) for sink in _sinks(parsed, config, folder)]
            runs.append(
                Run(
                    algorithm=plan.algorithm_of(config),
                    folder=folder,
                    settings=Settings(**config["settings"]),
                    evaluate=None if evaluator is None else _evaluation(evaluator, config),
                    sinks=[*sinks, progress.of(label)],
                    policy_facts={
                        "task": config["task"],
                        "environment": config["evaluated_in"],
                        "algorithm": config["algorithm"],
                        "seed": config["settings"]["seed"],
                    },
                    units=data.units,
                )
            )
        if leader is not None:
            leader.brief(configs[0])
        if parsed.shard_batch:
            training = training.sharded(jax.devices())
        try:
            outcomes = train_runs(runs, training, validation=validation, width=width, devices=jax.devices())
        except WriteError as error:
            # What was trained so far is kept, so that this is no command to run again from the start.
            again = "continue with the same command and --resume"
            raise WriteError(error.errno or 0, error.path, error.remedy, again) from error
    return report(runs, outcomes)


def _width(configs: list[dict[str, Any]], data: Any) -> int:
    """How many runs share a program: as given or as before, else by trial."""
    import jax

    from drol.training.keeper import initial
    from drol.training.seeds import fastest_width

    if len(configs) == 1:
        return 1
    widths = {config["width"] for config in configs}
    if len(widths) == 1 and (known := widths.pop()) is not None:
        return known
    print(f"finding out how many of {len(configs)} runs to train side by side", flush=True)
    batch_size, members = configs[0]["settings"]["batch_size"], []
    for config in configs:
        algorithm = plan.algorithm_of(config)
        state, key, _ = initial(algorithm, data.spec, config["settings"]["seed"])
        members.append((algorithm, state, key))
    width = fastest_width(members, data, batch_size=batch_size, devices=jax.devices())
    print(f"{width} of {len(configs)} runs share a program")
    return width


def _sinks(parsed: argparse.Namespace, config: dict[str, Any], folder: Any) -> list[Any]:
    from drol.training.records import TensorBoardSink, WandbSink

    sinks: list[Any] = []
    if parsed.tensorboard:
        sinks.append(TensorBoardSink(folder.path / "tensorboard"))
    if parsed.wandb:
        sinks.append(WandbSink(parsed.wandb, config, folder.path))
    return sinks


def _evaluation(evaluator: Any, config: dict[str, Any]) -> Any:
    """Rollouts of a run's policy, seeded by its seed and the update."""
    from drol.evaluation.results import as_record
    from drol.seeding import episode_seed

    def evaluate(policy: Any, update: int) -> list[dict[str, Any]]:
        seed = episode_seed(config["settings"]["seed"], update)
        return [as_record(result) for result in evaluator.run(policy, episodes=config["eval_episodes"], seed=seed)]

    return evaluate


def _chosen_algorithm(arguments: list[str]) -> str:
    """The value of --algorithm, before the full parse: its fields become options."""
    chosen = "drol"
    for word, following in itertools.pairwise([*arguments, ""]):
        if word == "--algorithm" and not following.startswith("-"):
            chosen = following or chosen
        elif word.startswith("--algorithm="):
            chosen = word.partition("=")[2]
    return chosen
