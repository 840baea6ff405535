"""Films: what is on them, that filming changes nothing, and what is said where nothing can be rendered."""

import re
import subprocess

import jax
import numpy as np
import pytest
from PIL import Image

import drol
from drol.cli.main import main
from drol.environments.results import EpisodeResult
from drol.environments.spec import EnvironmentSpec
from drol.errors import DataError, UsageError
from drol.processes import WorkerError
from drol.report import filming
from drol.report.filming import FAILED, HELD_SECONDS, RAN, SUCCEEDED, Film, ffmpeg
from drol.types import Spec
from tests.helpers.small_algorithms import init

MODULE = "tests.helpers.toy_environment:"
PICTURED = EnvironmentSpec(f"{MODULE}DrolToyPictured-v0")
HELD = 15  # pictures, at ten a second


def policy_of(spec):
    algorithm = drol.BC(hidden=(8,))
    return algorithm.policy(init(algorithm, spec, jax.random.key(0)))


@pytest.fixture(scope="module")
def policy():
    return policy_of(Spec(4, 3))


def pictures(path):
    """All pictures of a film, (pictures, height, width, 3)."""
    if path.suffix != ".mp4":
        with Image.open(path) as film:
            found = []
            for number in range(film.n_frames):
                film.seek(number)
                found.append(np.array(film.convert("RGB")))
        return np.stack(found)
    said = subprocess.run([ffmpeg(), "-i", path], capture_output=True, text=True, check=False).stderr
    width, height = map(int, re.search(r"Video: h264.* (\d+)x(\d+)", said).groups())
    command = [ffmpeg(), "-loglevel", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    content = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(content, np.uint8).reshape(-1, height, width, 3)


def near(colour, expected):
    return np.abs(colour.astype(int) - expected).max() <= 40


@pytest.mark.parametrize("suffix", ["mp4", "webp", "gif"])
def test_a_film_shows_every_step_and_how_episodes_ended(policy, tmp_path, suffix):
    out = tmp_path / "new" / f"film.{suffix}"
    result = drol.film(policy, PICTURED, out, episodes=4, seed=3, height=60)
    shown = pictures(out)
    lengths = [episode.length for episode in result.episodes]
    assert shown.shape[1:] == (120, 240, 3)
    if suffix == "mp4":  # the others may join equal pictures
        assert len(shown) == 1 + max(lengths) + HELD
    last = shown[-1]
    assert len({episode.success for episode in result.episodes}) == 2
    for episode in result.episodes:
        top, left = 60 * (episode.episode // 2), 120 * (episode.episode % 2)
        assert near(last[top + 30, left + 1], SUCCEEDED if episode.success else FAILED)
        grey = last[top + 40, left + 60]
        assert near(grey, 5 * episode.length)
    assert near(shown[0][30, 1], 0)  # no mark at first
    assert not list(out.parent.glob(".*"))


def test_filming_changes_no_episode(policy, tmp_path):
    filmed = drol.film(policy, PICTURED, tmp_path / "film.gif", episodes=12, seed=5, every=7, height=40)
    assert filmed == drol.evaluate(policy, PICTURED, episodes=12, seed=5)


def test_every_mth_step_and_the_last(policy, tmp_path):
    result = drol.film(policy, PICTURED, tmp_path / "film.mp4", episodes=1, seed=3, every=4, height=40)
    length = result.episodes[0].length
    shown = pictures(tmp_path / "film.mp4")
    held = int(np.ceil(HELD_SECONDS * 10 / 4))
    assert len(shown) == 1 + length // 4 + held
    assert near(shown[-1][30, 40], 5 * length)  # the last step, wherever it was


def test_only_episodes_that_begin_together_are_shown(tmp_path):
    film = Film(tmp_path / "film.gif", 2)
    assert film.wants(1, 0, False)
    assert not film.wants(2, 0, False)
    film.abandon()


def test_an_episode_without_a_verdict_is_marked_with_its_return(tmp_path):
    film = Film(tmp_path / "film.gif", 1, height=60, rate=2.0)
    assert film.wants(0, 0, False)
    film.take({0: np.full((30, 60, 3), 250, np.uint8)})
    film.end([EpisodeResult(0, 1, 12.5, 8, None, None)])
    film.finish()
    first, last = pictures(tmp_path / "film.gif")[[0, -1]]
    assert near(first[30, 1], 250)
    assert near(last[30, 1], RAN)


def test_a_policy_in_the_classic_control_is_filmed(tmp_path):
    environment = drol.environment("Pendulum-v1")
    out = tmp_path / "film.webp"
    drol.film(policy_of(Spec(3, 1)), environment, out, episodes=2, every=50, height=80)
    shown = pictures(out)
    assert shown.shape[1:] == (80, 160, 3)
    assert shown[0].std() > 1


@pytest.mark.parametrize("backend", ["egl", "osmesa"])
def test_ogbench_is_filmed_without_a_screen(tmp_path, monkeypatch, backend):
    monkeypatch.setenv("MUJOCO_GL", backend)
    monkeypatch.delenv("DISPLAY", raising=False)
    environment = drol.environment("pointmaze-medium-navigate-singletask-task1-v0")
    limits = drol.EvaluationLimits(steps=4)
    try:
        drol.film(policy_of(Spec(2, 2)), environment, tmp_path / "film.mp4", episodes=1, every=2, limits=limits)
    except DataError as error:
        pytest.skip(f"no {backend} here: {error}")
    assert pictures(tmp_path / "film.mp4")[0].std() > 1


def test_where_nothing_renders_one_message_says_what_to_install(policy, tmp_path, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "nonsense")
    environment = drol.environment("pointmaze-medium-navigate-singletask-task1-v0")
    with pytest.raises(DataError, match=r"could be rendered \(with nonsense: .*apt-get install libegl1 or libosmesa6"):
        drol.film(policy_of(Spec(2, 2)), environment, tmp_path / "film.mp4")
    assert list(tmp_path.iterdir()) == []


def test_pictures_that_are_none_are_named(policy, tmp_path):
    with pytest.raises(DataError, match=r"DrolToyFlat-v0 renders an array of shape \(20, 40\); films need an RGB"):
        drol.film(policy, EnvironmentSpec(f"{MODULE}DrolToyFlat-v0"), tmp_path / "film.gif")
    with pytest.raises(DataError, match="render_mode"):
        drol.film(policy, EnvironmentSpec(f"{MODULE}DrolToy-v0"), tmp_path / "film.gif")


@pytest.mark.parametrize("suffix", ["mp4", "gif"])
def test_a_failure_leaves_nothing_behind(policy, tmp_path, suffix):
    broken = EnvironmentSpec(f"{MODULE}DrolToyPictured-v0", (("fault", "raise"),))
    out = tmp_path / f"film.{suffix}"
    out.write_bytes(b"an older film")
    with pytest.raises(WorkerError):
        drol.film(policy, broken, out)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    assert out.read_bytes() == b"an older film"


def test_what_ffmpeg_says_is_passed_on(tmp_path, monkeypatch):
    monkeypatch.setattr(filming, "ffmpeg", lambda: "false")
    film = Film(tmp_path / "film.mp4", 1)
    assert film.wants(0, 0, False)

    def filled():
        film.take({0: np.zeros((240, 240, 3), np.uint8)})
        film.finish()

    with pytest.raises(OSError, match=r"could not write .*film\.mp4: ffmpeg: it ended early"):
        filled()
    film.abandon()
    assert list(tmp_path.iterdir()) == []


def test_the_command(policy, tmp_path, capsys):
    drol.save_policy(policy, tmp_path / "policy")
    command = ["evaluate", str(tmp_path / "policy"), "--env", PICTURED.id, "--episodes", "3", "--workers", "1"]
    out = tmp_path / "film.webp"
    assert main([*command, "--video", str(out), "--video-every", "5", "--video-height", "40"]) == 0
    said = capsys.readouterr().out
    assert said.endswith(f"film: {out}\n")
    assert pictures(out).shape[1:] == (40, 240, 3)
    assert main(command) == 0
    assert capsys.readouterr().out == said.removesuffix(f"film: {out}\n")
    assert main([*command, "--video", str(tmp_path / "film.avi")]) == 2
    assert "should end in one of .mp4, .webp, .gif" in capsys.readouterr().err


def test_bad_numbers_are_refused(policy, tmp_path):
    with pytest.raises(ValueError, match="at least 1, found 4, 240 and 0"):
        drol.film(policy, PICTURED, tmp_path / "film.gif", every=0)
    with pytest.raises(UsageError):
        drol.film(policy, PICTURED, tmp_path / "film")
