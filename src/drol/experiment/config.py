"""The configuration of a run: each option is declared once, for config.json and the command line alike."""

import dataclasses
import inspect
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drol.algorithm import Algorithm, from_hyperparameters, from_record
from drol.algorithm import hyperparameters as values_of
from drol.algorithms.registry import ALGORITHMS, algorithm_class, registered_name
from drol.data.readers.columns import Columns
from drol.environments.limits import DEFAULT, UNLIMITED_STEPS, EvaluationLimits
from drol.environments.spec import EnvironmentSpec
from drol.errors import DataError, UsageError, both, nearest
from drol.experiment.options import Rule, checked, explanation, option, option_of
from drol.experiment.records import Json, found, placed, plain_mapping
from drol.experiment.resume import (
    Changes,
    Held,
    canonical,
    check_longer,
    checked_preset,
    environment_in,
    hyperparameters_in,
    hyperparameters_of,
    refuse_change,
    refuse_unnamed,
    with_tuples,
)
from drol.extras import lazy
from drol.files import listed
from drol.presets import PROTOCOLS, SIZES, Preset, Size, preset_for
from drol.training.folder import RunFolder
from drol.training.settings import LENGTH, Settings, call_length
from drol.types import Chunking

if TYPE_CHECKING:
    from drol import sources
    from drol.sources import Task
else:
    sources = lazy("drol.sources")

Hyperparameter = bool | int | float | str | tuple[int, ...] | None
"""A hyperparameter as a plain value."""

