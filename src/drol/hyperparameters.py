"""How algorithms declare hyperparameters: one field definition serves to convert, check, show and explain each."""

import dataclasses
import operator
from collections.abc import Callable
from typing import Any, SupportsIndex, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

T = TypeVar("T")

MANY = 12
"""The most values of a sweep that are shown."""


def scalar(
    default: float, help: str, *, low: float = 0.0, high: float = float("inf"), before: float | str | None = None
) -> Any:
    """A continuous hyperparameter, stored as a 0-d array: a new value never retraces, and a sweep is a `vmap`.

    Args:
        default: its default value.
        help: its description, for the command line and for `help`.
        low: the smallest allowed value.
        high: the largest allowed value.
        before: for records written before it existed: the value it then had, or the hyperparameter whose value it had.
    """
    metadata = {"help": help, "low": low, "high": high, "default": default, "before": before}
    return eqx.field(default=default, converter=_as_array, metadata=metadata)


def static(
    default: T,
    help: str,
    *,
    low: int | None = None,
    choices: tuple[str, ...] | None = None,
    before: T | None = None,
    check: Callable[[str, Any], None] | None = None,
) -> T:
    """A hyperparameter that shapes the program: a new value is compiled again.

    Args:
        default: its default value, which also determines its type.
        help: as in `scalar`.
        low: the smallest allowed value, also for each entry of a tuple.
        choices: the allowed names.
        before: as in `scalar`.
        check: called with the name and the value; raises a ValueError if the value is not allowed.
    """
    metadata = {"help": help, "low": low, "choices": choices, "default": default, "before": before, "check": check}
    return eqx.field(default=default, static=True, converter=_as_plain, metadata=metadata)


def is_continuous(field: dataclasses.Field) -> bool:
    """Whether a hyperparameter was declared with `scalar`, so that it can be swept within one program."""
    return not field.metadata.get("static", False) and isinstance(field.metadata.get("default"), float)


def check(field: dataclasses.Field, value: object) -> None:
    """Refuse values of the wrong type or out of range; the values of tracers are not checked.

    Raises:
        ValueError: naming the hyperparameter, what was expected and what was found.
    """
    default, own = field.metadata.get("default"), field.metadata.get("check")
    given = _Given(field, value)
    if own is not None:
        own(field.name, value)
    elif is_continuous(field):
        given.check_continuous()
    elif field.metadata.get("choices") is not None:
        if not isinstance(value, str) or value not in field.metadata["choices"]:
            raise given.wrong(f"one of {', '.join(field.metadata['choices'])}")
    elif isinstance(default, bool):
        if not isinstance(value, bool):
            raise given.wrong("True or False")
    elif isinstance(default, tuple):
        given.check_several()
    elif field.metadata.get("low") is not None and not (default is None and value is None):
        given.check_number(whole=isinstance(default, int))


@dataclasses.dataclass(frozen=True)
class _Given:
    """A value that is given for a hyperparameter; the checks raise a ValueError that names both."""

    field: dataclasses.Field
    value: Any

    def check_continuous(self) -> None:
        if not isinstance(self.value, jax.Array):
            is_schedule = callable(self.value)
            hint = "; a schedule goes into the optimizer: optimizer=optax.adam(schedule)" if is_schedule else ""
            raise self.wrong("a number", hint)
        numbers = _numbers(self.value)
        if numbers is not None:
            for number in np.ravel(numbers):
                _Given(self.field, float(str(number))).check_number(whole=False)

    def check_several(self) -> None:
        value = self.value
        if not isinstance(value, tuple) or not value:
            example = f"({value},)" if isinstance(value, int) and not isinstance(value, bool) else "(256, 256)"
            hint = "; a network needs at least one hidden layer" if value == () else ""
            raise self.wrong(f"a sequence of whole numbers, such as {example}", hint)
        for number in value:
            _Given(self.field, number).check_number(whole=True)

    def check_number(self, *, whole: bool) -> None:
        value = self.value
        if whole and (isinstance(value, bool) or not isinstance(value, int)):
            raise self.wrong("an integer")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong("a number")
        low, high = self.field.metadata.get("low"), self.field.metadata.get("high")
        low, high = -float("inf") if low is None else low, float("inf") if high is None else high
        if not low <= value <= high or abs(value) == float("inf"):
            expected = f"at least {low:g}" if high == float("inf") else f"between {low:g} and {high:g}"
            raise ValueError(f"{self.field.name} must be a finite number {expected}, found {value:g}")

    def wrong(self, expected: str, hint: str = "") -> ValueError:
        return ValueError(f"{self.field.name} must be {expected}, found {named(self.value)}{hint}")


