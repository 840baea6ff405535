"""What arrays must be before they can form a log: tables of numbers, columns of numbers, flags."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from drol.errors import DataError
from drol.files import listed

if TYPE_CHECKING:
    # Not at run time: it imports JAX, which reading a file does not need.
    from drol.types import Units

ACTION_LIMIT = 1 - 1e-5
"""Data set actions are clipped to +- this value (as in the authors' code)."""

NUMBERS = "fiub"
"""The kinds of NumPy data types that count as numbers."""

OTHER_KINDS = {
    "c": ("complex numbers", "store real and imaginary parts as two columns"),
    "O": ("Python objects", "concatenate arrays of unequal lengths, convert anything else with .astype(np.float32)"),
    "U": ("strings", "store numbers"),
    "S": ("strings", "store numbers"),
    "T": ("strings", "store numbers"),
    "M": ("dates", "store seconds as floats"),
    "m": ("time spans", "store seconds as floats"),
}
"""What the other kinds hold, and the remedy."""

NO_IMAGES = "training needs state vectors, for instance features that an encoder extracts from the images"


def array_of(name: str, value: object, where: str) -> np.ndarray:
    """A caller's value as a NumPy array: lists, tensors of other libraries, columns of data frames.

    Raises:
        DataError: if NumPy cannot convert it, or some of its values are masked.
    """
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        masked = int(np.ma.getmaskarray(value).sum())
        raise DataError(f"{where}: {name!r} has {masked} masked values; fill them, or leave their rows out")
    try:
        return np.asarray(value)
    except Exception as error:  # of whatever library the value comes from
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{where}: {name!r}, of type {type(value).__name__}, cannot be converted to a NumPy array ({reason}); give "
            f"an array of numbers"
        ) from None


def check_numbers(name: str, array: np.ndarray, where: str) -> None:
    """Refuse anything but an array of numbers.

    Raises:
        DataError: says what the array holds and how to convert it.
    """
    kind, dtype = array.dtype.kind, array.dtype
    if kind in NUMBERS:
        return
    if kind == "V" and dtype.names:
        found, remedy = f"records of {listed(dtype.names)}", "store each field as a separate array"
    elif kind == "V" and dtype.name.startswith("void"):
        found, remedy = f"raw bytes ({dtype.str}), as NumPy stores bfloat16", "convert to float32 before storing"
    elif kind == "V":
        found, remedy = dtype.name, "convert it with .astype(np.float32)"
    else:
        found, remedy = OTHER_KINDS.get(kind, (str(dtype), "store numbers"))
    raise DataError(f"{where}: {name!r} must hold numbers, found {found} (data type {dtype}); {remedy}")


def is_images(array: np.ndarray) -> bool:
    """Whether the rows of an array are pictures: bytes in two or more dimensions, or anything in three or more."""
    return array.ndim > 3 or (array.ndim > 2 and array.dtype == np.uint8)


def check_table(name: str, array: np.ndarray, rows: int | None, where: str) -> None:
    """Refuse anything but a table of numbers with this many rows.

    Raises:
        DataError: says what was expected and what was found.
    """
    if array.ndim != 2 or (rows is not None and len(array) != rows):
        if is_images(array):
            raise DataError(f"{where}: {name!r} holds images, {array.shape[1:]} of {array.dtype}; {NO_IMAGES}")
        expected = "(T, n)" if rows is None else f"({rows}, n)"
        raise DataError(
            f"{where}: {name!r} must have shape {expected}, found {array.shape}{_shape_remedy(name, array)}"
        )
    check_numbers(name, array, where)


def _shape_remedy(name: str, array: np.ndarray) -> str:
    """How to bring an array of another number of dimensions into rows."""
    if array.ndim == 1:
        return f"; if each row is one number, store {name}[:, None]"
    if array.ndim == 3:
        first, second, last = array.shape
        return (
            f"; if these are {first} episodes of {second} steps, store {name}.reshape(-1, {last}), all other arrays "
            f"likewise, and mark the last row of each episode; if each row is a matrix, store "
            f"{name}.reshape({first}, -1)"
        )
    return ""


