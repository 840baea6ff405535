"""Films of a policy at work: several episodes in a grid, each marked with how it ended."""

import contextlib
import functools
import math
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from drol.environments.camera import Picture
from drol.environments.limits import DEFAULT, EvaluationLimits
from drol.environments.results import EpisodeResult
from drol.environments.rollout import SLOTS, Evaluator
from drol.environments.scoring import Evaluation, summarised
from drol.environments.spec import EnvironmentSpec
from drol.errors import DataError, UsageError
from drol.extras import lazy, require_all
from drol.files import clear_write_errors, counted, refuse_folder, write_atomic
from drol.policy import Policy
from drol.policy.loaded import LoadedPolicy
from drol.processes import WorkerError, cores
from drol.signals import stop_requests

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont
else:
    Image, ImageDraw, ImageFont = (lazy(f"PIL.{name}", "video") for name in ("Image", "ImageDraw", "ImageFont"))

FORMATS = {".mp4": ("imageio_ffmpeg", "PIL"), ".webp": ("PIL",), ".gif": ("PIL",)}
"""The modules that write each kind of file."""

MOST_TILES = min(9, SLOTS)
"""Episodes in a film: only those that begin together can be shown side by side."""

HEIGHT = 240
RATE = 20.0
"""Steps per second if the environment does not say what looks natural."""

HELD_SECONDS = 1.5
"""How long the last picture stays."""

SUCCEEDED, FAILED, RAN = (0, 114, 178), (213, 94, 0), (90, 90, 90)
"""Frames of episodes that succeeded, that failed, and that have no verdict: colours that everyone can tell apart."""

BORDER = 4

BACKENDS = {"egl": "EGL", "osmesa": "OSMesa"}
"""Ways in which MuJoCo renders without a screen, in the order in which they are tried."""


class Film:
    """A film in the making: a `Camera`. Nothing is left at `path` unless the film is finished.

    Args:
        path: a `.mp4`, `.webp` or `.gif`.
        episodes: how many are shown.
        height: of one episode's picture, in pixels.
        every: films every so many steps.
        rate: steps per second at which it plays.
    """

    def __init__(self, path: Path, episodes: int, *, height: int = HEIGHT, every: int = 1, rate: float = RATE):
        self._episodes, self._height, self._every = episodes, height, every
        self._pictures: dict[int, Picture] = {}
        self._results: dict[int, EpisodeResult] = {}
        self._due = False
        self._last: Picture | None = None
        self._rate = rate / every
        kind = _Mp4 if path.suffix.lower() == ".mp4" else _Animation
        self._writer: _Writer = kind(path, self._rate)

    def wants(self, episode: int, step: int, ended: bool) -> bool:
        """Every so many steps, and the last one of each episode."""
        if episode >= self._episodes:
            return False
        self._due = step % self._every == 0
        return self._due or ended

    def take(self, pictures: Mapping[int, Picture]) -> None:
        """Put the pictures into their places; write the whole if it is time."""
        self._pictures |= {episode: _scaled(picture, self._height) for episode, picture in pictures.items()}
        if self._due:
            self._write()

    def end(self, results: Sequence[EpisodeResult]) -> None:
        """Mark these episodes from now on."""
        self._results |= {result.episode: result for result in results if result.episode < self._episodes}

    def finish(self) -> None:
        """Hold the last picture for a moment, and close the file."""
        for _ in range(math.ceil(HELD_SECONDS * self._rate)):
            self._write()
        self._writer.finish()

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._writer.abandon()

    def _write(self) -> None:
        tiles = [
            _marked(picture, episode, self._results.get(episode)) for episode, picture in sorted(self._pictures.items())
        ]
        across = self._episodes if self._episodes <= 3 else math.ceil(math.sqrt(self._episodes))
        tiles += [np.zeros_like(tiles[0])] * (-self._episodes % across)
        rows = [np.concatenate(tiles[start : start + across], axis=1) for start in range(0, len(tiles), across)]
        self._writer.add(np.concatenate(rows, axis=0))


class _Writer(Protocol):
    def add(self, picture: Picture) -> None: ...

    def finish(self) -> None: ...

    def abandon(self) -> None: ...


