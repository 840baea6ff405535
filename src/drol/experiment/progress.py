"""Progress bars on the terminal, by rich."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from drol.extras import is_installed, lazy

if TYPE_CHECKING:
    from rich import progress as rich
else:
    rich = lazy("rich.progress", "train")


def _progress(*columns: "rich.ProgressColumn") -> "rich.Progress":
    first = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TimeRemainingColumn(),
    )
    return rich.Progress(*first, *columns)


@contextlib.contextmanager
def counting(description: str, *, lazy: bool = False) -> Iterator[Callable[[int, int | None], None]]:
    """A bar; call the result with (done, total). A lazy bar appears at the first call; without rich there is none."""
    if not is_installed("rich"):
        yield lambda done, total: None
        return
    bar = _progress()
    task = bar.add_task(description, total=None)

    def show(done: int, total: int | None) -> None:
        bar.start()
        bar.update(task, completed=done, total=total)

    with contextlib.ExitStack() as stack:
        if not lazy:
            bar.start()
        # A bar that was never started leaves no line.
        stack.callback(lambda: bar.stop() if bar.live.is_started else None)
        yield show


class TrainingProgress:
    """One bar per run: updates per second, losses, the last success rate and the time left."""

    def __init__(self, updates: int):
        self._updates = updates
        self._bar = _progress(rich.TextColumn("{task.fields[facts]}"))

    def of(self, name: str) -> "RunProgress":
        """A sink for one run, named at the left of its bar."""
        return RunProgress(self._bar, name, self._updates)

    def __enter__(self) -> "TrainingProgress":
        self._bar.start()
        return self

    def __exit__(self, *_) -> None:
        # Leaves the terminal as it was.
        self._bar.stop()


class RunProgress:
    """A sink that moves one bar."""

    def __init__(self, bar: "rich.Progress", name: str, updates: int):
        self._bar, self._name = bar, name
        self._task = bar.add_task(name, total=updates, facts="waiting")
        self._success: str | None = None
        self._begun = False

    def write(self, update: int, metrics: Mapping[str, Any]) -> None:
        """Move the bar; print a line after an evaluation."""
        if "evaluation/success" in metrics:
            self._success = f"{metrics['evaluation/success']:.2f}"
        facts = f"{metrics['updates_per_second']:.0f}/s"
        facts += "" if self._success is None else f"  success {self._success}"
        facts += "".join(f"  {n} {metrics[n]:.3g}" for n in ("actor_loss", "critic_loss") if n in metrics)
        if self._begun:
            self._bar.update(self._task, completed=update, facts=facts)
        else:
            # The clock starts after compilation, at the update from which a run resumes.
            self._bar.reset(self._task, completed=update, facts=facts)
            self._begun = True
        if "evaluation/episodes" in metrics:
            line = "" if self._name == "training" else f"{self._name}: "
            line += f"update {update:>8}{_evaluated(metrics)}"
            self._bar.console.print(line, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Nothing to release."""


def _evaluated(metrics: Mapping[str, Any]) -> str:
    """The available figures of an evaluation, and those on held-out data."""
    episodes = f" ({metrics['evaluation/episodes']} episodes)"
    if "evaluation/planned" in metrics:
        episodes = f"  evaluation {metrics['evaluation/error']}"
    if "evaluation/cut" in metrics:
        episodes = f" ({metrics['evaluation/episodes']} episodes, {metrics['evaluation/cut']} of them cut)"
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
