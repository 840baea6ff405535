"""The contract that every algorithm fulfils, and the step built on it."""

import abc
import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from drol.hyperparameters import check, described, explanation, named
from drol.hyperparameters import is_continuous as is_continuous
from drol.hyperparameters import scalar as scalar
from drol.hyperparameters import static as static
from drol.numerics import threefry
from drol.ops.axis import global_rows
from drol.ops.chunks import flat_batch
from drol.policy import Policy
from drol.published import Published
from drol.types import AxisName, Batch, ChunkBatch, Key, Metrics, Rows, Spec

ScalarLike = Float[Array, ""] | float


class TrainState(eqx.Module):
    """Everything an update changes: arrays only, so that plain `jax.jit`, `scan`, `vmap` and donation work."""

    step: eqx.AbstractVar[Int[Array, ""]]


State = TypeVar("State", bound=TrainState)
BatchKind = TypeVar("BatchKind", bound=Batch | ChunkBatch)


class Algorithm(eqx.Module):
    """An offline RL method as pure functions over its typed hyperparameters.

    Subclasses are final. They declare fields with `scalar` and `static` and implement the four abstract methods below.

    Action chunks need nothing more: a plan of h actions reaches an algorithm as one action of h d numbers, and its
    rewards as one return, summed with the hyperparameter `discount`. What a chunk leaves out is marked in
    `Batch.weights` and `Batch.valid`; see `drol.ops.losses.row_mean` and `behaviour_cloning`.

    Raises:
        ValueError: for a hyperparameter out of range.
    """

    name: ClassVar[str]
    published: ClassVar[Published | None] = None
    """What is published about the method, if anything."""
    metrics: ClassVar[Mapping[str, str]] = {}
    """What each metric of `update` is, by name; the class's documentation lists them."""

    @abc.abstractmethod
    def init(self, spec: Spec, *, key: Key) -> TrainState:
        """Fresh networks, targets and optimizer state. No two leaves share a buffer."""

    @abc.abstractmethod
    def noise(self, spec: Spec, rows: Rows, *, key: Key) -> PyTree[Array]:
        """Every random draw of one update.

        Draws for row i use a key folded with i, so that shards draw what a single device would have drawn. Draws for
        the batch as a whole are the same in every shard.

        Args:
            spec: the task's dimensions.
            rows: global row numbers of the batch, see `drol.ops.axis.global_rows`.
            key: the update's key.
        """

    @abc.abstractmethod
    def update(self, state, batch: Batch, noise, *, axis_name: AxisName | None = None) -> tuple[TrainState, Metrics]:
        """One deterministic update.

        Metrics are computed at the parameters before it. With `axis_name`, `batch` and `noise` are one shard's rows and
        the result is the update of the whole batch.
        """

    @abc.abstractmethod
    def policy(self, state) -> Policy:
        """The policy given by `state`."""

    def winners(
        self,
        state,
        observations: Float[Array, "rows observation"],
        actions: Float[Array, "rows action"],
        *,
        key: Key,
        chunk: int = 1,
    ) -> Int[Array, " rows"] | None:
        """Which of one set of latents, drawn once from `key` and shared by all rows, wins each action.

        With fixed rows and a fixed key this follows the regions of latent space through training; with fresh latents
        the winner's index would say nothing. None for methods that do not route. Each action holds `chunk` steps.
        """
        return None

    def operations(self, spec: Spec) -> int | float | None:
        """The floating-point operations in matrix products that one update needs at least, per row of its batch.

        Counted by hand; an expectation if updates differ, None if they are not counted.
        """
        return None

    def __init_subclass__(cls, **options: bool) -> None:
        super().__init_subclass__(**options)
        # There is no docstring under `python -OO`, and classes that equinox generates inherit theirs.
        if own := vars(cls).get("__doc__"):
            sections = [explanation(cls), listed_metrics(vars(cls).get("metrics", {}))]
            # Python 3.13 removes a docstring's indentation; earlier versions keep it.
            cls.__doc__ = "\n\n".join([inspect.cleandoc(own), *filter(None, sections)]) if any(sections) else own

    def __check_init__(self):
        for field in dataclasses.fields(self):
            check(field, getattr(self, field.name))

    def __repr__(self) -> str:
        return described(self)


def listed_metrics(metrics: Mapping[str, str]) -> str:
    """The lines of a class's docstring that explain its metrics; empty if there are none."""
    return "\n".join(["Metrics:", *(f"    {name}: {what}." for name, what in metrics.items())]) if metrics else ""


def hyperparameters(algorithm: Algorithm) -> dict[str, Any]:
    """The fields of an algorithm as plain Python values, for a record; a custom optimizer is recorded as "custom"."""
    values = {}
    for field in dataclasses.fields(algorithm):
        value = getattr(algorithm, field.name)
        if isinstance(value, jax.Array):
            # The shortest decimal that represents the stored number: 0.99, not 0.9900000095.
            value = float(str(np.asarray(value)))
        elif isinstance(value, tuple) and not all(isinstance(v, int) for v in value):
            value = "custom"
        values[field.name] = list(value) if isinstance(value, tuple) else value
    return values


