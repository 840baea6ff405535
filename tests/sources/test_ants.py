"""Data of trained ants: what the actors see, how episodes go, and that files depend on the seed alone.

The actors here move at random; how well the trained ones walk is tested where they are.
"""

import shutil
import subprocess
import sys

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import drol
from drol.environments.groups import EnvironmentGroup
from drol.environments.spec import EnvironmentSpec
from drol.errors import DataError
from drol.experiment.expert import layers_of
from drol.experiment.notes import notes
from drol.extras import quiet
from drol.seeding import make_reproducible, reset_seeded
from drol.sources import parse_task
from drol.sources.ogbench import ants
from drol.sources.ogbench.actors import Actor, load_actor, save_actor
from drol.sources.ogbench.collection import collect, parse_collection
from drol.sources.ogbench.mazes import Guide, cells_at_distance, maze_cells
from tests.helpers.commands import drol as command
from tests.helpers.commands import error_of
from tests.helpers.random_actors import random_layers, write_actors


@pytest.fixture(scope="module")
def actors(tmp_path_factory):
    return write_actors(tmp_path_factory.mktemp("actors"))


def environment(name, steps=60):
    options = {"terminate_at_goal": False, "max_episode_steps": steps}
    return make_reproducible(gymnasium.make(f"ogbench:{name}-v0", **options))


# -- actors


def test_an_actor_is_the_network_in_float32(actors):
    actor = load_actor("ant", actors)
    x = np.random.default_rng(1).normal(size=29)
    y = x
    for number, (weight, bias) in enumerate(random_layers(29)):
        if number:
            y = 0.5 * y * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)))
        y = y @ weight.astype(np.float16) + bias.astype(np.float16)
    action = actor(x)
    assert action.dtype == np.float32
    np.testing.assert_allclose(action, np.tanh(y), atol=1e-5)
    assert actor.record["expert"] == "ant"


def test_a_damaged_missing_or_foreign_actor_is_refused(actors, tmp_path):
    with pytest.raises(DataError, match=r"there is no expert ant.npz.*drol expert ant"):
        load_actor("ant", tmp_path)
    for name in ("ant.npz", "ant.json"):
        (tmp_path / name).write_bytes((actors / name).read_bytes())
    content = (tmp_path / "ant.npz").read_bytes()
    (tmp_path / "ant.npz").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match=r"is damaged, or not the actor that ant\.json describes"):
        load_actor("ant", tmp_path)
    for suffix in ("npz", "json"):
        (tmp_path / f"antball.{suffix}").write_bytes((actors / f"ant.{suffix}").read_bytes())
    with pytest.raises(DataError, match="not the actor of antball, which observes 42 numbers"):
        load_actor("antball", tmp_path)


