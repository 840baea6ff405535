"""One run over the devices of several processes: process 0 leads and writes the files, the others follow.

Every process holds its devices' rows of the data and a whole copy of the state. Process 0 announces each chunk; between
chunks, the others wait while it writes records and checkpoints and evaluates.
"""

import contextlib
import enum
import json
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import PyTree

from drol.algorithm import Algorithm, TrainState
from drol.data.replay import Replay
from drol.errors import DataError, LostProcessError
from drol.files import JsonValue
from drol.signals import stop_requests
from drol.training.keeper import initial
from drol.training.pack import Member, Pack, Refused
from drol.types import Key

HEARTBEAT_SECONDS = 30
"""A process that sends no heartbeat for this long counts as lost, and the others end."""

SHUTDOWN_SECONDS = 10


class Command(enum.IntEnum):
    """What process 0 tells the others to do."""

    BEGIN = 0
    TRAIN = 1
    REPLAY = 2
    DONE = 3
    FAILED = 4


def start(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> None:
    """Join the other processes; call this before any other use of JAX.

    Args:
        coordinator: address of process 0, `host:port`; if all three are None, JAX detects them where it can (Slurm,
            Open MPI, Kubernetes, TPU).
        processes: how many there are.
        process: index of this one, from 0.

    Raises:
        DataError: if they cannot be detected, or the coordinator does not answer.
    """
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            # How long the processes wait for each other to disconnect after one has failed.
            shutdown_timeout_seconds=SHUTDOWN_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        if "before any JAX" in str(error):
            raise
        raise DataError(
            f"the processes did not find each other ({str(error).splitlines()[0]}); outside Slurm, Open MPI, "
            f"Kubernetes and TPU slices, give --coordinator HOST:PORT, --processes N and --process I"
        ) from error


class Leader:
    """Process 0's side, as a context manager that tells the others when training ends or fails.

    Raises:
        LostProcessError: if one of them is gone.
    """

    def __init__(self):
        self._begun = self._followed = False

    def brief(self, config: JsonValue) -> None:
        """Send the others the configuration, as JSON, and wait until they have loaded their data.

        Raises:
            DataError: naming the processes that could not load theirs.
        """
        self._begun = True
        _broadcast(config)
        with getting_ready():
            pass
        self._followed = True

    def __enter__(self) -> "Leader":
        return self

    def __exit__(self, _, error: BaseException | None, __) -> None:
        if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            said = str(error).splitlines()[0]
            raise LostProcessError(
                f"another process of this run is gone (its own output may say why; here: {said}); the last checkpoint "
                f"is intact: start all processes again with --resume"
            ) from error
        if not self._begun:
            _broadcast({"error": str(error)})
        elif self._followed and (error is None or isinstance(error, Exception)):
            # Not after an interruption, which may have come in the middle of a chunk, where nobody listens.
            _announce(Command.DONE if error is None else Command.FAILED)


def briefing() -> Any:
    """The configuration that process 0 sent, received on another process.

    Raises:
        DataError: if process 0 ended before training.
    """
    config = _broadcast(None)
    if "error" in config:
        raise DataError(f"process 0 ended before training: {config['error']}")
    return config


@contextlib.contextmanager
def getting_ready() -> Iterator[None]:
    """Prepare for training inside this context, then wait until every process is ready.

    Raises:
        DataError: naming the processes that failed, if this one did not.
    """
    try:
        yield
    except BaseException:
        _gather(0)
        raise
    if missing := [number for number, ready in enumerate(_gather(1)) if not ready]:
        raise DataError(f"process {', '.join(map(str, missing))} could not begin; its own output says why")


class LeadingPack(Pack):
    """A pack of one run that all processes train together.

    Args:
        members: the run.
        data: sharded over the devices of all processes.
        requests: the signals to stop; those that reached another process are added.
    """

    def __init__(self, members: Sequence[Member], data: Replay, *, requests: list[int]):
        _announce(Command.BEGIN)
        ((algorithm, state, key),) = members
        super().__init__([(algorithm, *_same(state, key))], data)
        self._requests = requests

    def train(self, *, batch_size: int, length: int) -> tuple[list[dict[str, float]], list[bool]]:
        _announce(Command.TRAIN, batch_size, length)
        result = super().train(batch_size=batch_size, length=length)
        self._requests.extend(filter(None, _gather(0)))
        return result

    def replay(self, run: int, *, batch_size: int, length: int) -> Refused:
        _announce(Command.REPLAY, batch_size, length)
        return super().replay(run, batch_size=batch_size, length=length)


def follow(algorithm: Algorithm, data: Replay, seed: int) -> TrainState | None:
    """Train along with process 0 until it is done.

    Args:
        algorithm: the run's.
        data: sharded over the devices of all processes.
        seed: the run's.

    Returns:
        The last state; None if process 0 failed.

    Raises:
        LostProcessError: if process 0 is gone.
    """
    state, key, _ = initial(algorithm, data.spec, seed)
    pack: Pack | None = None
    try:
        with stop_requests() as requests:
            while True:
                command, batch_size, length = _hear()
                match command:
                    case Command.BEGIN:
                        pack = Pack([(algorithm, *_same(state, key))], data)
                    case Command.TRAIN if pack is not None:
                        pack.train(batch_size=batch_size, length=length)
                        _gather(requests[0] if requests else 0)
                    case Command.REPLAY if pack is not None:
                        pack.replay(0, batch_size=batch_size, length=length)
                    case _:
                        return None if command != Command.DONE else state if pack is None else pack.state(0)
    except jax.errors.JaxRuntimeError as error:
        raise LostProcessError("process 0 of this run, or another one, is gone; start all of them again") from error


def _announce(command: Command, batch_size: int = 0, length: int = 0) -> None:
    """Send a command to all processes, from process 0."""
    multihost_utils.broadcast_one_to_all(np.array([command, batch_size, length], np.int32))


def _hear() -> list[int]:
    """The next command of process 0, with its batch size and length."""
    return multihost_utils.broadcast_one_to_all(np.zeros(3, np.int32)).tolist()


def _broadcast(value: JsonValue) -> Any:
    """Process 0's value, as JSON, on every process."""
    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(text))))
    text = multihost_utils.broadcast_one_to_all(np.resize(text, length))
    return json.loads(text.astype(np.uint8).tobytes())


def _gather(number: int) -> list[int]:
    """Every process's number, on every process."""
    return multihost_utils.process_allgather(np.int32(number)).ravel().tolist()


def _same(state: PyTree, key: Key) -> tuple[PyTree, Key]:
    """Process 0's state and key, on every process."""
    leaves, structure = jax.tree.flatten((state, jax.random.key_data(key)))
    leaves = multihost_utils.broadcast_one_to_all([np.asarray(leaf) for leaf in leaves])
    state, numbers = jax.tree.unflatten(structure, leaves)
    return state, jax.random.wrap_key_data(numbers, impl=jax.random.key_impl(key))
