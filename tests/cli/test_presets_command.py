"""Presets on their way through the command line: `drol presets`, and what `drol train` makes of them."""

import re

import pytest

from drol.algorithm import hyperparameters
from drol.algorithms.registry import ALGORITHMS, algorithm_class
from drol.cli import train as train_command
from drol.cli.generated import given_options
from drol.cli.parser import Parser
from drol.data.dataset import Dataset
from drol.errors import DataError
from drol.experiment.config import RunConfig
from drol.experiment.notes import notes as run_notes
from drol.presets import SIZES, TITLES
from tests.helpers.chunked import episodes
from tests.helpers.commands import drol, error_of
from tests.helpers.published_presets import FIELDS, PRESETS

CUBE = "cube-single-play-singletask-task2-v0"


def parse(task, *arguments):
    parser, words = Parser(), [task, *map(str, arguments)]
    train_command.add_arguments(parser, words)
    return parser.parse_args(words)


def planned(task, *arguments, algorithm="drol"):
    """The configuration of a new run, without running it."""
    given = given_options(parse(task, "--algorithm", algorithm, *arguments))
    return RunConfig(**given).resolved().to_json()


def resumed(stored, *arguments):
    """The configuration of a run that is resumed."""
    given = given_options(parse(stored["task"], "--algorithm", stored["algorithm"], "--resume", *arguments))
    return RunConfig.from_json(stored).extended(given).to_json()


@pytest.mark.parametrize("name", PRESETS)
def test_the_table_of_every_method(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert drol("presets", "--algorithm", name) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for preset in PRESETS[name] if FIELDS[name] else ():
        assert preset.family in printed, "never cut short"
    for source in {preset.source for preset in PRESETS[name]}:
        assert source in printed
    assert f"{TITLES[name]}'s defaults apply" in printed
    assert "laptop" in printed
    assert ("DROL*" in printed) == (name == "drol")


def test_one_row_in_full(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert drol("presets", "--algorithm", "iql") == 0
    lines = capsys.readouterr().out.splitlines()
    (cube,) = [line for line in lines if "cube-double-play" in line]
    assert [cell.strip() for cell in cube.split("│")[2:4]] == [
        "0.3",
        "expectile 0.9; size paper: hidden 256 256 256 256",
    ]
    (soccer,) = [line for line in lines if "antsoccer-arena-navigate (1)" in line]
    assert [cell.strip() for cell in soccer.split("│")[2:4]] == ["1", "expectile 0.9, discount 0.995"]
    (pen,) = [line for line in lines if "pen-cloned-v1 (6)" in line]
    assert [cell.strip() for cell in pen.split("│")[2:4]] == ["3", "expectile 0.8"]
    printed = " ".join(" ".join(lines).split())
    assert "(6) in the published runs the actor has dropout of 0.1, which is not implemented; " in printed


def test_all_methods_in_one_table(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert drol("presets", "--algorithm", "all") == 0
    lines = capsys.readouterr().out.splitlines()
    assert not any("…" in line for line in lines), "nothing is cut, though the table is wider"
    rows = {cells[0]: cells[1:] for cells in (re.split(r"\s{2,}", line.strip()) for line in lines) if len(cells) == 10}
    order = ["DROL", "IQL", "ReBRAC", "FAWAC", "FBRAC", "IFQL", "FQL", "SORL", "DeFlow"]
    assert rows["family or task"] == order
    assert rows["antsoccer-arena-navigate"] == ["0.1, 16", "~1", "~0.01, 0.01", "?", "?", "~64", "10", "500", "0.01"]
    assert rows["relocate-cloned-v1"] == ["10, 16", "3", "0.1, 0.01", "0.1", "~3000", "32", "30000", "?", "0.001"]
    assert len(rows) == 1 + 10 + 18


def test_a_method_without_published_numbers_says_so(capsys):
    assert drol("presets", "--algorithm", "meanflow-ql") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Presets of MeanFlow-QL: none are published for these tasks." in printed
    assert "MeanFlow-QL's defaults apply: tune --alpha first" in printed


def test_a_method_with_one_set_of_values_prints_it(capsys):
    assert drol("presets", "--algorithm", "reform") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Presets of ReFORM: q_coef 0.1, discount 0.995; defaults of the ReFORM repository" in printed
    assert "antmaze-large, cube and scene; borrowed from ReFORM's other tasks" in printed


def test_an_unknown_method_has_no_table(capsys):
    assert "found 'fqll'; did you mean fql?" in error_of(capsys, "presets", "--algorithm", "fqll", status=(2,))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_new_run_takes_its_methods_preset_and_records_it(name):
    config = planned(CUBE, algorithm=name)
    presets = {preset.family: preset for preset in PRESETS.get(name, ())}
    if name not in PRESETS:
        assert config["preset"] is None
        return
    preset = presets["cube-single-play"]
    assert config["preset"] == {"family": "cube-single-play", "source": preset.source, "tuned": False}
    assert preset.values.items() <= config["hyperparameters"].items()
    assert config["hyperparameters"]["hidden"] == [256, 256, 256]
    paper = planned(CUBE, "--size", "paper", algorithm=name)["hyperparameters"]["hidden"]
    assert paper == [256] * 4 if name == "iql" else list(SIZES["paper"].hidden)
    assert planned(CUBE, "--size", "paper", "--hidden", 8, algorithm=name)["hyperparameters"]["hidden"] == [8]


def test_tuned_takes_drol_star():
    config = planned("door-cloned-v1", "--tuned")
    assert config["preset"]["tuned"] is True
    assert config["preset"]["family"] == "door-{human,cloned,expert}-v1"
    assert config["hyperparameters"]["num_candidates"] == 8


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name != "drol"])
def test_tuned_is_refused_for_peers(name, tmp_path, capsys):
    for task in (CUBE, "maze2d-umaze-v1"):
        message = error_of(capsys, "train", task, "--algorithm", name, "--tuned", "--out", tmp_path / "run")
        assert message.endswith("leave --tuned out")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if any(p.unknown for p in PRESETS.get(name, ()))])
