"""What `drol train` is to do: the configuration of each run, from presets, sizes, options and earlier runs."""

import argparse
import dataclasses
import itertools
from pathlib import Path
from typing import Any, NamedTuple

from drol.cli.options import bounds_of, given_hyperparameters, limits_of, not_of
from drol.cli.parser import UsageError
from drol.data import files, tasks
from drol.data.columns import NOTHING
from drol.data.offline import OfflineData, normalised
from drol.data.tasks import Task
from drol.environments.named import from_file
from drol.environments.spec import EnvironmentSpec
from drol.evaluation.limits import DEFAULT
from drol.files import DataError, listed, sha256
from drol.presets import SIZES, preset_for
from drol.training.folder import RunFolder

KEPT = (
    *("task", "evaluated_in", "algorithm", "size", "preset", "eval_episodes", "collect", "collect_seed", "data_file"),
    *("evaluation_limits", "action_low", "action_high", "normalize_observations", "columns"),
)
"""What all runs of a command have in common, beside their settings and hyperparameters."""


class Member(NamedTuple):
    """One run of a command: its seed, the swept hyperparameters' values, and the name of its folder."""

    seed: int
    values: dict[str, float]
    name: str


def members(parsed: argparse.Namespace) -> list[Member]:
    """Every seed at every combination of swept values."""
    seeds = parsed.seeds or [parsed.seed or 0]
    sweeps = dict(parsed.sweep or [])
    return [
        Member(seed, values, "-".join([*(f"{name}{value:g}" for name, value in values.items()), f"seed{seed}"]))
        for combination in itertools.product(*sweeps.values())
        for values in [dict(zip(sweeps, combination, strict=True))]
        for seed in seeds
    ]


def seed_list(text: str) -> list[int]:
    """`0-7`, `1,4,9` or `0-2,5` as numbers.

    Raises:
        argparse.ArgumentTypeError: for anything else, or a seed named twice.
    """
    try:
        seeds = list(itertools.chain.from_iterable(map(_seed_range, text.split(","))))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected seeds like 0-7 or 0,3,5, found {text!r}") from None
    if len(set(seeds)) < len(seeds):
        raise argparse.ArgumentTypeError(f"a seed is named twice in {text!r}")
    return seeds


def _seed_range(text: str) -> range:
    first, _, last = text.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    if not seeds:
        raise ValueError("an empty range")
    return seeds