def from_hyperparameters(cls: type[Algorithm], values: Mapping[str, Any]) -> Algorithm:
    """Build an algorithm from plain values.

    Raises:
        ValueError: for a name that is not a field of the algorithm, or a value out of range.
    """
    known = {field.name for field in dataclasses.fields(cls)}
    unknown = sorted(set(values) - known)
    if unknown:
        names = ", ".join(sorted(known))
        raise ValueError(f"{cls.__name__} has no hyperparameter {', '.join(unknown)}; it has {names}")
    return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})


def from_record(cls: type[Algorithm], values: Mapping[str, Any]) -> Algorithm:
    """Build an algorithm from a record of all its hyperparameters, including records of earlier versions.

    Raises:
        ValueError: as in `from_hyperparameters`.
    """
    missing = {}
    for field in dataclasses.fields(cls):
        before = field.metadata.get("before")
        if field.name not in values and before is not None:
            missing[field.name] = values.get(before) if isinstance(before, str) else before
    return from_hyperparameters(cls, {**missing, **values})


def step(
    algorithm: Algorithm,
    state: State,
    batch: Batch | ChunkBatch,
    *,
    key: Key,
    axis_name: AxisName | None = None,
) -> tuple[State, Metrics]:
    """One training step: draw this update's noise, then update.

    A pure function: jit it, scan it, vmap it over seeds or hyperparameters, or give it `axis_name` under
    `jax.shard_map` or `jax.pmap`, where every shard passes its rows of the batch and the same key.

    Args:
        algorithm: for instance `drol.DROL(num_candidates=16, bc_coef=10.0)`.
        state: what `algorithm.init` or the previous step returned.
        batch: transitions, or chunks of consecutive ones.
        key: this update's key; fold the run's key with the update's number (`jax.random.fold_in(key, state.step)`).
        axis_name: the mapped axis over which the batch is sharded, or several: the first varies slowest.

    Returns:
        The new state, with all dtypes unchanged, and metrics computed at the parameters before the step.

    Raises:
        TypeError: if `algorithm` is not an algorithm, or `batch` is not a batch.
        ValueError: if the batch's shapes are inconsistent, or do not fit the state's networks.
    """
    if not isinstance(algorithm, Algorithm):
        raise TypeError(f"algorithm must be an algorithm such as drol.DROL(bc_coef=3.0), found {named(algorithm)}")
    flat = flattened(algorithm, checked_batch(batch))
    _check_widths(algorithm, state, flat)
    rows = global_rows(flat.rewards.shape[0], axis_name)
    noise = algorithm.noise(flat.spec.flat, rows, key=threefry(key))
    return algorithm.update(state, flat, noise, axis_name=axis_name)  # pyright: ignore[reportReturnType]


def flattened(algorithm: Algorithm, batch: Batch | ChunkBatch) -> Batch:
    """A batch as the algorithm's `update` takes it: chunks become single steps, by the algorithm's discount.

    Raises:
        ValueError: for chunks, if the algorithm has no hyperparameter `discount`.
    """
    if not isinstance(batch, ChunkBatch):
        return batch
    check_discount(type(algorithm))
    discount: ScalarLike | None = getattr(algorithm, "discount")  # noqa: B009  (declared by subclasses)
    return flat_batch(batch, 1.0 if discount is None else discount)


def check_discount(cls: type[Algorithm]) -> None:
    """Refuse chunks for an algorithm that does not say by what their rewards are discounted.

    Raises:
        ValueError: saying what to declare.
    """
    if not hasattr(cls, "discount") and "discount" not in {field.name for field in dataclasses.fields(cls)}:
        raise ValueError(
            f"the rewards of a chunk are summed with the hyperparameter `discount`, which {cls.__name__} does not "
            f"have; declare it, or `discount: ClassVar[None] = None` if {cls.__name__} uses no rewards"
        )


def checked_start(spec: Spec, key: Key) -> Key:
    """The key of `init`, converted to a kind whose draws are the same for one run and for several batched together.

    Raises:
        TypeError: if `spec` is not a `drol.Spec`.
        ValueError: if `key` is not a key.
    """
    if not isinstance(spec, Spec):
        raise TypeError(f"spec must be a drol.Spec(observation_dim, action_dim), found {named(spec)}")
    return threefry(key)


OPTIONAL = ("weights", "valid")
"""Fields of a batch of flattened chunks, None in any other."""


