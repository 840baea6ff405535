"""The options of `drol train` about devices, and its part in a process that follows another one."""

import argparse
import os
from pathlib import Path

from drol.cli import plan
from drol.cli.numbers import count
from drol.cli.parser import UsageError
from drol.cli.platform import check_platform


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    group = parser.add_argument_group("devices", "Runs that share a program are spread over the devices there are.")
    group.add_argument(
        "--shard-batch", action="store_true", help="spread one run's data and batches over all devices instead"
    )
    group.add_argument(
        "--distributed",
        action="store_true",
        help="likewise over the devices of several processes, each started with this\ncommand (Slurm, Open MPI, "
        "Kubernetes and TPU slices need no more)",
    )
    group.add_argument("--coordinator", metavar="HOST:PORT", help="process 0 ($JAX_COORDINATOR_ADDRESS)")
    group.add_argument("--processes", type=count(), metavar="N", help="how many there are ($JAX_NUM_PROCESSES)")
    group.add_argument("--process", type=count(0), metavar="I", help="which one this is, from 0 ($JAX_PROCESS_ID)")


def refuse_contradictions(parsed: argparse.Namespace) -> None:
    """Raise for options that do not go together.

    Raises:
        DataError: naming them.
    """
    if (parsed.shard_batch or parsed.distributed) and parsed.width not in (None, 1):
        raise UsageError("--shard-batch and --distributed train one run at a time over all devices: leave --width out")
    if parsed.distributed and (parsed.seeds or parsed.sweep):
        raise UsageError("--distributed trains one run over all processes: leave --seeds and --sweep out")
    if not parsed.distributed and {parsed.coordinator, parsed.processes, parsed.process} != {None}:
        raise UsageError("--coordinator, --processes and --process belong to --distributed: add it")


def join(parsed: argparse.Namespace) -> int:
    """Find the other processes; which one this is."""
    import jax

    from drol.training.distributed import start

    processes = _given_or_environment(parsed.processes, "JAX_NUM_PROCESSES")
    process = _given_or_environment(parsed.process, "JAX_PROCESS_ID")
    start(parsed.coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS"), processes, process)
    check_platform()  # only now: JAX must not start before the processes have found each other
    return jax.process_index()


def follow(parsed: argparse.Namespace) -> int:
    """Train along with process 0; the exit status."""
    import jax

    from drol.data.replay import ReplayData
    from drol.training import distributed

    config = distributed.briefing()
    with distributed.getting_ready():
        plan.refuse_to_collect(config, parsed)
        loaded = plan.data_of(plan.task_of(config), config, Path(), parsed)
        plan.check_same_data(config["data"], loaded.source)
        data = ReplayData.from_transitions(loaded.train)
    good = distributed.follow(plan.algorithm_of(config), data.sharded(jax.devices()), config["settings"]["seed"])
    return 0 if good else 1


def _given_or_environment(given: int | None, variable: str) -> int | None:
    return int(os.environ[variable]) if given is None and variable in os.environ else given
