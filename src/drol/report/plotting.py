"""Learning curves as figures: readable in print, in black and white, and by the colour-blind."""

import io
import math
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drol.errors import UsageError
from drol.extras import lazy, require
from drol.files import write_atomic
from drol.report.curves import BANDS, Band, Curve, curves
from drol.report.figure import MEASURES
from drol.report.runs import runs_in

if TYPE_CHECKING:
    import matplotlib
    from matplotlib import axes as mpl_axes
    from matplotlib import figure as mpl_figure
    from matplotlib import lines as mpl_lines
    from matplotlib import ticker
else:
    matplotlib, mpl_figure = lazy("matplotlib", "plots"), lazy("matplotlib.figure", "plots")
    mpl_lines, ticker = lazy("matplotlib.lines", "plots"), lazy("matplotlib.ticker", "plots")

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Of Okabe and Ito (2008): told apart with any kind of colour vision."""

STROKES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""With the strokes, these tell methods apart without colour."""

FORMATS = ("png", "svg", "pdf")

STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 3.5,
    # Text stays text, and equal curves give equal files.
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "drol",
}

PANEL = (2.9, 2.1)
"""Width and height of a panel, in inches."""

SWITCH = "online from here"

MOST_ACROSS = 3
"""Panels in a row."""

MOST_MARKERS = 60
"""With more points than this, markers would hide the line."""


def plot(
    folders: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    metrics: Sequence[str] = (),
    band: str = "interval",
    out: str | os.PathLike[str] | None = None,
) -> "mpl_figure.Figure":
    """Draw learning curves: one panel per task and metric, one line per method or swept value, the mean over seeds.

    A line ends where the first of its seeds does, because a mean over fewer seeds would not be comparable.

    Args:
        folders: of runs, searched with everything below them.
        metrics: names of metrics in `metrics.jsonl`. `success`, `return`, `score` and `length` are those of
            evaluations; `losses` and `routing` are all of that kind. By default what the field reports: the normalised
            score, else success, else the return.
        band: around the mean: `interval` (95 % bootstrap interval of the mean over seeds), `range` (lowest and highest
            seed), or `seeds` (a thin line for each).
        out: file to write: `.png`, `.svg` or `.pdf`.

    Returns:
        The figure, which notebooks show.

    Raises:
        DataError: if a folder holds no run, or no run has the metric.
        UsageError: for another kind of band or file.
        MissingExtraError: if matplotlib is not installed.
    """
    kinds: list[Band] = [name for name in BANDS if name == band]
    if not kinds:
        raise UsageError(f"band must be one of {', '.join(BANDS)}, found {band!r}")
    paths = [folders] if isinstance(folders, str | os.PathLike) else folders
    if isinstance(metrics, str):
        metrics = [metrics]
    if out is not None:
        check_suffix(Path(out))
    require("matplotlib", "plots")
    figure = drawn(curves(runs_in(Path(path) for path in paths), metrics), kinds[0])
    if out is not None:
        save(figure, Path(out))
    return figure


def _png(figure: "mpl_figure.Figure") -> bytes:
    file = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(file, format="png", dpi=100, bbox_inches="tight")
    return file.getvalue()


def check_suffix(path: Path) -> None:
    """Check that figures can be written in this format.

    Raises:
        UsageError: if not.
    """
    if path.suffix.lower().removeprefix(".") not in FORMATS:
        kinds = ", ".join(f".{name}" for name in FORMATS)
        raise UsageError(f"{path} should end in one of {kinds}; that decides the format")


def save(figure: "mpl_figure.Figure", path: Path) -> None:
    """Write a figure in the format of its file's suffix."""
    kind = path.suffix.lower().removeprefix(".")
    # Without the time of writing, equal curves give equal files.
    dated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind, {})
    with matplotlib.rc_context(STYLE):
        write_atomic(path, lambda file: figure.savefig(file, format=kind, dpi=200, metadata=dated, bbox_inches="tight"))


