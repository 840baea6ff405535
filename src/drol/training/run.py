"""Train one run, or several side by side, to the end, resuming after any interruption."""

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax

from drol.algorithm import TrainState
from drol.data.replay import Replay, ReplayData
from drol.signals import stop_requests
from drol.training.distributed import LeadingPack
from drol.training.keeper import Keeper, Run
from drol.training.pack import Pack


class Outcome(NamedTuple):
    """How a run ended.

    Attributes:
        state: the last finite one.
        divergence: what happened, in words, if the run diverged.
        stopped_by: the signal that ended training early, if any.
    """

    state: TrainState
    divergence: str | None
    stopped_by: int | None


def train_runs(
    runs: Sequence[Run],
    data: Replay,
    *,
    validation: ReplayData | None = None,
    width: int = 1,
    devices: Sequence[jax.Device] = (),
) -> list[Outcome]:
    """Train runs on the same data, each resuming from its newest intact checkpoint if it has one.

    Every run draws the same random numbers and writes the same files as if it were trained alone. It evaluates and
    checkpoints every `eval_every` updates. When it resumes, its records are cut back to the checkpoint, so that an
    interrupted and resumed run leaves the same parameters and records as an uninterrupted one (except for wall-clock
    fields). SIGINT and SIGTERM end training after the current chunk, or within seconds during an evaluation, which the
    resumed run then repeats; each run is left with a checkpoint.

    A run whose loss or parameters stop being finite is set aside at its last finite state, and the others continue. An
    evaluation whose environment fails is reported and skipped.

    Args:
        runs: they may differ in seed, continuous hyperparameters and sinks.
        data: training transitions, see `drol.data.replay.replay`. If they are mapped, or sharded over devices for
            data-parallel training of one run after the other, `width` must be 1. Under `jax.distributed`, process 0
            calls this inside a `Leader`, with data sharded over all devices; the other processes call `follow`.
        validation: held-out transitions, for the metrics prefixed `validation/`.
        width: runs in one compiled program. With 1, each run is bit-identical to one trained alone; with more, it is
            the same up to the order of summation.
        devices: the runs of a program are spread over as many of these as the greatest common divisor of both numbers.

    Returns:
        One outcome per run.

    Raises:
        ValueError: if the runs differ in other ways, or batches cannot be divided among the devices.
        DataError: if another process is training in one of the folders, or its checkpoints do not fit.
        OSError: if the disk cannot be written to; the last checkpoints are kept.
    """
    if len({dataclasses.replace(run.settings, seed=0) for run in runs}) > 1:
        raise ValueError("the settings of runs that are trained together may differ only in the seed")
    if jax.process_count() > 1 and (len(runs) > 1 or data.sharding is None):
        found = f"{len(runs)} runs" if len(runs) > 1 else "data that are not sharded; shard them over all devices"
        raise ValueError(f"several processes train one run on sharded data, found {found}")
    if data.sharding is not None:
        runs[0].settings.check_devices(data.sharding.num_devices)
    with contextlib.ExitStack() as stack:
        requests = stack.enter_context(stop_requests())
        for run in runs:
            stack.enter_context(run.folder.locked())
        keepers = [stack.enter_context(contextlib.closing(Keeper(run, data.spec, validation))) for run in runs]
        for keeper, update in zip(keepers, _starts(keepers, width), strict=True):
            keeper.resume(update)
        groups = [_Group(members, data, devices, requests) for members in _grouped(keepers, width)]
        while not requests and (unfinished := [group for group in groups if group.unfinished]):
            min(unfinished, key=lambda group: group.update).advance()
        for keeper in keepers:
            # Even if nothing was left to train: a run may have been killed between its last record and its policy.
            keeper.keep()
        signals = [requests[0] if requests and (keeper.unfinished or keeper.pending) else None for keeper in keepers]
    return [Outcome(k.state, k.divergence, by) for k, by in zip(keepers, signals, strict=True)]


class _Group:
    """Runs that share a program and are at the same update."""

    def __init__(
        self,
        keepers: Sequence[Keeper],
        data: Replay,
        devices: Sequence[jax.Device],
        requests: list[int],
    ):
        self._keepers, self._requests = keepers, requests
        self._settings = keepers[0].run.settings
        members = [(keeper.run.algorithm, keeper.state, keeper.key) for keeper in keepers]
        if jax.process_count() > 1:
            self._pack = LeadingPack(members, data, requests=requests)
        else:
            self._pack = Pack(members, data, devices=devices)
        self.update = keepers[0].update

    @property
    def unfinished(self) -> bool:
        return any(keeper.unfinished for keeper in self._keepers)

    def advance(self) -> None:
        """Train one chunk of all runs, then update each run's files; on a request to stop, skip evaluations."""
        chunk = {"batch_size": self._settings.batch_size, "length": self._settings.updates_per_call}
        began = time.perf_counter()
        lines, finite = self._pack.train(**chunk)
        rate = self._settings.updates_per_call / (time.perf_counter() - began)
        self.update += self._settings.updates_per_call
        for number, keeper in enumerate(self._keepers):
            if keeper.divergence is not None:
                continue
            if finite[number]:
                keeper.after_chunk(
                    self._pack.state(number), lines[number] | {"updates_per_second": rate}, bool(self._requests)
                )
            else:
                keeper.set_aside(self._pack.replay(number, **chunk))


def _starts(keepers: Sequence[Keeper], width: int) -> list[int | None]:
    """Where each run resumes: those that share a program at the newest update from which all of them can."""
    starts: list[int | None] = []
    for members in _slices(keepers, width):
        newest = [keeper.newest_intact() for keeper in members]
        going = [
            number
            for number, (keeper, update) in enumerate(zip(members, newest, strict=True))
            if keeper.divergence is None and (update or 0) < keeper.run.settings.updates
        ]
        together = [newest[number] for number in going]
        while len(set(together)) > 1 and None not in together:
            limit = min(update for update in together if update is not None)
            together = [members[number].newest_intact(limit) for number in going]
        if None not in together:
            for number, update in zip(going, together, strict=True):
                newest[number] = update
        starts += newest
    return starts


def _grouped(keepers: Sequence[Keeper], width: int) -> Iterator[list[Keeper]]:
    """The unfinished runs by program: those of each slice that are at the same update."""
    for members in _slices(keepers, width):
        unfinished = sorted((keeper for keeper in members if keeper.unfinished), key=lambda keeper: keeper.update)
        for _, equals in itertools.groupby(unfinished, key=lambda keeper: keeper.update):
            yield list(equals)


def _slices(keepers: Sequence[Keeper], width: int) -> Iterator[Sequence[Keeper]]:
    for start in range(0, len(keepers), width):
        yield keepers[start : start + width]
