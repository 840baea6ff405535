"""Progress of training, collection and evaluation: bars on a terminal, lines in a pipe, a log or a notebook."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from drol.extras import is_installed, lazy
from drol.files import counted

if TYPE_CHECKING:
    from rich import console
    from rich import progress as rich
else:
    console, rich = lazy("rich.console", "train"), lazy("rich.progress", "train")

QUIET_SECONDS = 30.0
"""The longest time without a line where there is no bar."""

WIDE = 110
"""Columns of a terminal that shows losses as well."""

REST = 62
"""Columns that a run's line takes apart from its name and its bar."""

LOSSES = ("actor_loss", "critic_loss")

Show = Callable[[int, int | None], None]
"""Called with how many are done, and of how many (None if that is unknown)."""


class Lines:
    """Prints lines; after `QUIET_SECONDS` without one, it prints the current state, so that a log shows life.

    Args:
        state: what to print then; nothing if it is empty.
    """

    def __init__(self, state: Callable[[], str]):
        self._state, self._last, self._ended = state, time.monotonic(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)

    def print(self, line: str) -> None:
        """Print a line now."""
        self._last = time.monotonic()
        print(line, flush=True)

    def _watch(self) -> None:
        while not self._ended.wait(max(0.05, self._last + QUIET_SECONDS - time.monotonic())):
            if time.monotonic() - self._last < QUIET_SECONDS:
                continue
            try:
                self.print(self._state())
            except Exception:  # the output is closed: the main thread will find out and say so
                return

    def __enter__(self) -> "Lines":
        self._last = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        self._thread.join()


def _has_terminal() -> bool:
    """Whether there is a terminal to draw bars on; a notebook is none."""
    if not is_installed("rich"):
        return False
    output = console.Console()
    return output.is_terminal and not output.is_jupyter


@contextlib.contextmanager
def counting(description: str) -> Iterator[Show]:
    """Show a count, from its first call on; short work leaves no trace in a log."""
    if _has_terminal():
        columns = rich.TextColumn("{task.description}"), rich.BarColumn(), rich.MofNCompleteColumn()
        bars = rich.Progress(*columns, rich.TimeElapsedColumn())
        task = bars.add_task(description, total=None)

        def draw(done: int, total: int | None) -> None:
            bars.start()
            bars.update(task, completed=done, total=total)

        with contextlib.ExitStack() as stack:
            # One that was never started leaves no line.
            stack.callback(lambda: bars.stop() if bars.live.is_started else None)
            yield draw
        return
    counts: list[tuple[int, int | None]] = [(0, None)]

    def state() -> str:
        done, total = counts[0]
        return f"{description}: {done:,}" + ("" if total is None else f" of {total:,}")

    def note(done: int, total: int | None) -> None:
        counts[0] = done, total

    with Lines(state):
        yield note


class TrainingProgress:
    """How far the runs of a command have come: elapsed and remaining time, speed, losses, the last evaluation.

    Args:
        updates: the length of each run.
    """

    def __init__(self, updates: int):
        self.updates, self.runs = updates, list[RunProgress]()
        self.began = time.monotonic()
        self.bars, self._lines = None, Lines(self._state)
        if _has_terminal():
            self._bar = rich.BarColumn()
            self.bars = rich.Progress(
                rich.TextColumn("{task.description}"),
                self._bar,
                rich.MofNCompleteColumn(),
                rich.TimeElapsedColumn(),
                rich.TextColumn("{task.fields[facts]}"),
            )

    def of(self, name: str) -> "RunProgress":
        """A sink for one run, called by this name."""
        self.runs.append(RunProgress(self, name))
        if self.bars is not None:
            self._fit(self.bars, len(name))
        return self.runs[-1]

    def _fit(self, bars: "rich.Progress", name: int) -> None:
        """Leave room for a name of this length: a shorter bar, or none."""
        self._bar.bar_width = min(self._bar.bar_width or 40, 40, bars.console.width - REST - name)
        if self._bar.bar_width < 4:
            bars.columns = tuple(column for column in bars.columns if column is not self._bar)

    def say(self, line: str) -> None:
        """Print a line, above the bars if there are any."""
        if self.bars is not None:
            self.bars.console.print(line, highlight=False, soft_wrap=True, markup=False)
        else:
            self._lines.print(line)

    def _state(self) -> str:
        """One line about all runs: the one that is being evaluated, or else the one that is least far."""
        runs = [run for run in self.runs if run.evaluated is not None] or self.runs
        run = min(runs, key=lambda run: run.update)
        return run.state(named=len(self.runs) > 1)

    def __enter__(self) -> "TrainingProgress":
        self.began = time.monotonic()
        (self.bars or self._lines).__enter__()
        return self

    def __exit__(self, *_) -> None:
        # Leaves the terminal as it was.
        (self.bars or self._lines).__exit__(None, None, None)