def checked_batch(batch: BatchKind) -> BatchKind:
    """Check the shapes of a batch, and convert integers and booleans to floats. Reads only shapes and dtypes.

    Raises:
        TypeError: if it is not a batch of numeric arrays.
        ValueError: naming the field, what was expected and what was found.
    """
    kind = ChunkBatch if isinstance(batch, ChunkBatch) else Batch
    fields = [field.name for field in dataclasses.fields(kind) if not field.metadata.get("static", False)]
    if missing := [name for name in fields if not hasattr(batch, name)]:
        raise TypeError(f"batch must be a drol.Batch, found {type(batch).__name__} without the field {missing[0]}")
    names = [name for name in fields if name not in OPTIONAL or getattr(batch, name) is not None]
    kinds = {name: _kind_of(batch, name) for name in names}
    shapes = {name: getattr(batch, name).shape for name in names}
    _check_shapes(shapes, _expected_chunks(shapes) if kind is ChunkBatch else _expected(shapes))
    converted = [name for name, kind in kinds.items() if kind != "f"]
    if not converted:
        return batch
    floats = [jnp.asarray(getattr(batch, name), jnp.result_type(float)) for name in converted]
    return eqx.tree_at(lambda b: [getattr(b, name) for name in converted], batch, floats)


def _kind_of(batch: Batch | ChunkBatch, name: str) -> str:
    array = getattr(batch, name)
    if isinstance(array, jax.Array | np.ndarray | np.generic):
        for kind, numbers in (("f", jnp.floating), ("i", jnp.integer), ("b", jnp.bool_)):
            if jnp.issubdtype(array.dtype, numbers):
                return kind
        raise TypeError(f"batch.{name} must hold numbers, found type {array.dtype}")
    raise TypeError(f"batch.{name} must be an array, found {type(array).__name__}; convert it with jnp.asarray")


Shapes = Mapping[str, tuple[int, ...]]


def _expected(shapes: Shapes) -> Shapes:
    """The shapes of a batch whose observations and actions have these."""
    for name in ("observations", "actions"):
        _check_axes(name, shapes[name], ("rows", name[:-1]))
    (rows, observation), (_, action) = shapes["observations"], shapes["actions"]
    return {
        "actions": (rows, action),
        "rewards": (rows,),
        "masks": (rows,),
        "next_observations": (rows, observation),
        "next_actions": (rows, action),
        "weights": (rows,),
        "valid": (rows, action),
    }


def _expected_chunks(shapes: Shapes) -> Shapes:
    """The shapes of a batch of chunks whose observations, actions and rewards have these."""
    _check_axes("observations", shapes["observations"], ("rows", "observation"))
    _check_axes("actions", shapes["actions"], ("rows", "chunk", "action"))
    _check_axes("rewards", shapes["rewards"], ("rows", "steps"))
    (rows, observation), (_, chunk, action) = shapes["observations"], shapes["actions"]
    if (steps := shapes["rewards"][1]) < chunk:
        raise ValueError(f"batch.rewards must have at least the {chunk} steps of batch.actions, found {steps}")
    return {
        "actions": (rows, chunk, action),
        "rewards": (rows, steps),
        "masks": (rows, steps),
        "valid": (rows, steps),
        "next_observations": (rows, observation),
        "next_actions": (rows, chunk, action),
    }


def _check_axes(name: str, shape: tuple[int, ...], axes: tuple[str, ...]) -> None:
    if len(shape) != len(axes) or 0 in shape:
        hint = "; a single transition needs a leading axis: x[None]" if len(shape) == len(axes) - 1 else ""
        raise ValueError(f"batch.{name} must have shape ({', '.join(axes)}), found {shape}{hint}")


def _check_shapes(shapes: Shapes, expected: Shapes) -> None:
    for name in (name for name in expected if name in shapes):
        shape, found = expected[name], shapes[name]
        if found != shape:
            hint = f"; drop the last axis: {name}[:, 0]" if found == (*shape, 1) else ""
            raise ValueError(f"batch.{name} must have shape {shape} to match observations, found {found}{hint}")


def _check_widths(algorithm: Algorithm, state: TrainState, batch: Batch) -> None:
    """Compare the batch's widths with those of the state's networks, taken from its policy. Computes nothing."""
    specs: list[Spec] = []
    try:
        jax.eval_shape(lambda state: specs.append(algorithm.policy(state).spec), state)
    except NotImplementedError:
        # An unfinished algorithm has no policy yet.
        return
    ours, theirs = specs[0].flat, batch.spec.flat
    for name in ("observation_dim", "action_dim"):
        width, found = getattr(ours, name), getattr(theirs, name)
        if found != width and batch.chunk > 1 and name == "action_dim":
            raise ValueError(
                f"the state's networks were built for plans of {width} numbers, but the batch has {batch.chunk} "
                f"actions of {batch.spec.action_dim}; make a state with algorithm.init(data.spec.flat, key=...), where "
                f"data are those that the batch is drawn from"
            )
        if found != width:
            raise ValueError(
                f"the state's networks were built for {name} {width}, but the batch has {found}; make a state with "
                f"algorithm.init(batch.spec, key=...), or use data that fit this state"
            )
