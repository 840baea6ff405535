"""What `drol train` prints at the end of runs."""

from collections.abc import Sequence

from drol.cli.output import say
from drol.cli.summary import show
from drol.experiment.launch import Trained
from drol.files import counted
from drol.report.figure import MEASURES, figure
from drol.report.runs import read_run
from drol.report.summary import grouped
from drol.sources import is_module


def report(runs: Sequence[Trained]) -> int:
    """Print how the runs went and what to do next; returns the exit status."""
    led = [run for run in runs if run.folder is not None]
    if not led:
        return 0 if runs else 1
    figures = [value for run in led if (value := _told(run, several=len(led) > 1)) is not None]
    updates = led[0].config.settings().updates
    stopped = [run.outcome for run in led if run.outcome.stopped_by is not None]
    if stopped:
        furthest = max(int(outcome.state.step) for outcome in stopped)
        print(f"stopped at update {furthest} of {updates}; continue with the same command and --resume")
        # What a shell reports for a process ended by a signal: 130 for Ctrl-C, 143 for SIGTERM.
        return 128 + (stopped[0].stopped_by or 0)
    if len(figures) > 1:
        show(grouped([read_run(run.folder.path) for run in led if run.folder is not None]))
    diverged = any(run.outcome.divergence is not None for run in led)
    if len(led) == 1 and not diverged:
        _show_policy(led[0])
    return 1 if diverged else 0


def _told(run: Trained, *, several: bool) -> float | None:
    """Print how one run went; returns its figure if it was trained to its end and evaluated."""
    assert run.folder is not None
    name = f"{run.folder.path}: " if several else ""
    if run.outcome.divergence is not None:
        say(f"drol: error: {name}{run.outcome.divergence}")
        return None
    quoted = figure(run.folder.metrics.read())
    if run.outcome.stopped_by is not None or quoted is None:
        return None
    count = quoted.evaluations
    which = "the last evaluation" if count == 1 else f"the last {count} evaluations"
    said = f"mean {MEASURES[quoted.measure]} of {which}: {quoted.value:.3f}"
    print(f"{name}{said} ({counted(quoted.episodes, 'episode')}, seed {run.config.seed})")
    return quoted.value


def _show_policy(run: Trained) -> None:
    """Print where the policy is, and what to do with it."""
    assert run.folder is not None
    environment = run.config.evaluated_in
    env = f" --env {environment.id}" if environment is not None and is_module(environment.as_record()) else ""
    how = f"evaluate it with: drol evaluate {run.folder.path} --episodes 50{env}"
    print(f"policy: {run.folder.policy}   {how if environment is not None else 'load it with drol.load_policy'}")
