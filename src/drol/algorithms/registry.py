"""Every algorithm by its name. Adding one is a file beside this one and a line here."""

import difflib
import importlib
from typing import TYPE_CHECKING

from drol.files import listed
from drol.modules import import_named

if TYPE_CHECKING:
    from drol.algorithm import Algorithm

ALGORITHMS = {
    "bc": "drol.algorithms.bc:BC",
    "flow-bc": "drol.algorithms.flow_bc:FlowBC",
    "iql": "drol.algorithms.iql:IQL",
    "rebrac": "drol.algorithms.rebrac:ReBRAC",
    "fawac": "drol.algorithms.fawac:FAWAC",
    "fbrac": "drol.algorithms.fbrac:FBRAC",
    "ifql": "drol.algorithms.ifql:IFQL",
    "fql": "drol.algorithms.fql:FQL",
    "sorl": "drol.algorithms.sorl:SORL",
    "deflow": "drol.algorithms.deflow:DeFlow",
    "meanflow-ql": "drol.algorithms.meanflow_ql:MeanFlowQL",
    "reform": "drol.algorithms.reform:ReFORM",
    "drol": "drol.algorithms.drol:DROL",
}


def algorithm_class(name: str) -> "type[Algorithm]":
    """The class of a registered algorithm, or of one outside this package by its place, `module:Class`.

    Raises:
        ValueError: for an unknown name; the message names the nearest. For a place that holds no algorithm.
    """
    if ":" in name:
        return _at(name)
    if name not in ALGORITHMS:
        near = difflib.get_close_matches(name, ALGORITHMS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(ALGORITHMS))}"
        raise ValueError(f"unknown algorithm {name!r}; {hint}")
    module, attribute = ALGORITHMS[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def _at(place: str) -> "type[Algorithm]":
    """The class at `module:Class`, of a module that the user named."""
    from drol.algorithm import Algorithm

    module, attribute = place.split(":", 1)
    try:
        held = import_named(module)
    except ImportError as error:
        raise ValueError(f"no algorithm at {place!r}: {error}; expected module:Class") from None
    found = getattr(held, attribute, None)
    if not (isinstance(found, type) and issubclass(found, Algorithm)):
        own = [name for name, value in vars(held).items() if isinstance(value, type) and value.__module__ == module]
        what = f"it has no {attribute!r}" if found is None else f"{attribute!r} is not a drol.Algorithm"
        raise ValueError(f"no algorithm at {place!r}: {what}; expected module:Class, found the classes {listed(own)}")
    return found
