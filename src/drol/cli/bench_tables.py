"""What `drol bench` prints: each benchmark's records as tables."""

import argparse
import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from drol.algorithms.drol import DROL
from drol.benchmarks.act import bench_act
from drol.benchmarks.churn import churn, spread
from drol.benchmarks.online import bench_online
from drol.benchmarks.peers import Competitor, bench_peers
from drol.benchmarks.profile import KINDS, bench_profile
from drol.benchmarks.scaling import LENGTH, bench_scaling
from drol.benchmarks.step import bench_step
from drol.benchmarks.train import bench_train
from drol.cli.terminal import SIMPLE, Console, Table
from drol.data.dataset import Dataset
from drol.data.replay import ReplayData
from drol.environments.results import success_rate
from drol.environments.rollout import Evaluator
from drol.environments.spec import EnvironmentSpec
from drol.errors import DataError
from drol.experiment import needs
from drol.experiment.config import RunConfig
from drol.experiment.inputs import check_named_file, check_same_data, load_inputs, sums_in, sums_of
from drol.extras import require_all
from drol.policy import in_units
from drol.sources import environment_of, parse_task
from drol.sources.contract import GYMNASIUM
from drol.training.checkpoint import Checkpoints
from drol.training.folder import RunFolder
from drol.training.keeper import initial

Columns = Mapping[str, Callable[[dict[str, Any]], str]]
"""A table: heading -> the cell of a record."""


def _show(title: str, measured: Iterable[dict[str, Any]], *tables: Columns) -> list[dict[str, Any]]:
    """Collect records, printing a line as each arrives and the tables at the end."""
    console, records = Console(), []
    with console.status("measuring"):
        for record in measured:
            records.append(record)
            cells = (f"{heading} {cell(record)}" for heading, cell in tables[0].items())
            console.print("  ".join(cells), highlight=False, soft_wrap=True)
    for number, columns in enumerate(tables):
        table = Table(*columns, title=None if number else title, box=SIMPLE, padding=(0, 1, 0, 0))
        for record in records:
            table.add_row(*(cell(record) for cell in columns.values()))
        console.print(table)
    console.print(f"device: {records[0]['device']}")
    return records


def _number(name: str, digits: int = 2) -> Callable[[dict[str, Any]], str]:
    return lambda record: f"{record[name]:.{digits}f}" if name in record else "-"


_SIZE: Columns = {"size": lambda record: record["size"]}
_SIZE_AND_K: Columns = {**_SIZE, "K": lambda record: str(record["num_candidates"])}


def _step(parsed: argparse.Namespace) -> list[dict[str, Any]]:
    precision = None if parsed.precision == "default" else parsed.precision

    def measured():
        for seeds in parsed.seeds:
            options = {"precision": precision, "chunk": parsed.chunk, "ensemble": parsed.ensemble}
            literal = not parsed.no_literal
            yield from bench_step(parsed.size, parsed.candidates, seeds=seeds, literal=literal, **options)

    several: Columns = {"seeds": lambda record: str(record["seeds"])} if parsed.seeds != [1] else {}
    times: Columns = {
        **_SIZE_AND_K,
        **several,
        "ours": _number("step_ms"),
        "range": lambda record: "{:.1f}-{:.1f}".format(*record["step_ms_range"]),
        "all K": _number("literal_ms", 1),
        "winners": _number("winner_critic_ms", 1),
        "floor": _number("floor_ms"),
        "share": lambda record: f"{record['share_of_floor']:.0%}",
        "speedup": lambda record: f"{record['speedup']:.1f}x" if "speedup" in record else "-",
    }
    work: Columns = {
        **_SIZE_AND_K,
        **several,
        "draws": _number("draws_ms"),
        "GFLOP": _number("gflop"),
        "compiler's": _number("compiled_gflop"),
        "GFLOP/s": _number("product_gflops", 0),
    }
    memory: Columns = {
        **_SIZE_AND_K,
        **several,
        "data MB": _number("data_mb", 1),
        "networks MB": _number("networks_mb", 1),
        "optimizer MB": _number("optimizer_mb", 1),
        "loop's own MB": _number("temporary_mb", 1),
    }
    records = _show(f"ms per update, precision {parsed.precision}", measured(), times, work, memory)
    print(
        "all K: eq. 8, gradient and critic on all K; winners: critic on winners only\n"
        "floor: GFLOP of the products at the measured GFLOP/s; share: floor / ours\n"
        "draws: sampling and noise alone; loop's own: memory that the compiled loop allocates while it runs"
    )
    return records


