"""Many runs in one program, and one run over many devices: what each gains, and what devices exchange."""

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import jax

from drol.algorithms.drol import DROL
from drol.benchmarks.step import BATCH, megabytes, random_data
from drol.benchmarks.timing import Timing, take_turns
from drol.presets import SIZES
from drol.training.keeper import initial
from drol.training.pack import Pack

LENGTH = 20
"""Updates of one timed chunk."""

COLLECTIVE = re.compile(
    r"= (.*?) (all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter|collective-broadcast)(?:-start)?\("
)


def bench_scaling(sizes: Sequence[str], runs: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Time packs of several runs, and one run sharded over 2, 4, ... of the available devices, taking turns.

    Yields:
        Per pack: size, runs, devices (over which its runs, or the batch of its one run, are spread), device; chunk_ms
        with its range, of `LENGTH` updates of every run; run_updates_per_second (over all runs) and gain (against the
        smallest pack); exchanged (what the devices communicate in an update: operation -> numbers) and state_mb
        (10^6 bytes of all states).
    """
    for size in sizes:
        packs = {f"{count} runs": _pack(size, count) for count in runs}
        packs |= {f"{count} shards": _pack(size, 1, count) for count in _shards(jax.device_count())}
        programs = {name: lambda pack=pack: pack.train(batch_size=BATCH, length=LENGTH) for name, pack in packs.items()}
        for program in programs.values():
            program()
        timings = {name: Timing.of(seconds) for name, seconds in take_turns(programs).items()}
        rates = {name: pack.size * LENGTH / timings[name].median * 1e3 for name, pack in packs.items()}
        for name, pack in packs.items():
            yield {
                "size": size,
                "runs": pack.size,
                "devices": pack.devices,
                "device": jax.devices()[0].device_kind,
                **timings[name].as_record("chunk"),
                "run_updates_per_second": rates[name],
                "gain": rates[name] / rates[f"{min(runs)} runs"],
                "exchanged": exchanged(pack.compiled(batch_size=BATCH, length=LENGTH).as_text() or ""),
                "state_mb": megabytes([pack.state(number) for number in range(pack.size)]),
            }


def exchanged(program: str) -> dict[str, int]:
    """How many numbers devices communicate, by operation, in a compiled program; a loop's body counts once."""
    found: dict[str, int] = {}
    for shapes, operation in COLLECTIVE.findall(program):
        sizes = (math.prod(map(int, filter(None, dims.split(",")))) for dims in re.findall(r"\[([\d,]*)\]", shapes))
        found[operation] = found.get(operation, 0) + sum(sizes)
    return found


def _pack(size: str, runs: int, shards: int = 1) -> Pack:
    data, algorithm = random_data(jax.random.key(0)), DROL(hidden=SIZES[size].hidden)
    members = [(algorithm, *initial(algorithm, data.spec, seed)[:2]) for seed in range(runs)]
    if shards > 1:
        return Pack(members, data.sharded(jax.devices()[:shards]))
    return Pack(members, data, devices=jax.devices())


def _shards(devices: int) -> list[int]:
    """How many devices to shard over: 2, 4, 8, ..."""
    return [2**power for power in range(1, devices.bit_length())]
