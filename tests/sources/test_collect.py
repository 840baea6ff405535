"""Collection with OGBench's scripted experts: format, reproducibility, limits."""

import hashlib
import os
import signal
import threading
import time

import numpy as np
import ogbench
import pytest

from drol.cli.main import main
from drol.errors import DataError
from drol.extras import quiet
from drol.signals import StoppedError, request_stop
from drol.sources.d4rl.tasks import TASKS
from drol.sources.ogbench.collection import COLLECTIBLE, collect
from drol.sources.ogbench.collection import parse_collection as parse
from drol.sources.ogbench.experts import Collector, _cube_reachable
from drol.sources.ogbench.mazes import cells_at_distance, maze_cells
from drol.sources.ogbench.recording import own_draws
from tests.helpers.random_actors import write_actors
from tests.helpers.samples import sampled

STEPS = 40


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# Source: seohongpark/ogbench: data_gen_scripts/commands.sh, all of whose data sets without a humanoid these are.
COMMANDS = """
env                 | kind     | episodes | steps | random action
pointmaze-medium    | navigate | 1000     | 1001  | 0
pointmaze-large     | navigate | 1000     | 1001  | 0
pointmaze-giant     | navigate | 500      | 2001  | 0
pointmaze-teleport  | navigate | 1000     | 1001  | 0
pointmaze-medium    | stitch   | 5000     | 201   | 0
pointmaze-large     | stitch   | 5000     | 201   | 0
pointmaze-giant     | stitch   | 5000     | 201   | 0
pointmaze-teleport  | stitch   | 5000     | 201   | 0
cube-single         | play     | 1000     | 1001  | 0
cube-double         | play     | 1000     | 1001  | 0
cube-triple         | play     | 3000     | 1001  | 0
cube-quadruple      | play     | 5000     | 1001  | 0
cube-single         | noisy    | 1000     | 1001  | 0.1
cube-double         | noisy    | 1000     | 1001  | 0.1
cube-triple         | noisy    | 3000     | 1001  | 0.1
cube-quadruple      | noisy    | 5000     | 1001  | 0.1
scene               | play     | 1000     | 1001  | 0
scene               | noisy    | 1000     | 1001  | 0.1
puzzle-3x3          | play     | 1000     | 1001  | 0
puzzle-4x4          | play     | 1000     | 1001  | 0
puzzle-4x5          | play     | 3000     | 1001  | 0
puzzle-4x6          | play     | 5000     | 1001  | 0
puzzle-3x3          | noisy    | 1000     | 1001  | 0.2
puzzle-4x4          | noisy    | 1000     | 1001  | 0.2
puzzle-4x5          | noisy    | 3000     | 1001  | 0.2
puzzle-4x6          | noisy    | 5000     | 1001  | 0.2
antmaze-medium      | navigate | 1000     | 1001  | 0
antmaze-large       | navigate | 1000     | 1001  | 0
antmaze-giant       | navigate | 500      | 2001  | 0
antmaze-teleport    | navigate | 1000     | 1001  | 0
antmaze-medium      | stitch   | 5000     | 201   | 0
antmaze-large       | stitch   | 5000     | 201   | 0
antmaze-giant       | stitch   | 5000     | 201   | 0
antmaze-teleport    | stitch   | 5000     | 201   | 0
antmaze-medium      | explore  | 10000    | 501   | 0
antmaze-large       | explore  | 10000    | 501   | 0
antmaze-teleport    | explore  | 10000    | 501   | 0
antsoccer-arena     | navigate | 1000     | 1001  | 0
antsoccer-medium    | navigate | 4000     | 1001  | 0
antsoccer-arena     | stitch   | 5000     | 201   | 0
antsoccer-medium    | stitch   | 8000     | 501   | 0
"""


def test_every_default_is_that_of_the_published_commands():
    lines = [[cell.strip() for cell in line.split("|")] for line in COMMANDS.strip().splitlines()[1:]]
    assert {f"{env}-{kind}" for env, kind, *_ in lines} == set(COLLECTIBLE)
    for env, kind, episodes, steps, random in lines:
        found = parse(f"{env}-{kind}")
        assert (found.episodes, found.steps, found.random_action) == (int(episodes), int(steps), float(random)), env


