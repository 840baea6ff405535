"""Data sets: sources, checks, replay, and a doctor that examines them."""

from typing import Any


def __getattr__(name: str) -> Any:
    # On first use: the processes that collect data do without JAX, which comes with it.
    if name == "from_arrays":
        from drol.data.arrays import from_arrays

        return from_arrays
    raise AttributeError(f"module 'drol.data' has no attribute {name!r}")