def named(value: object) -> str:
    """A rejected value in a few words, without memory addresses."""
    if isinstance(value, jax.Array | np.ndarray):
        return f"an array of shape {value.shape} and type {value.dtype}"
    if callable(value) and hasattr(value, "__name__"):
        return f"the function {value.__name__}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_optimizer(name: str, value: object) -> None:
    """Refuse anything without `init` and `update`.

    Raises:
        ValueError: naming what was found.
    """
    if value is None or (callable(getattr(value, "init", None)) and callable(getattr(value, "update", None))):
        return
    hint = ": call it with its learning rate" if callable(value) else ""
    raise ValueError(f"{name} must be an optax transform, such as optax.sgd(1e-3), found {named(value)}{hint}")


def _as_array(value: T) -> T | jax.Array:
    """A number as a 0-d array, a sweep as an array; anything else is left for `check` to refuse by name."""
    if isinstance(value, bool) or not isinstance(value, jax.Array | np.ndarray | np.generic | int | float):
        return value
    kind = jnp.result_type(value)
    if not (jnp.issubdtype(kind, jnp.floating) or jnp.issubdtype(kind, jnp.integer)):
        return value
    return jnp.asarray(value, jnp.result_type(float))


def _as_plain(value: object) -> Any:
    """NumPy scalars as Python ones, and lists as tuples, because static values are compared and hashed."""
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return tuple(_as_plain(entry) for entry in value)
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return tuple(_as_plain(entry) for entry in value)
    if isinstance(value, np.bool_ | np.floating | np.str_):
        return value.item()
    if isinstance(value, SupportsIndex) and not isinstance(value, bool | jax.Array | np.ndarray):
        return operator.index(value)
    return value


def _numbers(value: jax.Array) -> np.ndarray | None:
    """The numbers in an array; None where they cannot be read (traced, deleted or remote arrays)."""
    if isinstance(value, Tracer) or value.is_deleted() or not value.is_fully_addressable:
        return None
    return np.asarray(value)


def plain(value: jax.Array | float, otherwise: float) -> float:
    """A continuous hyperparameter as a Python number, for what is static; `otherwise` while it is traced or swept."""
    numbers = _numbers(value) if isinstance(value, jax.Array) else np.asarray(value)
    return otherwise if numbers is None or numbers.ndim else float(str(numbers))


def shown(value: object) -> str:
    """A value for `repr`: numbers in the fewest digits, short sweeps in full, and otherwise only type and shape."""
    numbers = _numbers(value) if isinstance(value, jax.Array) else None
    if numbers is None or numbers.size > MANY or numbers.dtype.kind != "f":
        return eqx.tree_pformat(value)
    texts = [repr(float(str(number))) for number in np.ravel(numbers)]
    return texts[0] if numbers.ndim == 0 else f"[{', '.join(texts)}]"


def described(value: eqx.Module) -> str:
    """An algorithm with the values of its fields, on one line if it fits."""
    names = [field.name for field in dataclasses.fields(value) if hasattr(value, field.name)]
    parts = [f"{name}={shown(getattr(value, name))}" for name in names]
    line = f"{type(value).__name__}({', '.join(parts)})"
    if len(line) <= 100:
        return line
    return "\n".join([f"{type(value).__name__}(", *(f"  {part}," for part in parts), ")"])


def explanation(cls: type) -> str:
    """The lines of a class's docstring that explain the hyperparameters it declares; empty if there are none."""
    fields = [(name, vars(cls).get(name)) for name in vars(cls).get("__annotations__", {})]
    lines = [
        f"    {name}: {field.metadata['help']} ({_range(field)})."
        for name, field in fields
        if isinstance(field, dataclasses.Field) and "help" in field.metadata
    ]
    return "\n".join(["Hyperparameters:", *lines]) if lines else ""


def _range(field: dataclasses.Field) -> str:
    default, low, high, choices = (field.metadata.get(name) for name in ("default", "low", "high", "choices"))
    parts = [f"default {default}"]
    if choices is not None:
        parts.append(f"one of {', '.join(choices)}")
    elif low is not None:
        parts.append(f"at least {low:g}" if high in (None, float("inf")) else f"{low:g} to {high:g}")
    return "; ".join(parts)