# Source: Fu et al. 2020, table of samples.
@pytest.mark.parametrize(
    ("task", "rows"),
    [
        ("maze2d-open-v0", 1_000_000),
        ("maze2d-umaze-v1", 1_000_000),
        ("maze2d-umaze-dense-v1", 1_000_000),
        ("maze2d-medium-v1", 2_000_000),
        ("maze2d-medium-dense-v1", 2_000_000),
        ("maze2d-large-v1", 4_000_000),
        ("maze2d-large-dense-v1", 4_000_000),
        ("maze2d-eval-large-v1", 1_000_000),
    ],
)
def test_a_walk_is_as_long_as_the_published_one_by_default(task, rows, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("drol.experiment.needs.of_collection", lambda name: {})
    monkeypatch.setattr(
        "drol.sources.d4rl.maze2d.collect", lambda name, **options: asked.append(options["steps"]) or options["out"]
    )
    assert main(["collect", task, "--out", str(tmp_path / "d.hdf5")]) == 0
    assert main(["collect", task, "--out", str(tmp_path / "d.hdf5"), "--episodes", "2"]) == 0
    assert asked == [rows, 2 * TASKS[task].max_episode_steps]


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_out_of_range_is_refused_before_any_work(seed, tmp_path):
    with pytest.raises(ValueError, match=rf"^seed must be a whole number from 0 to 2\^64 - 1, found {seed}$"):
        collect("scene-play", out=tmp_path / "d.npz", episodes=1, seed=seed)


@pytest.mark.parametrize(
    "name",
    sampled(
        ["cube-double-noisy", "scene-play", "puzzle-3x3-noisy", "pointmaze-teleport-navigate"],
        ["puzzle-3x3-noisy", "pointmaze-teleport-navigate"],
    ),
)
def test_the_file_depends_on_the_seed_alone(name, tmp_path):
    """One process or two, the same bytes; another seed, others."""
    files = {}
    for workers, seed in ((1, 0), (2, 0), (2, 1)):
        out = tmp_path / f"{workers}-{seed}.npz"
        files[workers, seed] = collect(name, out=out, episodes=2, seed=seed, workers=workers, steps=STEPS)
    for one, two, other in zip(files[1, 0], files[2, 0], files[2, 1], strict=True):
        assert digest(one) == digest(two)
        assert digest(one) != digest(other)


COLLECTED = {"episodes": 6, "seed": 0, "steps": STEPS}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The digests of a data set that was collected without interruption."""
    return [
        digest(path) for path in collect("cube-single-play", out=tmp_path_factory.mktemp("d") / "d.npz", **COLLECTED)
    ]


class Killed(Exception):
    pass


def interrupted(out, after, **options):
    """Collect until so many episodes are done, then end as if killed there."""

    def progress(done, total):
        if done == after:
            raise Killed

    with pytest.raises(Killed):
        collect("cube-single-play", out=out, progress=progress, **COLLECTED | options)


@pytest.mark.parametrize("number", sampled([signal.SIGINT, signal.SIGTERM], [signal.SIGTERM]))
def test_a_signal_ends_a_collection_at_once(tmp_path, number, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    threading.Timer(2.0, os.kill, (os.getpid(), number)).start()
    began = time.monotonic()
    assert main(["collect", "cube-single-play", "--episodes", "1000", "--workers", "1"]) == 128 + number
    assert time.monotonic() - began < 2.0 + 5.0
    assert f"stopped by {signal.Signals(number).name}" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.npz"))


@pytest.mark.parametrize("workers", sampled([1, 2], [2]))
def test_an_interrupted_collection_goes_on_from_its_episodes(workers, tmp_path, undisturbed):
    """The same bytes as without the interruption; no episode is collected twice, and nothing is left over."""
    out, counts = tmp_path / "d.npz", []
    interrupted(out, 3)
    assert {path.name for path in tmp_path.iterdir()} == {"d.episodes"}
    again = collect(
        "cube-single-play", out=out, workers=workers, progress=lambda *count: counts.append(count), **COLLECTED
    )
    assert [digest(path) for path in again] == undisturbed
    assert counts == [(4, 7), (5, 7), (6, 7), (7, 7)]
    assert {path.name for path in tmp_path.iterdir()} == {"d.npz", "d-val.npz"}


def test_a_collection_killed_while_it_wrote_goes_on(tmp_path, undisturbed):
    """Validation data are written first; next to kept episodes they are a leftover, and an episode may be damaged."""
    out = tmp_path / "d.npz"
    interrupted(out, 7)
    (tmp_path / "d-val.npz").write_bytes(b"half")
    damaged = tmp_path / "d.episodes" / "000002.npz"
    damaged.write_bytes(damaged.read_bytes()[:1000])
    again = collect("cube-single-play", out=out, **COLLECTED)
    assert [digest(path) for path in again] == undisturbed


def test_a_stop_says_what_is_kept(tmp_path):
    out = tmp_path / "d.npz"

    def asked(done, total):
        if done == 2:
            request_stop(signal.SIGTERM)

    with pytest.raises(StoppedError, match=r"stopped by SIGTERM: 2 of 7 episodes are kept in .*d\.episodes; the same"):
        collect("cube-single-play", out=out, progress=asked, **COLLECTED)


@pytest.mark.parametrize("other", [{"seed": 1}, {"steps": STEPS + 1}], ids=str)
def test_episodes_of_another_collection_are_not_mixed_in(other, tmp_path):
    out = tmp_path / "d.npz"
    interrupted(out, 1)
    ((name, value),) = other.items()
    with pytest.raises(
        DataError, match=rf"another collection, .* \({name} {COLLECTED[name]}, not {value}\): remove it"
    ):
        collect("cube-single-play", out=out, **COLLECTED | other)
    with pytest.raises(DataError, match="data set cube-single-play, not cube-single-noisy"):
        collect("cube-single-noisy", out=out, **COLLECTED)


def test_episodes_of_another_version_are_not_mixed_in(tmp_path, monkeypatch):
    out = tmp_path / "d.npz"
    interrupted(out, 1)
    monkeypatch.setattr("drol.sources.ogbench.kept.metadata.version", lambda package: f"{package} 99")
    with pytest.raises(DataError, match=r"mujoco [\d.]+, not mujoco 99"):
        collect("cube-single-play", out=out, **COLLECTED)


def test_ogbench_reads_the_files(tmp_path):
    train, validation = collect("scene-noisy", out=tmp_path / "d.npz", episodes=2, seed=0, workers=1, steps=STEPS)
    assert validation.name == "d-val.npz"
    with quiet():
        env, data, held_out = ogbench.make_env_and_datasets(
            "scene-noisy-singletask-task1-v0", dataset_path=str(train), add_info=True
        )
    assert data["observations"].shape == (2 * (STEPS - 1), env.observation_space.shape[0])
    assert held_out["observations"].shape[0] == STEPS - 1
    assert data["button_states"].dtype == np.int64
    assert set(data) >= {"rewards", "masks", "qpos", "qvel", "next_observations"}
    assert (np.abs(data["actions"]) <= 1).all()
    assert data["terminals"].sum() == 2


def test_observations_belong_to_the_states_stored_with_them(tmp_path):
    """Restoring qpos and qvel gives the observation of the same row: columns are aligned in time."""
    train, _ = collect("cube-single-play", out=tmp_path / "d.npz", episodes=1, seed=3, workers=1, steps=STEPS)
    columns = dict(np.load(train))
    with quiet():
        env = ogbench.make_env_and_datasets("cube-single-play-singletask-task1-v0", env_only=True)
        env.reset()
        for row in (0, 7, STEPS - 1):
            env.unwrapped.set_state(columns["qpos"][row], columns["qvel"][row])
            restored = env.unwrapped.compute_observation()
            # Joints and cube come from the state itself; what lies between (the effector's site, one physics step
            # behind, and contact forces) does not.
            for part in (slice(0, 12), slice(19, 28)):
                np.testing.assert_allclose(columns["observations"][row][part], restored[part], atol=1e-4)


def test_published_numbers():
    assert parse("cube-single-play-v0").steps == 1001
    assert parse("pointmaze-giant-navigate").steps == 2001
    assert parse("pointmaze-medium-stitch").steps == 201
    assert parse("puzzle-4x6-noisy").random_action == 0.2
    assert parse("scene-noisy").random_action == 0.1
    assert parse("scene-play").random_action == 0
    assert len(COLLECTIBLE) == 41


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cube-singel-play", "nearest is 'cube-single-play'"),
        ("antmaze-giant-explore", "nearest is"),
        ("", "expected"),
        ("humanoidmaze-medium-navigate", "40 million steps"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(name, words, tmp_path):
    with pytest.raises(DataError, match=words):
        collect(name, out=tmp_path / "d.npz")


def test_bad_requests_are_refused_before_any_work(tmp_path):
    (tmp_path / "there-val.npz").touch()
    for options, words in [
        ({"out": tmp_path / "d.txt"}, "ending in .npz"),
        ({"out": tmp_path / "there.npz"}, "already exists"),
        ({"out": tmp_path / "d.npz", "episodes": 0}, "at least 1"),
    ]:
        with pytest.raises(DataError, match=words):
            collect("cube-single-play", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["there-val.npz"]


def test_own_draws_are_independent_of_the_environment():
    """One seed, two generators: an episode's noise level must not be its start position in disguise."""
    own = np.array([own_draws(seed).random() for seed in range(500)])
    environment = np.array([np.random.default_rng(seed).random() for seed in range(500)])
    assert abs(np.corrcoef(own, environment)[0, 1]) < 0.2


def test_the_reachable_region_of_a_scene():
    def qpos(y, z):
        row = np.zeros((1, 25))
        row[0, 15:17] = y, z
        return row

    assert _cube_reachable(qpos(0.0, 0.02))
    assert not _cube_reachable(qpos(0.29, 0.02))
    assert not _cube_reachable(qpos(-0.3, 0.02))
    assert _cube_reachable(qpos(-0.31, 0.07)), "in the drawer"


def test_maze_cells():
    maze = np.array([[1, 1, 1, 1, 1], [1, 0, 0, 0, 1], [1, 1, 1, 0, 1], [1, 1, 1, 1, 1]])
    free, junctions = maze_cells(maze)
    assert free == [(1, 1), (1, 2), (1, 3), (2, 3)]
    assert junctions == [(1, 1), (1, 3), (2, 3)]
    assert cells_at_distance(maze, (1, 1), 3) == [(2, 3)]
    assert cells_at_distance(maze, (1, 1), 4) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", COLLECTIBLE)
def test_every_data_set_can_be_collected(name, tmp_path):
    with quiet():  # workers ignore the warnings of OGBench's spaces
        episode = Collector(parse(name), 120, write_actors(tmp_path)).episode(0, 0)
    assert len(episode["observations"]) == 120
    assert episode["terminals"].sum() == 1
    assert episode["terminals"][-1]