def test_a_worker_collects_without_jax(actors, tmp_path):
    code = f"""
import sys
from pathlib import Path
from drol.sources.ogbench.collection import Collection
from drol.sources.ogbench.experts import Collector
Collector(Collection("antmaze-medium", "navigate"), 11, Path({str(actors)!r})).episode(0, 0)
print("jax" in sys.modules, "flax" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


# -- what the actors see


class Seeing:
    """An actor that notes what it is shown."""

    def __init__(self):
        self.seen = []

    def __call__(self, observation):
        self.seen.append(np.array(observation))
        return np.zeros(8, np.float32)


def test_the_walking_ant_sees_what_it_saw_in_training():
    training = parse_task("online-ant").environment.make()
    reset_seeded(training, 0)
    env = environment("antmaze-large")
    actor = Seeing()
    recorder = ants.AntRecorder(env, "navigate", actor)
    reset_seeded(env, 0)
    rng = np.random.default_rng(0)
    qpos, qvel = rng.normal(size=15), rng.normal(size=14)
    env.unwrapped.set_state(qpos, qvel)
    training.unwrapped.set_state(qpos, qvel)
    recorder._walk(np.array([0.6, -0.8]))
    expected = training.unwrapped._get_obs()
    np.testing.assert_allclose(actor.seen[-1][:27], expected, atol=1e-12)
    np.testing.assert_array_equal(actor.seen[-1][27:], [0.6, -0.8])


def ball_environment():
    try:
        return parse_task("online-antball").environment.make()
    except DataError as error:
        pytest.skip(f"no EGL on this machine: {error}")


def test_the_pushing_ant_sees_what_it_saw_in_training():
    training = ball_environment()
    reset_seeded(training, 0)
    env = environment("antsoccer-arena")
    actor = Seeing()
    recorder = ants.AntRecorder(env, "navigate", Seeing(), actor)
    reset_seeded(env, 0)
    rng = np.random.default_rng(0)
    qpos, qvel = rng.normal(size=22), rng.normal(size=20)
    goal = qpos[15:17] + np.array([3.0, -4.0])
    for one in (env, training):
        one.unwrapped.set_state(qpos, qvel)
        one.unwrapped.cur_goal_xy = goal
    recorder._push(qpos[:2], qpos[15:17])
    np.testing.assert_allclose(actor.seen[-1], training.unwrapped._get_obs(), atol=1e-12)
    env.unwrapped.cur_goal_xy = qpos[15:17] + np.array([30.0, -40.0])
    recorder._push(qpos[:2], qpos[15:17])
    np.testing.assert_allclose(actor.seen[-1][-2:], [6.0, -8.0])


# -- the environments in which experts learn


def test_the_ants_reward_is_the_way_along_the_old_direction():
    env = parse_task("online-ant").environment.make()
    observation, _ = reset_seeded(env, 3)
    changed = []
    for number in range(1, 203):
        direction, before = observation[27:], env.unwrapped.data.qpos[:2].copy()
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        assert reward == pytest.approx((env.unwrapped.data.qpos[:2] - before) @ direction)
        if not np.array_equal(observation[27:], direction):
            changed.append(number)
        assert not truncated
        if terminated:
            break
    assert changed[:1] == [100]
    assert set(changed) <= {100, 200}
    assert np.linalg.norm(observation[27:]) == pytest.approx(1)


def test_two_ants_in_one_process_are_as_two_alone():
    spec = EnvironmentSpec("online-ant", kind="ogbench-online", factory="drol.sources.ogbench.locomotion:make")
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (120, 2, 8)).astype(np.float32)

    def walked(slots):
        group = EnvironmentGroup(spec, len(slots))
        seen = [group.reset({i: 7 + slot for i, slot in enumerate(slots)})]
        seen += [group.step({i: action[slot] for i, slot in enumerate(slots)}) for action in actions]
        return {slot: np.stack([step[i].observation for step in seen]) for i, slot in enumerate(slots)}

    together = walked((0, 1))
    for slot in (0, 1):
        np.testing.assert_array_equal(together[slot], walked((slot,))[slot])


def test_a_fall_is_an_end_and_a_time_limit_only_for_the_ball():
    """z outside [.2, 1] ends both; the ball's limit of 200 counts as an end, the ant's of 1,000 does not."""
    ant = parse_task("online-ant").environment.make()
    reset_seeded(ant, 0)
    qpos = ant.unwrapped.data.qpos.copy()
    qpos[2] = 1.5
    ant.unwrapped.set_state(qpos, ant.unwrapped.data.qvel.copy())
    assert ant.step(np.zeros(8))[2:4] == (True, False)
    ball = ball_environment()
    reset_seeded(ball, 0)
    for _ in range(199):
        _, _, terminated, truncated, _ = ball.step(np.zeros(8))
        assert not truncated
        if terminated:
            pytest.fail("the ant fell")
    assert ball.step(np.zeros(8))[2:4] == (True, False)


# -- mazes


@pytest.mark.parametrize("name", ["medium", "large", "giant", "teleport"])
def test_the_guide_is_the_environments_oracle(name):
    env = environment(f"antmaze-{name}")
    maze = env.unwrapped
    guide, (free, _) = Guide(maze.maze_map), maze_cells(maze.maze_map)
    rng = np.random.default_rng(0)
    for _ in range(60):
        start, goal = (free[rng.integers(len(free))] for _ in range(2))
        expected, _ = maze.get_oracle_subgoal(np.array(maze.ij_to_xy(start)), np.array(maze.ij_to_xy(goal)))
        np.testing.assert_array_equal(maze.ij_to_xy(guide.towards(start, goal)), expected)


@pytest.mark.parametrize(
    ("name", "free", "junctions"), [("medium", 26, 21), ("large", 46, 22), ("giant", 86, 46), ("teleport", 45, 24)]
)
def test_cells_are_as_published(name, free, junctions):
    found = maze_cells(environment(f"antmaze-{name}").unwrapped.maze_map)
    assert tuple(map(len, found)) == (free, junctions)


def test_ants_walk_to_the_centre_of_the_next_cell():
    env = environment("antmaze-large")
    one, maze = ants.AntRecorder(env, "navigate", Seeing()), env.unwrapped
    start, goal = np.array(maze.ij_to_xy((1, 1))) + 0.7, np.array(maze.ij_to_xy((7, 10))) - 0.4
    subgoal, _ = maze.get_oracle_subgoal(start, goal)
    away = subgoal - start
    np.testing.assert_allclose(one._way(start, goal), away / np.linalg.norm(away), atol=1e-5)
    arena = ants.AntRecorder(environment("antsoccer-arena"), "navigate", Seeing(), Seeing())
    np.testing.assert_allclose(arena._way(start, goal), (goal - start) / np.linalg.norm(goal - start), atol=1e-5)


# -- episodes


class Recorded(ants.AntRecorder):
    """Notes goals and directions."""

    def episode(self, seed):
        self.goals, self.directions, self.marker = [], [], []
        return super().episode(seed)

    def _walk(self, direction):
        self.directions.append(direction)
        self.goals.append(tuple(self._maze.cur_goal_xy))
        self.marker.append(self._maze.model.geom("target").pos.copy())
        return super()._walk(direction)


def recorded(name, kind, actors, steps=60, **options):
    env = environment(name, steps)
    loaded = [load_actor(actor, actors) for actor in parse_collection(f"{name}-{kind}").actors]
    return Recorded(env, kind, *loaded, **options)


@pytest.mark.parametrize("kind", ["navigate", "stitch", "explore"])
def test_episodes_end_at_their_limit_alone(actors, kind):
    episode = recorded("antmaze-medium", kind, actors).episode(4)
    assert {name: (array.shape, array.dtype.name) for name, array in episode.items()} == {
        "observations": ((60, 29), "float32"),
        "actions": ((60, 8), "float32"),
        "terminals": ((60,), "bool"),
        "qpos": ((60, 15), "float32"),
        "qvel": ((60, 14), "float32"),
    }
    assert np.flatnonzero(episode["terminals"]).tolist() == [59]
    np.testing.assert_array_equal(episode["observations"][:, :15], episode["qpos"])
    assert (np.abs(episode["actions"]) <= 1).all()


def test_stitch_has_goals_exactly_four_moves_away(actors):
    one = recorded("antmaze-large", "stitch", actors, steps=3)
    for seed in range(12):
        episode = one.episode(seed)
        start = one._maze.xy_to_ij(episode["qpos"][0, :2])
        goal = one._maze.xy_to_ij(one.goals[0])
        assert goal in cells_at_distance(one._maze.maze_map, start, 4)


@pytest.mark.parametrize(("kind", "renewed"), [("navigate", True), ("stitch", False)])
def test_navigate_renews_its_goal_and_stitch_never(actors, kind, renewed, monkeypatch):
    one = recorded("antmaze-medium", kind, actors)
    monkeypatch.setattr(one._maze, "compute_success", lambda: True)
    one.episode(2)
    assert (len(set(one.goals)) > 10) is renewed
    assert len(set(one.goals)) == 1 or renewed
    assert np.isfinite(one.goals).all()
    assert np.isfinite(one.marker).all()


def test_explorers_keep_a_direction_for_ten_steps(actors):
    one = recorded("antmaze-medium", "explore", actors)
    one.episode(2)
    blocks = np.array(one.directions).reshape(6, 10, 2)
    assert (blocks == blocks[:, :1]).all()
    assert len(np.unique(blocks[:, 0], axis=0)) == 6
    np.testing.assert_allclose(np.linalg.norm(blocks, axis=-1), 1, atol=1e-5)


def test_after_a_jump_the_observation_is_still_at_the_entry(actors):
    """As in OGBench: the row after shows the entry in `observations`, and the exit in qpos."""
    one = recorded("antmaze-teleport", "explore", actors, steps=8)
    maze = one._maze
    one._free, maze.add_noise = [maze._teleport_info["teleport_in_ijs"][0]], lambda xy: xy
    entry = np.array(maze._teleport_info["teleport_in_xys"][0])
    episode = one.episode(0)
    exits = np.array(maze._teleport_info["teleport_out_xys"])
    assert np.linalg.norm(episode["observations"][1, :2] - entry) < 1
    assert np.linalg.norm(episode["qpos"][1, :2] - exits, axis=-1).min() < 1


class Soccer(ants.AntRecorder):
    """Notes who acts."""

    def episode(self, seed):
        self.who = []
        return super().episode(seed)

    def _walk(self, direction):
        self.who.append("walks")
        return super()._walk(direction)

    def _push(self, ant, ball):
        self.who.append("pushes")
        return super()._push(ant, ball)


def test_in_soccer_the_ant_walks_to_the_ball_and_pushes_when_it_is_near(actors):
    env = environment("antsoccer-arena", 40)
    one = Soccer(env, "navigate", load_actor("ant", actors), load_actor("antball", actors))
    kinds = set()
    for seed in range(8):
        episode = one.episode(seed)
        kinds |= set(one.who)
        positions = episode["qpos"]
        close = np.linalg.norm(positions[:, :2] - positions[:, 15:17], axis=-1) <= 2
        assert [who == "pushes" for who in one.who] == close.tolist()
        cells = {one._maze.xy_to_ij(positions[0, :2]), one._maze.xy_to_ij(positions[0, 15:17])}
        assert len(cells) == 2
    assert episode["observations"].shape == (40, 42)
    assert "walks" in kinds


def test_stitch_in_soccer_is_all_walking_or_all_pushing(actors):
    env = environment("antsoccer-medium", 10)
    one = Soccer(env, "stitch", load_actor("ant", actors), load_actor("antball", actors))
    found = []
    for seed in range(12):
        episode = one.episode(seed)
        assert len(set(one.who)) == 1
        found.append(one.who[0])
        if one.who[0] == "pushes":
            start = episode["qpos"][0]
            assert one._maze.xy_to_ij(start[:2]) == one._maze.xy_to_ij(start[15:17])
    assert set(found) == {"walks", "pushes"}


def test_a_stuck_ant_walks_elsewhere_until_it_is_there(actors):
    env = environment("antsoccer-arena", 10)
    one = ants.AntRecorder(env, "navigate", load_actor("ant", actors), load_actor("antball", actors))
    draws, here = np.random.default_rng(0), np.zeros(2)
    still = [here] * 150
    assert one._detour(None, still, draws) is None
    detour = one._detour(None, [*still, here], draws)
    assert detour is not None
    assert one._detour(detour, [*still, here], draws) is detour
    assert one._detour(detour, [*still, detour + 0.3], draws) is None
    moved = [*([here] * 150), here + np.array([2.5, 0])]
    assert one._detour(None, moved, draws) is None


# -- files


def test_a_file_depends_on_the_seed_alone(actors, tmp_path):
    files = []
    for workers in (1, 3):
        out = tmp_path / f"{workers}.npz"
        collect("antmaze-medium-navigate", out=out, episodes=3, seed=5, workers=workers, steps=30, actors=actors)
        files.append(out.read_bytes())
    assert files[0] == files[1]
    other = tmp_path / "other.npz"
    collect("antmaze-medium-navigate", out=other, episodes=3, seed=6, workers=1, steps=30, actors=actors)
    assert other.read_bytes() != files[0]


def test_the_command_says_what_is_missing(tmp_path, capsys):
    said = error_of(capsys, "collect", "antmaze-large-navigate", "--out", tmp_path / "a.npz", "--experts", tmp_path)
    assert "there is no expert ant.npz" in said
    assert "drol expert ant" in said
    assert not (tmp_path / "a.npz").exists()


def test_what_a_folder_of_experts_lacks_comes_with_the_package(actors, tmp_path):
    (tmp_path / "own").mkdir()
    for file in actors.glob("antball.*"):
        shutil.copy(file, tmp_path / "own")
    assert load_actor("ant", tmp_path / "own").record["steps"] > 0
    assert load_actor("antball", tmp_path / "own").sha256 == load_actor("antball", actors).sha256
    with pytest.raises(DataError, match=r"there is no expert ant\.npz in .*elsewhere"):
        load_actor("ant", tmp_path / "elsewhere")


def test_who_collected_is_said(actors, tmp_path, capsys, monkeypatch):
    for module in ("actors", "collection"):
        monkeypatch.setattr(f"drol.sources.ogbench.{module}.SHIPPED", actors)
    out = tmp_path / "a.npz"
    with quiet():
        given = ("--episodes", 1, "--out", out, "--workers", 1)
        assert command("collect", "antsoccer-arena-stitch", *given) == 0
    assert "collected here with drol's experts (ant and antball), not the published set" in capsys.readouterr().out
    name = "antmaze-medium-navigate-singletask-task1-v0"
    config = drol.RunConfig(task=name, collect=3, updates=2, eval_every=2).resolved()
    data = drol.load_data(name, path=walked(actors, tmp_path / "antmaze-medium-navigate-v0.npz"))
    assert any(
        "drol's experts (ant), not the published set" in line for line in notes(config, parse_task(name), data, ())
    )


def walked(actors, out):
    collect("antmaze-medium-navigate", out=out, episodes=1, workers=1, steps=30, actors=actors)
    return out


def test_the_actor_is_that_of_the_policy(tmp_path):
    algorithm = drol.SAC(hidden=(16, 16))
    state = algorithm.init(drol.Spec(29, 8), key=jax.random.key(0))
    policy = algorithm.policy(state)
    layers = layers_of(policy, 29)
    save_actor(tmp_path / "ant.npz", layers, {})
    observation = np.random.default_rng(0).normal(size=29).astype(np.float32)
    action = load_actor("ant", tmp_path)(observation)
    np.testing.assert_allclose(action, policy(jnp.asarray(observation), key=jax.random.key(1)), atol=2e-3)
    exact = Actor(layers, "", {})(observation)
    np.testing.assert_allclose(exact, policy(jnp.asarray(observation), key=jax.random.key(1)), atol=1e-5)