class _Mp4:
    """H.264 by ffmpeg, written as it comes, under another name until it is complete."""

    def __init__(self, path: Path, rate: float):
        self._path, self._rate = path, rate
        self._part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        self._encoder: subprocess.Popen[bytes] | None = None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `finish` and `abandon`)

    def add(self, picture: Picture) -> None:
        if self._encoder is None:
            self._encoder = self._started(*picture.shape[:2])
        assert self._encoder.stdin is not None
        try:
            self._encoder.stdin.write(picture.tobytes())
        except OSError:
            raise self._failure() from None

    def _started(self, height: int, width: int) -> "subprocess.Popen[bytes]":
        with clear_write_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._part.touch()
        command = [ffmpeg(), "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
        command += ["-s", f"{width}x{height}", "-r", f"{self._rate:g}", "-i", "-", "-c:v", "libx264", "-crf", "23"]
        command += ["-pix_fmt", "yuv420p", "-movflags", "+faststart", "-f", "mp4", str(self._part)]
        # Ctrl-C reaches only this process, which then ends the encoder.
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._said, start_new_session=True
        )

    def _failure(self) -> OSError:
        """What ffmpeg said before it ended."""
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines() or ["it ended early"]
        return OSError(f"could not write {self._path}: ffmpeg: {lines[-1]}")

    def finish(self) -> None:
        if self._encoder is not None:
            with contextlib.suppress(BrokenPipeError):
                self._encoder.communicate()
            if self._encoder.returncode != 0:
                raise self._failure()
            os.replace(self._part, self._path)
        self._said.close()

    def abandon(self) -> None:
        if self._encoder is not None:
            self._encoder.kill()
            self._encoder.communicate()
        self._part.unlink(missing_ok=True)
        self._said.close()


@functools.cache
def ffmpeg() -> str:
    """The path of ffmpeg, which imageio-ffmpeg brings or finds; it tries it in a way that would fork this process."""
    asked = [sys.executable, "-c", "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise DataError(f"imageio-ffmpeg found no ffmpeg: {answer.stderr.strip().splitlines()[-1]}")
    return answer.stdout.strip()


class _Animation:
    """A GIF or an animated WebP, which Pillow writes at the end, from pictures kept on the disk until then."""

    def __init__(self, path: Path, rate: float):
        self._path, self._rate = path, rate
        self._shape: tuple[int, ...] = ()
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `finish` and `abandon`)

    def add(self, picture: Picture) -> None:
        self._shape = picture.shape
        self._spool.write(picture.tobytes())

    def finish(self) -> None:
        self._spool.seek(0)
        pictures = self._pictures()
        first = next(pictures, None)
        kind = self._path.suffix.lower().removeprefix(".")
        # Pillow shows a picture of a GIF for whole hundredths of a second.
        options = {"webp": {"quality": 60, "method": 4}, "gif": {"optimize": True}}[kind]
        if first is not None:
            duration = max(20, round(100 / self._rate) * 10 if kind == "gif" else round(1000 / self._rate))
            write_atomic(
                self._path,
                lambda file: first.save(
                    file, kind, save_all=True, append_images=pictures, duration=duration, loop=0, **options
                ),
            )
        self._spool.close()

    def abandon(self) -> None:
        self._spool.close()

    def _pictures(self) -> "Iterator[Image.Image]":
        while content := self._spool.read(math.prod(self._shape)):
            yield Image.fromarray(np.frombuffer(content, np.uint8).reshape(self._shape))


