"""`drol train`: train a policy on a task."""

import argparse
import dataclasses
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from drol.cli.options import add_hyperparameters, cores, given_hyperparameters
from drol.extras import require
from drol.files import DataError
from drol.presets import SIZES, preset_for

PACKAGES = ("drol", "jax", "jaxlib", "equinox", "optax", "numpy", "orbax-checkpoint", "ogbench", "gymnasium", "mujoco")


def add_arguments(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Declare the command's options, those of the chosen algorithm included."""
    from drol.algorithms.registry import ALGORITHMS, algorithm_class

    parser.add_argument(
        "task", metavar="TASK", help="for instance cube-single-play-singletask-task2-v0; see `drol presets`"
    )
    parser.add_argument("--algorithm", metavar="NAME", help=f"one of {', '.join(ALGORITHMS)} (default: drol)")
    data = parser.add_argument_group(
        "data", "By default ogbench's cache folder is searched, then the official download tried."
    )
    data.add_argument(
        "--data", type=Path, metavar="FILE.npz", help="a training file in OGBench's format, with FILE-val.npz beside it"
    )
    data.add_argument(
        "--collect",
        type=int,
        metavar="N",
        help="make N episodes here with OGBench's scripted experts\n(kept in data/ beside the run, and used again)",
    )
    data.add_argument("--collect-seed", type=int, metavar="S", help="seed of that collection (default: 0)")
    length = parser.add_argument_group("length and size")
    length.add_argument("--size", choices=tuple(SIZES), help="networks, updates and evaluations (default: laptop)")
    length.add_argument("--updates", type=int, metavar="N", help="updates in all")
    length.add_argument("--eval-every", type=int, metavar="N", help="updates between evaluations")
    length.add_argument("--eval-episodes", type=int, metavar="N", help="episodes per evaluation")
    length.add_argument("--batch-size", type=int, metavar="N", help="transitions per update (default: 256)")
    run = parser.add_argument_group("the run")
    run.add_argument("--seed", type=int, metavar="S", help="of networks, batches, latents and evaluations (default: 0)")
    run.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/TASK-ALGORITHM-seedS)")
    run.add_argument(
        "--resume", action="store_true", help="continue the run in its folder; with --updates MORE, extend it"
    )
    run.add_argument(
        "--workers",
        type=int,
        default=min(cores(), 8),
        metavar="W",
        help="processes for collection and evaluation\n(default: all cores, at most 8)",
    )
    run.add_argument("--tensorboard", action="store_true", help="also write TensorBoard files into the run folder")
    run.add_argument("--wandb", metavar="PROJECT", help="also log to a Weights & Biases project")
    add_hyperparameters(parser, algorithm_class(_chosen_algorithm(arguments)))


def run(parsed: argparse.Namespace) -> int:
    """Plan the run, then train."""
    from drol.data import ogbench
    from drol.training.run import RunFolder

    for module, extra, needed in (
        ("rich", "train", True),
        ("orbax.checkpoint", "train", True),
        ("tensorboardX", "tensorboard", parsed.tensorboard),
        ("wandb", "wandb", parsed.wandb),
    ):
        if needed:
            require(module, extra)
    task = ogbench.parse_task(parsed.task)
    name, seed = parsed.algorithm or "drol", parsed.seed or 0
    folder = RunFolder(parsed.out or Path("runs") / f"{task.name}-{name}-seed{seed}")
    if parsed.resume:
        stored = folder.read_config()
        config = _resumed(parsed, stored)
    else:
        folder.refuse_existing()
        config = _planned(parsed, name)
    algorithm = algorithm_of(config)
    data = data_of(task, config, folder, parsed)
    if parsed.resume:
        _same_data(config["data"], data.source)
    return _train(parsed, config, folder, algorithm, data)


