"""Methods of a comparison: algorithms, and the values of what is varied."""

import argparse
import dataclasses
import subprocess
import sys

import pytest

from drol import DROL
from drol.algorithm import hyperparameters
from drol.cli.varied import by_algorithm, together, words
from drol.compare import comparison as comparisons
from drol.compare.cells import Cell
from drol.compare.methods import Method, methods_of
from drol.compare.tables import groups, table
from drol.errors import DataError, UsageError
from tests.helpers.commands import TASK
from tests.helpers.made_up_runs import PROTOCOL, write_run

TWO = {"drol": {"num_candidates": (4, 16), "chunk": (1, 5)}, "fql": {"chunk": (1, 5)}}
VARIED = dataclasses.replace(PROTOCOL, vary=TWO, seeds=(0,))


def test_every_combination_is_a_method_and_fields_apply_where_they_exist():
    given = {"num_candidates": ("4", "16"), "chunk": ("1", "5")}
    assert by_algorithm(["drol", "fql"], given) == TWO
    assert by_algorithm(["drol"], {}) == {}
    assert [method.name for method in VARIED.methods] == [
        "drol,num_candidates=4,chunk=1",
        "drol,num_candidates=4,chunk=5",
        "drol,num_candidates=16,chunk=1",
        "drol,num_candidates=16,chunk=5",
        "fql,chunk=1",
        "fql,chunk=5",
    ]
    assert methods_of("bc", {}) == [Method("bc")]
    assert Method("bc").name == "bc"


def test_the_options_of_a_method():
    values = (("num_candidates", 4), ("bc_coef", 0.5), ("normalize_q", False), ("q_agg", "min"), ("chunk", 5))
    method = Method("drol", values)
    assert " ".join(method.options()) == ("--num-candidates 4 --bc-coef 0.5 --no-normalize-q --q-agg min --chunk 5")
    assert method.title == "DROL, num_candidates 4, bc_coef 0.5, normalize_q false, q_agg min, chunk 5"
    assert method.run_options() == {"chunk": 5}
    assert method.hyperparameters() == dict(values[:-1])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"num_candidate": "4"}, "no method of this comparison has 'num_candidate'; they have chunk, n_step"),
        ({"hidden": "8"}, "hidden is the same for all methods"),
        ({"num_candidates": "4,0"}, r"num_candidates=4,0 does not fit drol: .*at least 1, found 0"),
        ({"num_candidates": "many"}, "does not fit drol: .*expected a whole number"),
        ({"bc_coef": "1,-1"}, "does not fit drol: --bc-coef"),
        ({"normalize_q": "yes"}, "does not fit drol: expected true or false, found 'yes'"),
        ({"chunk": "0"}, "chunk=0 does not fit bc: .*must be at least 1"),
        ({"q_agg": "worst"}, "q_agg=worst does not fit drol: .*expected one of"),
        ({"bc_coef": "1,1.0"}, "a value of bc_coef is named twice: 1, 1.0"),
        ({"chunk": "1,5", "n_step": "1,5"}, "n_step=1: n_step must be at least chunk"),
        ({"replan": "2"}, "replan=2: replan must not exceed chunk"),
    ],
)
def test_what_cannot_be_varied_is_refused(given, said):
    with pytest.raises(UsageError, match=said):
        by_algorithm(["bc", "drol"], {name: text.split(",") for name, text in given.items()})


def test_values_are_read_as_runs_record_them():
    given = {"num_candidates": ("1e2", "4"), "bc_coef": ("1", "0.316227766"), "normalize_q": ("true", "false")}
    assert by_algorithm(["drol"], given | {"q_agg": ("min", "mean")})["drol"] == {
        "num_candidates": (100, 4),
        "bc_coef": (1.0, hyperparameters(DROL(bc_coef=0.316227766))["bc_coef"]),
        "normalize_q": (True, False),
        "q_agg": ("min", "mean"),
    }


def test_reading_values_takes_no_device():
    """The runs that are to be trained there need it."""
    program = (
        "from drol.cli.varied import by_algorithm; import jax; from jax._src import xla_bridge;"
        "by_algorithm(['drol', 'fql'], {'bc_coef': ('1', '3'), 'num_candidates': ('4',), 'chunk': ('5',)});"
        "assert not xla_bridge.backends_are_initialized()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_command_lines_words():
    assert words("num-candidates=4, 16") == ("num_candidates", ("4", "16"))
    for wrong in ("num_candidates", "=4", "num_candidates=", "num_candidates=4,"):
        with pytest.raises(argparse.ArgumentTypeError, match="expected a name and values"):
            words(wrong)
    assert together([words("chunk=1,5,10")], TWO) == {"num_candidates": ("4", "16"), "chunk": ("1", "5", "10")}
    with pytest.raises(UsageError, match="chunk is given twice"):
        together([words("chunk=1"), words("chunk=5")], {})


def test_what_varies_is_stored_and_only_grows(tmp_path):
    VARIED.save(tmp_path)
    assert comparisons.load(tmp_path) == VARIED

    def extended(*given):
        algorithms = ["bc", "drol", "fql"]
        vary = by_algorithm(algorithms, together(map(words, given), VARIED.vary))
        return VARIED.extended(tasks=[], algorithms=algorithms, budget={}, given={"vary": vary})

    more = extended("num_candidates=64,16,4")
    assert [method.name for method in more.methods if method.algorithm == "bc"] == ["bc,chunk=1", "bc,chunk=5"]
    assert more.vary["drol"]["num_candidates"] == (4, 16, 64)
    assert len(more.methods) == 2 + 3 * 2 + 2
    assert extended().vary["drol"] == VARIED.vary["drol"]
    with pytest.raises(DataError, match="begun with num_candidates 4, 16, and 16 is not among those that are given"):
        extended("num_candidates=4,64")
    with pytest.raises(DataError, match="begun without varying bc_coef"):
        extended("bc_coef=1,2")


def test_a_run_with_another_value_is_not_counted(tmp_path):
    cell = Cell(tmp_path, TASK, Method("drol", (("num_candidates", 4), ("chunk", 5))))
    write_run(cell.run(0).path, 0, 0, 0, 0.5, num_candidates=4, chunk=5)
    assert cell.result(VARIED)["values"] == {"num_candidates": 4, "chunk": 5}
    for wrong in ({"num_candidates": 16, "chunk": 5}, {"num_candidates": 4, "chunk": 1}, {"chunk": 5}):
        write_run(cell.run(0).path, 0, 0, 0, 0.5, **wrong)
        with pytest.raises(DataError, match=r"was begun with (num_candidates|chunk) "):
            cell.check(VARIED)


def test_rows_of_the_table_have_their_values(tmp_path):
    VARIED.save(tmp_path / "results")
    for number, method in enumerate(VARIED.methods):
        cell, values = Cell(tmp_path, TASK, method), dict(method.values)
        write_run(cell.run(0).path, *(number / 10,) * 4, **values)
        assert cell.write_result(VARIED)["algorithm"] == method.algorithm
    rows = [line.split(" | ")[:2] for line in table(tmp_path / "results").splitlines()[2:]]
    assert rows[0] == ["| FQL, chunk 1", "0.40"]
    assert rows[2] == ["| DROL, num_candidates 4, chunk 1", "0.00"]
    assert rows[-1] == ["| DROL, num_candidates 16, chunk 5", "0.30"]
    found = {group.method: group for group in groups(tmp_path / "results")}
    assert found["DROL, num_candidates 16, chunk 5"].values == {"num_candidates": 16, "chunk": 5}
    assert found["DROL, num_candidates 16, chunk 5"].scores == (0.3,)