def test_unknown_hyperparameters_stay_at_their_defaults_and_are_announced(name, tmp_path, capsys):
    preset = next(preset for preset in PRESETS[name] if preset.unknown)
    task = f"{preset.family}-singletask-v0" if "singletask" in preset.pattern else preset.family
    config, defaults = planned(task, algorithm=name), hyperparameters(algorithm_class(name)())
    assert config["preset"]["source"].startswith("unknown: ")
    for field in preset.unknown:
        assert config["hyperparameters"][field] == defaults[field]
    more = ("--algorithm", name, "--data", tmp_path / "none", "--out", tmp_path / "run")
    (line,) = notes(task, *more)
    assert all(field in line for field in (*preset.unknown, preset.source))
    given = [word for field in preset.unknown for word in (f"--{field.replace('_', '-')}", 2)]
    assert notes(task, *more, *given) == []
    swept = [word for field in preset.unknown for word in ("--sweep", f"{field}=1,2")]
    assert notes(task, *more, *swept) == []


def notes(task, *arguments):
    """What `drol train` announces before it trains."""
    request = train_command.requested(parse(task, *arguments))
    config = request.config.resolved()
    log, given = episodes([True], [1]), {*request.config.hyperparameters, *request.sweep}
    return run_notes(config, config.resolved_task(), Dataset(log, None, {}), given)


def test_what_is_published_needs_no_note(tmp_path, capsys):
    assert notes(CUBE, "--algorithm", "fql", "--data", tmp_path / "none", "--out", tmp_path / "run") == []


@pytest.mark.parametrize("preset", [None, {"family": "cube-single-play", "source": "of old", "tuned": False}])
@pytest.mark.parametrize("name", ["drol", "fql"])
def test_a_run_keeps_what_it_was_begun_with(name, preset):
    """Also one of an earlier version, whose preset was another or none."""
    stored = planned(CUBE, "--tau", 0.5, algorithm=name) | {"preset": preset}
    assert resumed(stored) == stored
    with pytest.raises(DataError, match="started with tuned False, and resume cannot change it to True"):
        resumed(stored, "--tuned")


def test_a_tuned_run_is_resumed_by_its_own_command():
    stored = planned(CUBE, "--tuned")
    assert resumed(stored, "--tuned") == resumed(stored) == stored
