"""D4RL's environments: the table, the adapter, the installation. What needs D4RL itself is skipped without it."""

import argparse
import importlib.util
import inspect
import os
import subprocess
import sys
import types

import gymnasium
import numpy as np
import pytest

from drol.cli import install_d4rl as command
from drol.environments.groups import EnvironmentGroup
from drol.errors import DataError
from drol.extras import MissingExtraError
from drol.sources import environment
from drol.sources.d4rl import environments as d4rl
from drol.sources.d4rl import install as install_d4rl
from drol.sources.d4rl.tasks import TASKS, is_d4rl, task
from tests.helpers.d4rl_trajectories import FOUR, make, trajectory

INSTALLED = all(importlib.util.find_spec(name) for name in ("gym", "mujoco_py", "d4rl"))
needs_d4rl = pytest.mark.skipif(not INSTALLED, reason="D4RL is not installed (`drol install-d4rl`)")

ONE_OF_EACH = (
    "antmaze-umaze-diverse-v2",
    "pen-human-v1",
    "door-cloned-v1",
    "hammer-expert-v1",
    "relocate-human-v1",
    "maze2d-umaze-dense-v1",
    "hopper-medium-v2",
    "halfcheetah-random-v2",
    "walker2d-expert-v2",
    "ant-full-replay-v2",
)


def in_fresh_process(code, **variables):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ | variables
    )


def test_the_table_holds_every_family():
    count = {family: 0 for family in ("antmaze", "adroit", "maze2d", "locomotion")}
    for one in TASKS.values():
        count[one.family] += 1
        assert one.file.endswith(".hdf5")
        assert "/" not in one.file
    assert count == {"antmaze": 6, "adroit": 12, "maze2d": 14, "locomotion": 24}
    assert is_d4rl("pen-human-v1")
    assert not is_d4rl("cube-single-play-singletask-v0")


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(DataError, match=r"'antmaze-large-play-v1'; the nearest known is 'antmaze-large-play-v2'"):
        task("antmaze-large-play-v1")


def test_scores():
    assert task("antmaze-umaze-v2").normalised_score(1.0) == 100
    assert task("hopper-medium-v2").normalised_score(-20.272305) == 0
    assert task("pen-human-v1").normalised_score(3076.8331017826877) == pytest.approx(100)


@pytest.mark.skipif(INSTALLED, reason="D4RL is installed")
def test_without_d4rl_the_error_names_the_part_and_the_remedy():
    with pytest.raises(MissingExtraError, match=r"the package gym is not installed.*drol install-d4rl"):
        d4rl.make("pen-human-v1")


@pytest.mark.parametrize(
    ("body", "trouble"),
    [
        ("raise Exception('You appear\\nto be missing MuJoCo')", "does not work (You appear to be missing MuJoCo)"),
        ("import no_such_module", "needs the missing module 'no_such_module'"),
    ],
)
def test_a_broken_part_is_named(tmp_path, body, trouble):
    """mujoco_py and d4rl raise bare exceptions where something is amiss."""
    (tmp_path / "gym.py").touch()
    (tmp_path / "mujoco_py.py").write_text(body)
    result = in_fresh_process(
        "from drol.sources.d4rl import environments; environments.make('pen-human-v1')", PYTHONPATH=str(tmp_path)
    )
    assert result.stderr.splitlines()[-1].startswith(
        f"drol.extras.MissingExtraError: D4RL's environments cannot be used: the package free-mujoco-py {trouble}. "
    )


def test_an_unregistered_task_is_noticed(monkeypatch):
    """D4RL swallows the import errors of its parts."""
    registry = types.SimpleNamespace(registry=types.SimpleNamespace(env_specs={}))
    monkeypatch.setattr(d4rl, "_import_parts", lambda: types.SimpleNamespace(envs=registry))
    with pytest.raises(MissingExtraError, match=r"d4rl did not register pen-human-v1.*drol install-d4rl"):
        d4rl.make("pen-human-v1")