def _scaled(picture: Picture, height: int) -> Picture:
    """The picture at this height, with even sides, as video needs them."""
    width = picture.shape[1] * height / picture.shape[0]
    size = (max(2, round(width / 2) * 2), max(2, round(height / 2) * 2))
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def _marked(picture: Picture, episode: int, result: EpisodeResult | None) -> Picture:
    """The picture with its episode's number and, once that has ended, how."""
    tile = Image.fromarray(picture)
    draw, text, colour = ImageDraw.Draw(tile), f"episode {episode}", RAN
    if result is not None:
        verdict, colour = f"return {result.episode_return:.1f}", RAN
        if result.success is not None:
            verdict, colour = ("success", SUCCEEDED) if result.success else ("failure", FAILED)
        text += f": {verdict}, {counted(result.length, 'step')}"
        draw.rectangle((0, 0, tile.width - 1, tile.height - 1), outline=colour, width=BORDER)
    room = tile.width - 2 * BORDER - 8
    size = max(8, picture.shape[0] // 18)
    size = max(6, min(size, int(size * room / max(1, draw.textlength(text, ImageFont.load_default(size))))))
    font, place = ImageFont.load_default(size), (BORDER + 4, BORDER + 2)
    left, top, right, bottom = draw.textbbox(place, text, font=font)
    draw.rectangle((left - 4, top - 2, right + 4, bottom + 3), fill=colour)
    draw.text(place, text, font=font, fill=(255, 255, 255))
    return np.array(tile)


def check_film(path: Path) -> None:
    """Check that a film can be written there.

    Raises:
        UsageError: for an unknown kind of file.
        DataError: if it is a folder.
        MissingExtraError: if a package is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path} should end in one of {', '.join(FORMATS)}; that decides the format")
    refuse_folder(path)
    require_all(dict.fromkeys(FORMATS[path.suffix.lower()], "video"))


@contextlib.contextmanager
def filming(
    path: Path,
    environment: EnvironmentSpec,
    *,
    workers: int,
    limits: EvaluationLimits,
    episodes: int,
    height: int,
    every: int,
) -> Iterator[tuple[Evaluator, Film]]:
    """An evaluator whose environments render pictures, and the film that takes them; it is written at the end.

    Raises:
        DataError: if no picture can be rendered, saying what is missing.
    """
    evaluator, rate = _studio(environment, workers, limits)
    film = Film(path, min(episodes, MOST_TILES), height=height, every=every, rate=rate or RATE)
    with evaluator:
        try:
            yield evaluator, film
            film.finish()
        except BaseException:
            film.abandon()
            raise


def _studio(environment: EnvironmentSpec, workers: int, limits: EvaluationLimits) -> tuple[Evaluator, float | None]:
    """An evaluator that can render, by the first way that works here, and the rate at which its films look natural."""
    chosen = os.environ.get("MUJOCO_GL", "disable")
    backends = {chosen: chosen} if chosen not in ("", "disable", "disabled", "off", "0") else BACKENDS
    failures: dict[str, str] = {}
    for backend, name in backends.items():
        variables = {"MUJOCO_GL": backend} | {"SDL_VIDEODRIVER": os.environ.get("SDL_VIDEODRIVER", "dummy")}
        try:
            evaluator = Evaluator(environment.filmed, workers=workers, limits=limits, variables=variables)
            return evaluator, evaluator.check_pictures()
        except WorkerError as error:
            failures[name] = str(error).strip().splitlines()[-1]
    if len(failures) > 1 and len(set(failures.values())) == 1:  # so it is not for want of a graphics library
        raise DataError(f"no picture of {environment.id} could be rendered: {failures.popitem()[1]}")
    tried = "; ".join(f"with {name}: {reason}" for name, reason in failures.items())
    raise DataError(
        f"no picture of {environment.id} could be rendered ({tried}). Rendering without a screen needs a graphics "
        f"library: on Debian and Ubuntu, apt-get install libegl1 or libosmesa6; MUJOCO_GL=egl or osmesa chooses one"
    )


def film(
    policy: Policy | LoadedPolicy,
    environment: EnvironmentSpec,
    path: str | os.PathLike[str],
    *,
    episodes: int = 4,
    seed: int = 0,
    height: int = HEIGHT,
    every: int = 1,
    workers: int | None = None,
    limits: EvaluationLimits = DEFAULT,
) -> Evaluation:
    """Film a policy at work, as `drol evaluate --video` does. Filming changes no result.

    Args:
        policy: a policy that acts in the environment's units.
        environment: where; see `drol.environment`.
        path: the film: `.mp4`, `.webp` or `.gif`.
        episodes: how many; at most the first nine are shown, in a grid, each marked with how it ended.
        seed: for the environments' resets and the policy's draws.
        height: of one episode's picture, in pixels.
        every: films every so many steps.
        workers: number of processes; defaults to one per core, at most 8.
        limits: limits on steps and seconds.

    Returns:
        What `drol.evaluate` returns for these episodes.

    Raises:
        DataError: if no picture can be rendered here; the message says what is missing.
        UsageError: for another kind of file.
        MissingExtraError: if a package is not installed.
        ValueError: if the policy does not fit the environment, or a number is not positive.
        StoppedError: on Ctrl-C or SIGTERM.
    """
    if min(episodes, height, every) < 1:
        raise ValueError(f"episodes, height and every must be at least 1, found {episodes}, {height} and {every}")
    path = Path(path)
    check_film(path)
    plain = policy.policy if isinstance(policy, LoadedPolicy) else policy
    with (
        stop_requests(),
        filming(
            path,
            environment,
            workers=workers or min(cores(), 8),
            limits=limits,
            episodes=episodes,
            height=height,
            every=every,
        ) as (evaluator, camera),
    ):
        evaluator.check(plain.spec)
        results = evaluator.run(plain, episodes=episodes, seed=seed, camera=camera)
    return summarised(results)