def _profile(parsed: argparse.Namespace) -> list[dict[str, Any]]:
    def total(parts: Sequence[str] | None = None, kinds: Sequence[str] = KINDS) -> Callable[[dict[str, Any]], str]:
        def cell(record: dict[str, Any]) -> str:
            chosen = (part for name, part in record["parts"].items() if parts is None or name in parts)
            return f"{sum(part[kind] for part in chosen for kind in kinds):.2f}"

        return cell

    by_part: Columns = {
        **_SIZE_AND_K,
        "update": _number("update_ms"),
        "draws": total(["sample", "noise"]),
        "candidates": total(["route"]),
        "targets": total(["targets"]),
        "actor": total(["actor_loss"]),
        "critic": total(["critic_loss"]),
        "Adam": total(["optimizer", "target_average"]),
        "other": total(["other"]),
    }
    by_kind: Columns = {
        **_SIZE_AND_K,
        **{kind: total(kinds=[kind]) for kind in KINDS},
        "idle": _number("idle_ms"),
        "operations": _number("operations", 0),
    }
    measured = (
        bench_profile(size, count, updates=parsed.updates) for size in parsed.size for count in parsed.candidates
    )
    records = _show("ms per update, by part and by kind", measured, by_part, by_kind)
    print(
        "operations overlap, so parts can add up to more than the update; idle: none running\n"
        "operations: executed per update (kernels, on a GPU)"
    )
    return records


def _train(parsed: argparse.Namespace) -> list[dict[str, Any]]:
    require_all(needs.CHECKPOINTS | ({"ogbench": "ogbench"} if parsed.episodes else {}))
    times: Columns = {
        **_SIZE,
        "updates/s": _number("updates_per_second", 1),
        "total": _number("total_s", 1),
        "first chunk": _number("first_chunk_s", 1),
        "updates": _number("update_s", 1),
        "evaluations": _number("evaluation_s", 1),
        "other": _number("other_s", 1),
    }
    memory: Columns = {
        **_SIZE,
        "data MB": _number("data_mb", 1),
        "state MB": _number("state_mb", 1),
        "live MB": _number("live_mb", 1),
        "host MB": _number("host_mb", 0),
    }
    options = {"updates": parsed.updates, "episodes": parsed.episodes, "workers": parsed.workers}
    measured = (bench_train(size, **options) for size in parsed.size)
    records = _show(f"seconds of {parsed.updates} updates with two evaluations", measured, times, memory)
    print(
        "first chunk: with compilation; other: records, checkpoints, policy files\n"
        "live: device arrays between chunks; host: peak of this process"
    )
    return records


def _peers(parsed: argparse.Namespace) -> list[dict[str, Any]]:
    columns: Columns = {
        **_SIZE,
        "algorithm": lambda record: record["algorithm"],
        "ms/update": _number("step_ms"),
        "range": lambda record: "{:.1f}-{:.1f}".format(*record["step_ms_range"]),
        "updates/s": _number("updates_per_second", 1),
        "ms/action": _number("act_ms", 3),
        "GFLOP": _number("gflop"),
        "compiler's": _number("compiled_gflop"),
        "ratio": _number("ratio"),
    }
    competitors = {name: Competitor(name) for name in parsed.algorithms}
    measured = (record for size in parsed.size for record in bench_peers(size, competitors))
    records = _show("all methods, taking turns", measured, columns)
    print("GFLOP: the products that one update cannot avoid; compiler's: all operations; ratio: compiler's / GFLOP")
    return records


def _act(parsed: argparse.Namespace) -> list[dict[str, Any]]:
    columns: Columns = {
        **_SIZE,
        "batch": lambda record: str(record["batch_size"]),
        "mean": _number("mean_us", 0),
        "p50": _number("p50_us", 0),
        "p99": _number("p99_us", 0),
        "plain mean": _number("plain_mean_us", 0),
        "plain p50": _number("plain_p50_us", 0),
        "plain p99": _number("plain_p99_us", 0),
    }
    measured = bench_act(parsed.size, parsed.batch, chunk=parsed.chunk)
    return _show("microseconds per call, NumPy to NumPy", measured, columns)


