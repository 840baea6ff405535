"""`drol bench`: measure speed on this machine."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from drol.algorithms.registry import ALGORITHMS
from drol.cli.numbers import count
from drol.experiment.platform import check_platform
from drol.extras import lazy
from drol.files import write_json
from drol.presets import SIZES
from drol.processes import cores

if TYPE_CHECKING:
    from drol.cli import bench_tables
else:
    bench_tables = lazy("drol.cli.bench_tables")


def add_arguments(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Declare the command's options."""
    benchmarks = parser.add_subparsers(dest="benchmark", metavar="BENCHMARK", required=True)
    step = benchmarks.add_parser(
        "step",
        help="milliseconds per update, compared with eq. 8 taken literally and with the floor of its arithmetic",
        description="Times one update of random data (observation 28, action 5, batch 256) inside a compiled loop.",
    )
    _add_sizes(step)
    _add_numbers(step, "--candidates", [1, 4, 16, 64, 256], "K")
    _add_numbers(step, "--seeds", [1], "S", "independent seeds in one program")
    step.add_argument("--chunk", type=count(), default=1, metavar="H", help="actions per plan (default: 1)")
    step.add_argument("--ensemble", type=count(), default=2, metavar="E", help="critics (default: 2)")
    step.add_argument(
        "--precision",
        choices=("default", "tensorfloat32", "highest"),
        default="default",
        help="of matrix products, where the device offers a choice (default: the device's own)",
    )
    step.add_argument(
        "--no-literal", action="store_true", help="leave out eq. 8 taken literally, which takes most of the time"
    )
    profile = benchmarks.add_parser(
        "profile",
        help="where the milliseconds of an update go",
        description="Traces a loop of updates with JAX's profiler and adds up its operations.",
    )
    _add_sizes(profile)
    _add_numbers(profile, "--candidates", [16], "K")
    profile.add_argument("--updates", type=count(8), metavar="N", help="updates to trace (default: about one second)")
    train = benchmarks.add_parser(
        "train",
        help="a whole run: updates per second, and what records, checkpoints and evaluations add",
        description="Trains DROL(16) on random data in a temporary folder.",
    )
    _add_sizes(train, default=["laptop"])
    train.add_argument("--updates", type=count(8), default=2_000, metavar="N", help="default: 2000")
    train.add_argument(
        "--episodes",
        type=count(0),
        default=10,
        metavar="N",
        help="episodes per evaluation in OGBench, 0 for none (default: 10)",
    )
    train.add_argument("--workers", type=count(), default=min(cores(), 8), metavar="W", help="simulation processes")
    peers = benchmarks.add_parser(
        "peers",
        help="all methods side by side: milliseconds per update and per action, and their arithmetic",
        description="Times every method on the same random data in one process, taking turns.",
    )
    _add_sizes(peers, default=["laptop"])
    names = tuple(ALGORITHMS)
    peers.add_argument(
        "--algorithms", choices=names, nargs="+", default=names, metavar="NAME", help=f"of {', '.join(names)}"
    )
    act = benchmarks.add_parser(
        "act",
        help="microseconds per action of a deployed policy",
        description="Times `drol.load_policy` on NumPy observations, next to a plain jitted call of the same policy.",
    )
    _add_sizes(act)
    act.add_argument("--chunk", type=count(), default=1, metavar="H", help="actions per plan (default: 1)")
    _add_numbers(act, "--batch", [1, 4, 16, 64, 256, 1024], "N", "observations per call")
    online = benchmarks.add_parser(
        "online",
        help="learning while acting: milliseconds per step of the loop, and of its parts alone",
        description="Times DROL(16) with one update per step in an environment, from nothing, in blocks of 50 steps.",
    )
    online.add_argument("environment", metavar="ENV", help="a task, or a gymnasium id such as Pendulum-v1")
    _add_sizes(online, default=["laptop"])
    _add_numbers(online, "--environments", [1], "N", "environments side by side")
    scaling = benchmarks.add_parser(
        "scaling",
        help="several runs in one program, and one run over several devices",
        description="Times chunks of packs of runs, and of one run sharded over the available devices.",
    )
    _add_sizes(scaling)
    _add_numbers(scaling, "--runs", [1, 2, 4, 8, 16], "N", "runs in one program")
    churn = benchmarks.add_parser(
        "churn",
        help="how much a run's success varies between consecutive evaluations, and what reduces that",
        description="Continues training from a run's last checkpoint (the run itself is not changed) and evaluates "
        "every few updates: the policy as it is, with the centre latent, the best of 32, and with averaged weights.",
    )
    churn.add_argument("path", type=Path, metavar="DIR", help="a run folder")
    churn.add_argument("--data", type=Path, metavar="FILE", help="its data, if they were moved or are your own log")
    churn.add_argument("--env", metavar="ENV", help="its environment, if it comes from your own module (module:Id-v0)")
    churn.add_argument("--updates", type=count(8), default=5_000, metavar="N", help="default: 5000")
    churn.add_argument(
        "--every", type=count(8), default=500, metavar="N", help="updates between evaluations (default: 500)"
    )
    churn.add_argument(
        "--episodes", type=count(), default=20, metavar="N", help="episodes per evaluation (default: 20)"
    )
    churn.add_argument("--workers", type=count(), default=min(cores(), 8), metavar="W", help="processes")
    for benchmark in (step, profile, train, peers, act, online, scaling, churn):
        benchmark.add_argument("--json", type=Path, metavar="FILE", help="write the records to FILE")


def _add_sizes(parser: argparse.ArgumentParser, default: list[str] | None = None) -> None:
    default = list(SIZES) if default is None else default
    words = f"default: {' '.join(default)}"
    parser.add_argument("--size", choices=tuple(SIZES), nargs="+", default=default, help=words)


def _add_numbers(
    parser: argparse.ArgumentParser, name: str, default: list[int], metavar: str, help: str = "routing budgets"
) -> None:
    words = f"{help} (default: {' '.join(map(str, default))})"
    parser.add_argument(name, type=count(), nargs="+", default=default, metavar=metavar, help=words)


def run(parsed: argparse.Namespace) -> int:
    """Measure, print a table, write the records if asked."""
    check_platform()
    records = bench_tables.BENCHMARKS[parsed.benchmark](parsed)
    if parsed.json is not None:
        write_json(parsed.json, records)
    return 0
