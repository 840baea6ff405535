"""`drol.finetune`: a trained run goes on in its environment, or one begins with nothing."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

import drol
from drol.errors import DataError, UsageError
from drol.report.curves import curves
from drol.report.figure import figure
from drol.report.runs import read_run
from drol.training.checkpoint import Checkpoints
from tests.helpers.commands import drol as command
from tests.helpers.commands import error_of
from tests.helpers.toy_logs import ENVIRONMENT, write_log
from tests.helpers.toy_online import StopAt
from tests.helpers.toy_run import assert_identical

ONLINE = drol.OnlineConfig(steps=160, warm_up=40, block=10, updates_per_step=0.5, eval_every=40)
OFFLINE = {"updates": 40, "eval_every": 20, "eval_episodes": 2, "eval_max_steps": 25, "workers": 1}
TIMES = {"updates_per_second", "elapsed_seconds", "acting_share"}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp("logs") / "walks.npz"
    write_log(path)
    return path


@pytest.fixture(scope="module")
def trained(log, tmp_path_factory):
    """A run on data in units of their own, normalised."""
    config = drol.RunConfig(
        task=str(log),
        env=ENVIRONMENT,
        algorithm=drol.DROL(hidden=(16,), num_candidates=4),
        action_low=-3.0,
        action_high=1.0,
        normalize_observations=True,
        out=tmp_path_factory.mktemp("runs") / "walks",
        **OFFLINE,
    )
    return drol.train(config, progress=False)


def finetune(run, online=ONLINE, **options):
    if not isinstance(run, drol.RunConfig):
        options = {"env": ENVIRONMENT} | options
    return drol.finetune(run, online, progress=False, workers=1, **options)


@pytest.fixture(scope="module")
def undisturbed(trained, tmp_path_factory):
    return finetune(trained.folder, out=tmp_path_factory.mktemp("runs") / "online")


def lines(folder, name="metrics"):
    path = folder / f"{name}.jsonl"
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in found]


def test_the_records_go_on_where_those_of_the_data_end(trained, undisturbed):
    before, after = lines(trained.folder), lines(undisturbed.folder)
    assert after[: len(before)] == before
    assert all("step" not in line for line in before)
    online = after[len(before) :]
    assert [line["step"] for line in online] == [80, 120, 160]
    assert [line["update"] for line in online] == [60, 80, 100]
    assert all("evaluation/return" in line for line in online)
    evaluations = lines(undisturbed.folder, "evaluations")
    assert {line.get("step") for line in evaluations} == {None, 80, 120, 160}
    config = json.loads((undisturbed.folder / "config.json").read_text())
    assert config["settings"] | {"start": 40, "updates": 100} == config["settings"]
    expected = {"folder": str(trained.folder.absolute()), "update": 40, "updates": 40, "eval_every": 20}
    assert config["continues"] | expected == config["continues"]
    assert config["continues"]["hyperparameters"]["num_candidates"] == 4
    # The figure is that of the time online.
    assert undisturbed.figure.evaluations == 3
    assert config["online"]["warm_up"] == 40
    assert undisturbed.config.start == 40


def test_the_run_on_data_is_left_as_it_was(log, trained, tmp_path):
    files = {path: path.read_bytes() for path in trained.folder.rglob("*") if path.is_file()}
    finetune(trained.folder, out=tmp_path / "online")
    assert {path: path.read_bytes() for path in trained.folder.rglob("*") if path.is_file()} == files


def test_the_switch_changes_no_parameter_and_warming_up_none(trained, tmp_path):
    """Stopped at the first line: the checkpoint before it is that of the run on data."""
    state = trained.state
    result = finetune(trained.folder, dataclasses.replace(ONLINE, eval_every=160), out=tmp_path / "online")
    folder = Checkpoints(result.folder / "checkpoints", keep_last=100)
    (restored, _, _) = folder.restore(result.state, jax.random.key(0), min(folder.updates()))
    folder.close()
    assert int(restored.step) == 40
    assert_identical(restored, state)


def test_a_stopped_run_resumes_exactly_by_the_command(trained, undisturbed, tmp_path, capsys):
    out = tmp_path / "online"
    with pytest.raises(drol.Interrupted):
        finetune(trained.folder, out=out, sinks=[StopAt(60)])
    arguments = ("finetune", trained.folder, "--steps", 160, "--resume", "--out", out, "--workers", 2)
    assert command(*arguments, "--env", ENVIRONMENT) == 0
    assert lines(out) == lines(undisturbed.folder)
    assert lines(out, "episodes") == lines(undisturbed.folder, "episodes")
    assert lines(out, "evaluations") == lines(undisturbed.folder, "evaluations")


def test_a_resumed_run_may_go_on_for_longer(trained, undisturbed, tmp_path):
    out = tmp_path / "online"
    shutil.copytree(undisturbed.folder, out)
    longer = dataclasses.replace(ONLINE, steps=240)
    extended = finetune(out, longer, resume=True)
    once = finetune(trained.folder, longer, out=tmp_path / "once")
    assert_identical(extended.state, once.state)
    with pytest.raises(DataError, match="can only extend it, not shorten it to 160"):
        finetune(out, ONLINE, resume=True)
    with pytest.raises(DataError, match="started with block 10"):
        finetune(out, dataclasses.replace(longer, block=20), resume=True)


def test_continuous_hyperparameters_may_change_at_the_switch(trained, tmp_path):
    other = finetune(trained.folder, out=tmp_path / "online", hyperparameters={"bc_coef": 0.5})
    assert other.config.hyperparameters["bc_coef"] == 0.5
    assert other.config.hyperparameters["num_candidates"] == 4
    with pytest.raises(UsageError, match="num_candidates shapes the program"):
        finetune(trained.folder, out=tmp_path / "other", hyperparameters={"num_candidates": 8})


def test_from_nothing_with_half_of_each_batch_from_the_data(log, tmp_path):
    config = drol.RunConfig(
        task=str(log),
        env=ENVIRONMENT,
        algorithm=drol.RLPD(hidden=(16,), ensemble=3),
        action_low=-3.0,
        action_high=1.0,
        out=tmp_path / "rlpd",
        eval_episodes=2,
        eval_max_steps=25,
    )
    result = finetune(config, dataclasses.replace(ONLINE, prior_share=0.5, warm_up_by="random"))
    assert int(result.state.step) == 60
    assert [line["step"] for line in lines(result.folder)] == [80, 120, 160]
    bare = dataclasses.replace(config, out=tmp_path / "bare", action_low=None, action_high=None)
    without = finetune(bare, dataclasses.replace(ONLINE, warm_up_by="random", no_data=True))
    assert json.loads((without.folder / "config.json").read_text())["data"] == {"kind": "none", "files": []}


def test_in_an_environment_alone_by_the_command(tmp_path, capsys):
    out = tmp_path / "sac"
    few = ("--hidden", 16, "--block", 10, "--warm-up", 40, "--warm-up-by", "random", "--eval-every", 40)
    few += ("--updates-per-step", 0.5, "--eval-episodes", 2, "--workers", 1, "--eval-max-steps", 25)
    assert command("finetune", ENVIRONMENT, "--algorithm", "sac", "--steps", 120, "--out", out, *few) == 0
    assert "data         none" in capsys.readouterr().out
    assert [line["step"] for line in lines(out)] == [80, 120]
    policy = drol.load_policy(out)
    actions = policy(np.zeros((50, 4), np.float32))
    assert actions.min() >= -3
    assert actions.max() <= 1
    assert "is an environment without data" in error_of(capsys, "train", ENVIRONMENT, "--out", tmp_path / "no")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--chunk", 5), "--chunk is that of the run which is continued"),
        (("--steps", 25), "must be a multiple of the 50 steps of a block"),
        (("--warm-up", 100, "--steps", 100), "--steps must be more than --warm-up"),
        (("--eval-every", 75), "--eval-every must be a multiple of the 50 steps of a block"),
        (("--updates-per-step", 0.31), "must make a whole number of updates"),
        (("--prior-share", 1.5), "prior_share must lie between 0 and 1"),
        (("--num-candidates", 8), "shapes the program"),
        (
            ("--seed", 1),
            "--seed is that of the run which is continued: leave it out (what may change is --data",
        ),
        (("--seed", 0, "--num-candidates", 8), "shapes the program"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(trained, tmp_path, capsys, arguments, words):
    out = tmp_path / "online"
    given = ("--env", ENVIRONMENT, "--out", out, *arguments)
    assert words in error_of(capsys, "finetune", trained.folder, *given)
    assert not out.exists()


def test_who_cannot_learn_online_is_refused(log, trained, undisturbed, tmp_path, capsys):
    own = drol.RunConfig(
        task=str(log), algorithm=drol.BC(hidden=(8,)), out=tmp_path / "bc", action_low=-3.0, action_high=1.0
    )
    clone = drol.train(dataclasses.replace(own, env=ENVIRONMENT, **OFFLINE), progress=False)
    with pytest.raises(ValueError, match="BC learns from no rewards"):
        finetune(clone.folder, out=tmp_path / "a")
    nowhere = dataclasses.replace(own, algorithm=drol.FQL(hidden=(8,)), out=tmp_path / "fql", **OFFLINE)
    with pytest.raises(DataError, match="names no environment to act in"):
        finetune(drol.train(nowhere, progress=False).folder, out=tmp_path / "b", env=None)
    with pytest.raises(DataError, match="learns online itself"):
        finetune(undisturbed.folder, out=tmp_path / "c")
    with pytest.raises(DataError, match="learns online; continue it with `drol finetune"):
        drol.train(dataclasses.replace(undisturbed.config, env=ENVIRONMENT), resume=True, progress=False)
    with pytest.raises(DataError, match="does not learn online"):
        finetune(trained.folder, out=trained.folder, resume=True)


def test_an_environment_that_does_not_repeat_is_refused_at_the_start_unless_that_is_accepted(tmp_path):
    """Ten steps of an episode are taken twice before anything is written."""
    config = drol.RunConfig(
        task="tests.online.restless_environment:DrolRestless-v0",
        algorithm="sac",
        hyperparameters={"hidden": (8,)},
        eval_episodes=2,
        out=tmp_path / "run",
    )
    with pytest.raises(DataError, match=r"does not repeat an episode .* add restart_episodes, and a"):
        finetune(config)
    assert not (tmp_path / "run").exists()
    result = finetune(config, dataclasses.replace(ONLINE, restart_episodes=True))
    assert int(result.state.step) == 60


def test_what_the_data_alone_decide_is_refused_without_them(trained, tmp_path):
    bare = drol.RunConfig(task="Pendulum-v1", algorithm=drol.RLPD(hidden=(8,), ensemble=2), out=tmp_path / "a")
    with pytest.raises(UsageError, match="prior_share draws from data, and this run has none"):
        finetune(bare, dataclasses.replace(ONLINE, prior_share=0.5))
    with pytest.raises(UsageError, match="normalize_observations is about data, and this run has none"):
        finetune(dataclasses.replace(bare, normalize_observations=True))
    with pytest.raises(UsageError, match="sparse_rewards is for OGBench's manipulation tasks"):
        finetune(dataclasses.replace(bare, sparse_rewards=True))
    with pytest.raises(UsageError, match="no_data is for runs that begin with nothing"):
        finetune(trained.folder, dataclasses.replace(ONLINE, no_data=True), out=tmp_path / "b")
    with pytest.raises(UsageError, match="hyperparameters belongs into the configuration"):
        finetune(bare, hyperparameters={"tau": 0.1})
    assert not list(tmp_path.iterdir())


def test_a_run_without_an_environment_can_be_given_one(log, tmp_path):
    algorithm = drol.FQL(hidden=(8,), flow_steps=2)
    config = drol.RunConfig(task=str(log), algorithm=algorithm, out=tmp_path / "run", **OFFLINE)
    bounded = dataclasses.replace(config, action_low=-3.0, action_high=1.0)
    trained = drol.train(bounded, progress=False)
    result = finetune(trained.folder, dataclasses.replace(ONLINE, steps=80), out=tmp_path / "online")
    assert [line["step"] for line in lines(result.folder) if "step" in line] == [80]


def test_another_run_than_the_named_one_is_not_resumed(log, trained, undisturbed, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(trained.folder, other)
    with pytest.raises(DataError, match=r"continues .*walks, not .*other"):
        finetune(other, dataclasses.replace(ONLINE, steps=240), out=undisturbed.folder, resume=True)


def test_a_second_continuation_may_begin_while_the_first_goes_on(trained, tmp_path):
    """The run that is continued is held only while it is read."""

    class Second:
        def write(self, update, metrics):
            if update == 60:
                finetune(trained.folder, dataclasses.replace(ONLINE, steps=80), out=tmp_path / "second")

        def close(self):
            pass

    finetune(trained.folder, out=tmp_path / "first", sinks=[Second()])
    assert (tmp_path / "second" / "policy").is_dir()


def test_a_short_time_online_has_a_figure_of_its_own():
    """Not the mean of one evaluation online and two before it."""
    before = [{"update": u, "evaluation/success": 0.0, "evaluation/episodes": 2} for u in (20, 40)]
    after = {"update": 60, "step": 80, "evaluation/success": 1.0, "evaluation/episodes": 2}
    found = figure([*before, after])
    assert (found.value, found.evaluations) == (1.0, 1)
    assert figure(before).evaluations == 2


def test_plots_certificates_and_summaries_know_both_phases(trained, undisturbed, tmp_path):
    run = read_run(undisturbed.folder)
    assert (run.start, read_run(trained.folder).start) == (40, None)
    assert run.facts["online"] != read_run(trained.folder).facts["online"]
    (curve,) = curves([run], ["success"])
    assert curve.updates.tolist() == [20, 40, 60, 80, 100]
    assert curve.start == 40
    drol.plot(undisturbed.folder, out=tmp_path / "curve.svg")
    assert "online from here" in (tmp_path / "curve.svg").read_text()
    certificate = drol.certify(undisturbed.folder, tmp_path / "certificate.json")
    assert certificate.updates == [60, 80, 100]
    assert {"episodes.jsonl", "steps/steps-0000000000-0000000080.npz"} <= set(certificate.content["files"])
    place = drol.environment(ENVIRONMENT)
    checked = drol.verify(tmp_path / "certificate.json", run=undisturbed.folder, environment=place)
    assert not checked.contradictions
