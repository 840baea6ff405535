"""How a run's configuration declares its options: default, help, range and what a resumed run may do, in one place."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, SupportsFloat, SupportsIndex, TypeVar

from drol.data.readers.columns import canonical
from drol.errors import UsageError
from drol.files import checksum
from drol.seeding import checked_seed

T = TypeVar("T")

Rule = Literal["fixed", "extend", "free"]
"""What a resumed run may do with an option: nothing, make it larger, or change it."""

OptionType = Literal[
    "text", "path", "count", "number", "seed", "seconds", "flag", "switch", "bounds", "columns", "sha256"
]
"""What an option holds; a `switch` is a flag that can also be turned off, `bounds` are one number or one per dimension,
`seconds` may be infinite."""

Value = bool | int | float | str | Path | tuple[int | float, ...] | Mapping[str, str | None] | None
"""The value of an option, once it is checked."""

Given = SupportsIndex | SupportsFloat | str | Path | Sequence[Any] | Mapping[str, Any] | None
"""What may be given for one, right or wrong."""


@dataclasses.dataclass(frozen=True)
class Option:
    """The declaration of one option, apart from its name and default.

    Attributes:
        type: what it holds.
        help: one sentence, for the command line and the documentation.
        resume: what a resumed run may do with it.
        at: its place in config.json; None if it is not stored there.
        low: the lowest count allowed.
        choices: the words that are allowed.
        shown: the default in words, if it depends on something else.
        metavar: the placeholder for its value in the help.
        group: the heading under which it is listed.
    """

    type: OptionType
    help: str
    resume: Rule = "free"
    at: tuple[str, ...] | None = None
    low: int = 1
    choices: tuple[str, ...] | None = None
    shown: str | None = None
    metavar: str | None = None
    group: str = "the run"


def option(
    default: T,
    type: OptionType,
    help: str,
    *,
    resume: Rule = "free",
    at: str | None = None,
    low: int = 1,
    choices: tuple[str, ...] | None = None,
    shown: str | None = None,
    metavar: str | None = None,
    group: str = "the run",
) -> T:
    """A field of a configuration; see `Option` for the arguments. `at` is written with dots."""
    place = None if at is None else tuple(at.split("."))
    declared = Option(type, help, resume, place, low, choices, shown, metavar, group)
    return dataclasses.field(default=default, metadata={"option": declared})  # pyright: ignore[reportReturnType]


def option_of(field: "dataclasses.Field[Value]") -> Option | None:
    """The option that a field declares; None if the field is derived from others."""
    return field.metadata.get("option")


def explanation(options: Mapping[str, Option]) -> str:
    """The lines of a docstring that explain options, and what a resumed run may do with them."""
    rules = {"fixed": "fixed for the life of a run", "extend": "may grow when a run is resumed", "free": ""}
    lines = []
    for name, option in options.items():
        rule = f" ({rules[option.resume]})" if rules[option.resume] else ""
        lines.append(f"    {name}: {' '.join(option.help.split())}{rule}.")
    return "\n".join(["Options:", *lines])


def option_name(name: str) -> str:
    """The option on the command line: `eval_every` is `--eval-every`."""
    return f"--{name.replace('_', '-')}"


def checked(name: str, option: Option, value: Given) -> Value:
    """The value, checked and converted to the option's plain, comparable type.

    Raises:
        UsageError: naming the option, what was expected and what was found.
    """
    try:
        return _CHECKS[option.type](value, option)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} {error}", f"{option_name(name)} {error}") from None


def _text(value: Given, option: Option) -> str:
    if not isinstance(value, str) or (option.choices is not None and value not in option.choices):
        expected = "a string" if option.choices is None else f"one of {', '.join(option.choices)}"
        raise ValueError(f"must be {expected}, found {value!r:.100}")
    return value


def _path(value: Given, option: Option) -> Path:
    if not isinstance(value, str | Path):
        raise TypeError(f"must be a path, found {value!r:.100}")
    return Path(value)


def _count(value: Given, option: Option) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ValueError(f"must be a whole number, found {value!r:.100}")
    number = int(value)  # pyright: ignore[reportArgumentType]
    if not option.low <= number < 2**63:
        expected = "not be negative" if option.low == 0 else f"be at least {option.low}"
        raise ValueError(f"must {expected}, found {number}")
    return number


def _number(value: Given, option: Option) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"must be a positive number, found {value!r:.100}")
    return float(value)


def _seed(value: Given, option: Option) -> int:
    try:
        return checked_seed(value)
    except ValueError:
        raise ValueError(f"must be a whole number from 0 to 2^64 - 1, found {value!r:.100}") from None


def _seconds(value: Given, option: Option) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError(f"must be a positive number of seconds, found {value!r:.100}")
    return float(value)


def _flag(value: Given, option: Option) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be True or False, found {value!r:.100}")
    return value


def _bounds(value: Given, option: Option) -> tuple[float, ...]:
    several: Sequence[Any] = value if isinstance(value, list | tuple) else (value,)
    numbers = [float(number) for number in several if isinstance(number, int | float) and math.isfinite(number)]
    if not numbers or len(numbers) < len(several) or any(isinstance(number, bool) for number in several):
        raise ValueError(f"must be finite numbers, found {value!r:.100}")
    return tuple(numbers)


def _columns(value: Given, option: Option) -> Mapping[str, str | None]:
    if not isinstance(value, Mapping):
        raise TypeError(f"must be a mapping of names to arrays, found {value!r:.100}")
    return canonical(value)


def _sha256(value: Given, option: Option) -> str:
    if not isinstance(value, str):
        raise TypeError(f"must be a SHA-256 in hexadecimal, found {value!r:.100}")
    return checksum(value)


_CHECKS: dict[OptionType, Callable[[Given, Option], Value]] = {
    "text": _text,
    "path": _path,
    "count": _count,
    "number": _number,
    "seed": _seed,
    "seconds": _seconds,
    "flag": _flag,
    "switch": _flag,
    "bounds": _bounds,
    "columns": _columns,
    "sha256": _sha256,
}
