"""Command lines as people type them: numbers in every notation, typos of all sorts, options of another algorithm."""

import argparse

import pytest

from drol.cli import train as train_command
from drol.cli.main import COMMANDS
from drol.cli.numbers import count, number, seed
from drol.cli.parser import Parser
from tests.helpers.commands import drol, error_of

TASK = "pen-human-v1"


def parsed(*words):
    """What `drol train` reads."""
    parser, words = Parser(prog="drol train"), list(map(str, words))
    train_command.add_arguments(parser, words)
    return parser.parse_args(words)


def refusal(capsys, *words):
    """What is said of a command line that cannot be meant."""
    line = error_of(capsys, *words, status=(2,))
    assert line.startswith("drol: error: ")
    assert "argument " not in line
    return line.removeprefix("drol: error: ")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20000", 20_000),
        ("1e6", 1_000_000),
        ("1E6", 1_000_000),
        ("1.5e3", 1_500),
        ("100k", 100_000),
        ("100K", 100_000),
        ("1M", 1_000_000),
        ("1.5M", 1_500_000),
        ("0.5m", 500_000),
        (".5k", 500),
        ("1_000_000", 1_000_000),
        ("+7", 7),
        ("3.0", 3),
        ("1000e-2", 10),
        (" 5 ", 5),
    ],
)
def test_counts_in_every_notation(text, value):
    found = count()(text)
    assert (found, type(found)) == (value, int)


@pytest.mark.parametrize(
    "text",
    ["1.5", "1e-3", "1.0001k", "", "k", "e6", "many", "inf", "nan", "1e999", "1M5", "1kk", "0x10", "1,000", "--"],
)
def test_what_is_no_count_is_refused_with_examples(text):
    with pytest.raises(
        argparse.ArgumentTypeError, match="expected a whole number such as 20000, 1e6, 100k or 1M, found"
    ):
        count()(text)


OPTIONS = {
    "updates": "updates",
    "eval-every": "eval_every",
    "eval-episodes": "eval_episodes",
    "eval-max-steps": "eval_max_steps",
    "batch-size": "batch_size",
    "collect": "collect",
    "seed": "seed",
    "width": "width",
    "keep-last": "keep_last",
    "keep-every": "keep_every",
    "workers": "workers",
    "num-candidates": "hyperparameter_num_candidates",
}


@pytest.mark.parametrize("option", OPTIONS)
def test_every_count_is_read_alike(option, capsys):
    assert getattr(parsed(TASK, f"--{option}", "2e3"), OPTIONS[option]) == 2_000
    assert f"--{option}: expected a whole number" in refusal(capsys, "train", TASK, f"--{option}", "1.5")
    assert f"--{option}: must " in refusal(capsys, "train", TASK, f"--{option}", "-1")


@pytest.mark.parametrize("words", [("train", TASK), ("collect", "scene-play"), ("evaluate", "."), ("doctor", "d.npz")])
def test_every_seed_is_of_one_range_in_one_set_of_words(words, capsys):
    for text in (-1, 2**64, "1e30"):
        line = refusal(capsys, *words, "--seed", text)
        assert line.startswith(f"--seed: must be a whole number from 0 to 2^64 - 1, found {text}")
    line = refusal(capsys, *words, "--seed", "1.5")
    assert line.startswith("--seed: expected a whole number from 0 to 2^64 - 1, found '1.5'")
    assert seed(str(2**64 - 1)) == 2**64 - 1
    assert seed("2e3") == 2_000


@pytest.mark.parametrize("text", ["-1e0", "-1", "-.5", "-1.", "-1e-3", "-inf", "-1_0"])
def test_negative_numbers_are_no_options(text):
    given = parsed(TASK, "--action-low", text, "-2e0", text, "--action-high", "1")
    assert given.action_low == [float(text), -2.0, float(text)]
    assert given.action_high == [1.0]


def test_hyperparameters_are_judged_where_they_are_read(capsys):
    assert parsed(TASK, "--bc-coef", "1e-1", "--hidden", "1k", "16").hyperparameter_bc_coef == 0.1
    for option, text, words in (
        ("--bc-coef", "-1", "--bc-coef: must be a finite number at least 0, found -1"),
        ("--bc-coef", "inf", "--bc-coef: must be a finite number at least 0, found inf"),
        ("--bc-coef", "nan", "--bc-coef: expected a number such as 0.5 or 1e-3, found 'nan'"),
        ("--bc-coef", "much", "--bc-coef: expected a number such as 0.5 or 1e-3, found 'much'"),
        ("--discount", "1.5", "--discount: must be a finite number between 0 and 1, found 1.5"),
        ("--hidden", "0", "--hidden: must be at least 1, found 0"),
    ):
        assert words in refusal(capsys, "train", TASK, option, text)


