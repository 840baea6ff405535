"""Chunks change nothing for single steps: every method still traces to the program that it had before there were any.

`programs.json` was stored before chunks were added, with one release of JAX; other releases trace the same source to
other operations.
"""

import json
from pathlib import Path

import jax
import pytest

from tests.helpers.programs import VARIANTS, of_step, of_training

STORED = json.loads((Path(__file__).parent / "programs.json").read_text())

with_the_same_jax = pytest.mark.skipif(jax.__version__ != STORED["jax"], reason=f"stored with JAX {STORED['jax']}")


@with_the_same_jax
@pytest.mark.parametrize("title", VARIANTS)
def test_a_step_is_the_program_that_it_was(title):
    assert of_step(*VARIANTS[title]) == STORED["programs"][title]


@with_the_same_jax
@pytest.mark.parametrize("name", ["drol", "fql", "bc"])
def test_training_is_the_program_that_it_was(name):
    assert of_training(name) == STORED["programs"][f"training of {name}"]


def test_a_changed_program_has_another_fingerprint():
    assert of_step("fql", {}) != of_step("fql", {"normalize_q": True})
