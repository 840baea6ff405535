"""All algorithms by name. Adding one takes a file next to this one and a line here."""

import importlib
from typing import TYPE_CHECKING, NamedTuple

from drol.errors import nearest
from drol.extras import lazy
from drol.files import listed
from drol.modules import import_named

if TYPE_CHECKING:
    from drol import algorithm
    from drol.algorithm import Algorithm
else:
    algorithm = lazy("drol.algorithm")


class Registered(NamedTuple):
    """What papers call an algorithm, and the import path of its class."""

    title: str
    place: str


ALGORITHMS = {
    "bc": Registered("BC", "drol.algorithms.bc:BC"),
    "flow-bc": Registered("Flow BC", "drol.algorithms.flow_bc:FlowBC"),
    "iql": Registered("IQL", "drol.algorithms.iql:IQL"),
    "rebrac": Registered("ReBRAC", "drol.algorithms.rebrac:ReBRAC"),
    "fawac": Registered("FAWAC", "drol.algorithms.fawac:FAWAC"),
    "fbrac": Registered("FBRAC", "drol.algorithms.fbrac:FBRAC"),
    "ifql": Registered("IFQL", "drol.algorithms.ifql:IFQL"),
    "bfn": Registered("BFN", "drol.algorithms.bfn:BFN"),
    "fql": Registered("FQL", "drol.algorithms.fql:FQL"),
    "sorl": Registered("SORL", "drol.algorithms.sorl:SORL"),
    "deflow": Registered("DeFlow", "drol.algorithms.deflow:DeFlow"),
    "meanflow-ql": Registered("MeanFlow-QL", "drol.algorithms.meanflow_ql:MeanFlowQL"),
    "reform": Registered("ReFORM", "drol.algorithms.reform:ReFORM"),
    "sac": Registered("SAC", "drol.algorithms.sac:SAC"),
    "rlpd": Registered("RLPD", "drol.algorithms.rlpd:RLPD"),
    "drol": Registered("DROL", "drol.algorithms.drol:DROL"),
}
"""In the order in which tables list them."""

TITLES = {name: registered.title for name, registered in ALGORITHMS.items()}
"""Methods as their papers write them."""


def algorithm_class(name: str) -> "type[Algorithm]":
    """The class of a registered algorithm, or of one outside this package, given as `module:Class`.

    Raises:
        ValueError: for an unknown name (the message suggests the nearest), or a path without an algorithm.
    """
    if ":" in name:
        return _at(name)
    if name not in ALGORITHMS:
        near = nearest(name, ALGORITHMS)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(ALGORITHMS))}"
        raise ValueError(f"unknown algorithm {name!r}; {hint}")
    module, attribute = ALGORITHMS[name].place.split(":")
    return getattr(importlib.import_module(module), attribute)


def registered_name(cls: "type[Algorithm]") -> str:
    """The name by which `algorithm_class` finds a class."""
    place = f"{cls.__module__}:{cls.__qualname__}"
    return next((name for name, registered in ALGORITHMS.items() if registered.place == place), place)


def _at(place: str) -> "type[Algorithm]":
    """The class at `module:Class`, of a module that the user named."""
    module, attribute = place.split(":", 1)
    try:
        held = import_named(module)
    except ImportError as error:
        raise ValueError(f"no algorithm at {place!r}: {error}; expected module:Class") from None
    found = getattr(held, attribute, None)
    if not (isinstance(found, type) and issubclass(found, algorithm.Algorithm)):
        own = [name for name, value in vars(held).items() if isinstance(value, type) and value.__module__ == module]
        what = f"it has no {attribute!r}" if found is None else f"{attribute!r} is not a drol.Algorithm"
        raise ValueError(f"no algorithm at {place!r}: {what}; expected module:Class, found the classes {listed(own)}")
    return found
