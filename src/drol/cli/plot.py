"""`drol plot`: learning curves."""

import argparse
from pathlib import Path

from drol.extras import require
from drol.files import refuse_folder
from drol.report import plotting
from drol.report.curves import BANDS


def add_arguments(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="DIR", help="folders of runs, searched with everything below them"
    )
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="NAME",
        help="what to draw, one panel each: success, return, score, length (of evaluations), losses,\n"
        "routing, or any name in metrics.jsonl; may be repeated (default: the score, else success,\nelse the return)",
    )
    shown = "; ".join(f"{name}: {what}" for name, what in BANDS.items())
    parser.add_argument(
        "--band",
        choices=list(BANDS),
        default="interval",
        help="around the mean over seeds (default: interval). " + shown.replace("; ", ";\n").replace("%", "%%"),
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("curves.png"),
        metavar="FILE",
        help="a .png, .svg or .pdf (default: curves.png)",
    )
    parser.epilog = (
        "Runs that differ in anything but their seed are different lines. A line ends where the first of\n"
        "its seeds does. What the lines were made from: `drol summary DIR`."
    )


def run(parsed: argparse.Namespace) -> int:
    """Draw the figure."""
    plotting.check_suffix(parsed.out)
    refuse_folder(parsed.out)
    require("matplotlib", "plots")
    plotting.plot(parsed.folders, metrics=parsed.metric, band=parsed.band, out=parsed.out)
    print(f"figure: {parsed.out}")
    return 0
