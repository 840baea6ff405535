"""A run: training with evaluations, records and checkpoints in one folder."""

import contextlib
import dataclasses
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from drol.algorithm import Algorithm, TrainState
from drol.bundle import save_policy
from drol.data.replay import ReplayData
from drol.files import DataError, read_json, write_json
from drol.policy import Policy
from drol.training.checkpoint import Checkpoints
from drol.training.loop import held_out_metrics, train_chunk
from drol.training.records import JsonLines, Sink
from drol.types import Key, Spec

HELD_OUT_BATCHES = 16

Evaluate = Callable[[Policy, int], Sequence[Mapping[str, Any]]]
"""(policy, update) -> one record per episode with at least `return`, `length` and `success`."""


class DivergedError(RuntimeError):
    """Parameters became NaN or infinite."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How long and how often. `chunk` updates run in one compiled call.

    Raises:
        ValueError: if a number is not positive, or chunks do not fit between evaluations.
    """

    seed: int = 0
    updates: int = 45_000
    batch_size: int = 256
    eval_every: int = 5_000
    chunk: int = 500

    def __post_init__(self):
        for field in ("updates", "batch_size", "eval_every"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} must be at least 1, found {getattr(self, field)}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, found {self.seed}")
        if self.chunk < 2 or self.updates % self.chunk or self.eval_every % self.chunk:
            raise ValueError(
                f"updates ({self.updates}) and eval_every ({self.eval_every}) must be multiples of the chunk length "
                f"{self.chunk}, which is fixed for the life of a run and at least 2"
            )


def chunk_length(updates: int, eval_every: int, longest: int = 500) -> int:
    """The longest chunk that divides both numbers.

    Raises:
        ValueError: if only 1 does.
    """
    common = math.gcd(updates, eval_every)
    length = max(n for n in range(1, longest + 1) if common % n == 0)
    if length < 2:
        raise ValueError(
            f"updates ({updates}) and eval_every ({eval_every}) need a common divisor of at least 2, by which the run "
            f"is cut into compiled chunks; choose round numbers"
        )
    return length


