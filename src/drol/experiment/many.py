"""One configuration at several seeds and hyperparameters: the runs this makes, and their configurations."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from drol.algorithm import Algorithm, is_continuous
from drol.errors import DataError, UsageError, both
from drol.experiment.config import RunConfig
from drol.experiment.names import foreign_hyperparameter
from drol.experiment.resume import Changes
from drol.files import listed
from drol.training.folder import RunFolder

Sweep = Mapping[str, Sequence[float]]
"""Continuous hyperparameters by name, with the values of each."""


class Member(NamedTuple):
    """One of several runs: its seed, the swept hyperparameters' values, and the name of its folder."""

    seed: int
    values: dict[str, float]
    name: str


def members(seeds: Sequence[int], sweep: Sweep) -> list[Member]:
    """Every seed at every combination of swept values."""
    return [
        Member(seed, values, "-".join([*(f"{name}{value:g}" for name, value in values.items()), f"seed{seed}"]))
        for combination in itertools.product(*sweep.values())
        for values in [dict(zip(sweep, combination, strict=True))]
        for seed in seeds
    ]


def refuse_twice(sweep: Sweep, given: Mapping[str, object]) -> None:
    """Refuse to sweep a hyperparameter that is also given a single value.

    Raises:
        UsageError: naming it.
    """
    for name in sweep:
        if name in given:
            raise UsageError(*both(f"{name} is given twice: name all its values in one --sweep"))


def check_sweep(cls: type[Algorithm], sweep: Sweep) -> None:
    """Refuse to sweep hyperparameters whose values cannot all share one program.

    Raises:
        UsageError: naming the hyperparameter, and those that can be swept.
    """
    names = {field.name for field in dataclasses.fields(cls)}
    continuous = [field.name for field in dataclasses.fields(cls) if is_continuous(field)]
    for name in sweep:
        if name not in continuous:
            foreign = None if name in names else foreign_hyperparameter(cls, name)
            words = f"--sweep takes hyperparameters that change no shape: {listed(continuous)}; found {name!r}"
            raise UsageError(*both(foreign or words))


def new_config(config: RunConfig, member: Member) -> RunConfig:
    """The configuration of a new run, resolved."""
    if not isinstance(config.algorithm, str) and member.values:
        algorithm = dataclasses.replace(config.algorithm, **member.values)
        return dataclasses.replace(config, seed=member.seed, algorithm=algorithm, hyperparameters={}).resolved()
    hyperparameters = dict(config.hyperparameters) | member.values
    return dataclasses.replace(config, seed=member.seed, hyperparameters=hyperparameters).resolved()


def like_stored(stored: RunConfig, member: Member) -> RunConfig:
    """The configuration of a new run that differs from a stored one in seed and swept values only."""
    hyperparameters = dict(stored.hyperparameters) | member.values
    return dataclasses.replace(stored, seed=member.seed, hyperparameters=hyperparameters)


def stored_config(folder: RunFolder, named: Changes) -> RunConfig:
    """The configuration of the run in a folder, which an earlier version may have begun.

    Args:
        folder: the run's.
        named: the options that the user gives; see `RunConfig.from_json`.

    Raises:
        DataError: if there is no run, its configuration cannot be read, or it names a module that the user does not.
    """
    return RunConfig.from_json(folder.read_config(), str(folder.config), named)


def check_alike(configs: Sequence[RunConfig], paths: Sequence[Path]) -> None:
    """Refuse to train runs side by side if their settings differ in more than the seed.

    Raises:
        DataError: naming the first two that do.
    """
    first = _shared(configs[0])
    for config, path in zip(configs, paths, strict=True):
        for name, value in _shared(config).items():
            if name != "seed" and value != first[name]:
                raise DataError(
                    *both(
                        f"runs that are trained together must have the same settings, but {paths[0]} has {name} "
                        f"{first[name]} and {path} has {value}; extend them to the same number with --updates, or "
                        f"train them separately"
                    )
                )


def _shared(config: RunConfig) -> Mapping[str, object]:
    """What runs of one program have in common."""
    return dataclasses.asdict(config.settings()) | {
        name: getattr(config, name) for name in ("chunk", "n_step", "public_returns", "sparse_rewards")
    }