def _planned(parsed: argparse.Namespace, name: str) -> dict[str, Any]:
    """The configuration of a new run: preset, then size, then what was given."""
    from drol.algorithm import hyperparameters
    from drol.algorithms.registry import algorithm_class
    from drol.training.run import Settings, chunk_length

    size, preset = SIZES[parsed.size or "laptop"], preset_for(parsed.task)
    cls = algorithm_class(name)
    options = {"hidden": size.hidden} | (preset.hyperparameters() if preset and name == "drol" else {})
    options |= given_hyperparameters(parsed)
    updates = size.updates if parsed.updates is None else parsed.updates
    eval_every = min(size.eval_every, updates) if parsed.eval_every is None else parsed.eval_every
    episodes = size.eval_episodes if parsed.eval_episodes is None else parsed.eval_episodes
    if episodes < 1:
        raise DataError(f"eval_episodes must be at least 1, found {episodes}")
    if parsed.data is not None and parsed.collect is not None:
        raise DataError("--data and --collect exclude each other: name a file, or have one made")
    settings = Settings(
        seed=parsed.seed or 0,
        updates=updates,
        batch_size=256 if parsed.batch_size is None else parsed.batch_size,
        eval_every=eval_every,
        chunk=chunk_length(updates, eval_every),
    )
    return {
        "task": parsed.task,
        "algorithm": name,
        "hyperparameters": hyperparameters(cls(**options)),
        "size": size.name,
        "preset": None if preset is None else {"family": preset.family, "source": preset.source},
        "settings": dataclasses.asdict(settings),
        "eval_episodes": episodes,
        "collect": parsed.collect,
        "collect_seed": parsed.collect_seed or 0,
        "data_file": None if parsed.data is None else str(parsed.data.absolute()),
    }


def _resumed(parsed: argparse.Namespace, stored: dict[str, Any]) -> dict[str, Any]:
    """The stored configuration, if nothing given contradicts it; `--updates` may extend it."""
    from drol.training.run import Settings

    given = {
        "task": parsed.task,
        "algorithm": parsed.algorithm,
        "size": parsed.size,
        "eval_episodes": parsed.eval_episodes,
        "collect": parsed.collect,
        "collect_seed": parsed.collect_seed,
    }
    settings = {"seed": parsed.seed, "batch_size": parsed.batch_size, "eval_every": parsed.eval_every}
    options = {n: list(v) if isinstance(v, tuple) else v for n, v in given_hyperparameters(parsed).items()}
    for wanted, there in ((given, stored), (settings, stored["settings"]), (options, stored["hyperparameters"])):
        for name, value in wanted.items():
            if value is not None and not _equal(value, there[name]):
                raise DataError(
                    f"the run was started with {name} {there[name]!r}, and --resume cannot change it to {value!r}; "
                    f"leave the option out, or start a new run with another --out"
                )
    updates = stored["settings"]["updates"] if parsed.updates is None else parsed.updates
    if updates < stored["settings"]["updates"]:
        raise DataError(
            f"the run was started with {stored['settings']['updates']} updates, and --resume can only extend it, not "
            f"shorten it to {updates}"
        )
    extended = Settings(**(stored["settings"] | {"updates": updates}))
    return stored | {"settings": dataclasses.asdict(extended)}


def _equal(given: Any, stored: Any) -> bool:
    # Hyperparameters are kept in float32.
    if isinstance(given, float) and isinstance(stored, int | float):
        return abs(given - stored) <= 1e-6 * abs(given)
    return given == stored


def algorithm_of(config: dict[str, Any]) -> Any:
    """The algorithm a configuration describes."""
    from drol.algorithm import from_hyperparameters
    from drol.algorithms.registry import algorithm_class

    return from_hyperparameters(algorithm_class(config["algorithm"]), config["hyperparameters"])


def data_of(task: Any, config: dict[str, Any], folder: Any, parsed: argparse.Namespace) -> Any:
    """Load the task's data, collecting it first where asked to."""
    from drol.cli.progress import counting
    from drol.data import ogbench
    from drol.data.collect import collect

    path = parsed.data or (config["data_file"] and Path(config["data_file"]))
    if path is None and config["collect"] is not None:
        dataset = task.dataset.removesuffix("-v0")
        name = f"{dataset}-{config['collect']}episodes-seed{config['collect_seed']}.npz"
        path = folder.path.parent / "data" / name
        if not path.exists():
            # The training file is written last: without it, its companion is a leftover.
            path.with_name(f"{path.stem}-val.npz").unlink(missing_ok=True)
            with counting(f"collecting {dataset}") as progress:
                collect(
                    dataset,
                    out=path,
                    episodes=config["collect"],
                    seed=config["collect_seed"],
                    workers=parsed.workers,
                    progress=progress,
                )
    with counting("downloading", lazy=True) as progress:
        return ogbench.load(task, path=path, progress=progress)


