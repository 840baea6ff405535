"""Algorithms by name, and those from elsewhere."""

import pytest

import drol
from drol.algorithms.registry import ALGORITHMS, algorithm_class


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_name_is_that_of_its_class_and_public(name):
    cls = algorithm_class(name)
    assert cls.name == name
    assert getattr(drol, cls.__name__) is cls


def test_an_algorithm_from_elsewhere_is_named_by_its_place():
    assert algorithm_class("drol.algorithms.fql:FQL") is drol.FQL


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("drool", "unknown algorithm 'drool'; did you mean 'drol'"),
        ("sarsa", "known: bc, deflow"),
        ("nowhere.at_all:Thing", "no algorithm at 'nowhere.at_all:Thing'.* PYTHONPATH"),
        ("drol.algorithms.fql:Thing", "has no 'Thing'; expected module:Class, found the classes FQL"),
        ("drol.types:Spec", "'Spec' is not a drol.Algorithm"),
    ],
)
def test_what_is_no_algorithm_is_refused(name, words):
    with pytest.raises(ValueError, match=words):
        algorithm_class(name)
