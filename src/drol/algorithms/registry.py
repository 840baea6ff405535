"""Every algorithm by its name. Adding one is a file beside this one and a line here."""

import difflib
import importlib
from typing import TYPE_CHECKING

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
    return _at(ALGORITHMS[name])


def _at(place: str) -> "type[Algorithm]":
    from drol.algorithm import Algorithm

    module, attribute = place.split(":", 1)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"no algorithm at {place!r}: {error}; expected module:Class, with the module's folder on PYTHONPATH"
        ) from None
    if not (isinstance(found, type) and issubclass(found, Algorithm)):
        raise ValueError(f"{place!r} is no drol.Algorithm; found {found!r}")
    return found
