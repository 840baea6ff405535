"""What arrays must be before they make a log: tables of numbers, columns of numbers, flags."""

from typing import Any

import numpy as np

from drol.files import DataError, listed

NUMBERS = "fiub"
"""NumPy's kinds of data types that are numbers here."""

OTHER_KINDS = {
    "c": ("complex numbers", "store real and imaginary parts as two columns"),
    "O": ("Python objects", "concatenate arrays of unequal lengths, convert anything else with .astype(np.float32)"),
    "U": ("texts", "store numbers"),
    "S": ("texts", "store numbers"),
    "T": ("texts", "store numbers"),
    "M": ("dates", "store seconds as floats"),
    "m": ("time spans", "store seconds as floats"),
}
"""What the other kinds hold, and the remedy."""

NO_IMAGES = "only states can be learnt from, for instance what an encoder makes of the images"


def array_of(name: str, value: Any, where: str) -> np.ndarray:
    """Whatever a caller gives as a NumPy array: lists, tensors of other libraries, columns of data frames.

    Raises:
        DataError: if NumPy makes no array of it, or some of its values are masked.
    """
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        masked = int(np.ma.getmaskarray(value).sum())
        raise DataError(f"{where}: {name!r} has {masked} masked values; fill them, or leave their rows out")
    try:
        return np.asarray(value)
    except Exception as error:  # of whatever library the value is of
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{where}: {name!r}, of type {type(value).__name__}, cannot be made a NumPy array ({reason}); give an "
            f"array of numbers"
        ) from None


def check_numbers(name: str, array: np.ndarray, where: str) -> None:
    """Refuse what is no array of numbers.

    Raises:
        DataError: saying what it holds and how to convert it.
    """
    kind, dtype = array.dtype.kind, array.dtype
    if kind in NUMBERS:
        return
    if kind == "V" and dtype.names:
        found, remedy = f"records of {listed(dtype.names)}", "store each field as an array of its own"
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
    """Refuse what is no table of numbers with so many rows.

    Raises:
        DataError: saying what was expected and found.
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
    """One number per row, (rows,); a table of one column, (rows, 1), is taken as such.

    Raises:
        DataError: for another shape, or what holds no numbers.
    """
    single = array[:, 0] if array.shape == (rows, 1) else array
    if single.shape != (rows,):
        remedy = ""
        if array.ndim == 2 and array.size == rows:
            remedy = f"; if these are {len(array)} episodes, lay all arrays out as rows: {name}.reshape(-1)"
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
