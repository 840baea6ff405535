"""Every algorithm by its name. Adding one is a file beside this one and a line here."""

import difflib
import importlib

from drol.algorithm import Algorithm

ALGORITHMS = {
    "drol": "drol.algorithms.drol:DROL",
    "bc": "drol.algorithms.bc:BC",
    "flow-bc": "drol.algorithms.flow_bc:FlowBC",
    "iql": "drol.algorithms.iql:IQL",
    "rebrac": "drol.algorithms.rebrac:ReBRAC",
    "fawac": "drol.algorithms.fawac:FAWAC",
    "fbrac": "drol.algorithms.fbrac:FBRAC",
    "ifql": "drol.algorithms.ifql:IFQL",
    "sorl": "drol.algorithms.sorl:SORL",
    "deflow": "drol.algorithms.deflow:DeFlow",
    "fql": "drol.algorithms.fql:FQL",
}


def algorithm_class(name: str) -> type[Algorithm]:
    """The class of a registered algorithm.

    Raises:
        ValueError: for an unknown name; the message names the nearest.
    """
    if name not in ALGORITHMS:
        near = difflib.get_close_matches(name, ALGORITHMS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(ALGORITHMS))}"
        raise ValueError(f"unknown algorithm {name!r}; {hint}")
    module, attribute = ALGORITHMS[name].split(":")
    return getattr(importlib.import_module(module), attribute)
