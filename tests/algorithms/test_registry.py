"""Algorithms by name, and those from elsewhere."""

import subprocess
import sys
from pathlib import Path

import pytest

import drol
from drol.algorithms.registry import ALGORITHMS, TITLES, Registered, algorithm_class
from drol.benchmarks.arithmetic import update_flop
from drol.presets import note, published

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_name_is_that_of_its_class_and_public(name):
    cls = algorithm_class(name)
    assert cls.name == name
    assert getattr(drol, cls.__name__) is cls


def test_a_method_is_one_file_and_one_line():
    """No other file knows the newest method, ReFORM: presets, advice and operations are in its own."""
    source = ROOT / "src/drol"
    naming = {
        str(path.relative_to(source)): path.read_text().count("reform")
        for path in source.rglob("*.py")
        if "reform" in path.read_text()
    }
    # Its name and its module in one line, and likewise in the list of public names.
    assert set(naming) == {"algorithms/reform.py", "algorithms/registry.py", "__init__.py"}
    lines = (source / "algorithms/registry.py").read_text().splitlines()
    assert len([line for line in lines if "reform" in line]) == 1


def test_the_example_becomes_a_method_by_its_file_and_one_line(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.setitem(ALGORITHMS, "td3-bc", Registered("TD3+BC", "own_algorithm:TD3BC"))
    monkeypatch.setitem(TITLES, "td3-bc", "TD3+BC")
    cls = algorithm_class("td3-bc")
    assert published("td3-bc").fields == ("alpha",)
    told = note("robot.npz", "td3-bc", "robot")
    assert told.endswith("so TD3+BC's defaults apply; its paper uses --alpha 2.5 everywhere")
    assert update_flop(cls(hidden=(8,)), drol.Spec(3, 2), 10) > 0


def test_names_and_titles_need_no_jax():
    code = "import drol.presets, sys; print('jax' in sys.modules)"
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_an_algorithm_from_elsewhere_is_named_by_its_place():
    assert algorithm_class("drol.algorithms.fql:FQL") is drol.FQL


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("drool", "unknown algorithm 'drool'; did you mean 'drol'"),
        ("sarsa", "known: bc, bfn, deflow"),
        ("nowhere.at_all:Thing", "no algorithm at 'nowhere.at_all:Thing'.* PYTHONPATH"),
        ("drol.algorithms.fql:Thing", "has no 'Thing'; expected module:Class, found the classes FQL"),
        ("drol.types:Spec", "'Spec' is not a drol.Algorithm"),
    ],
)
def test_what_is_no_algorithm_is_refused(name, words):
    with pytest.raises(ValueError, match=words):
        algorithm_class(name)
