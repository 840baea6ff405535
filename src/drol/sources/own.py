"""Your own logs as a source: files and folders, named by their paths."""

import contextlib
import itertools
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from drol.data.readers.columns import Columns
from drol.data.readers.formats import SUFFIXES, looks_like_a_path
from drol.environments.spec import EnvironmentSpec, action_bounds
from drol.extras import lazy, quiet
from drol.sources.contract import HDF5, Bounds, Needs, Option, Request, Source, Task

if TYPE_CHECKING:
    from drol.data import files
    from drol.data.dataset import Dataset
    from drol.data.log import Log
else:
    files = lazy("drol.data.files")


class OwnSource(Source):
    """Your own logs."""

    accepts: ClassVar[frozenset[Option]] = frozenset({"bounds", "columns"})
    named_by_path: ClassVar[bool] = True

    def claims(self, name: str) -> bool:
        """Whether it looks like a path."""
        return looks_like_a_path(name)

    def full_name(self, name: str) -> str:
        """The absolute path."""
        return str(Path(name).expanduser().absolute())

    def label(self, name: str) -> str:
        """The file's name without its suffix."""
        return Path(name).stem

    def data_needs(self, name: str) -> Needs:
        """h5py if the file, or one of the first 100 files of a folder, is HDF5."""
        path = Path(name).expanduser()
        if not path.exists():
            return {}
        found = itertools.islice(path.iterdir(), 100) if path.is_dir() else [path]
        return HDF5 if any(SUFFIXES.get(file.suffix.lower()) == "hdf5" for file in found) else {}

    def read(self, name: str, request: Request) -> "Log":
        """See `drol.data.files.read`."""
        return files.read(Path(name), request.folder, request.columns)

    def load(self, task: Task, request: Request) -> "Dataset":
        """See `drol.data.files.load`; if the log states no action bounds, those of the environment are used."""
        default = None if request.bounds is not None or task.environment is None else _bounds_in(task.environment)
        return files.load(
            Path(task.name),
            bounds=request.bounds,
            default_bounds=default,
            folder=request.folder,
            columns=request.columns,
        )

    def check_readable(self, name: str) -> None:
        """See `drol.data.files.check_readable`."""
        files.check_readable(Path(name))

    def own_files(self, name: str) -> Collection[Path] | None:
        """The log and its validation data, or all files of a folder."""
        path = Path(name)
        if not self.is_present(name):
            return None
        found = path.rglob("*") if path.is_dir() else [path, path.with_name(f"{path.stem}-val{path.suffix}")]
        return [file for file in found if file.is_file()]

    def is_present(self, name: str) -> bool:
        """Whether the path exists."""
        return bool(name) and Path(name).exists()

    def is_large(self, name: str, columns: Columns) -> bool:
        """Whether the arrays would take up a large part of memory."""
        return files.is_large(Path(name), columns=columns)

    def has_one_file(self, name: str) -> bool:
        """Whether the path is a file rather than a folder."""
        return not Path(name).is_dir()


def _bounds_in(environment: EnvironmentSpec) -> Bounds | None:
    with quiet():
        env = environment.make()
    with contextlib.closing(env):
        return action_bounds(env.action_space)


OWN = OwnSource()
