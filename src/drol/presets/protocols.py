"""The protocols of two papers with chunks of actions, and their hyperparameters by family of tasks.

`qc` is Q-chunking (Li et al. 2025, arXiv 2507.07969): two critics, their mean in the target. `qam` is Q-learning with
adjoint matching (2026, arXiv 2601.14234): ten critics, whose mean less half a standard deviation is the target (on
humanoidmaze the mean). Both use chunks of five actions for manipulation, and single actions in mazes.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from drol.algorithms.registry import TITLES
from drol.published import Preset

PROTOCOLS = ("qc", "qam")

SOURCES = {
    "qc": "Q-chunking paper (Li et al. 2025), hyperparameters",
    "qam": "repository of Q-learning with adjoint matching (arXiv 2601.14234): experiments/reproduce.py",
}


class Family(NamedTuple):
    """What all methods of a protocol share on a family of tasks."""

    name: str
    chunk: int
    discount: float = 0.99
    rho: float = 0.5
    sparse: bool = False


FAMILIES = (
    Family("cube-double-play", 5),
    Family("cube-triple-play", 5),
    Family("cube-quadruple-play", 5),
    Family("scene-play", 5, sparse=True),
    Family("puzzle-3x3-play", 5, sparse=True),
    Family("puzzle-4x4-play", 5, sparse=True),
    Family("antmaze-large-navigate", 1),
    Family("antmaze-giant-navigate", 1, discount=0.995),
    Family("humanoidmaze-medium-navigate", 1, discount=0.995, rho=0.0),
    Family("humanoidmaze-large-navigate", 1, discount=0.995, rho=0.0),
)
"""In the order of the rows below; QC has the first five."""

LENDER, BORROWER = "cube-double-play", "cube-single-play"
"""Nothing is published for a single cube, which borrows the values of two."""

Row = Sequence[Mapping[str, float | int]]


def _column(name: str, *values: float) -> Row:
    return [{name: value} for value in values]


QAM: dict[str, Row] = {
    "fql": _column("alpha", 300.0, 30.0, 100.0, 300.0, 300.0, 1.0, 3.0, 3.0, 30.0, 30.0),
    "rebrac": [
        {"alpha_actor": alpha, "target_noise": noise, "alpha_critic": 0.0}
        for alpha, noise in (
            *((0.01, 0.0), (0.01, 0.2), (0.01, 0.2), (0.03, 0.0), (0.1, 0.0), (0.01, 0.2)),
            *((0.01, 0.0), (0.01, 0.0), (0.01, 0.0), (0.01, 0.1)),
        )
    ],
    "ifql": [
        {"expectile": kappa, "num_samples": 32} for kappa in (0.9, 0.95, 0.95, 0.9, 0.95, 0.9, 0.9, 0.8, 0.7, 0.8)
    ],
    "fbrac": _column("alpha", 0.1, 0.03, 1.0, 100.0, 0.03, 0.3, 0.1, 0.1, 30.0, 10.0),
    "fawac": _column("inverse_temperature", 0.8, 0.8, 0.8, 6.4, 0.8, 0.8, 6.4, 0.8, 6.4, 0.8),
}
QC: dict[str, Row] = {
    "fql": _column("alpha", 300.0, 100.0, 100.0, 300.0, 300.0),
    "rebrac": [{"alpha_actor": 0.1}] * 5,
    "ifql": [{"expectile": 0.9, "num_samples": 32}] * 5,
    "bfn": [{"num_samples": count} for count in (32, 32, 32, 32, 64)],
}

SINGLE_ACTIONS = ("rebrac",)
"""Methods that QC runs without chunks."""

BESIDE = {
    ("qam", "rebrac"): "the actor's noise stays on when it acts",
    ("qc", "rebrac"): "the weight of the critic's penalty is not stated, so the default applies",
}
"""What else to know about a method in a protocol."""


def protocol_presets(protocol: str, algorithm: str) -> Iterator[Preset]:
    """A method's presets in a protocol; none if it publishes nothing about the method."""
    rows = {"qc": QC, "qam": QAM}[protocol].get(algorithm, ())
    for family, own in zip(FAMILIES, rows, strict=False):
        preset = _preset(protocol, algorithm, family, own)
        yield preset
        if family.name == LENDER:
            source = f"borrowed from {LENDER}: nothing is published for one cube ({SOURCES[protocol]})"
            yield dataclasses.replace(
                preset, family=BORROWER, pattern=_pattern(BORROWER), source=source, mark="borrowed"
            )


def has_sparse_rewards(task: str) -> bool:
    """Whether both protocols train on sparse rewards of a task."""
    return any(family.sparse and re.fullmatch(_pattern(family.name), task) for family in FAMILIES)


def _preset(protocol: str, algorithm: str, family: Family, own: Mapping[str, float | int]) -> Preset:
    shared: dict[str, Any] = {} if family.discount == 0.99 else {"discount": family.discount}
    if protocol == "qc" and algorithm in ("rebrac", "ifql"):
        shared |= {"q_agg": "mean"}
    if protocol == "qam":
        shared |= {"ensemble": 10, "q_agg": "mean-std", "rho": family.rho}
        if algorithm == "rebrac":
            shared |= {"actor_q_agg": "mean-std", "actor_rho": family.rho}
    single = protocol == "qc" and algorithm in SINGLE_ACTIONS
    return Preset(
        family=family.name,
        algorithm=algorithm,
        title=TITLES[algorithm],
        pattern=_pattern(family.name),
        values={**own, **shared},
        source=SOURCES[protocol],
        beside=BESIDE.get((protocol, algorithm)),
        chunk=1 if single else family.chunk,
    )


def _pattern(family: str) -> str:
    return rf"{family}-singletask(-task\d)?-v0"
