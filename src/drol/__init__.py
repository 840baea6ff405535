"""DROL: one-step offline reinforcement learning by dynamic routing, in JAX and Equinox.

This is the public API. Names are resolved on first use, which keeps `import drol` and `drol --help` fast.
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
    from drol.algorithms.bfn import BFN as BFN
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
    from drol.algorithms.rlpd import RLPD as RLPD
    from drol.algorithms.sac import SAC as SAC
    from drol.algorithms.sorl import SORL as SORL
    from drol.data.replay import ReplayData as ReplayData
    from drol.data.transitions import from_arrays as from_arrays
    from drol.environments.limits import EvaluationLimits as EvaluationLimits
    from drol.environments.scoring import Evaluation as Evaluation
    from drol.environments.scoring import evaluate as evaluate
    from drol.environments.spec import EnvironmentSpec as EnvironmentSpec
    from drol.errors import DataError as DataError
    from drol.errors import DivergedError as DivergedError
    from drol.errors import DrolError as DrolError
    from drol.errors import UsageError as UsageError
    from drol.experiment.config import RunConfig as RunConfig
    from drol.experiment.finetune import finetune as finetune
    from drol.experiment.online import OnlineConfig as OnlineConfig
    from drol.experiment.run import Interrupted as Interrupted
    from drol.experiment.run import Result as Result
    from drol.experiment.run import train as train
    from drol.experiment.run import train_many as train_many
    from drol.policy import Choice as Choice
    from drol.policy import FlowPolicy as FlowPolicy
    from drol.policy import LatentPolicy as LatentPolicy
    from drol.policy import MeanPolicy as MeanPolicy
    from drol.policy import Policy as Policy
    from drol.policy import PolicyInUnits as PolicyInUnits
    from drol.policy import ShortcutPolicy as ShortcutPolicy
    from drol.policy import SquashedPolicy as SquashedPolicy
    from drol.policy import SteeredPolicy as SteeredPolicy
    from drol.policy import in_units as in_units
    from drol.policy.files import load_policy as load_policy
    from drol.policy.files import save_policy as save_policy
    from drol.policy.loaded import LoadedPolicy as LoadedPolicy
    from drol.presets import preset as preset
    from drol.report.certificate import Certificate as Certificate
    from drol.report.certificate import certify as certify
    from drol.report.filming import film as film
    from drol.report.plotting import plot as plot
    from drol.report.verification import Verification as Verification
    from drol.report.verification import verify as verify
    from drol.signals import request_stop as request_stop
    from drol.sources import environment as environment
    from drol.sources import load_data as load_data
    from drol.training.loop import train_chunk as train_chunk
    from drol.training.states import load_state as load_state
    from drol.training.states import save_state as save_state
    from drol.types import Batch as Batch
    from drol.types import ChunkBatch as ChunkBatch
    from drol.types import Chunking as Chunking
    from drol.types import Spec as Spec
    from drol.types import Units as Units

_HOMES = {
    "nn": None,
    "ops": None,
    "Algorithm": "algorithm",
    "TrainState": "algorithm",
    "step": "algorithm",
    "BC": "algorithms.bc",
    "BFN": "algorithms.bfn",
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
    "RLPD": "algorithms.rlpd",
    "SAC": "algorithms.sac",
    "SORL": "algorithms.sorl",
    "from_arrays": "data.transitions",
    "ReplayData": "data.replay",
    "Choice": "policy",
    "FlowPolicy": "policy",
    "LatentPolicy": "policy",
    "MeanPolicy": "policy",
    "Policy": "policy",
    "PolicyInUnits": "policy",
    "ShortcutPolicy": "policy",
    "SquashedPolicy": "policy",
    "SteeredPolicy": "policy",
    "in_units": "policy",
    "load_policy": "policy.files",
    "save_policy": "policy.files",
    "LoadedPolicy": "policy.loaded",
    "train_chunk": "training.loop",
    "Batch": "types",
    "ChunkBatch": "types",
    "Chunking": "types",
    "Spec": "types",
    "Units": "types",
    "DataError": "errors",
    "DrolError": "errors",
    "UsageError": "errors",
    "RunConfig": "experiment.config",
    "OnlineConfig": "experiment.online",
    "finetune": "experiment.finetune",
    "Result": "experiment.run",
    "Interrupted": "experiment.run",
    "train": "experiment.run",
    "train_many": "experiment.run",
    "Evaluation": "environments.scoring",
    "evaluate": "environments.scoring",
    "EvaluationLimits": "environments.limits",
    "EnvironmentSpec": "environments.spec",
    "environment": "sources",
    "load_data": "sources",
    "preset": "presets",
    "plot": "report.plotting",
    "Certificate": "report.certificate",
    "certify": "report.certificate",
    "Verification": "report.verification",
    "verify": "report.verification",
    "film": "report.filming",
    "save_state": "training.states",
    "load_state": "training.states",
    "request_stop": "signals",
    "DivergedError": "errors",
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
