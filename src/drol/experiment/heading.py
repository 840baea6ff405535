"""What a command is about to train, in one block."""

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from drol.data.dataset import Dataset
from drol.data.transitions import Transitions
from drol.experiment.config import RunConfig
from drol.files import counted
from drol.online.settings import OnlineSettings
from drol.processes import cores

LABEL = 13
"""Columns of the labels at the left."""


def heading(configs: Sequence[RunConfig], data: Dataset, folder: Path, begun: int) -> list[str]:
    """The lines: task, data, environment, algorithm with its hyperparameters, lengths, device, folder.

    Args:
        configs: of the runs, resolved.
        data: what they learn from.
        folder: of the run, or the one that holds the runs.
        begun: how many of the runs are resumed.
    """
    config = configs[0]
    several = f"{len(configs)} runs in " if len(configs) > 1 else ""
    resumed = "" if not begun else " (resumed)" if begun == len(configs) else f" ({begun} of them resumed)"
    facts = {
        "task": config.task,
        "data": f"{_size(data.train)}{_held_out(data.validation)}",
        "environment": _evaluation(config),
        "algorithm": f"{config.algorithm_name}: {_hyperparameters(configs)}",
        "training": f"{config.updates:,} updates of {config.batch_size} {_rows(config)}",
        "device": _device(),
        "folder": f"{several}{folder}{resumed}",
    }
    return [line for label, fact in facts.items() for line in _wrapped(label, fact)]


def online_heading(
    config: RunConfig, online: OnlineSettings, data: Dataset | None, folder: Path, resumed: bool
) -> list[str]:
    """The same of a run that learns online."""
    acts = f"{online.steps:,} steps in {counted(online.environments, 'environment')}"
    first = f", the first {online.warm_up:,} without updates ({online.warm_up_by} acts)" if online.warm_up else ""
    share = "" if online.prior_share is None else f", {online.prior_share:.0%} of them from the data"
    facts = {
        "task": config.task,
        "data": "none" if data is None else _size(data.train),
        "environment": _evaluation(config),
        "algorithm": f"{config.algorithm_name}: {_hyperparameters([config])}",
        "begins": "with fresh networks" if config.start == 0 else f"after {config.start:,} updates on data",
        "acting": f"{acts}{first}, blocks of {online.rows} steps",
        "training": f"{online.updates:,} updates of {config.batch_size} {_rows(config)}{share}",
        "device": _device(),
        "folder": f"{folder}{' (resumed)' if resumed else ''}",
    }
    return [line for label, fact in facts.items() for line in _wrapped(label, fact)]


def _wrapped(label: str, fact: str) -> list[str]:
    """A fact at the right of its label, on lines of at most 80 columns; paths are not broken."""
    lines = textwrap.wrap(fact, 80 - LABEL, break_long_words=False, break_on_hyphens=False)
    return [f"{name:{LABEL}}{line}" for name, line in itertools.zip_longest([label], lines, fillvalue="")]


def _size(transitions: Transitions) -> str:
    """Rows, episodes where rows follow each other, and megabytes."""
    rows = len(transitions)
    ends = int(np.count_nonzero(np.asarray(transitions.next_action_index) == np.arange(rows)))
    episodes = f", {counted(ends, 'episode')}" if ends < rows else ""
    size = sum(array.nbytes for array in vars(transitions).values())
    where = ", on disk" if transitions.is_mapped else ""
    return f"{rows:,} transitions{episodes}, {size / 1e6:,.1f} MB{where}"


def _held_out(validation: Transitions | None) -> str:
    return "" if validation is None else f"; {len(validation):,} held out"


def _evaluation(config: RunConfig) -> str:
    if config.evaluated_in is None:
        return "none: policies are not evaluated"
    assert config.eval_episodes is not None  # of a resolved configuration
    return f"{config.evaluated_in.id}, {counted(config.eval_episodes, 'episode')} every {config.eval_every:,} updates"


def _rows(config: RunConfig) -> str:
    """What a row of a batch is: a transition, or a chunk with what the policy does with it."""
    steps = config.chunking().steps
    if steps == 1:
        return "transitions"
    if config.chunk == 1:
        return f"{steps}-step returns of single actions"
    executed = "" if config.replan is None else f", of which the first {config.replan} are executed"
    returns = "" if steps == config.chunk else f", {steps}-step returns"
    public = ", public returns" if config.public_returns else ""
    return f"chunks: plans of {config.chunk} actions{executed}{returns}{public}"


def _hyperparameters(configs: Sequence[RunConfig]) -> str:
    """All of them; of several runs, the values that differ are shown together."""
    parts = []
    shown = [_shown(config.hyperparameters) for config in configs]
    for name in shown[0]:
        values = list(dict.fromkeys(values[name] for values in shown))
        parts.append(f"{name}={values[0] if len(values) == 1 else '{' + ','.join(values) + '}'}")
    return " ".join(parts)


def _shown(values: Mapping[str, Any]) -> dict[str, str]:
    """Values in few characters, without blanks."""
    return {
        name: f"{value:g}" if isinstance(value, float) else str(value).replace(" ", "")
        for name, value in values.items()
    }


def _device() -> str:
    device, count = jax.devices()[0], jax.device_count()
    many = f"{count} x " if count > 1 else ""
    return f"{many}{device.device_kind}" + (f" ({cores()} cores)" if device.platform == "cpu" else "")
