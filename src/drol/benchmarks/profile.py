"""Where the time of an update goes: every operation of the compiled loop, by the part of the update it belongs to."""

import collections
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.profiler import ProfileData

from drol.algorithms.drol import DROL
from drol.benchmarks.step import BATCH, random_data
from drol.benchmarks.timing import seconds_of
from drol.presets import SIZES
from drol.training.loop import train_chunk

PARTS = ("sample", "noise", "route", "targets", "actor_loss", "critic_loss", "optimizer", "target_average")
"""The named scopes of an update, each for forward and backward pass alike."""

KINDS = ("products", "layer norm", "copies", "elementwise")

SECONDS = 1.0
"""How long to trace, approximately."""

LOOPS = ("while", "call", "conditional", "tuple")
"""Operations that only contain others."""


class Operation(NamedTuple):
    """One instruction of the compiled program."""

    part: str
    kind: str


def bench_profile(size: str, num_candidates: int, *, updates: int | None = None) -> dict[str, Any]:
    """Trace a loop of updates and add up its operations.

    Args:
        size: one of `drol.presets.SIZES`.
        num_candidates: K.
        updates: how many to trace; by default about a second of them.

    Returns:
        size, num_candidates, updates; update_ms (per update, while traced); idle_ms (no operation running: dispatch and
        waiting); operations (executed per update: kernels, on a GPU); and parts, {part: {kind: ms per update}}.
        Operations may overlap, so that parts can add up to more than update_ms.
    """
    algorithm = DROL(num_candidates=num_candidates, hidden=SIZES[size].hidden)
    data, key = random_data(jax.random.key(0)), jax.random.key(1)
    state = jax.jit(lambda key: algorithm.init(data.spec, key=key))(key)

    def compiled(length: int) -> Any:
        return train_chunk.lower(algorithm, state, data, key, batch_size=BATCH, length=length).compile()

    def run() -> Any:
        nonlocal state
        state, *rest = chunk(algorithm, state, data, key)
        return rest

    if updates is None:
        chunk = compiled(2)
        seconds_of(run)
        updates = max(2, min(200, round(2 * SECONDS / seconds_of(run))))
    chunk = compiled(updates)
    seconds_of(run)
    events = [event for event in trace(run) if event[0].split(".")[0] not in LOOPS]
    program = chunk.as_text()
    operations = read_program(program or "")
    parts: dict[str, dict[str, float]] = collections.defaultdict(lambda: dict.fromkeys(KINDS, 0.0))
    known = [event for event in events if event[0] in operations]
    for name, began, ended in known:
        operation = operations[name]
        parts[operation.part][operation.kind] += (ended - began) / 1e6 / updates
    wall = max(ended for _, _, ended in known) - min(began for _, began, _ in known)
    return {
        "size": size,
        "num_candidates": num_candidates,
        "updates": updates,
        "device": jax.devices()[0].device_kind,
        "update_ms": wall / 1e6 / updates,
        "idle_ms": (wall - covered([(began, ended) for _, began, ended in known])) / 1e6 / updates,
        "operations": len(known) / updates,
        "parts": {part: parts[part] for part in (*PARTS, "other") if part in parts},
    }


def trace(program: Callable[[], Any]) -> Iterator[tuple[str, float, float]]:
    """Run a program under the profiler; yields (instruction, began, ended), in nanoseconds, from all its threads."""
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            seconds_of(program)
        (file,) = Path(folder).rglob("*.xplane.pb")
        for plane in ProfileData.from_file(str(file)).planes:
            for line in plane.lines:
                for event in line.events:
                    # A GPU's events are named after kernels; the instruction is among their statistics.
                    name = event.name
                    if plane.name.startswith("/device"):
                        name = next((str(value) for key, value in event.stats if key == "hlo_op"), name)
                    yield name, event.start_ns, event.start_ns + event.duration_ns


def read_program(text: str) -> dict[str, Operation]:
    """The instructions of an optimised program, by name."""
    operations = {}
    for name, opcode, rest in re.findall(r"^\s*(?:ROOT )?%?([\w.\-]+) = .*? ([a-z][\w\-]*)\((.*)$", text, re.M):
        scope = next(iter(re.findall(r'op_name="([^"]*)"', rest)), "")
        # jvp(route), transpose(jvp(route)): the passes of one scope.
        words = re.split(r"[/()]", scope)
        part = next((part for part in PARTS if part in words), "other")
        operations[name] = Operation(part, _kind(name, opcode, words))
    return operations


def _kind(name: str, opcode: str, words: list[str]) -> str:
    if opcode == "dot" or "dot_general" in words or "gemm" in name:
        return "products"
    if "layer_norm" in words:
        return "layer norm"
    return "copies" if opcode == "copy" else "elementwise"


def covered(intervals: list[tuple[float, float]]) -> float:
    """The length of the union of intervals."""
    total, end = 0.0, float("-inf")
    for began, ended in sorted(intervals):
        total += max(0.0, ended - max(began, end))
        end = max(end, ended)
    return total
