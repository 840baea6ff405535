"""DROL: one-step offline reinforcement learning by dynamic routing, in JAX and Equinox.

The public face: names are resolved on first use, so that `import drol` and `drol --help` answer at once.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drol import nn as nn
    from drol import ops as ops
    from drol.algorithm import Algorithm as Algorithm
    from drol.algorithm import TrainState as TrainState
    from drol.algorithm import step as step
    from drol.algorithms.bc import BC as BC
    from drol.algorithms.deflow import DeFlow as DeFlow
    from drol.algorithms.drol import DROL as DROL
    from drol.algorithms.drol import DROLNoise as DROLNoise
    from drol.algorithms.drol import DROLState as DROLState
    from drol.algorithms.fawac import FAWAC as FAWAC
    from drol.algorithms.fbrac import FBRAC as FBRAC
    from drol.algorithms.flow_bc import FlowBC as FlowBC
    from drol.algorithms.fql import FQL as FQL
    from drol.algorithms.ifql import IFQL as IFQL
    from drol.algorithms.iql import IQL as IQL
    from drol.algorithms.meanflow_ql import MeanFlowQL as MeanFlowQL
    from drol.algorithms.rebrac import ReBRAC as ReBRAC
    from drol.algorithms.reform import ReFORM as ReFORM
    from drol.algorithms.sorl import SORL as SORL
    from drol.bundle import LoadedPolicy as LoadedPolicy
    from drol.bundle import load_policy as load_policy
    from drol.bundle import save_policy as save_policy
    from drol.data.arrays import from_arrays as from_arrays
    from drol.data.replay import ReplayData as ReplayData
    from drol.policy import FlowPolicy as FlowPolicy
    from drol.policy import LatentPolicy as LatentPolicy
    from drol.policy import MeanPolicy as MeanPolicy
    from drol.policy import Policy as Policy
    from drol.policy import PolicyInUnits as PolicyInUnits
    from drol.policy import ShortcutPolicy as ShortcutPolicy
    from drol.policy import SteeredPolicy as SteeredPolicy
    from drol.policy import in_units as in_units
    from drol.training.loop import train_chunk as train_chunk
    from drol.types import Batch as Batch
    from drol.types import Spec as Spec
    from drol.types import Units as Units

_HOMES = {
    "nn": None,
    "ops": None,
    "Algorithm": "algorithm",
    "TrainState": "algorithm",
    "step": "algorithm",
    "BC": "algorithms.bc",
    "DeFlow": "algorithms.deflow",
    "DROL": "algorithms.drol",
    "DROLNoise": "algorithms.drol",
    "DROLState": "algorithms.drol",
    "FAWAC": "algorithms.fawac",
    "FBRAC": "algorithms.fbrac",
    "FlowBC": "algorithms.flow_bc",
    "FQL": "algorithms.fql",
    "IFQL": "algorithms.ifql",
    "IQL": "algorithms.iql",
    "MeanFlowQL": "algorithms.meanflow_ql",
    "ReBRAC": "algorithms.rebrac",
    "ReFORM": "algorithms.reform",
    "SORL": "algorithms.sorl",
    "LoadedPolicy": "bundle",
    "load_policy": "bundle",
    "save_policy": "bundle",
    "from_arrays": "data.arrays",
    "ReplayData": "data.replay",
    "FlowPolicy": "policy",
    "LatentPolicy": "policy",
    "MeanPolicy": "policy",
    "Policy": "policy",
    "PolicyInUnits": "policy",
    "ShortcutPolicy": "policy",
    "SteeredPolicy": "policy",
    "in_units": "policy",
    "train_chunk": "training.loop",
    "Batch": "types",
    "Spec": "types",
    "Units": "types",
}

__version__ = "0.1.0"
__all__ = sorted([*_HOMES, "__version__"])  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'drol' has no attribute {name!r}")
    home = _HOMES[name]
    if home is None:
        return importlib.import_module(f"drol.{name}")
    return getattr(importlib.import_module(f"drol.{home}"), name)


def __dir__() -> list[str]:
    return __all__