@needs_d4rl
def test_the_table_is_that_of_d4rl():
    d4rl.make("pen-human-v1")
    import d4rl as package
    import gym

    infos = package.infos
    for name, one in TASKS.items():
        registered = gym.envs.registry.env_specs[name]
        facts = registered.kwargs if hasattr(registered, "kwargs") else registered._kwargs
        assert one.max_episode_steps == registered.max_episode_steps
        assert one.url == facts["dataset_url"] == infos.DATASET_URLS[name]
        assert (one.min_score, one.max_score) == (facts["ref_min_score"], facts["ref_max_score"])
        if name in infos.REF_MIN_SCORE:
            assert one.normalised_score(17.5) == pytest.approx(100 * package.get_normalized_score(name, 17.5))


@needs_d4rl
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_the_adapter_keeps_to_gymnasium_and_the_table(name):
    env, known = make(name), task(name)
    assert (env.spec.id, env.spec.max_episode_steps) == (name, known.max_episode_steps)
    assert env.observation_space.shape == (known.observation_dim,)
    assert env.action_space == gymnasium.spaces.Box(-1, 1, (known.action_dim,), np.float32)
    assert env.unwrapped.reference_scores == (known.min_score, known.max_score)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(env.action_space.sample())
    observation, info = env.reset(seed=0)
    assert observation in env.observation_space
    assert info == {}
    observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
    assert observation in env.observation_space
    assert [type(x) for x in (reward, terminated, truncated)] == [float, bool, bool]
    assert ("success" in info) == (known.family in ("antmaze", "adroit"))


@needs_d4rl
@pytest.mark.parametrize("name", FOUR)
def test_pictures_are_rendered_for_films(name):
    env = environment(name).filmed.make()
    env.reset(seed=0)
    picture = env.render()
    assert picture.dtype == np.uint8
    assert picture.shape[-1] == 3
    assert picture.std() > 1
    unfilmed = make(name)
    unfilmed.reset(seed=0)
    assert unfilmed.render() is None


@needs_d4rl
def test_the_dataset_file_has_the_name_d4rl_looks_for():
    for name in ONE_OF_EACH:
        assert os.path.basename(make(name).unwrapped.inner.dataset_filepath) == task(name).file


@needs_d4rl
def test_a_seed_gives_the_same_trajectory_in_every_process():
    code = (
        "from tests.helpers.d4rl_trajectories import FOUR, trajectory\n"
        "print(*(trajectory(name, seed) for name in FOUR for seed in (3, 4)))"
    )
    fresh = in_fresh_process(code, PYTHONHASHSEED="1")
    assert fresh.returncode == 0, fresh.stderr
    here = [trajectory(name, seed) for name in FOUR for seed in (3, 4)]
    assert fresh.stdout.split() == here
    assert len(set(here)) == len(here)


@needs_d4rl
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_seed_gives_the_same_trajectory_within_a_process(name):
    assert trajectory(name, 7) == trajectory(name, 7)


@needs_d4rl
def test_a_reset_alone_seeds_the_goal_and_the_actions():
    env = make("antmaze-medium-diverse-v2")
    draws = []
    for seed in (1, 1, 2):
        env.reset(seed=seed)
        draws.append((env.unwrapped.inner.target_goal, env.action_space.sample().tolist()))
    assert draws[0] == draws[1]
    assert all(one != other for one, other in zip(draws[1], draws[2], strict=True))


@needs_d4rl
def test_neighbours_in_a_group_do_not_disturb_each_other():
    alone, group = (EnvironmentGroup(environment("antmaze-umaze-diverse-v2"), n) for n in (1, 2))
    goals = []
    for environments, seeds in ((alone, {0: 5}), (group, {1: 6, 0: 5})):
        environments.reset(seeds)
        goals.append(environments._environments[0].unwrapped.inner.target_goal)
    assert goals[0] == goals[1]
    assert group._environments[1].unwrapped.inner.target_goal != goals[0]
    assert alone.describe()["max_episode_steps"] == 700


@needs_d4rl
def test_nothing_is_printed_and_the_library_path_is_left_alone():
    code = (
        "import os\n"
        "from drol.sources.d4rl import environments as d4rl\n"
        "for name in ('antmaze-umaze-v2', 'pen-human-v1', 'maze2d-open-v0', 'ant-random-v2'):\n"
        "    env = d4rl.make(name)\n"
        "    for seed in (0, 1):\n"
        "        env.reset(seed=seed)\n"
        "        env.step(env.action_space.sample())\n"
        "assert os.environ.get('LD_LIBRARY_PATH') == os.environ.get('EXPECTED'), os.environ['LD_LIBRARY_PATH']\n"
    )
    for variables in ({}, {"LD_LIBRARY_PATH": "/somewhere", "EXPECTED": "/somewhere"}):
        result = in_fresh_process("import warnings; warnings.simplefilter('error')\n" + code, **variables)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@needs_d4rl