def test_numbers_without_bounds_may_be_infinite():
    assert number()("-inf") == float("-inf")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("trian",), "there is no command 'trian'; did you mean train?"),
        (("Train",), "there is no command 'Train'; did you mean train?"),
        (("eval",), "there is no command 'eval'"),
        (("xyz",), "there is no command 'xyz'; there are collect, doctor, train"),
        (("bench", "setp"), "there is no benchmark 'setp'; did you mean step?"),
        (("--versoin",), "there is no option --versoin; did you mean --version?"),
        (("train", TASK, "--updtaes", "5"), "there is no option --updtaes; did you mean --updates?"),
        (("train", TASK, "--updtaes=5"), "there is no option --updtaes; did you mean --updates?"),
        (("train", TASK, "--qqqqqq"), "there is no option --qqqqqq; `drol train --help` lists them"),
        (("train", TASK, "extra"), "unexpected 'extra'"),
        (("train",), "the following arguments are required: TASK; see `drol train --help`"),
        (("train", TASK, "--updates"), "--updates: expected one argument"),
        (
            ("train", TASK, "--size", "labtop"),
            "--size: expected one of laptop, paper, found 'labtop'; did you mean laptop?",
        ),
        (
            ("train", TASK, "--q-agg", "mni"),
            "--q-agg: expected one of mean, min, mean-half-std, mean-std, found 'mni'; did you mean min?",
        ),
        (("evaluate", "run", "--policy", "center"), "found 'center'; did you mean centre?"),
        (("evaluate", "run", "--episode", "5"), "there is no option --episode; did you mean --episodes?"),
        (("compare", "--out", "x", "--job", "2"), "there is no option --job; did you mean --jobs?"),
        (("presets", "--algorithm", "frql"), "did you mean fql?"),
        (("doctor", "log.npz", "--jason", "x"), "there is no option --jason; did you mean --json?"),
        (("collect", "cube-single-play", "--episode", "x"), "there is no option --episode; did you mean --episodes?"),
    ],
)
def test_typos_are_answered_with_what_was_meant(capsys, words, said):
    assert said in refusal(capsys, *words)


@pytest.mark.parametrize("words", [("--alg", "fql"), ("--upd", "5"), ("--eval-ep", "5")])
def test_options_are_never_abbreviated(capsys, words):
    line = refusal(capsys, "train", TASK, *words)
    assert f"there is no option {words[0]}; did you mean --" in line


def test_an_option_of_another_algorithm_says_whose_it_is(capsys):
    line = refusal(capsys, "train", TASK, "--algorithm", "fql", "--bc-coef", 3)
    whose = "fql has no bc_coef, which belongs to iql, drol (choose with --algorithm)"
    assert line == f"{whose}; the nearest that fql has: --alpha"
    assert "drol has no alpha, which belongs to fbrac, fql" in refusal(capsys, "train", TASK, "--alpha", 3)
    swept = refusal(capsys, "train", TASK, "--algorithm", "fql", "--sweep", "bc_coef=1,3")
    assert swept == line
    line = refusal(capsys, "train", TASK, "--algorithm=iql", "--no-normalize-q")
    assert "iql has no normalize_q" in line


def test_an_algorithm_that_is_none_gets_the_nearest(capsys):
    assert "unknown algorithm 'drool'; did you mean 'drol'?" in error_of(capsys, "train", TASK, "--algorithm", "drool")


def test_usage_and_failure_differ_in_status(tmp_path, capsys):
    assert drol("train", TASK, "--seed", 1, "--seeds", "0-1") == 2
    assert drol("train", tmp_path / "none.npz") == 1
    assert drol() == 2
    assert "usage: drol" in capsys.readouterr().out
    for command in COMMANDS:
        assert drol(command, "--qqqqqq") == 2


def test_what_does_not_exist_is_said_before_anything_is_announced(tmp_path, capsys):
    """No hyperparameters are published for it either, but that is beside the point."""
    for words in (("train", tmp_path / "robot.npz"), ("train", TASK, "--data", tmp_path / "none.hdf5")):
        assert drol(*words, "--out", tmp_path / "run") == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert "does not exist" in said.err
