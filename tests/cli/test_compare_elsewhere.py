"""`drol compare` where cells are trained elsewhere: by Slurm, by Ray, or by a script."""

import pytest

from tests.helpers.commands import TASK, error_of
from tests.helpers.pretended_training import GIVEN
from tests.helpers.ray_marks import RAY


def trained(compare):
    return sorted(call[3] for call in compare.calls if call[0] == "train")


@pytest.fixture(params=["local", "slurm", pytest.param("ray", marks=RAY)])
def elsewhere(request, monkeypatch):
    """The options of a launcher."""
    if request.param == "local":
        return ()
    if request.param == "slurm":
        pytest.importorskip("submitit")
        monkeypatch.setattr("drol.cli.launchers.CLUSTER", "local")
        return ("--launcher", "slurm", "--launcher-option", "timeout_min=5", "--jobs", 2)
    pytest.importorskip("ray")
    return ("--launcher", "ray", "--launcher-option", "num_cpus=0.5")


def test_a_killed_cell_goes_on_a_failed_one_is_reported_and_a_finished_one_is_left_alone(compare, elsewhere, capfd):
    methods = ("--algorithms", "bc,drol,fql")
    assert compare(*GIVEN, *methods, *elsewhere, bc="killed", drol="fail") == 1
    assert trained(compare) == ["bc", "bc", "drol", "fql"]
    said = capfd.readouterr()
    assert f"{compare.out / TASK / 'drol'}: `drol train` ended with exit status 1" in said.err
    assert f"{TASK}, fql: training" in said.out
    assert f"{TASK}, bc: finished" in said.out
    assert (compare.out / "results" / TASK / "bc.json").exists()
    assert compare(*elsewhere) == 0
    assert trained(compare) == ["drol"]
    if elsewhere:
        assert (compare.out / TASK / "drol.log").read_text() == "made up\n"


@pytest.mark.parametrize(("kind", "name"), [("sbatch", "cells.sbatch"), ("skypilot", "cells.sky.yaml")])
def test_a_script_has_the_cells_that_are_left(compare, capsys, kind, name):
    assert compare(*GIVEN, "--algorithms", "bc") == 0
    options = ("--launcher-option", "partition=gpu" if kind == "sbatch" else "bucket=s3://runs")
    assert compare(*GIVEN, "--algorithms", "bc,fql", "--emit", kind, *options) == 0
    assert compare.calls == []
    assert f"wrote {compare.out / name} with 1 cells; submit it with `" in capsys.readouterr().out
    (line,) = [line for line in (compare.out / name).read_text().splitlines() if "drol train" in line]
    assert f"drol train {TASK} --algorithm fql --seeds 0,1,2" in line
    assert "--requeue" in line
    assert compare("--algorithms", "bc", "--emit", kind, *options) == 0
    assert "every cell is finished" in capsys.readouterr().out


def test_options_that_contradict_each_other_are_refused(compare, capsys):
    def refused(*options):
        return error_of(capsys, "compare", TASK, "--out", compare.out, *options)

    assert "leave --launcher out" in refused("--emit", "sbatch", "--launcher", "ray")
    assert "the local launcher has no options" in refused("--launcher-option", "time=4")
    assert "needs image, claim: give --launcher-option image=..." in refused("--emit", "jobset")
    assert "expected NAME=VALUE, found 'time'" in refused("--emit", "sbatch", "--launcher-option", "time")
    assert not compare.out.exists()


@pytest.mark.ci
def test_an_option_that_ray_does_not_have_is_refused(compare, capsys):
    pytest.importorskip("ray")
    options = ("--launcher", "ray", "--launcher-option", "cpus=2")
    message = error_of(capsys, "compare", TASK, "--out", compare.out, *options)
    assert "ray has no option 'cpus'; it takes address, num_cpus" in message
    assert not compare.out.exists()
