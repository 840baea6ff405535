"""`drol bench`: measure speed on this machine."""

import argparse
from pathlib import Path

SIZES = ("laptop", "paper")


def add_arguments(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Declare the command's options."""
    benchmarks = parser.add_subparsers(dest="benchmark", metavar="BENCHMARK", required=True)
    step = benchmarks.add_parser(
        "step",
        help="milliseconds per update, against eq. 8 taken literally and the arithmetic's floor",
        description="Times one update of random data (observation 28, action 5, batch 256) inside a compiled loop.",
    )
    step.add_argument("--size", choices=SIZES, nargs="+", default=list(SIZES), help="default: both")
    step.add_argument(
        "--candidates", type=int, nargs="+", default=[1, 4, 16, 64], metavar="K", help="default: 1 4 16 64"
    )
    step.add_argument("--json", type=Path, metavar="FILE", help="write the records to FILE")


def run(parsed: argparse.Namespace) -> int:
    """Measure, print a table, write the records if asked."""
    from rich.console import Console
    from rich.table import Table

    from drol.benchmarks.step import bench_step
    from drol.files import write_json

    if min(parsed.candidates) < 1:
        raise ValueError(f"--candidates must be at least 1, found {min(parsed.candidates)}")
    columns = (
        "size",
        "K",
        "ours ms",
        "(range)",
        "eq. 8 on all K ms",
        "critic on winners ms",
        "floor ms",
        "share",
        "speedup",
    )
    table, records, console = Table(*columns, title="One update"), [], Console()
    with console.status("measuring"):
        for record in bench_step(parsed.size, parsed.candidates):
            records.append(record)
            table.add_row(
                record["size"],
                str(record["num_candidates"]),
                f"{record['step_ms']:.2f}",
                "{:.2f}-{:.2f}".format(*record["step_ms_range"]),
                f"{record['literal_ms']:.2f}",
                f"{record['winner_critic_ms']:.2f}",
                f"{record['floor_ms']:.2f}",
                f"{record['share_of_floor']:.0%}",
                f"{record['speedup']:.1f}x",
            )
            console.log(f"{record['size']} K={record['num_candidates']}: {record['step_ms']:.2f} ms", highlight=False)
    console.print(table)
    rates = [record["product_gflops"] for record in records]
    console.print(f"matrix products: {min(rates):.0f} to {max(rates):.0f} GFLOP/s on {records[0]['device']}")
    if parsed.json is not None:
        write_json(parsed.json, records)
    return 0