class RunFolder:
    """The folder of one run, and its files by name."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.metrics = JsonLines(self.path / "metrics.jsonl")
        self.evaluations = JsonLines(self.path / "evaluations.jsonl")
        self.checkpoints = self.path / "checkpoints"
        self.policy = self.path / "policy"

    def create(self, config: Mapping[str, Any]) -> None:
        """Start a new run.

        Raises:
            DataError: if the folder exists and is not empty.
        """
        self.refuse_existing()
        write_json(self.config, config)

    def refuse_existing(self) -> None:
        """Raise if a new run must not start here.

        Raises:
            DataError: if the folder exists and is not empty.
        """
        # A `.part` file is what a crash left of the very first write: nothing to keep.
        if self.path.exists() and (
            not self.path.is_dir() or any(entry.suffix != ".part" for entry in self.path.iterdir())
        ):
            raise DataError(
                f"{self.path} exists already; add --resume to continue the run in it, or choose another with --out"
            )

    def read_config(self) -> dict[str, Any]:
        """The configuration of the run.

        Raises:
            DataError: if there is no run here.
        """
        if not self.config.exists():
            raise DataError(f"{self.path} holds no run (no config.json); start one without --resume")
        config = read_json(self.config)
        if not isinstance(config, dict) or not {"task", "settings", "hyperparameters", "data"} <= set(config):
            raise DataError(f"{self.config} is not the configuration of a run; was it edited?")
        return config


def train(
    algorithm: Algorithm,
    data: ReplayData,
    folder: RunFolder,
    settings: Settings,
    *,
    validation: ReplayData | None = None,
    evaluate: Evaluate | None = None,
    sinks: Sequence[Sink] = (),
    policy_facts: Mapping[str, Any] | None = None,
) -> TrainState:
    """Train, evaluating and checkpointing every `eval_every` updates, going on from the newest checkpoint if any.

    Records are cut back to that checkpoint, so that an interrupted and resumed run leaves the same parameters and
    records as an undisturbed one (wall-clock fields excepted). SIGINT and SIGTERM end it after the running chunk with a
    checkpoint; the caller sees `state.step` short of `settings.updates`.

    Args:
        algorithm: what to train.
        data: training transitions, on the device.
        folder: where records, checkpoints and the policy go; its config must be written.
        settings: lengths and seed.
        validation: held-out transitions, for the metrics prefixed `validation/`.
        evaluate: rolls a policy out.
        sinks: receive every metric, the evaluation's included.
        policy_facts: stored with the policy, for instance its task.

    Returns:
        The state at the end.

    Raises:
        DivergedError: when parameters stop being finite; the last checkpoint is from before.
        OSError: when the disk refuses; the last checkpoint stays.
    """
    state, run_key, held_out_key = initial(algorithm, data.spec, settings.seed)
    checkpoints = Checkpoints(folder.checkpoints)

    def keep(state: TrainState) -> None:
        checkpoints.save(state, run_key)
        facts = {**(policy_facts or {}), "update": int(state.step)}
        save_policy(algorithm.policy(state), folder.policy, facts)

    with contextlib.closing(checkpoints), stop_requests() as stopping:
        if checkpoints.latest() is not None:
            state, run_key = checkpoints.restore(state, run_key)
        checkpoints.save(state, run_key)
        update = int(state.step)
        folder.metrics.cut(update)
        folder.evaluations.cut(update)
        while update < settings.updates and not stopping():
            began = time.perf_counter()
            state, metrics, finite = train_chunk(
                algorithm, state, data, run_key, batch_size=settings.batch_size, length=settings.chunk
            )
            if not finite:
                raise DivergedError(
                    f"a parameter became NaN or infinite between updates {update} and {update + settings.chunk}; the "
                    f"last good checkpoint is update {checkpoints.latest()}. Try a smaller learning rate, or examine "
                    f"the data's rewards"
                )
            update += settings.chunk
            line = {name: float(value) for name, value in metrics.items()}
            line["updates_per_second"] = settings.chunk / (time.perf_counter() - began)
            if update % settings.eval_every == 0 or update == settings.updates:
                if validation is not None:
                    line |= _held_out(algorithm, state, validation, held_out_key, settings)
                if evaluate is not None:
                    line |= _evaluated(folder, evaluate(algorithm.policy(state), update), update)
            folder.metrics.append({"update": update, **line})
            for sink in sinks:
                sink.write(update, line)
            if update % settings.eval_every == 0:
                keep(state)
        # Also where nothing was left to train: a run may have been killed between its last checkpoint and its policy.
        keep(state)
    return state


def initial(algorithm: Algorithm, spec: Spec, seed: int) -> tuple[Any, Key, Key]:
    """A run's first state, the key of its updates, and the key of its held-out metrics."""
    init_key, run_key, held_out_key = jax.random.split(jax.random.key(seed), 3)
    return jax.jit(lambda key: algorithm.init(spec, key=key))(init_key), run_key, held_out_key


def _held_out(
    algorithm: Algorithm, state: TrainState, validation: ReplayData, key: jax.Array, settings: Settings
) -> dict[str, float]:
    metrics = held_out_metrics(
        algorithm, state, validation, key, batch_size=settings.batch_size, batches=HELD_OUT_BATCHES
    )
    return {f"validation/{name}": float(value) for name, value in metrics.items()}


def _evaluated(folder: RunFolder, episodes: Sequence[Mapping[str, Any]], update: int) -> dict[str, float | int]:
    """Record every episode; return the summary."""
    folder.evaluations.append(*({"update": update, **episode} for episode in episodes))
    verdicts = [episode["success"] for episode in episodes if episode["success"] is not None]
    summary = {
        "evaluation/episodes": len(episodes),
        "evaluation/return": float(np.mean([episode["return"] for episode in episodes])),
        "evaluation/length": float(np.mean([episode["length"] for episode in episodes])),
    }
    return summary | ({"evaluation/success": float(np.mean(verdicts))} if verdicts else {})


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Turn the first SIGINT or SIGTERM into a flag; a second one acts as usual.

    Outside the main thread, where Python allows no signal handler, the flag stays false.
    """
    requested = False
    previous: dict[int, Any] = {}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def request(*_) -> None:
        nonlocal requested
        requested = True
        restore()

    with contextlib.suppress(ValueError):
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, request)
    try:
        yield lambda: requested
    finally:
        restore()