Hyperparameters = Mapping[str, Hyperparameter]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run: one seed, and one value of each hyperparameter.

    What is left at None is filled in by `resolved`: from the published preset of the method on the task, then from the
    size. Relative paths are relative to the folder in which the run is started.

    `hyperparameters` holds the algorithm's hyperparameters by name; the algorithm's own documentation explains them.

    Raises:
        UsageError: for a value of the wrong type or out of range, or options that contradict each other.
    """

    task: str = option(
        "",
        "text",
        "an OGBench or D4RL task (cube-single-play-singletask-task2-v0, pen-human-v1, ...;\nsee `drol presets`), "
        "minari:DATASET, or your own log: FILE.npz, FILE.hdf5, or a\nfolder with one such file per episode",
        resume="fixed",
        at="task",
        metavar="TASK",
        group="",
    )
    algorithm: str | Algorithm = option(
        "drol",
        "text",
        f"one of {', '.join(ALGORITHMS)},\nor your own as MODULE:CLASS",
        resume="fixed",
        at="algorithm",
        metavar="NAME",
        group="",
    )
    hyperparameters: Hyperparameters = dataclasses.field(default_factory=dict)

    data: Path | str | None = option(
        None,
        "path",
        "the task's training file: OGBench's npz, with FILE-val.npz next to it, or D4RL's HDF5",
        at="data_file",
        metavar="FILE",
        group="data",
    )
    sha256: str | None = option(
        None,
        "sha256",
        "refuse a training file, downloaded or not, whose SHA-256 differs from this one",
        metavar="HEX",
        group="data",
    )
    collect: int | None = option(
        None,
        "count",
        "collect N episodes with the experts of OGBench, or of D4RL's maze2d\n(kept in data/ next to the run, and "
        "reused)",
        resume="fixed",
        at="collect",
        metavar="N",
        group="data",
    )
    collect_seed: int = option(
        0, "seed", "seed of that collection", resume="fixed", at="collect_seed", metavar="S", group="data"
    )
    env: str | None = option(
        None,
        "text",
        "evaluate in this gymnasium environment (module:Id-v0) or task instead, or in none;\nruns on your own log are "
        "not evaluated unless you set it",
        metavar="ENV",
        group="data",
    )
    action_low: float | Sequence[float] | None = option(
        None,
        "bounds",
        "lower bound of the log's actions, one number or one per dimension",
        resume="fixed",
        at="action_low",
        shown="as the log states, else the environment's, else -1 and 1",
        metavar="X",
        group="data",
    )
    action_high: float | Sequence[float] | None = option(
        None,
        "bounds",
        "upper bound of the log's actions, one number or one per dimension",
        resume="fixed",
        at="action_high",
        shown="as the log states, else the environment's, else -1 and 1",
        metavar="X",
        group="data",
    )
    columns: Columns | None = option(
        None,
        "columns",
        "names of the log's arrays, if they differ from ours: observations=obs,actions=acts,...\n(also group/obs; a+b: "
        "concatenated; terminated=none: no episode terminates)",
        resume="fixed",
        at="columns",
        metavar="NAME=COLUMN,...",
        group="data",
    )
    normalize_observations: bool = option(
        False,
        "flag",
        "to mean 0 and standard deviation 1; the policy stores the statistics",
        resume="fixed",
        at="normalize_observations",
        group="data",
    )

    chunk: int | None = option(
        None,
        "count",
        "actions per plan: the policy plans, and the critic values, H actions at once",
        resume="fixed",
        at="chunk",
        shown="1, or that of --protocol",
        metavar="H",
        group="chunks of actions",
    )
    n_step: int | None = option(
        None,
        "count",
        "rewards that the critic's target sums before it bootstraps, at least H",
        resume="fixed",
        at="n_step",
        shown="H",
        metavar="N",
        group="chunks of actions",
    )
    replan: int | None = option(
        None,
        "count",
        "execute the first M actions of a plan, then plan again",
        resume="fixed",
        at="replan",
        shown="H",
        metavar="M",
        group="chunks of actions",
    )
    public_returns: bool = option(
        False,
        "flag",
        "sum the rewards of a chunk beyond a true end, as public code does",
        resume="fixed",
        at="public_returns",
        group="chunks of actions",
    )
    protocol: str | None = option(
        None,
        "text",
        "take chunk and hyperparameters from Q-chunking (qc), or from\nQ-learning with adjoint matching (qam)",
        resume="fixed",
        at="protocol",
        choices=PROTOCOLS,
        shown="the method's own paper",
        group="chunks of actions",
    )

    sparse_rewards: bool = option(
        False,
        "flag",
        "of OGBench's manipulation tasks: 0 where everything is done, else -1",
        resume="fixed",
        at="sparse_rewards",
        group="data",
    )

    size: str = option(
        "laptop",
        "text",
        "sets networks, updates and evaluations",
        resume="fixed",
        at="size",
        choices=tuple(SIZES),
        group="length and size",
    )
    updates: int | None = option(
        None, "count", "updates in total", resume="extend", at="settings.updates", metavar="N", group="length and size"
    )
    eval_every: int | None = option(
        None,
        "count",
        "updates between evaluations",
        resume="fixed",
        at="settings.eval_every",
        metavar="N",
        group="length and size",
    )
    eval_episodes: int | None = option(
        None,
        "count",
        "episodes per evaluation",
        resume="fixed",
        at="eval_episodes",
        metavar="N",
        group="length and size",
    )
    eval_max_steps: int | None = option(
        None,
        "count",
        "cut an episode after N steps",
        resume="fixed",
        at="evaluation_limits.steps",
        shown=f"the environment's own limit, else {UNLIMITED_STEPS:,}",
        metavar="N",
        group="length and size",
    )
    eval_max_seconds: float = option(
        DEFAULT.seconds or math.inf,
        "seconds",
        "end an evaluation after S seconds and mark it as incomplete;\ninf: never",
        at="evaluation_limits.seconds",
        metavar="S",
        group="length and size",
    )
    step_seconds: float = option(
        DEFAULT.step_seconds or math.inf,
        "seconds",
        "give up on an environment that takes longer for a step or a reset",
        at="evaluation_limits.step_seconds",
        metavar="S",
        group="length and size",
    )
    eval_async: bool | None = option(
        None,
        "switch",
        "evaluate in the background, on the CPU, while training goes on",
        at="eval_async",
        shown="where there is an accelerator",
        group="length and size",
    )
    batch_size: int = option(
        256,
        "count",
        "transitions per update",
        resume="fixed",
        at="settings.batch_size",
        metavar="N",
        group="length and size",
    )

    seed: int = option(
        0,
        "seed",
        "of networks, batches, latents and evaluations",
        resume="fixed",
        at="settings.seed",
        metavar="S",
    )
    out: Path | str | None = option(
        None,
        "path",
        "run folder, or the folder that holds several runs",
        shown="runs/TASK-ALGORITHM-seedS",
        metavar="DIR",
    )
    keep_last: int = option(2, "count", "newest checkpoints to keep", at="settings.keep_last", metavar="N")
    keep_every: int = option(
        0,
        "count",
        "also keep those at multiples of N updates",
        at="settings.keep_every",
        low=0,
        shown="none",
        metavar="N",
    )
    workers: int | None = option(
        None,
        "count",
        "processes for collection and evaluation",
        shown="all cores, at most 8",
        metavar="W",
    )
    tuned: bool = option(False, "flag", "use the preset's DROL* instead of DROL(16); for DROL only", resume="fixed")
    no_cache: bool = option(
        False, "flag", "compile again instead of keeping compiled programs in ~/.cache/drol; same results"
    )
    tensorboard: bool = option(False, "flag", "also write TensorBoard files into the run folder")
    wandb: str | None = option(None, "text", "also log to a Weights & Biases project", metavar="PROJECT")

    shard_batch: bool = option(
        False, "flag", "spread one run's data and batches over all devices instead", group="devices"
    )
    distributed: bool = option(
        False,
        "flag",
        "the same over the devices of several processes, each started with this\ncommand (nothing else is needed under "
        "Slurm, Open MPI, Kubernetes and on TPU slices)",
        group="devices",
    )
    coordinator: str | None = option(
        None, "text", "address of process 0 ($JAX_COORDINATOR_ADDRESS)", metavar="HOST:PORT", group="devices"
    )
    processes: int | None = option(
        None, "count", "number of processes ($JAX_NUM_PROCESSES)", metavar="N", group="devices"
    )
    process: int | None = option(
        None, "count", "index of this process, from 0 ($JAX_PROCESS_ID)", low=0, metavar="I", group="devices"
    )

    updates_per_call: int | None = None
    """Updates in one compiled call; derived from `updates` and `eval_every`, and fixed for the life of a run."""
    start: int = 0
    """The update at which the run continues another one; see `drol.finetune`."""
    evaluated_in: EnvironmentSpec | None = None
    """Where policies are evaluated; derived from `task` and `env`."""
    preset: Mapping[str, str | bool] | None = None
    """Where the hyperparameters come from: `family`, `source`, `tuned`; derived."""

    def __post_init__(self) -> None:
        for name, declared in OPTIONS.items():
            value = getattr(self, name)
            if value is not None and not isinstance(value, Algorithm | EnvironmentSpec):
                object.__setattr__(self, name, checked(name, declared, value))
        if not self.task:
            raise UsageError("task must name what to train on, such as cube-single-play-singletask-task2-v0")
        _refuse_contradictions(self)

    @property
    def algorithm_name(self) -> str:
        """The algorithm's name in the registry, or `module:Class`."""
        return self.algorithm if isinstance(self.algorithm, str) else registered_name(type(self.algorithm))

    @property
    def _is_resolved(self) -> bool:
        return self.updates_per_call is not None

    def build(self) -> Algorithm:
        """The algorithm with its hyperparameters.

        Raises:
            ValueError: for hyperparameters that it does not have, or a value out of range.
        """
        if isinstance(self.algorithm, Algorithm):
            return self.algorithm
        if self.hyperparameters.get("optimizer") is not None:
            raise DataError(
                "the run has a custom optimizer, which no file can store; resume it from Python, with "
                "drol.train(drol.RunConfig(algorithm=...), resume=True)"
            )
        return from_record(algorithm_class(self.algorithm), self.hyperparameters)

    def settings(self) -> Settings:
        """The settings of a resolved run, for the training loop."""
        return Settings(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Settings)})

    def chunking(self) -> Chunking:
        """How many steps make up a row of a batch."""
        return Chunking(self.chunk or 1, self.n_step, absorbing=not self.public_returns)

    def limits(self) -> EvaluationLimits:
        """The limits that end an evaluation which would not end by itself."""
        seconds = (None if value == math.inf else value for value in (self.eval_max_seconds, self.step_seconds))
        return EvaluationLimits(self.eval_max_steps, *seconds)

    def resolved_task(self) -> "Task":
        """The task, in the environment that a resolved run is evaluated in."""
        return dataclasses.replace(sources.parse_task(self.task), environment=self.evaluated_in)

    def resolved(self) -> "RunConfig":
        """The same run with everything filled in: from the preset, then from the size.

        Raises:
            DataError: if the task or the environment is unknown, or the user's own log does not exist.
            UsageError: if DROL* is requested but not published.
            ValueError: if the lengths cannot be cut into equal compiled calls, or a hyperparameter is wrong.
        """
        task, size = sources.parse_task(self.task, environment=self.env, present=True), SIZES[self.size]
        updates = task.source.updates(size) if self.updates is None else self.updates
        eval_every = min(size.eval_every, updates) if self.eval_every is None else self.eval_every
        preset = None
        if isinstance(self.algorithm, Algorithm):
            hyperparameters = with_tuples(values_of(self.algorithm))
        else:
            preset, hyperparameters = _published(self, task, size)
        chunk = 1 if self.chunk is None else self.chunk
        if self.chunk is None and self.protocol is not None:
            chunk = _of_protocol(self, task.name, self.protocol).chunk
        return dataclasses.replace(
            self,
            task=task.name,
            hyperparameters=hyperparameters,
            chunk=chunk,
            data=None if self.data is None else Path(self.data).absolute(),
            updates=updates,
            eval_every=eval_every,
            eval_episodes=size.eval_episodes if self.eval_episodes is None else self.eval_episodes,
            updates_per_call=call_length(updates, eval_every),
            # A configuration that is already resolved, such as one read from a file, keeps its environment.
            evaluated_in=self.evaluated_in if self._is_resolved and self.env is None else task.environment,
            preset=preset,
        )

    def extended(self, by: Changes) -> "RunConfig":
        """A resolved run with the changes that are made when it is resumed.

        Args:
            by: options by name, and hyperparameters by name in `hyperparameters`. Fixed options may be given again with
                the same value, `updates` may grow, and free options may change.

        Raises:
            UsageError, DataError: for anything else; the message says what the run was started with.
        """
        stored, given = canonical(_checked(by), self)
        before = vars(stored) | {"algorithm": stored.algorithm_name}
        changes: dict[str, Held] = {}
        for name, rule in RULES.items():
            if name not in given:
                continue
            if rule == "fixed":
                refuse_change(name, before[name], given[name])
                continue
            if given[name] is None:
                continue  # not given
            changes[name] = given[name]
            if rule == "extend":
                check_longer(stored, given[name])
        for name, (held, value) in hyperparameters_in(given, stored).items():
            refuse_change(name, held, value)
        return dataclasses.replace(stored, **changes)  # pyright: ignore[reportArgumentType]

    def changes(self) -> Changes:
        """Every option, for `extended`, which compares a resolved run with the one in its folder."""
        return {name: getattr(self, name) for name in (*RULES, "hyperparameters")}

    def to_json(self) -> Json:
        """The content of config.json for a resolved run."""
        record = placed(vars(self) | {"algorithm": self.algorithm_name}, OPTIONS)
        settings = record["settings"]
        assert isinstance(settings, dict)
        return record | {
            "hyperparameters": plain_mapping(self.hyperparameters),
            "evaluated_in": self.evaluated_in and self.evaluated_in.as_record(),
            "settings": settings | {LENGTH: self.updates_per_call} | ({"start": self.start} if self.start else {}),
            "preset": self.preset and dict(self.preset),
        }

    @classmethod
    def read(cls, folder: str | Path, *, named: Changes | None = None) -> "RunConfig":
        """The configuration of the run in a folder; `extended` changes what is not fixed, to resume it.

        Args:
            folder: the run's.
            named: see `from_json`.

        Raises:
            DataError: if there is no run, or as in `from_json`.
        """
        run = RunFolder(folder)
        return dataclasses.replace(cls.from_json(run.read_config(), str(run.config), named), out=run.path)

    @classmethod
    def from_json(
        cls, record: Mapping[str, Any], where: str = "config.json", named: Changes | None = None
    ) -> "RunConfig":
        """A run from the output of `to_json`, in this version or an earlier one.

        A file is only data: a module that nothing but the file names is not imported.

        Args:
            record: the object in config.json.
            where: the file, for messages.
            named: options that the user gives; modules that they name too are trusted.

        Raises:
            DataError: if it is not such an object, or names a module that `named` does not name.
        """
        try:
            values = {"chunk": 1, "eval_async": False} | found(record, OPTIONS)
            settings = Settings.from_record(record["settings"])
            preset, evaluated_in = checked_preset(record["preset"]), environment_in(record)
            config = cls(
                **values | dataclasses.asdict(settings),  # pyright: ignore[reportArgumentType]
                hyperparameters=hyperparameters_of(record),
                evaluated_in=evaluated_in,
                preset=preset,
                tuned=bool(preset and preset.get("tuned")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{where} is not the configuration of a run ({error}); was it edited?") from None
        refuse_unnamed(config, where, named or {})
        return config


def _checked(by: Changes) -> Changes:
    """The given options, each checked for its type.

    Raises:
        UsageError: for an unknown option, or a value of the wrong type.
    """
    known = {field.name for field in dataclasses.fields(RunConfig)}
    for name in by:
        if name not in known:
            near = nearest(name, known)
            raise UsageError(f"there is no option {name!r}{f'; did you mean {near[0]!r}?' if near else ''}")
    return {
        name: checked(name, OPTIONS[name], value)
        if name in OPTIONS and value is not None and not isinstance(value, Algorithm | EnvironmentSpec)
        else value
        for name, value in by.items()
    }


def _published(config: RunConfig, task: "Task", size: Size) -> tuple[Mapping[str, str | bool] | None, Hyperparameters]:
    """The source of a named algorithm's hyperparameters, and their values."""
    name = config.algorithm_name
    preset, cls = preset_for(task.name, name), algorithm_class(name)
    if config.protocol is not None:
        preset = _of_protocol(config, task.name, config.protocol)
    if config.tuned and preset is None:
        raise UsageError(*both(f"no preset is published for {name} on {task.name}: leave --tuned out"))
    published = preset.hyperparameters(tuned=config.tuned, size=size.name) if preset else {}
    chosen = from_hyperparameters(cls, {"hidden": size.hidden} | published | dict(config.hyperparameters))
    source = preset and {"family": preset.family, "source": preset.source, "tuned": config.tuned}
    return source, with_tuples(values_of(chosen))


def _of_protocol(config: RunConfig, task: str, protocol: str) -> Preset:
    """A protocol's preset of the method on a task.

    Raises:
        UsageError: if it publishes none.
    """
    found = preset_for(task, config.algorithm_name, protocol)
    if found is None:
        others = [name for name in ALGORITHMS if preset_for(task, name, protocol) is not None]
        remedy = f"it has values of {listed(others)} there" if others else "leave it out, and set --chunk yourself"
        raise UsageError(
            *both(f"--protocol {protocol} publishes nothing for {config.algorithm_name} on {task}: {remedy}")
        )
    return found


def _refuse_contradictions(config: RunConfig) -> None:
    """Raise for options that contradict each other."""
    if config.protocol is not None and (config.tuned or isinstance(config.algorithm, Algorithm)):
        what = "--tuned has" if config.tuned else "an algorithm given as an object has"
        raise UsageError(*both(f"{what} hyperparameters of its own: leave --protocol out"))
    doubled = isinstance(config.algorithm, Algorithm) and (config.hyperparameters or config.tuned)
    if doubled and config.updates_per_call is None:
        raise UsageError("an algorithm given as an object already has its hyperparameters: leave out others, and tuned")
    if (config.action_low is None) != (config.action_high is None):
        raise UsageError(*both("--action-low and --action-high belong together: give both"))
    # A run on collected data may be resumed with their file given as --data.
    if config.updates_per_call is None and config.data is not None and config.collect is not None:
        raise UsageError(*both("--data and --collect cannot be combined: name a file, or collect one"))
    _check_chunks(config)
    if not config.distributed and {config.coordinator, config.processes, config.process} != {None}:
        raise UsageError(*both("--coordinator, --processes and --process belong to --distributed: add it"))


def _check_chunks(config: RunConfig) -> None:
    """Raise for numbers that do not fit the actions of a plan; they are known once the run is resolved."""
    if (chunk := config.chunk) is None:
        return
    if (config.n_step or chunk) < chunk:
        raise UsageError(*both(f"--n-step must be at least --chunk ({chunk}), found {config.n_step}: leave it out"))
    if (config.replan or 1) > chunk:
        raise UsageError(
            *both(f"--replan must not exceed --chunk ({chunk}), the actions of a plan; found {config.replan}")
        )


OPTIONS = {field.name: declared for field in dataclasses.fields(RunConfig) if (declared := option_of(field))}
"""The declaration of each option, by name."""

RULES: Mapping[str, Rule] = {**{name: declared.resume for name, declared in OPTIONS.items()}, "evaluated_in": "fixed"}
"""What a resumed run may do with each option."""

if RunConfig.__doc__:  # absent under `python -OO`
    RunConfig.__doc__ = f"{inspect.cleandoc(RunConfig.__doc__)}\n\n{explanation(OPTIONS)}"
