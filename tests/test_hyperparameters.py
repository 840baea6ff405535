"""Hyperparameters: refused by name, shown with their values, explained where they are declared."""

import dataclasses
import inspect
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import drol
from drol.algorithms.registry import ALGORITHMS, algorithm_class

NAMES = sorted(ALGORITHMS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bc_coef": "3"}, "bc_coef must be a number, found '3'"),
        ({"bc_coef": None}, "bc_coef must be a number, found None"),
        ({"bc_coef": True}, "bc_coef must be a number, found True"),
        ({"bc_coef": 1j}, "bc_coef must be a number, found 1j"),
        ({"bc_coef": float("nan")}, "bc_coef must be a finite number at least 0, found nan"),
        ({"bc_coef": np.array([1.0, -2.0])}, "bc_coef must be a finite number at least 0, found -2"),
        ({"discount": 1.5}, "discount must be a finite number between 0 and 1, found 1.5"),
        (
            {"learning_rate": optax.constant_schedule(1e-3)},
            "must be a number, .* goes into the optimizer",
        ),
        ({"normalize_q": "no"}, "normalize_q must be True or False, found 'no'"),
        ({"hidden": 16}, r"hidden must be a sequence of whole numbers, such as \(16,\), found 16"),
        ({"hidden": ()}, "hidden must be a sequence"),
        ({"hidden": (16, 2.5)}, "hidden must be an integer, found 2.5"),
        ({"hidden": (16, 0)}, "hidden must be a finite number at least 1, found 0"),
        ({"num_candidates": 2.0}, "num_candidates must be an integer, found 2.0"),
        ({"num_candidates": True}, "num_candidates must be an integer, found True"),
        ({"latent_radius": float("nan")}, "latent_radius must be a finite number at least 0, found nan"),
        ({"latent_radius": "1"}, "latent_radius must be a number, found '1'"),
        ({"q_agg": 3}, "q_agg must be one of mean, min, mean-half-std, mean-std, found 3"),
        ({"optimizer": "adam"}, r"optimizer must be an optax transform, such as optax.sgd\(1e-3\), found 'adam'"),
        ({"optimizer": 1e-3}, "optimizer must be an optax transform, .* found 0.001"),
        ({"optimizer": optax.adam}, "found the function adam: call it"),
    ],
    # No addresses of functions: the workers of a parallel run must agree on the names.
    ids=lambda value: value[:40] if isinstance(value, str) else next(iter(value)),
)
def test_what_cannot_be_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        drol.DROL(**options)


@pytest.mark.parametrize("name", NAMES)
def test_every_hyperparameter_of_every_algorithm_is_checked(name):
    cls = algorithm_class(name)
    for field in dataclasses.fields(cls):
        with pytest.raises(ValueError, match=f"{field.name} must be"):
            cls(**{field.name: object()})


NUMPY = """
import drol, jax, numpy as np
numpys = drol.DROL(hidden=[np.int64(8)], num_candidates=np.int32(3), bc_coef=np.float32(2), normalize_q=np.bool_(False))
plain = drol.DROL(hidden=(8,), num_candidates=3, bc_coef=2.0, normalize_q=False)
assert jax.tree.structure(numpys) == jax.tree.structure(plain)
assert drol.Spec(np.int64(3), np.prod((2, 2))) == drol.Spec(3, 4)
for wrong in (True, np.bool_(True), 2.0, 0, -1, "3", None, np.array([3])):
    try:
        drol.Spec(wrong, 2)
    except ValueError as error:
        assert "observation_dim must be a positive integer" in str(error)
    else:
        raise AssertionError(wrong)
"""


def test_numbers_of_numpy_are_numbers():
    """Where no type checker looks at arguments first, as it does in these tests."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", NUMPY], check=True)


@pytest.mark.parametrize("name", NAMES)
def test_values_are_shown(name):
    text = repr(algorithm_class(name)(learning_rate=0.0123))
    assert "learning_rate=0.0123" in text
    assert "f32[]" not in text


def test_what_cannot_be_read_is_shown_by_shape():
    swept = drol.BC(learning_rate=np.array([0.1, 0.25]))
    assert repr(swept) == "BC(learning_rate=[0.1, 0.25], hidden=(512, 512, 512, 512), optimizer=None)"
    assert "learning_rate=f32[100]" in repr(drol.BC(learning_rate=np.linspace(0, 1, 100)))
    texts = []
    jax.jit(lambda algorithm: texts.append(repr(algorithm)))(drol.BC())
    jax.vmap(lambda algorithm: texts.append(repr(algorithm)))(swept)
    assert all("learning_rate=f32[]" in text for text in texts)
    deleted = drol.BC(learning_rate=jnp.asarray(0.5) + 0)
    deleted.learning_rate.delete()
    assert "learning_rate=f32[]" in repr(deleted)


@pytest.mark.parametrize("name", NAMES)
def test_help_explains_every_hyperparameter_as_the_command_line_does(name):
    cls = algorithm_class(name)
    text = inspect.getdoc(cls)
    assert text.count("Hyperparameters:") == 1
    for field in dataclasses.fields(cls):
        assert f"\n    {field.name}: {field.metadata['help']} (default {field.metadata['default']}" in text
