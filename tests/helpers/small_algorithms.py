"""Algorithms with little to compile, and what they compute at first, compiled."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from drol import Spec
from drol.algorithms.registry import algorithm_class


def small(name, **options):
    """An algorithm with little to compile."""
    cls = algorithm_class(name)
    short = {"flow_steps": 2} if "flow_steps" in {field.name for field in dataclasses.fields(cls)} else {}
    return cls(**({"hidden": (16,)} | short | options))


@functools.partial(jax.jit, static_argnums=1)
def init(algorithm, spec: Spec, key):
    """`algorithm.init`, compiled: much faster than op by op."""
    return algorithm.init(spec, key=key)


@functools.partial(jax.jit, static_argnums=(1, 2))
def noise_of(algorithm, spec: Spec, rows: int, key):
    """`algorithm.noise` for rows 0 .. rows - 1, compiled."""
    return algorithm.noise(spec, jnp.arange(rows), key=key)
