"""Finished episodes of a collection, kept next to the file that they become, so that an interruption loses none."""

import shutil
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import BinaryIO

import numpy as np

from drol.data.readers.npz import read_npz
from drol.errors import DataError
from drol.files import JsonValue, read_json, write_atomic, write_json
from drol.sources.ogbench.recording import Episode

DECIDING = ("ogbench", "mujoco", "gymnasium", "numpy")
"""Packages that decide what an episode is."""


def folder_of(out: Path) -> Path:
    """Where the episodes of a data file `NAME.npz` are kept until it is written: `NAME.episodes` next to it."""
    return out.with_name(f"{out.stem}.episodes")


class KeptEpisodes:
    """The folder of finished episodes of one data file.

    Args:
        out: the data file.
        about: what the episodes depend on, but for the versions of packages.

    Raises:
        DataError: if the folder holds episodes of another collection.
    """

    def __init__(self, out: Path, about: Mapping[str, JsonValue]):
        self.folder = folder_of(out)
        self._about = {**about, **{package: metadata.version(package) for package in DECIDING}}
        if self._described.exists() and (found := read_json(self._described)) != self._about:
            differing = _differing(found, self._about)
            raise DataError(
                f"{self.folder} holds episodes of another collection, which was interrupted ({differing}): remove it "
                f"to begin again, or choose another name for the file"
            )

    @property
    def _described(self) -> Path:
        return self.folder / "about.json"

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:06d}.npz"

    def among(self, numbers: Iterable[int]) -> set[int]:
        """Those of the episodes that are kept; a damaged file counts as none, and so do files of unknown origin."""
        if not self._described.exists():
            return set()
        return {number for number in numbers if self._file(number).is_file() and self._intact(number)}

    def _intact(self, number: int) -> bool:
        try:
            return bool(self.read(number))
        except DataError:
            return False

    def add(self, number: int, episode: Episode) -> None:
        """Keep an episode.

        Raises:
            OSError: if it cannot be written, with a clear message.
        """
        if not self._described.exists():
            write_json(self._described, self._about)

        def write(file: BinaryIO) -> None:
            np.savez(file, **episode)  # pyright: ignore[reportArgumentType]

        write_atomic(self._file(number), write)

    def read(self, number: int) -> Episode:
        """A kept episode.

        Raises:
            DataError: if it is missing or damaged.
        """
        return read_npz(self._file(number))

    def remove(self) -> None:
        """Remove the folder, once the data file is written."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _differing(found: JsonValue, expected: Mapping[str, JsonValue]) -> str:
    """In words, what tells two collections apart."""
    if not isinstance(found, Mapping):
        return "its about.json is damaged"
    names = [name for name in expected if found.get(name) != expected[name]]
    return ", ".join(f"{name} {found.get(name)}, not {expected[name]}" for name in names) or "its about.json says more"
