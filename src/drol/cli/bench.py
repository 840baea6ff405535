"""`drol bench`: measure speed on this machine."""

import argparse
from pathlib import Path

from drol.cli.options import cores
from drol.extras import require
from drol.presets import SIZES


def add_arguments(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Declare the command's options."""
    benchmarks = parser.add_subparsers(dest="benchmark", metavar="BENCHMARK", required=True)
    step = benchmarks.add_parser(
        "step",
        help="milliseconds per update, against eq. 8 taken literally and the arithmetic's floor",
        description="Times one update of random data (observation 28, action 5, batch 256) inside a compiled loop.",
    )
    step.add_argument("--size", choices=tuple(SIZES), nargs="+", default=list(SIZES), help="default: both")
    step.add_argument(
        "--candidates", type=int, nargs="+", default=[1, 4, 16, 64], metavar="K", help="default: 1 4 16 64"
    )
    step.add_argument("--json", type=Path, metavar="FILE", help="write the records to FILE")
    churn = benchmarks.add_parser(
        "churn",
        help="how far a run's success moves between neighbouring evaluations, and what steadies it",
        description="Trains on from a run's last checkpoint (the run stays as it is) and evaluates every few updates: "
        "the policy as it is, with the centre latent, the best of 32, and with averaged weights.",
    )
    churn.add_argument("path", type=Path, metavar="DIR", help="a run folder")
    churn.add_argument("--data", type=Path, metavar="FILE.npz", help="its data, if moved")
    churn.add_argument("--updates", type=int, default=5_000, metavar="N", help="default: 5000")
    churn.add_argument("--every", type=int, default=500, metavar="N", help="updates between evaluations (default: 500)")
    churn.add_argument("--episodes", type=int, default=20, metavar="N", help="per evaluation (default: 20)")
    churn.add_argument("--workers", type=int, default=min(cores(), 8), metavar="W", help="processes")
    churn.add_argument("--json", type=Path, metavar="FILE", help="write the records to FILE")


def run(parsed: argparse.Namespace) -> int:
    """Measure, print a table, write the records if asked."""
    return _step(parsed) if parsed.benchmark == "step" else _churn(parsed)


def _step(parsed: argparse.Namespace) -> int:
    require("rich", "train")
    from rich.console import Console
    from rich.table import Table

    from drol.benchmarks.step import bench_step
    from drol.files import write_json

    if min(parsed.candidates) < 1:
        raise ValueError(f"--candidates must be at least 1, found {min(parsed.candidates)}")
    records, console = [], Console()
    table = Table("size", "K", "ours", "range", "all K", "winners", "floor", "share", "speedup", title="ms per update")
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
    console.print("all K: eq. 8 with gradient and critic on all K; winners: critic on winners; share: floor / ours")
    rates = [record["product_gflops"] for record in records]
    console.print(f"matrix products: {min(rates):.0f} to {max(rates):.0f} GFLOP/s on {records[0]['device']}")
    if parsed.json is not None:
        write_json(parsed.json, records)
    return 0


def _churn(parsed: argparse.Namespace) -> int:
    import contextlib

    require("rich", "train")
    from rich.console import Console
    from rich.table import Table

    from drol.benchmarks.churn import churn, spread
    from drol.cli.train import algorithm_of, data_of
    from drol.data.ogbench import parse_task
    from drol.data.replay import ReplayData
    from drol.evaluation.environments import EnvironmentSpec
    from drol.evaluation.rollout import Evaluator, success_rate
    from drol.files import write_json
    from drol.training.checkpoint import Checkpoints
    from drol.training.run import RunFolder, initial

    folder = RunFolder(parsed.path)
    config = folder.read_config()
    task, algorithm = parse_task(config["task"]), algorithm_of(config)
    data = ReplayData.from_transitions(data_of(task, config, folder, parsed).train)
    with contextlib.closing(Checkpoints(folder.checkpoints)) as checkpoints:
        state, key = checkpoints.restore(*initial(algorithm, data.spec, config["settings"]["seed"])[:2])
    options = {"updates": parsed.updates, "every": parsed.every, "batch_size": config["settings"]["batch_size"]}
    console, records = Console(), []
    with Evaluator(EnvironmentSpec(f"ogbench:{task.env_id}"), workers=parsed.workers) as evaluator:

        def evaluate(policy, update):
            rate = success_rate(evaluator.run(policy, episodes=parsed.episodes, seed=update))
            return float("nan") if rate is None else rate

        for record in churn(algorithm, state, data, key, evaluate=evaluate, **options):
            records.append(record)
            console.print(record, soft_wrap=True, highlight=False)
    table = Table("policy", "mean success", "standard deviation", title=f"{len(records)} evaluations")
    for name in list(records[0])[1:]:
        mean, deviation = spread(records, name)
        table.add_row(name, f"{mean:.2f}", f"{deviation:.2f}")
    console.print(table)
    if parsed.json is not None:
        write_json(parsed.json, records)
    return 0