def _online(parsed: argparse.Namespace) -> list[dict[str, Any]]:
    columns: Columns = {
        **_SIZE,
        "environments": lambda record: str(record["environments"]),
        "ms/step": _number("loop_ms"),
        "environment": _number("environment_ms"),
        "policy": _number("policy_ms"),
        "update": _number("update_ms"),
        "steps/s": _number("steps_per_second", 1),
        "ratio": _number("ratio"),
    }
    environment = environment_of(parsed.environment)
    if environment is None:
        raise DataError("name an environment to act in, found none")
    measured = (bench_online(environment, size, environments=n) for size in parsed.size for n in parsed.environments)
    records = _show("learning online, one update per step", measured, columns)
    print("environment, policy, update: alone, per step; ratio: the loop over their sum")
    return records


def _scaling(parsed: argparse.Namespace) -> list[dict[str, Any]]:
    columns: Columns = {
        **_SIZE,
        "runs": lambda record: str(record["runs"]),
        "devices": lambda record: str(record["devices"]),
        "ms/update": lambda record: f"{record['chunk_ms'] / LENGTH:.1f}",
        "range": lambda record: "{:.1f}-{:.1f}".format(*(ms / LENGTH for ms in record["chunk_ms_range"])),
        "run-updates/s": _number("run_updates_per_second", 1),
        "gain": lambda record: f"{record['gain']:.2f}x",
        "exchanged": lambda record: ", ".join(f"{n} {kind}" for kind, n in record["exchanged"].items()) or "-",
    }
    records = _show("packs of runs", bench_scaling(parsed.size, parsed.runs), columns)
    print(
        "run-updates/s: updates times runs; gain: against the smallest pack\n"
        "exchanged: numbers that devices communicate per update"
    )
    return records


def _of_run(parsed: argparse.Namespace, folder: RunFolder) -> tuple[RunConfig, EnvironmentSpec, Dataset]:
    """A run's configuration, environment and data; only the user or this library may name modules to import."""
    record = folder.read_config()
    config = RunConfig.from_json(record, str(folder.config), {"env": parsed.env})
    require_all(needs.CHECKPOINTS | needs.of_data(config.task) | GYMNASIUM)
    if config.algorithm_name != "drol":
        raise DataError(
            f"{parsed.path} is a run of {config.algorithm_name}, but churn averages the weights of DROL's actor; "
            f"name a run of drol"
        )
    environment = config.evaluated_in if parsed.env is None else environment_of(parsed.env)
    if environment is None:
        raise DataError(f"{parsed.path} was trained without an environment to evaluate in; name one with --env")
    task = parse_task(config.task)
    if task.source.named_by_path:
        if parsed.data is None:
            raise DataError(f"{parsed.path} was trained on your own log; name it: add --data {task.name}")
        task = parse_task(str(parsed.data))
    elif parsed.data is not None:
        config = dataclasses.replace(config, data=parsed.data)
    elif config.data is not None:
        check_named_file(Path(config.data), [sums_in(record)])
    loaded = load_inputs(config, dataclasses.replace(task, environment=environment), folder.path.parent / "data")
    check_same_data(sums_in(record), sums_of(loaded.source))
    return config, environment, loaded


def _churn(parsed: argparse.Namespace) -> list[dict[str, Any]]:
    folder = RunFolder(parsed.path)
    config, environment, loaded = _of_run(parsed, folder)
    algorithm = config.build()
    assert isinstance(algorithm, DROL)
    data = ReplayData.from_transitions(loaded.train)
    with contextlib.closing(Checkpoints(folder.checkpoints)) as checkpoints:
        state, key, _ = checkpoints.restore(*initial(algorithm, data.spec, config.seed)[:2])
    options = {"updates": parsed.updates, "every": parsed.every, "batch_size": config.batch_size}
    console, records = Console(), []
    with Evaluator(environment, workers=parsed.workers) as evaluator:

        def evaluate(policy, update):
            rate = success_rate(evaluator.run(in_units(policy, loaded.units), episodes=parsed.episodes, seed=update))
            return float("nan") if rate is None else rate

        for record in churn(algorithm, state, data, key, evaluate=evaluate, **options):
            records.append(record)
            console.print(record, soft_wrap=True, highlight=False)
    table = Table("policy", "mean success", "standard deviation", title=f"{len(records)} evaluations")
    for name in list(records[0])[1:]:
        mean, deviation = spread(records, name)
        table.add_row(name, f"{mean:.2f}", f"{deviation:.2f}")
    console.print(table)
    return records


BENCHMARKS: Mapping[str, Callable[[argparse.Namespace], list[dict[str, Any]]]] = {
    "step": _step,
    "profile": _profile,
    "train": _train,
    "peers": _peers,
    "act": _act,
    "online": _online,
    "scaling": _scaling,
    "churn": _churn,
}
"""By the names on the command line: measure, print, and return the records."""