def sweep(text: str) -> tuple[str, list[float]]:
    """`bc_coef=1,3,10` as a name and its values.

    Raises:
        argparse.ArgumentTypeError: for anything else, or a value named twice.
    """
    name, _, values = text.partition("=")
    try:
        numbers = [float(value) for value in values.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a name and values like bc_coef=1,3,10, found {text!r}") from None
    if len(set(numbers)) < len(numbers):
        raise argparse.ArgumentTypeError(f"a value is named twice in {text!r}")
    return name.strip().lstrip("-").replace("-", "_"), numbers


def planned(parsed: argparse.Namespace, task: Task, name: str, member: Member) -> dict[str, Any]:
    """The configuration of a new run: preset, then size, then what was given."""
    from drol.algorithm import hyperparameters
    from drol.algorithms.registry import algorithm_class
    from drol.numerics import precision
    from drol.training.settings import Settings, chunk_length

    size, preset, cls = SIZES[parsed.size or "laptop"], preset_for(task.name, name), algorithm_class(name)
    if parsed.tuned and preset is None:
        raise UsageError(f"no preset is published for {name} on {task.name}: leave --tuned out")
    options = {"hidden": size.hidden} | (preset.hyperparameters(tuned=parsed.tuned, size=size.name) if preset else {})
    options |= given_hyperparameters(parsed) | _swept(cls, member)
    published = size.d4rl_updates if task.kind == "d4rl" else size.updates
    updates = published if parsed.updates is None else parsed.updates
    eval_every = min(size.eval_every, updates) if parsed.eval_every is None else parsed.eval_every
    episodes = size.eval_episodes if parsed.eval_episodes is None else parsed.eval_episodes
    if parsed.data is not None and parsed.collect is not None:
        raise UsageError("--data and --collect cannot be combined: name a file, or have one made")
    defaults = Settings()
    settings = Settings(
        seed=member.seed,
        updates=updates,
        batch_size=256 if parsed.batch_size is None else parsed.batch_size,
        eval_every=eval_every,
        chunk=chunk_length(updates, eval_every),
        keep_last=defaults.keep_last if parsed.keep_last is None else parsed.keep_last,
        keep_every=defaults.keep_every if parsed.keep_every is None else parsed.keep_every,
    )
    return {
        "task": task.name,
        "evaluated_in": task.environment and task.environment.as_record(),
        "algorithm": name,
        "hyperparameters": hyperparameters(cls(**options)),
        "size": size.name,
        "preset": preset and {"family": preset.family, "source": preset.source, "tuned": parsed.tuned},
        "settings": dataclasses.asdict(settings),
        "precision": precision(),
        "width": parsed.width,
        "eval_episodes": episodes,
        "evaluation_limits": dataclasses.asdict(limits_of(parsed)),
        "collect": parsed.collect,
        "collect_seed": parsed.collect_seed or 0,
        "data_file": None if parsed.data is None else str(parsed.data.absolute()),
        "action_low": parsed.action_low,
        "action_high": parsed.action_high,
        "normalize_observations": parsed.normalize_observations,
        "columns": parsed.columns,
    }


def notes_on(settings: dict[str, Any], *, begun: bool) -> list[str]:
    """What to know of a run's length before training; of one that is begun nothing can be changed any more."""
    from drol.training.settings import slowed

    line = slowed(settings["updates"], settings["eval_every"], settings["chunk"])
    return [] if line is None or begun else [line]


def alike(stored: dict[str, Any], member: Member) -> dict[str, Any]:
    """The configuration of a new run that differs from a stored one in seed and swept values only."""
    from drol.numerics import precision

    return {name: stored[name] for name in KEPT} | {
        "hyperparameters": stored["hyperparameters"] | member.values,
        "settings": stored["settings"] | {"seed": member.seed},
        "precision": precision(),
        "width": stored.get("width"),
    }


def _swept(cls: type, member: Member) -> dict[str, float]:
    """The member's values, once it is sure that one program can hold them all."""
    from drol.algorithm import is_continuous

    continuous = [field.name for field in dataclasses.fields(cls) if is_continuous(field)]
    for name in member.values:
        if name not in continuous:
            own = name in {field.name for field in dataclasses.fields(cls)}
            words = f"--sweep takes hyperparameters that change no shape: {listed(continuous)}; found {name!r}"
            raise UsageError(words if own else not_of(cls, name) or words)
    return member.values


def resumed(parsed: argparse.Namespace, task: Task, stored: dict[str, Any], member: Member) -> dict[str, Any]:
    """The stored configuration, if nothing given contradicts it; `--updates` may extend it."""
    from drol.numerics import check_precision
    from drol.training.settings import Settings

    refuse_unnamed(stored, algorithm=parsed.algorithm, environment=task.environment if parsed.env else None)
    # Not recorded by earlier versions.
    check_precision(stored.get("precision", {}))
    if task.kind == "own" and tasks.parse_task(stored["task"]).kind == "own":
        # It may have been moved: what counts is what is in it, which is compared when it is loaded.
        stored = stored | {"task": task.name}
    given = {
        "task": task.name,
        "evaluated_in": task.environment.as_record() if parsed.env and task.environment else None,
        "algorithm": parsed.algorithm,
        "tuned": parsed.tuned or None,
        "size": parsed.size,
        "eval_episodes": parsed.eval_episodes,
        "eval_max_steps": parsed.max_steps,
        "collect": parsed.collect,
        "collect_seed": parsed.collect_seed,
        "action_low": parsed.action_low,
        "action_high": parsed.action_high,
        "normalize_observations": parsed.normalize_observations or None,
        "columns": parsed.columns,
    }
    settings = {
        "seed": member.seed if parsed.seeds else parsed.seed,
        "batch_size": parsed.batch_size,
        "eval_every": parsed.eval_every,
    }
    options = {n: list(v) if isinstance(v, tuple) else v for n, v in given_hyperparameters(parsed).items()}
    options |= member.values
    stored_limits = stored["evaluation_limits"]
    stored_run = stored | {
        "tuned": (stored["preset"] or {}).get("tuned", False),
        "eval_max_steps": stored_limits["steps"],
    }
    for wanted, there in ((given, stored_run), (settings, stored["settings"]), (options, stored["hyperparameters"])):
        for name, value in wanted.items():
            if value is not None and name not in there:
                raise DataError(f"the run is of {stored['algorithm']}, which has no {name}: leave it out")
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
    if updates % (chunk := stored["settings"]["chunk"]):
        below = updates // chunk * chunk
        raise DataError(
            f"the run is trained in chunks of {chunk} updates, so --updates must be a multiple of {chunk}, found "
            f"{updates}; the nearest are {below} and {below + chunk}"
        )
    changed = {"updates": updates, "keep_last": parsed.keep_last, "keep_every": parsed.keep_every}
    extended = Settings(**(stored["settings"] | {name: value for name, value in changed.items() if value is not None}))
    width = stored.get("width") if parsed.width is None else parsed.width
    limits = dataclasses.asdict(limits_of(parsed, stored_limits))
    return stored | {"settings": dataclasses.asdict(extended), "width": width, "evaluation_limits": limits}


def refuse_unnamed(stored: dict[str, Any], *, algorithm: str | None, environment: EnvironmentSpec | None) -> None:
    """Refuse to import what a run's configuration names and its user does not; what both name is compared elsewhere.

    Args:
        stored: the configuration.
        algorithm: what the user named, if anything.
        environment: the same.

    Raises:
        DataError: saying what to add to the command.
    """
    if algorithm is None and ":" in stored["algorithm"]:
        raise DataError(
            f"the run is of the algorithm {stored['algorithm']!r}, and a module is not imported because a file says "
            f"so; if you trust it, name it yourself: add --algorithm {stored['algorithm']}"
        )
    if environment is None and stored["evaluated_in"] is not None:
        from_file(stored["evaluated_in"], "the run's configuration")


def _equal(given: Any, stored: Any) -> bool:
    # Hyperparameters are kept in float32.
    if isinstance(given, float) and isinstance(stored, int | float):
        return abs(given - stored) <= 1e-6 * abs(given)
    return given == stored


def algorithm_of(config: dict[str, Any]) -> Any:
    """The algorithm a configuration describes."""
    from drol.algorithm import from_record
    from drol.algorithms.registry import algorithm_class

    return from_record(algorithm_class(config["algorithm"]), config["hyperparameters"])


def stored_in(folder: RunFolder) -> dict[str, Any]:
    """The configuration of a run, also of one that an earlier version began.

    Raises:
        DataError: if there is no run, or its configuration cannot be read.
    """
    config = folder.read_config()
    first = ("algorithm", "size", "preset", "eval_episodes", "collect", "collect_seed", "data_file")
    if missing := [name for name in first if name not in config]:
        raise DataError(
            f"{folder.config} is not the configuration of a run ({', '.join(missing)} missing); was it edited?"
        )
    if "evaluated_in" not in config:
        environment = tasks.parse_task(config["task"]).environment
        config |= {"evaluated_in": environment and environment.as_record()}
    later = {"action_low": None, "action_high": None, "normalize_observations": False, "columns": None}
    return later | {"evaluation_limits": dataclasses.asdict(DEFAULT)} | config


def task_of(config: dict[str, Any]) -> Task:
    """The task a configuration names, in the environment that it names."""
    environment = config["evaluated_in"]
    task = tasks.parse_task(config["task"])
    return dataclasses.replace(task, environment=environment and EnvironmentSpec.from_record(environment))


def data_of(
    task: Task, config: dict[str, Any], folder: Path, parsed: argparse.Namespace, scratch: Path | None = None
) -> OfflineData:
    """Load the task's data, collecting them first, beside the run's folder, where asked to.

    Args:
        task: what to load.
        config: the run's.
        folder: the run's.
        parsed: the command's options.
        scratch: a folder for mapped tables, where the data are to be mapped.
    """
    from drol.cli.collect import collected
    from drol.cli.progress import counting

    path = parsed.data or (config["data_file"] and Path(config["data_file"]))
    if path is None and config["collect"] is not None:
        path = collected(task, config["collect"], config["collect_seed"], folder.parent / "data", parsed.workers)
    with counting("downloading", lazy=True) as progress:
        data = tasks.load(
            task,
            path=path,
            bounds=bounds_of(config["action_low"], config["action_high"]),
            folder=scratch,
            columns=config["columns"] or NOTHING,
            progress=progress,
            expected=parsed.sha256,
        )
    return normalised(data) if config["normalize_observations"] else data


def is_mapped(task: Task, config: dict[str, Any]) -> bool:
    """Whether a task's data are too large for memory; only logs of the user's own can be."""
    return task.kind == "own" and files.is_large(Path(task.name), columns=config["columns"] or NOTHING)


def refuse_to_collect(config: dict[str, Any], parsed: argparse.Namespace) -> None:
    """Among several processes, none may collect what all need.

    Raises:
        DataError: if the data are neither named nor downloadable.
    """
    if parsed.data is None and config["collect"] is not None:
        raise DataError("every process needs the data: make them first with `drol collect`, then name them with --data")


def check_alike(configs: list[dict[str, Any]], paths: list[Path]) -> None:
    """Refuse to train runs side by side whose lengths differ.

    Raises:
        DataError: naming the first two that do.
    """
    for config, path in zip(configs, paths, strict=True):
        for name, value in config["settings"].items():
            first = configs[0]["settings"][name]
            if name != "seed" and value != first:
                raise DataError(
                    f"runs that are trained together must be of one kind, but {paths[0]} has {name} {first} and {path} "
                    f"{value}; extend them to the same number with --updates, or train them separately"
                )


def check_named_file(path: Path, stored: list[dict[str, Any]]) -> None:
    """Refuse to open a data file that a run's configuration names, unless it is what the run began with.

    Args:
        path: the file.
        stored: what such runs recorded of their data.

    Raises:
        DataError: if it is missing or another one.
    """
    sums = {file["sha256"] for source in stored for file in source["files"]}
    if not path.is_file() or sha256(path) not in sums:
        raise DataError(f"the run was started on {path}, which is gone or has changed since; name its data with --data")


def check_same_data(stored: dict[str, Any], found: dict[str, Any]) -> None:
    """Refuse to go on with other data than a run began with.

    Raises:
        DataError: naming both.
    """
    before, now = ({file["sha256"]: file["name"] for file in source["files"]} for source in (stored, found))
    for sums, others, words in ((before, now, "is missing now"), (now, before, "was not among them")):
        for checksum, name in sums.items():
            if checksum not in others:
                raise DataError(
                    f"the run was started on other data: {name} (SHA-256 {checksum[:12]}...) {words}; give the same "
                    f"data, or start a new run with another --out"
                )
