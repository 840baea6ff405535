"""Actors of ants that move at random, in place of trained ones."""

import itertools

import numpy as np

from drol.sources.ogbench.actors import INPUTS, save_actor


def random_layers(inputs, seed=0):
    """Layers of an actor with two hidden layers of 16."""
    rng = np.random.default_rng(seed)
    pairs = itertools.pairwise((inputs, 16, 16, 8))
    return [(rng.normal(size=(m, n)) / np.sqrt(m), 0.1 * rng.normal(size=n)) for m, n in pairs]


def write_actors(folder):
    """`ant` and `antball` in a folder."""
    for name, inputs in INPUTS.items():
        save_actor(folder / f"{name}.npz", random_layers(inputs), {"expert": name})
    return folder
