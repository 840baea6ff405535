"""`drol compare` on data of the user's own: by path at first, by label afterwards; and folders that are none of its."""

import json
import os
import shutil

import numpy as np
import pytest

from drol.compare.cells import Cell
from drol.compare.methods import Method
from drol.compare.tables import table
from tests.helpers.commands import TASK, assert_real_result, drol, error_of
from tests.helpers.made_up_runs import fill
from tests.helpers.pretended_training import GIVEN
from tests.helpers.toy_logs import ENVIRONMENT, write_log

PENDULUM = "Pendulum-v1"
OWN = (*GIVEN, "--env", PENDULUM)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "logs" / "robot.npz"
    path.parent.mkdir()
    write_log(path)
    return path


def sha_of(path):
    from drol.files import sha256

    return sha256(path)


def trained_on(compare):
    """What the last comparison trained on, and in which environment, a pair per cell."""
    return [(call[1], call[call.index("--env") + 1]) for call in compare.calls if call[0] == "train"]


def test_a_comparison_on_own_data_is_continued_from_its_folder(compare, log, monkeypatch):
    """Whatever is left out: with nothing given, with more updates, by its label, from another folder."""
    monkeypatch.setenv("PYTHONPATH", os.getcwd(), prepend=os.pathsep)
    monkeypatch.chdir(log.parent)
    assert compare(*OWN, "--algorithms", "drol", tasks=("robot.npz",), sha=sha_of(log), drol="fail") == 1
    assert trained_on(compare) == [(str(log), PENDULUM)]
    monkeypatch.chdir("/")
    assert compare(tasks=(), sha=sha_of(log)) == 0, "nothing was begun, and its folder knows the file all the same"
    assert trained_on(compare) == [(str(log), PENDULUM)]
    assert compare("--updates", 60, tasks=("robot",), sha=sha_of(log)) == 0
    assert trained_on(compare) == [(str(log), PENDULUM)]
    assert compare("--algorithms", "fql", tasks=(log,), sha=sha_of(log)) == 0
    assert trained_on(compare) == [(str(log), PENDULUM)]
    assert compare(tasks=()) == 0
    assert compare.calls == []


def test_folders_of_earlier_versions_are_continued_too(compare, log):
    """They hold no list of files; the runs know what they were trained on."""
    assert compare(*OWN, "--algorithms", "drol", tasks=(log,), sha=sha_of(log)) == 0
    (compare.out / "tasks.json").unlink()
    for config in compare.out.rglob("config.json"):
        config.write_text(json.dumps(json.loads(config.read_text()) | {"task": str(log)}))
    assert compare("--updates", 60, tasks=(), sha=sha_of(log)) == 0
    assert trained_on(compare) == [(str(log), PENDULUM)]
    shutil.rmtree(compare.out / "robot")
    (compare.out / "tasks.json").unlink()
    words = "it is no longer known where the data of robot are; name their file or folder as TASK"
    assert_refused(compare, words)


def assert_refused(compare, words, *arguments, tasks=()):
    import contextlib
    import io

    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        assert compare(*arguments, tasks=tasks) in (1, 2)
    assert words in said.getvalue()
    assert compare.calls == []


def test_data_that_moved_are_named_again_and_must_be_the_same(compare, log):
    assert compare(*OWN, tasks=(log,), sha=sha_of(log)) == 0
    moved = log.parent / "moved" / "robot.npz"
    moved.parent.mkdir()
    log.rename(moved)
    assert_refused(
        compare, f"{log} does not exist; name the file or folder with the data of robot as TASK", "--updates", 60
    )
    assert compare("--no-train", tasks=()) == 0, "results need no data"
    assert compare("--updates", 60, tasks=(moved,), sha=sha_of(moved)) == 0
    assert trained_on(compare) == [(str(moved), PENDULUM)] * 2
    assert compare("--updates", 80, tasks=(), sha=sha_of(moved)) == 0, "the new place is remembered"
    columns = dict(np.load(moved))
    np.savez(moved, **columns | {"rewards": columns["rewards"] + 1})
    assert_refused(compare, "was trained on data other than", "--algorithms", "bc")


def test_two_logs_of_one_name_are_refused(compare, log):
    other = log.parent / "other" / "robot.npz"
    other.parent.mkdir()
    shutil.copy(log, other)
    words = f"{log} and {other} would both be called robot; rename one of them"
    assert_refused(compare, words, *OWN, tasks=(log, other))
    assert not compare.out.exists()
    assert compare(*OWN, "--algorithms", "drol", tasks=(log, log), sha=sha_of(log)) == 0
    assert len(compare.calls) == 1


@pytest.mark.parametrize("name", ["results", "data"])
def test_a_log_must_not_take_the_comparisons_own_folders(compare, log, name):
    taken = log.rename(log.with_stem(name))
    assert_refused(
        compare, f"{taken} would be called {name}, which is a folder of every comparison", *OWN, tasks=(taken,)
    )