def _same_data(stored: dict[str, Any], found: dict[str, Any]) -> None:
    before, now = ([file["sha256"] for file in source["files"]] for source in (stored, found))
    if before != now:
        raise DataError(
            f"the run was started on other data (SHA-256 {before[0][:12]}..., found {now[0][:12]}...); give its file "
            f"with --data, or start a new run"
        )


def _train(parsed: argparse.Namespace, config: dict[str, Any], folder: Any, algorithm: Any, data: Any) -> int:
    from drol.cli.progress import TrainingProgress
    from drol.data.ogbench import parse_task
    from drol.data.replay import ReplayData
    from drol.evaluation.environments import EnvironmentSpec
    from drol.evaluation.rollout import Evaluator, as_record
    from drol.files import write_json
    from drol.seeding import episode_seed
    from drol.training.records import TensorBoardSink, WandbSink
    from drol.training.run import Settings, train

    settings = Settings(**config["settings"])
    environment = EnvironmentSpec(f"ogbench:{parse_task(config['task']).env_id}")
    with Evaluator(environment, workers=parsed.workers) as evaluator:
        sinks: list[Any] = []
        if parsed.resume:
            write_json(folder.config, _continued(config))
        else:
            config = config | {"data": data.source, "environment": evaluator.describe(), **_machine()}
            folder.create(config)
        if parsed.tensorboard:
            sinks.append(TensorBoardSink(folder.path / "tensorboard"))
        if parsed.wandb:
            sinks.append(WandbSink(parsed.wandb, config, folder.path))
        sinks.append(TrainingProgress(settings.updates))

        def evaluate(policy, update):
            seed = episode_seed(settings.seed, update)
            return [as_record(r) for r in evaluator.run(policy, episodes=config["eval_episodes"], seed=seed)]

        try:
            state = train(
                algorithm,
                ReplayData.from_transitions(data.train),
                folder,
                settings,
                validation=ReplayData.from_transitions(data.validation),
                evaluate=evaluate,
                sinks=sinks,
                policy_facts={"task": config["task"], "algorithm": config["algorithm"], "seed": settings.seed},
            )
        finally:
            for sink in sinks:
                sink.close()
    return _report(folder, settings, int(state.step))


def _report(folder: Any, settings: Any, update: int) -> int:
    """Say how it went and what to do next."""
    if update < settings.updates:
        print(f"stopped at update {update} of {settings.updates}; continue with the same command and --resume")
        return 130
    last = [line for line in folder.metrics.read() if line.get("evaluation/success") is not None][-3:]
    if last:
        mean = sum(line["evaluation/success"] for line in last) / len(last)
        episodes = sum(line["evaluation/episodes"] for line in last)
        print(
            f"mean success of the last {len(last)} evaluations: {mean:.3f} ({episodes} episodes, seed {settings.seed})"
        )
    print(f"policy: {folder.policy}   evaluate it with: drol evaluate {folder.path} --episodes 50")
    return 0


def _continued(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a resumed run, with what it is continued on; says where that differs."""
    now = _machine()
    for name in ("versions", "device", "machine"):
        if config[name] != now[name]:
            print(f"note: {name} differ from the run's start; results may differ in rounding", file=sys.stderr)
    return config | {"resumes": [*config.get("resumes", []), now]}


def _machine() -> dict[str, Any]:
    """Versions and hardware, for the record."""
    import jax

    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    device = jax.devices()[0]
    return {
        "versions": versions | {"python": platform.python_version()},
        "device": {"platform": device.platform, "kind": device.device_kind, "count": jax.device_count()},
        "machine": {"cores": cores(), "processor": platform.machine(), "system": platform.system()},
        "command": sys.argv[1:],
    }


def _chosen_algorithm(arguments: list[str]) -> str:
    """The value of --algorithm, before the full parse: its fields become options."""
    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    peek.add_argument("--algorithm", default="drol")
    return peek.parse_known_args(arguments)[0].algorithm