def drawn(lines: Sequence[Curve], band: Band) -> "mpl_figure.Figure":
    """A figure of these curves."""
    panels = list(dict.fromkeys((line.task, line.metric) for line in lines))
    methods = list(dict.fromkeys(line.method for line in lines))
    tasks = {task for task, _ in panels}
    across = min(len(panels), MOST_ACROSS)
    down = math.ceil(len(panels) / across)
    with matplotlib.rc_context(STYLE):
        figure = mpl_figure.Figure(figsize=(PANEL[0] * across + 0.3, PANEL[1] * down + 0.7), layout="constrained")
        axes = figure.subplots(down, across, squeeze=False).ravel()
        for place, (task, metric) in zip(axes, panels, strict=False):
            for line in lines:
                if (line.task, line.metric) == (task, metric):
                    _draw(place, line, methods.index(line.method), band)
            _label(place, task if len(tasks) > 1 or len(panels) == 1 else None, metric)
        for place in axes[len(panels) :]:
            place.remove()
        _legend(figure, lines, methods)
        several = any(len(line.seeds) > 1 for line in lines)
        title = f"task {next(iter(tasks))}; " if len(tasks) == 1 and len(panels) > 1 else ""
        said = (
            f"{title}mean over seeds; {'thin lines' if band == 'seeds' else 'band'}: {BANDS[band]}"
            if several
            else title
        )
        # Notebooks ask for it, and know matplotlib's figures only once pyplot is imported.
        figure._repr_png_ = lambda: _png(figure)  # pyright: ignore[reportAttributeAccessIssue]
        if said:
            figure.supxlabel("\n".join(textwrap.wrap(said.rstrip("; "), 34 * across + 6)), fontsize=7, color="0.35")
    return figure


def _style(number: int) -> dict[str, Any]:
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": STROKES[number % len(STROKES)],
        "marker": MARKERS[number % len(MARKERS)],
    }


def _draw(place: "mpl_axes.Axes", line: Curve, number: int, band: Band) -> None:
    style = _style(number)
    if len(line.updates) > MOST_MARKERS:
        style["marker"] = ""
    place.plot(line.updates, line.mean, **style)
    if (ends := line.ends(band)) is not None:
        place.fill_between(line.updates, *ends, color=style["color"], alpha=0.18, linewidth=0)
    elif band == "seeds" and len(line.seeds) > 1:
        place.plot(line.updates, line.values.T, color=style["color"], linewidth=0.6, alpha=0.5)
    if line.start:
        place.axvline(line.start, color="0.4", linewidth=0.8, linestyle=(0, (1, 1)), label=SWITCH)


def _label(place: "mpl_axes.Axes", task: str | None, metric: str) -> None:
    short = metric.removeprefix("evaluation/").removeprefix("routing/")
    place.set_ylabel(dict(MEASURES).get(short, short.replace("_", " ")))  # pyright: ignore[reportCallIssue,reportArgumentType]
    place.set_xlabel("updates")
    place.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))
    if task is not None:
        place.set_title("\n".join(textwrap.wrap(task, 38, break_on_hyphens=True)))
    if short == "success":
        place.set_ylim(-0.03, 1.03)


def _legend(figure: "mpl_figure.Figure", lines: Sequence[Curve], methods: Sequence[str]) -> None:
    """One entry per method, with the number of its seeds and why its line ends early."""
    handles = []
    for number, method in enumerate(methods):
        own = [line for line in lines if line.method == method]
        counts = sorted({len(line.seeds) for line in own})
        seeds = "1 seed" if counts == [1] else f"{' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} seeds"
        ended = "; ".join(dict.fromkeys(line.ended_by for line in own if line.ended_by))
        label = f"{method} ({seeds}{f'; ends early: {ended}' if ended else ''})"
        handles.append(mpl_lines.Line2D([], [], label=label, **_style(number)))
    if any(line.start for line in lines):
        handles.append(mpl_lines.Line2D([], [], label=SWITCH, color="0.4", linewidth=0.8, linestyle=(0, (1, 1))))
    figure.legend(
        handles=handles, loc="outside upper center", ncols=min(len(handles), 2), frameon=False, handlelength=3
    )
