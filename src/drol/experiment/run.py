"""`drol train` from Python: one configuration, trained once or at several seeds and hyperparameters."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from drol.algorithm import TrainState
from drol.errors import DivergedError, DrolError, both
from drol.experiment.config import RunConfig
from drol.experiment.launch import Request, Tell, Trained, launch
from drol.experiment.many import Sweep
from drol.policy import Policy
from drol.report.figure import Figure, figure
from drol.training.records import Sink

logger = logging.getLogger("drol")


@dataclasses.dataclass(frozen=True)
class Result:
    """A trained run.

    Attributes:
        config: resolved: what was left open is filled in.
        folder: its records, checkpoints and policy; `drol.load_policy(folder)` loads the latter for deployment.
        state: at the end, finite; `drol.step` continues from it.
        policy: of that state, in the units of the data.
        evaluations: the lines of `metrics.jsonl` that hold an evaluation, in the order of updates: `update`,
            `evaluation/success`, `evaluation/return` and so on, and the mean losses since the previous line.
        figure: what the field reports for a run: the mean of its last evaluations; None if it was never evaluated.
        divergence: what happened, in words, if a loss or a parameter stopped being finite; `state` is the last one
            before that.
    """

    config: RunConfig
    folder: Path
    state: TrainState
    policy: Policy
    evaluations: tuple[Mapping[str, float | int | str | None], ...]
    figure: Figure | None
    divergence: str | None


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop, and left a checkpoint: `resume=True` continues it.

    Attributes:
        results: what was trained so far.
        signal: SIGINT (Ctrl-C) or SIGTERM.
    """

    def __init__(self, results: Sequence[Result], signal: int):
        furthest = max((int(result.state.step) for result in results), default=0)
        super().__init__(f"stopped at update {furthest} with a checkpoint; train with resume=True to continue")
        self.results, self.signal = tuple(results), signal


def train(
    config: RunConfig, *, resume: bool | None = False, progress: bool = True, sinks: Sequence[Sink] = ()
) -> Result:
    """Train one run to its end, evaluating it along the way: `drol train` from Python.

    It writes the same folder as the command, and the command can resume it. Ctrl-C and SIGTERM end it with a checkpoint
    after the current chunk and raise `Interrupted`, in a script and in a notebook alike. Python handles signals in the
    main thread only: to stop a `train` in another thread, call `drol.request_stop()` from any thread.

    Args:
        config: what to train. A relative `out` is relative to the current folder; the default is
            `runs/TASK-ALGORITHM-seedS`.
        resume: continue the run in its folder from its newest checkpoint. Options that are fixed for the life of a run
            must be unchanged; `updates` may be larger than before. None: continue it if there is one, else start it.
        progress: show a progress bar, and print notes before training.
        sinks: receive all metrics, in addition to the folder.

    Returns:
        The result, once all updates are done. A run that is already finished is not trained again.

    Raises:
        DataError: if the folder holds a run and `resume` is not set, or holds none and it is; if the data are missing
            or damaged, or the run cannot be resumed with this configuration. The message says what to do.
        UsageError, ValueError: for options that contradict each other or are out of range.
        DivergedError: if a loss or a parameter stops being finite; the run is kept as it was before that.
        MissingExtraError: naming the packages that are not installed, and the command that installs them.
        Interrupted: on a request to stop.
        OSError: if the disk cannot be written to; the last checkpoint is kept.
    """
    (result,) = results_of(launch(_request(config, resume=resume, progress=progress, sinks=sinks)))
    if result.divergence is not None:
        raise DivergedError(result.divergence)
    return result


def train_many(
    config: RunConfig,
    *,
    seeds: Sequence[int] | None = None,
    sweep: Sweep | None = None,
    width: int | None = None,
    resume: bool | None = False,
    progress: bool = True,
) -> list[Result]:
    """Train a configuration at several seeds and hyperparameters, side by side in one compiled program where that pays.

    Every run draws what it would have drawn alone and writes its own folder in `config.out`, such as `bc_coef3-seed0`.
    A run that diverges is set aside, with its `divergence` in the result; the others continue.

    Args:
        config: of all runs.
        seeds: one run per seed; by default only that of `config`.
        sweep: continuous hyperparameters, with one run at each value: `{"bc_coef": [1, 3, 10]}`. With several, or with
            `seeds`: one run at each combination.
        width: runs in one program; by default, a trial finds what is fastest here.
        resume: continue the runs in their folders; new runs among them start from scratch. None: as in `train`.
        progress: as in `train`.

    Returns:
        One result per run, seeds varying fastest.

    Raises:
        DrolError, MissingExtraError, Interrupted, OSError: as `train`.
    """
    request = _request(config, resume=resume, progress=progress, sinks=())
    seeds = list(seeds) if seeds is not None else [config.seed]
    return results_of(launch(dataclasses.replace(request, seeds=seeds, sweep=sweep or {}, width=width)))


def _request(config: RunConfig, *, resume: bool | None, progress: bool, sinks: Sequence[Sink]) -> Request:
    tell: Tell = print_note if progress else logger.info
    given = {} if resume is False else config.resolved().changes()
    return Request(config, given, resume=resume, sinks=sinks, tell=tell, warn=logger.warning, progress=progress)


def print_note(line: str) -> None:
    """Print a note, with options named as in Python."""
    print(both(line)[0])


def results_of(trained: Sequence[Trained]) -> list[Result]:
    """The results of runs.

    Raises:
        Interrupted: if training was asked to stop.
    """
    results = [_result(run) for run in trained]
    if not results:
        raise DrolError("process 0 of this run failed; its own output says why")
    if stops := [run.outcome.stopped_by for run in trained if run.outcome.stopped_by is not None]:
        raise Interrupted(results, stops[0])
    return results


def _result(run: Trained) -> Result:
    lines = [] if run.folder is None else run.folder.metrics.read()
    evaluations = tuple(line for line in lines if "evaluation/episodes" in line)
    folder = Path() if run.folder is None else run.folder.path
    outcome = run.outcome
    return Result(run.config, folder, outcome.state, run.policy, evaluations, figure(lines), outcome.divergence)
