"""What each of several commands gets of a machine: cores, and devices with their memory."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

MEMORY = 0.9
"""The share of a device's memory that all its commands get together."""


@dataclasses.dataclass(frozen=True)
class Share:
    """What one command gets.

    Attributes:
        cores: that it may use; None for all.
        variables: of its environment.
    """

    cores: frozenset[int] | None = None
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)


def shares(jobs: int) -> list[Share]:
    """This machine's cores and devices, divided among so many commands.

    Products of small matrices gain little from a second core, while training two networks at once uses all of it.
    Cores are not divided if there are fewer than commands, or no way to assign them.
    """
    if jobs == 1:
        return [Share()]
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    of_cores = [frozenset(cores[job::jobs]) if len(cores) >= jobs else None for job in range(jobs)]
    return [Share(*given) for given in zip(of_cores, device_variables(jobs, visible_devices()), strict=True)]


def device_variables(jobs: int, devices: Sequence[str]) -> list[dict[str, str]]:
    """The variables by which CUDA and JAX give each command its devices, or its part of one's memory."""
    if not devices:
        return [{} for _ in range(jobs)]
    if jobs <= len(devices):
        return [{"CUDA_VISIBLE_DEVICES": ",".join(devices[job::jobs])} for job in range(jobs)]
    neighbours = [len(range(job % len(devices), jobs, len(devices))) for job in range(jobs)]
    return [
        {"CUDA_VISIBLE_DEVICES": devices[job % len(devices)], **memory_variables(1 / neighbours[job])}
        for job in range(jobs)
    ]


def memory_variables(part: float) -> dict[str, str]:
    """The variable by which JAX takes a part of a device's memory."""
    return {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{MEMORY * part:.3g}"}


def visible_devices(folder: Path = Path("/dev")) -> list[str]:
    """The NVIDIA devices that this process may use, as CUDA numbers them; found without starting JAX."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip() not in ("", "-1")]
    found = [path.name.removeprefix("nvidia") for path in folder.glob("nvidia[0-9]*")]
    return sorted((name for name in found if name.isdecimal()), key=int)