@pytest.mark.parametrize(("name", "limit"), [("pen-human-v1", 100), ("maze2d-umaze-v1", 300), ("door-human-v1", 200)])
def test_a_time_out_comes_at_the_limit_and_is_no_end(name, limit):
    env = make(name)
    env.reset(seed=1)
    for step in range(1, limit + 1):
        # Still hands keep hold of the pen for a while.
        _, _, terminated, truncated, _ = env.step(np.zeros(env.action_space.shape, np.float32))
        assert not terminated
        assert truncated == (step == limit)
    with pytest.raises(gymnasium.error.ResetNeeded, match=f"after {limit} steps"):
        env.step(env.action_space.sample())


@needs_d4rl
def test_an_end_at_the_last_step_is_an_end():
    """The hopper falls: terminated, also where the time runs out in the same step."""
    env, falling = make("hopper-medium-v2"), np.ones(3, np.float32)

    def ends(limit):
        env.unwrapped._limit = limit
        env.reset(seed=0)
        flags = []
        while len(flags) < limit and (not flags or flags[-1] == (False, False)):
            flags.append(env.step(falling)[2:4])
        return flags

    falls = len(ends(1000))
    assert 2 < falls < 1000
    assert ends(falls) == [(False, False)] * (falls - 1) + [(True, False)]
    assert ends(falls - 1) == [(False, False)] * (falls - 2) + [(False, True)]


@needs_d4rl
def test_success_in_antmaze_is_the_goal_reached_so_far():
    env = make("antmaze-umaze-v2")
    env.reset(seed=0)
    inner = env.unwrapped.inner
    still = np.zeros(8, np.float32)
    assert env.step(still)[4]["success"] is False
    inner.set_xy(inner.target_goal)
    _, reward, terminated, _, info = env.step(still)
    assert (reward, terminated, info["success"]) == (1.0, True, True)
    inner.set_xy((0.0, 0.0))
    assert env.step(still)[4]["success"] is True
    env.reset()
    assert env.step(still)[4]["success"] is False


@needs_d4rl
def test_success_in_adroit_is_d4rls_own_verdict():
    env = make("door-human-v1")
    env.reset(seed=0)
    _, _, _, _, info = env.step(np.zeros(28, np.float32))
    assert info["success"] is info["goal_achieved"] is False
    env.unwrapped.inner.data.qpos[env.unwrapped.inner.door_hinge_did] = 1.5
    _, _, _, _, info = env.step(np.zeros(28, np.float32))
    assert info["success"] is info["goal_achieved"] is True


@needs_d4rl
def test_relocate_cannot_be_set():
    assert not hasattr(make("relocate-human-v1").unwrapped, "set_state")


@needs_d4rl
@pytest.mark.parametrize("name", [name for name in ONE_OF_EACH if not name.startswith("relocate")])
def test_recorded_states_can_be_replayed(name):
    """From each recorded state one step gives the recorded successor: in another episode, from states in float32."""
    env = make(name)
    inner = env.unwrapped.inner
    rng = np.random.default_rng(0)
    env.reset(seed=5)
    rows = []
    for _ in range(15):
        state = {"qpos": inner.sim.data.qpos.copy(), "qvel": inner.sim.data.qvel.copy()}
        state = inner.get_env_state() if hasattr(inner, "get_env_state") else state
        action = rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)
        rows.append(({k: np.array(v, np.float32) for k, v in state.items()}, action, *env.step(action)[:2]))
    env.reset(seed=77)
    if name.startswith("antmaze"):
        rows = [(state, action, successor, 0.0) for state, action, successor, _ in rows]
    for state, action, successor, reward in rows:
        env.set_state(*(state[argument] for argument in inspect.signature(env.set_state).parameters))
        found, paid = env.step(action)[:2]
        np.testing.assert_allclose(found, successor, atol=1e-4)
        if not name.startswith("ant-"):  # rewarded by where it was before, too
            assert paid == pytest.approx(reward, abs=1e-4)


def dry_run(capsys):
    assert command.run(argparse.Namespace(dry_run=True)) == 0
    return capsys.readouterr().out.splitlines()