class RunProgress:
    """A sink that shows one run.

    Attributes:
        update: the number of updates done.
        evaluated: (episodes done, planned) of the evaluation in progress; None if there is none.
    """

    live = True

    def __init__(self, shown: TrainingProgress, name: str):
        self._shown, self._name = shown, name
        self.update, self.evaluated = 0, None
        self._first: tuple[int, float] | None = None
        self._metrics: Mapping[str, Any] = {}
        self._last_evaluation = ""
        if shown.bars is not None:
            self._task = shown.bars.add_task(name, total=shown.updates, facts="compiling")

    def write(self, update: int, metrics: Mapping[str, Any]) -> None:
        """Note an update; print a line after an evaluation."""
        now = time.monotonic()
        if self._first is None:
            # The first chunk's own rate leaves the compilation out.
            self._first = update, now
        if "evaluation/episodes" in metrics or "evaluation/error" in metrics:
            self.evaluated = None
        if update >= self.update:  # an evaluation beside training belongs to an earlier update
            self.update, self._metrics = update, metrics
        for name, digits in (("success", ".2f"), ("score", ".1f"), ("return", ".1f")):
            if f"evaluation/{name}" in metrics:
                self._last_evaluation = f"{name} {metrics[f'evaluation/{name}']:{digits}}"
                break
        self._draw()
        if "evaluation/episodes" in metrics:
            name = f"{self._name}: " if len(self._shown.runs) > 1 else ""
            times = f"{_clock(now - self._shown.began)} elapsed" + (f", {left} left" if (left := self._left()) else "")
            self._shown.say(f"{name}update {update:>8}{evaluated(metrics)}  ({times})")

    def evaluating(self, done: int, planned: int) -> None:
        """Note how far an evaluation is."""
        self.evaluated = done, planned
        self._draw()

    def state(self, *, named: bool) -> str:
        """What to say of the run where there is no bar."""
        parts = [f"update {self.update:,} of {self._shown.updates:,}"] if self._metrics else ["compiling"]
        if self.evaluated is not None:
            parts = [f"{parts[0]}, evaluating: {self.evaluated[0]} of {self.evaluated[1]} episodes"]
        elif self._metrics:
            parts += [f"{self._metrics['updates_per_second']:.0f} updates/s"]
            parts += [f"{name} {self._metrics[name]:.3g}" for name in LOSSES if name in self._metrics]
        parts.append(f"{_clock(time.monotonic() - self._shown.began)} elapsed")
        parts += [f"{left} left"] if (left := self._left()) else []
        return (f"{self._name}: " if named else "") + ", ".join(parts)

    def close(self) -> None:
        """Nothing to release."""

    def _draw(self) -> None:
        if self._shown.bars is None:
            return
        facts = [f"{left} left"] if (left := self._left()) else []
        if self.evaluated is not None:
            facts.append(f"evaluating {self.evaluated[0]}/{self.evaluated[1]}")
        elif self._metrics:
            facts += [f"{self._metrics['updates_per_second']:.0f}/s", self._last_evaluation]
            if self._shown.bars.console.width >= WIDE:
                facts += [f"{name} {self._metrics[name]:.3g}" for name in LOSSES if name in self._metrics]
        shown = "  ".join(filter(None, facts)) or "compiling"
        self._shown.bars.update(self._task, completed=self.update, facts=shown)

    def _left(self) -> str:
        """The time left at the mean rate so far, evaluations included; empty if nothing is known yet, or left."""
        missing = self._shown.updates - self.update
        if self._first is None or not missing:
            return ""
        update, began = self._first
        rate = self._metrics.get("updates_per_second") or 0.0
        if self.update > update:
            rate = (self.update - update) / (time.monotonic() - began)
        return _clock(missing / rate) if rate else ""


def _clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def evaluated(metrics: Mapping[str, Any]) -> str:
    """The figures of an evaluation, as far as there are any, and those on held-out data."""
    number = counted(metrics["evaluation/episodes"], "episode")
    episodes = f" ({number})"
    if "evaluation/planned" in metrics:
        episodes = f"  evaluation {metrics['evaluation/error']}"
    if "evaluation/cut" in metrics:
        episodes = f" ({number}, {metrics['evaluation/cut']} of them cut)"
    shown = {
        "success": ("evaluation/success", ".2f"),
        episodes: (None, ""),
        "score": ("evaluation/score", ".1f"),
        "return": ("evaluation/return", ".1f"),
        "held-out BC": ("validation/bc_loss", ".4f"),
        "held-out flow": ("validation/flow_loss", ".4f"),
        "TD error": ("validation/critic_loss", ".4f"),
    }
    line = ""
    for label, (name, digits) in shown.items():
        if name is None:
            line += label
        elif name in metrics:
            line += f"  {label} {metrics[name]:{digits}}"
    return line
