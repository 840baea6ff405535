"""Arrays of every kind that people hand over: taken, or refused by name with a remedy."""

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from drol import from_arrays
from drol.data import files
from drol.errors import DataError
from drol.files import listed
from tests.helpers.own_logs import rows_only, walk


def refusal(**changed):
    with pytest.raises(DataError) as caught:
        from_arrays(**{**walk(), **changed})
    return str(caught.value)


class Device:
    """Stands for a tensor that NumPy cannot reach, as on a graphics card."""

    def __array__(self, dtype=None, copy=None):
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")


class Tensor:
    """Stands for a tensor of another library: all it offers is `__array__`."""

    def __init__(self, array):
        self._array = array

    def __array__(self, dtype=None, copy=None):
        return self._array if dtype is None else self._array.astype(dtype)


@pytest.mark.parametrize("convert", [jnp.asarray, Tensor, np.ndarray.tolist, np.asfortranarray, np.ma.asarray])
def test_whatever_numpy_makes_an_array_of_is_taken(convert):
    expected = from_arrays(**walk())
    found = from_arrays(**{name: convert(column) for name, column in walk().items()})
    np.testing.assert_allclose(found.observations, expected.observations, rtol=1e-6)
    np.testing.assert_array_equal(found.masks, expected.masks)


def test_columns_of_one_are_columns():
    log = walk()
    tall = {name: log[name][:, None] for name in ("rewards", "terminated", "truncated")}
    for tuples in (log | tall, rows_only(log | tall)):
        flat = {name: tuples[name] if name not in tall else log[name] for name in tuples}
        found, expected = files.log_of_columns(tuples, "here"), files.log_of_columns(flat, "here")
        for name in ("rewards", "terminated", "truncated"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(from_arrays(**(log | tall)).rewards, from_arrays(**log).rewards)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda a: a.astype(ml_dtypes.bfloat16), "found bfloat16 .* convert it with .astype(np.float32)"),
        (lambda a: a.astype(ml_dtypes.float8_e4m3fn), "found float8_e4m3fn .* convert it with .astype(np.float32)"),
        (lambda a: a.astype(np.float16).view("V2"), "raw bytes (|V2), as NumPy stores bfloat16"),
        (lambda a: a.astype(complex), "complex numbers .* two columns"),
        (lambda a: a.astype(str), "found strings"),
        (lambda a: a.astype("S8"), "found strings"),
        (lambda a: a.astype("datetime64[s]"), "found dates .* seconds"),
        (lambda a: a.astype("timedelta64[s]"), "found time spans .* seconds"),
        (lambda a: a.astype(object), "found Python objects .* .astype(np.float32)"),
        (lambda a: a.astype([("x", float), ("y", float)]), "records of x, y .* separate array"),
        (lambda a: np.ma.masked_equal(a, a.flat[0]), "masked values; fill them"),
        (lambda a: Device(), "Device, cannot be converted to a NumPy array (can't convert cuda:0 .* Tensor.cpu()"),
        (lambda a: [[1, 2], [3]], "of type list, cannot be converted to a NumPy array"),
    ],
)
@pytest.mark.parametrize("name", ["observations", "actions", "rewards", "terminated", "next_observations"])
def test_what_is_no_number_is_refused_by_name(name, make, words):
    said = refusal(**{name: make(walk()[name].astype(float))})
    assert said.startswith(f"from_arrays: {name!r}"), said
    for part in words.split(" .* "):
        assert part in said
    assert "--" not in said, "options are for the shell"


def test_bounds_are_named_as_the_caller_names_them():
    with pytest.raises(DataError, match=r"state their bounds \(units=") as caught:
        from_arrays(**{**walk(), "actions": walk()["actions"] * 3})
    assert "--" not in str(caught.value)
    assert "(--action-low, --action-high)" in caught.value.shell


@pytest.mark.parametrize(
    ("shape", "dtype", "words"),
    [
        ((19,), float, "found (19,); if each row is one number, store observations[:, None]"),
        ((4, 5, 3), float, "if these are 4 episodes of 5 steps, store observations.reshape(-1, 3), all other arrays"),
        ((19, 8, 8), np.uint8, "'observations' holds images, (8, 8) of uint8; training needs state vectors"),
        ((19, 8, 8, 3), np.uint8, "'observations' holds images, (8, 8, 3) of uint8; training needs state vectors"),
        ((19, 8, 8, 3), np.float32, "'observations' holds images, (8, 8, 3) of float32"),
    ],
)
def test_other_shapes_are_refused_with_a_remedy(shape, dtype, words):
    columns = {**walk(), "observations": np.zeros(shape, dtype)}
    for tuples in (columns, rows_only(columns)):
        with pytest.raises(DataError) as caught:
            files.log_of_columns(tuples, "here")
        assert words in str(caught.value)


def test_rewards_by_episode_are_refused_with_a_remedy():
    assert "flatten all arrays into rows: rewards.reshape(-1)" in refusal(rewards=np.zeros((1, 19)))


def test_no_message_lists_more_than_a_dozen_names():
    assert listed([]) == "none"
    assert listed(range(12)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11"
    assert listed(range(2000)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ... (2,000 in all)"