def test_options_that_cannot_be_meant_for_own_data_are_refused(compare, log):
    words = "robot names its data itself: leave --data out"
    assert_refused(compare, words, *OWN, "--data", f"robot={log}", tasks=(log,))
    words = "--collect is for tasks with an expert, but robot has none"
    assert_refused(compare, words, *OWN, "--collect", 5, tasks=(log,))
    words = "--columns names the arrays of your own logs, but no task is one"
    assert_refused(compare, words, *GIVEN, "--columns", "observations=obs")
    assert not compare.out.exists()


def foreign_file(out):
    (out / "thesis.tex").write_text("years of work")


def foreign_run(out):
    (out / "config.json").write_text("{}")


def foreign_results(out):
    (out / "results").mkdir()
    (out / "results" / "figure1.pdf").write_text("")


def foreign_data(out):
    """A folder called as the task is, whose files are no runs."""
    (out / TASK).mkdir()
    (out / TASK / "episode0.npz").write_text("")


@pytest.mark.parametrize("fill_in", [foreign_file, foreign_run, foreign_results, foreign_data])
@pytest.mark.parametrize("more", [(), ("--no-train",)])
def test_a_folder_of_something_else_is_refused_and_left_alone(compare, fill_in, more):
    compare.out.mkdir()
    fill_in(compare.out)
    before = {path: path.stat().st_mtime_ns for path in compare.out.rglob("*")}
    assert_refused(compare, f"{compare.out} is not empty and holds no comparison", *GIVEN, *more, tasks=(TASK,))
    assert {path: path.stat().st_mtime_ns for path in compare.out.rglob("*")} == before


def test_a_file_is_no_folder(compare, tmp_path):
    compare.out.write_text("")
    assert_refused(compare, f"{compare.out} is a file; name a folder with --out", *GIVEN, tasks=(TASK,))
    compare.out.unlink()
    compare.out.mkdir()
    assert_refused(compare, "without training there is nothing to collect", "--no-train", *GIVEN, tasks=(TASK,))
    (compare.out / ".DS_Store").write_text("")
    assert compare(*GIVEN) == 0, "an empty folder is one to begin in"


def test_runs_without_the_comparisons_own_file_are_taken(compare):
    for name in ("drol", "fql"):
        fill(Cell(compare.out, TASK, Method(name)), (0,) * 4, (0,) * 4, (0,) * 4)
    assert compare("--no-train", *GIVEN) == 0


def test_names_are_shown_as_they_are(compare, log, capsys, monkeypatch):
    """No quotes of Markdown on the terminal, no markup taken for styles."""
    monkeypatch.setenv("COLUMNS", "150")
    odd = log.rename(log.with_stem("robot[bold]"))
    assert compare(*OWN, "--data", f"{TASK}={odd}", tasks=(odd, TASK), sha=sha_of(odd)) == 0
    assert compare("--updates", 60, tasks=("robot[bold]",), sha=sha_of(odd)) == 0
    capsys.readouterr()
    assert compare("--no-train", tasks=()) == 0
    said = capsys.readouterr().out
    assert "`" not in said
    assert "robot[bold]" in said.split("wrote")[0].split("Success")[0]
    assert "robot[bold]: 60 updates" in said
    assert "`robot[bold]`: 60 updates" in (compare.out / "results" / "table.md").read_text()


@pytest.mark.ci
def test_own_data_for_real_from_the_label_alone(tmp_path, capfd):
    log, out = tmp_path / "robot.npz", tmp_path / "out"
    write_log(log)
    arrays = dict(np.load(log))
    np.savez(log, **{{"observations": "obs"}.get(name, name): array for name, array in arrays.items()})
    short = ("--eval-every", 10, "--eval-episodes", 1, "--hidden", 8, "--workers", 1, "--no-speed")
    short += ("--columns", "observations=obs", "--eval-max-steps", 7, "--step-seconds", 50)
    given = ("--algorithms", "bc", "--seeds", "0", "--env", ENVIRONMENT)
    assert drol("compare", log, "--out", out, *given, "--updates", 10, *short) == 0, capfd.readouterr().err
    assert drol("compare", "--out", out, *given[-2:], "--updates", 20, "--workers", 1, "--no-speed") == 0, (
        capfd.readouterr().err
    )
    assert_real_result(out, "bc", ["10", "20"])
    config = json.loads((out / "robot" / "bc" / "seed0" / "config.json").read_text())
    assert config["algorithm"] == "bc"
    assert config["columns"] == {"observations": "obs"}
    assert config["evaluation_limits"] == {"steps": 7, "seconds": 3600.0, "step_seconds": 50.0}
    said = capfd.readouterr().out
    assert "Success: last evaluation (1 episode each), hidden widths 8; seed 0" in said
    assert "Success: mean of the last two evaluations (1 episode each), hidden widths 8; seed 0" in " ".join(
        said.split()
    )
    assert len(table(out / "results").splitlines()) == 3
    assert drol("compare", "--out", out, *given[-2:], "--workers", 1, "--no-speed") == 0
    said = capfd.readouterr().out
    assert "robot, bc: finished" in said
    assert "training" not in said
    assert "does not exist" in error_of(capfd, "compare", tmp_path / "none.npz", "--out", tmp_path / "new", *given)
    assert not (tmp_path / "new").exists()