def column(name: str, array: np.ndarray, rows: int, where: str, expected: str = "numbers") -> np.ndarray:
    """One number per row, (rows,); a table of one column, (rows, 1), is accepted.

    Raises:
        DataError: for another shape, or values that are not numbers.
    """
    single = array[:, 0] if array.shape == (rows, 1) else array
    if single.shape != (rows,):
        remedy = ""
        if array.ndim == 2 and array.size == rows:
            remedy = f"; if these are {len(array)} episodes, flatten all arrays into rows: {name}.reshape(-1)"
        raise DataError(f"{where}: {name!r} must be {expected} of shape ({rows},), found {array.shape}{remedy}")
    check_numbers(name, single, where)
    return single


def check_flags(name: str, array: np.ndarray, rows: int, where: str) -> np.ndarray:
    """Flags as booleans, (rows,).

    Raises:
        DataError: for another shape, or a value that is neither 0 nor 1.
    """
    flags = column(name, array, rows, where, "true or false")
    wrong = (flags != 0) & (flags != 1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"{where}: {name!r} must be 0 or 1, found {flags[row]:g} in row {row}")
    return flags.astype(bool)


def check_array(
    name: str,
    array: np.ndarray,
    shape: tuple[int | None, ...],
    where: str,
    rows: np.ndarray | None = None,
    place: Callable[[int], str] = "row {}".format,
) -> np.ndarray:
    """`array` as float32, checked.

    Args:
        name: of the array, for messages.
        array: any NumPy array.
        shape: expected lengths, None where any length is allowed.
        where: the file or call it came from.
        rows: the source's number of each row; 0, 1, ... by default.
        place: puts a row's number into words.

    Raises:
        DataError: for a wrong number of dimensions or length, a non-numeric type, NaN or infinity.
    """
    expected = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
    matches = array.ndim == len(shape) and all(n is None or n == m for n, m in zip(shape, array.shape, strict=True))
    if not matches:
        raise DataError(f"{where}: {name!r} must have shape {expected}, found {array.shape}")
    check_numbers(name, array, where)
    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
    finite = np.isfinite(single)
    if not finite.all():
        row, count = int(np.argwhere(~finite)[0][0]), int((~finite).sum())
        row = row if rows is None else rows[row]
        raise DataError(
            f"{where}: {name!r} has {count} NaN or infinite values (in float32), the first in {place(int(row))}; "
            f"remove or fix it"
        )
    return single


def check_actions(
    actions: np.ndarray,
    where: str,
    units: "Units | None" = None,
    rows: np.ndarray | None = None,
    place: Callable[[int], str] = "row {}".format,
) -> np.ndarray:
    """Actions in the learner's units, clipped to +-(1 - 1e-5).

    Args:
        actions: (T, action).
        where: the file or call they came from.
        units: state the bounds of the actions; [-1, 1] by default.
        rows: the source's number of each row; 0, 1, ... by default.
        place: puts a row's number into words.

    Raises:
        DataError: if an action lies outside its bounds by more than rounding.
    """
    scaled = actions if units is None else units.action_inward(actions)
    beyond = np.abs(scaled).max(axis=-1, initial=0) > 1 + 1e-4
    if beyond.any():
        first = int(np.argmax(beyond))
        row = first if rows is None else rows[first]
        bounds = (
            "[-1, 1]"
            if units is None
            else f"{_shown(np.asarray(units.action_low))} to {_shown(np.asarray(units.action_high))}"
        )
        what = (
            f"{where}: actions must lie in {bounds}; {int(beyond.sum())} rows do not, the first is {place(int(row))} "
            f"with {_shown(actions[first])}; state their bounds"
        )
        raise DataError(
            f"{what} (units= for arrays, bounds= for a file), or fix them",
            f"{what} (--action-low, --action-high), or fix them",
        )
    return np.clip(scaled, -ACTION_LIMIT, ACTION_LIMIT).astype(np.float32)


def _shown(numbers: np.ndarray) -> str:
    return np.array2string(np.asarray(numbers), precision=3, threshold=8)
