"""A run over several processes: how this process joins the others, and how it follows process 0."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

import jax

from drol.algorithm import TrainState
from drol.data.replay import replay
from drol.experiment.config import RunConfig
from drol.experiment.inputs import check_same_data, load_inputs, refuse_to_collect, sums_in, sums_of
from drol.experiment.platform import check_platform
from drol.training import distributed


def join(config: RunConfig) -> int:
    """Join the other processes; returns the index of this one."""
    processes = _given_or_environment(config.processes, "JAX_NUM_PROCESSES")
    process = _given_or_environment(config.process, "JAX_PROCESS_ID")
    distributed.start(config.coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS"), processes, process)
    check_platform()  # only now: JAX must not start before the processes have found each other
    return jax.process_index()


def follow(own: RunConfig) -> tuple[RunConfig, TrainState | None]:
    """Train along with process 0.

    Args:
        own: this process's configuration, of which only the location of the data is used.

    Returns:
        Process 0's configuration, and the last state; None if process 0 failed.
    """
    record = distributed.briefing()
    with distributed.getting_ready():
        assert isinstance(record, Mapping)
        # Trusted, because process 0 runs only what its user named.
        named = {"algorithm": record["algorithm"], "env": record["task"]}
        config = RunConfig.from_json(record, "process 0's configuration", named)
        config = dataclasses.replace(config, data=own.data or config.data, sha256=own.sha256)
        refuse_to_collect(config)
        loaded = load_inputs(config, config.resolved_task(), Path())
        check_same_data(sums_in(record), sums_of(loaded.source))
        data = replay(loaded.train, jax.devices(), chunking=config.chunking())
    return config, distributed.follow(config.build(), data, config.seed)


def _given_or_environment(given: int | None, variable: str) -> int | None:
    return int(os.environ[variable]) if given is None and variable in os.environ else given