def test_a_dry_run_prints_the_pinned_commands_alone(capsys, monkeypatch):
    monkeypatch.setattr(subprocess, "run", None)
    lines = dry_run(capsys)
    assert len(lines) == 5
    assert all(line.startswith(sys.executable) for line in lines)
    assert "gym==0.23.1" in lines[0]
    assert "Cython==0.29.37" in lines[0]
    assert lines[1].endswith("pip install --no-deps d4rl==1.1")
    assert lines[2].endswith("pip install --no-deps --ignore-requires-python free-mujoco-py==2.1.6")
    assert "import mujoco_py" in lines[3]
    assert ("setuptools<81" in lines[0]) == (sys.version_info >= (3, 12))
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))
    assert "setuptools<81" in dry_run(capsys)[0]


def test_the_command_declares_its_option():
    parser = argparse.ArgumentParser()
    command.add_arguments(parser, [])
    assert parser.parse_args(["--dry-run"]).dry_run


@pytest.mark.parametrize("version", [(3, 10, 2), (3, 13, 0)])
def test_other_pythons_are_refused(monkeypatch, version):
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(MissingExtraError, match=rf"Python 3.11 or 3.12.*this is Python 3.{version[1]}"):
        install_d4rl.install(print)


def fake(monkeypatch, answer):
    """Answer every command by `answer(command)` -> (status, output) instead of running it; returns the list of them."""
    commands = []

    def run(command, **_):
        commands.append(" ".join(command))
        status, output = answer(commands[-1])
        return subprocess.CompletedProcess(command, status, output, output)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "version_info", (3, 11, 7))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(install_d4rl.shutil, "which", lambda name: f"/usr/bin/{name}")
    return commands


def test_a_missing_header_is_named_with_its_remedy(monkeypatch):
    error = "probe.c:3:10: fatal error: GL/osmesa.h: No such file or directory"
    commands = fake(monkeypatch, lambda _: (1, error))
    with pytest.raises(MissingExtraError, match=r"\(probe.*osmesa.h: No such file.*apt-get install.*libosmesa6-dev$"):
        install_d4rl.install(print)
    assert not any("pip" in one for one in commands)
    fake(monkeypatch, lambda _: (1, "probe.c:1:10: fatal error: Python.h: No such file or directory"))
    with pytest.raises(MissingExtraError, match=r"Python.h.*libosmesa6-dev python3-dev$"):
        install_d4rl.check_compiler()


def test_a_missing_compiler_is_named_with_its_remedy(monkeypatch):
    fake(monkeypatch, lambda _: (1, ""))
    monkeypatch.setattr(install_d4rl.shutil, "which", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"gcc, which is missing.*apt-get install .* gcc libosmesa6-dev"):
        install_d4rl.install(print)


def test_what_works_is_left_alone(monkeypatch):
    commands = fake(monkeypatch, lambda _: (0, ""))
    said = []
    install_d4rl.install(said.append)
    assert said == ["D4RL is installed and works"]
    assert len(commands) == 1


def test_the_steps_run_in_order_and_a_failing_one_is_shown(monkeypatch):
    broken = {"--no-deps d4rl": "no matching distribution"}

    def answer(command):
        return next(((1, text) for part, text in broken.items() if part in command), (0, ""))

    broken["verify"] = "not there yet"
    commands, said = fake(monkeypatch, answer), []
    with pytest.raises(MissingExtraError, match=r"could not install d4rl==1.1; .*:\n  .*d4rl==1.1\nno matching"):
        install_d4rl.install(said.append)
    assert len(said) == 2
    assert "free-mujoco-py" not in " ".join(commands)
    del broken["--no-deps d4rl"]
    with pytest.raises(MissingExtraError, match="could not make and step"):
        install_d4rl.install(said.append)


def test_a_finished_installation_says_what_pip_check_says(monkeypatch):
    commands = fake(monkeypatch, lambda _: (int(len(commands) == 1), ""))
    said = []
    install_d4rl.install(said.append)
    assert "pip check` reports conflicts" in said[-1]
    assert [step.purpose for step in install_d4rl.steps()] == [line.partition(":\n")[0] for line in said[:-1]]


@needs_d4rl
def test_the_compiler_and_the_installation_pass_their_own_checks():
    install_d4rl.check_compiler()
    install_d4rl.verify()
