"""Making environments from their specifications."""

import pkgutil
from typing import Any

import gymnasium

from drol.environments.interface import STRUCTURAL, InterfaceError, is_gymnasiums
from drol.environments.spec import EnvironmentSpec
from drol.environments.wrappers import flat
from drol.seeding import make_reproducible


def make(spec: EnvironmentSpec) -> gymnasium.Env:
    """See `EnvironmentSpec.make`."""
    factory = pkgutil.resolve_name(spec.factory)
    return flat(make_reproducible(factory(spec.id, **dict(spec.options))))


def registered(name: str, **options: Any) -> gymnasium.Env:
    """An environment that is registered with gymnasium.

    Args:
        name: its id; `module:id` first imports the module that registers it.
        options: keyword arguments of `gymnasium.make`.

    Raises:
        InterfaceError: if gymnasium refuses to make it.
    """
    try:
        return gymnasium.make(name, **options)
    except (gymnasium.error.Error, *STRUCTURAL) as error:
        if not is_gymnasiums(error):
            raise
        raise InterfaceError(f"the environment {name} cannot be made: {error}") from None
