"""The contract that every algorithm fulfils, and the step built on it."""

import abc
import dataclasses
import operator
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PyTree

from drol.numerics import threefry
from drol.ops.axis import global_rows
from drol.policy import Policy
from drol.types import AxisName, Batch, Key, Metrics, Rows, Spec

ScalarLike = Float[Array, ""] | float


class TrainState(eqx.Module):
    """Everything an update changes: arrays only, so that raw `jax.jit`, `scan`, `vmap` and donation work."""

    step: eqx.AbstractVar[Int[Array, ""]]


State = TypeVar("State", bound=TrainState)


def scalar(
    default: float, help: str, *, low: float = 0.0, high: float = float("inf"), before: float | str | None = None
) -> Any:
    """A continuous hyperparameter: held as a 0-d array, so another value never retraces and a sweep is a `vmap`.

    Args:
        default: its value where none is given.
        help: what it is, for the command line and for `help`.
        low: the least that is allowed.
        high: the most that is allowed.
        before: what it stood for in records that do not have it, or the hyperparameter whose value it had.
    """

    def as_array(value):
        return jnp.asarray(value, jnp.result_type(float))

    metadata = {"help": help, "low": low, "high": high, "default": default, "before": before}
    return eqx.field(default=default, converter=as_array, metadata=metadata)


def static(
    default: Any, help: str, *, low: int | None = None, choices: tuple[str, ...] | None = None, before: Any = None
) -> Any:
    """A hyperparameter that shapes the program: another value compiles another one. Arguments as of `scalar`."""
    metadata = {"help": help, "low": low, "choices": choices, "default": default, "before": before}
    return eqx.field(default=default, static=True, metadata=metadata)


def is_continuous(field: dataclasses.Field) -> bool:
    """Whether a hyperparameter was declared with `scalar`: it can be swept within one program."""
    return not field.metadata.get("static", False) and isinstance(field.metadata.get("default"), float)


class Algorithm(eqx.Module):
    """An offline RL method as pure functions over its typed hyperparameters.

    Subclasses are final: fields made with `scalar` and `static`, and the four methods below.
    """

    name: ClassVar[str]

    @abc.abstractmethod
    def init(self, spec: Spec, *, key: Key) -> TrainState:
        """Fresh networks, targets and optimizer state. No two leaves share a buffer."""

    @abc.abstractmethod
    def noise(self, spec: Spec, rows: Rows, *, key: Key) -> PyTree[Array]:
        """Every random draw of one update.

        What belongs to row i is drawn from a key folded with i, so that shards draw what one device would have drawn;
        what belongs to the batch as a whole is the same in every shard.

        Args:
            spec: the task's dimensions.
            rows: global row numbers of the batch, see `drol.ops.axis.global_rows`.
            key: the update's key.
        """

    @abc.abstractmethod
    def update(self, state, batch: Batch, noise, *, axis_name: AxisName | None = None) -> tuple[TrainState, Metrics]:
        """One deterministic update.

        Metrics are taken at the parameters before it. With `axis_name`, `batch` and `noise` are one shard's rows and
        the result is the update of the whole batch.
        """

    @abc.abstractmethod
    def policy(self, state) -> Policy:
        """The policy that `state` stands for."""

    def __check_init__(self):
        for field in dataclasses.fields(self):
            _check_hyperparameter(field, getattr(self, field.name))


def _check_hyperparameter(field: dataclasses.Field, value: Any) -> None:
    """Refuse values out of range; tracers and stacked values (a sweep under `vmap`) pass."""
    low, high, choices = (field.metadata.get(name) for name in ("low", "high", "choices"))
    if choices is not None and value not in choices:
        raise ValueError(f"{field.name} must be one of {', '.join(choices)}, found {value!r}")
    if isinstance(value, Tracer) or low is None or value is None or isinstance(value, tuple):
        return
    number = value.item() if isinstance(value, jax.Array) and value.ndim == 0 else value
    if type(field.metadata["default"]) is int:
        if isinstance(number, bool) or not hasattr(number, "__index__"):
            raise ValueError(f"{field.name} must be an integer, found {number!r}")
        number = operator.index(number)
    if not isinstance(number, int | float):
        return
    high = float("inf") if high is None else high
    if not low <= number <= high or number == float("inf"):
        expected = f"at least {low:g}" if high == float("inf") else f"between {low:g} and {high:g}"
        raise ValueError(f"{field.name} must be a finite number {expected}, found {number:g}")


def hyperparameters(algorithm: Algorithm) -> dict[str, Any]:
    """The fields of an algorithm as plain Python values, for a record; a custom optimizer is named, not stored."""
    values = {}
    for field in dataclasses.fields(algorithm):
        value = getattr(algorithm, field.name)
        if isinstance(value, jax.Array):
            # The shortest decimal that stands for the stored number: 0.99, not 0.9900000095.
            value = float(str(np.asarray(value)))
        elif isinstance(value, tuple) and not all(isinstance(v, int) for v in value):
            value = "custom"
        values[field.name] = list(value) if isinstance(value, tuple) else value
    return values


def from_hyperparameters(cls: type[Algorithm], values: Mapping[str, Any]) -> Algorithm:
    """Build an algorithm from plain values.

    Raises:
        ValueError: for a name that is no field of the algorithm, or a value out of range.
    """
    known = {field.name for field in dataclasses.fields(cls)}
    unknown = sorted(set(values) - known)
    if unknown:
        names = ", ".join(sorted(known))
        raise ValueError(f"{cls.__name__} has no hyperparameter {', '.join(unknown)}; it has {names}")
    return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})


def from_record(cls: type[Algorithm], values: Mapping[str, Any]) -> Algorithm:
    """Build an algorithm from a record of all its hyperparameters, one that an earlier version wrote included.

    Raises:
        ValueError: as `from_hyperparameters`.
    """
    missing = {}
    for field in dataclasses.fields(cls):
        before = field.metadata.get("before")
        if field.name not in values and before is not None:
            missing[field.name] = values.get(before) if isinstance(before, str) else before
    return from_hyperparameters(cls, {**missing, **values})


def step(
    algorithm: Algorithm, state: State, batch: Batch, *, key: Key, axis_name: AxisName | None = None
) -> tuple[State, Metrics]:
    """One training step: draw this update's noise, then update.

    A pure function: jit it, scan it, vmap it over seeds or hyperparameters, or give it `axis_name` under
    `jax.shard_map` or `jax.pmap`, where every shard passes its rows of the batch and the same key.

    Args:
        algorithm: for instance `drol.DROL(num_candidates=16, bc_coef=10.0)`.
        state: what `algorithm.init` or the step before returned.
        batch: transitions.
        key: this update's key; fold the run's key with the update's number (`jax.random.fold_in(key, state.step)`).
        axis_name: the mapped axis over which the batch is sharded.

    Returns:
        The new state, and metrics at the parameters before the step.
    """
    rows = global_rows(batch.rewards.shape[0], axis_name)
    noise = algorithm.noise(batch.spec, rows, key=threefry(key))
    return algorithm.update(state, batch, noise, axis_name=axis_name)  # pyright: ignore[reportReturnType]
