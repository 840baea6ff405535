"""What every source of data sets says and does. Only sources know which one a task is of."""

import abc
import dataclasses
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np

from drol.data.readers.columns import Columns
from drol.environments.spec import EnvironmentSpec
from drol.sources.download import Progress

if TYPE_CHECKING:
    from drol.data.dataset import Dataset
    from drol.data.log import Log

Needs = dict[str, str]
"""Module -> the extra that installs it; see `drol.extras.require_all`."""

GYMNASIUM: Needs = {"gymnasium": "train"}
HDF5: Needs = {"h5py": "hdf5"}

Option = Literal["path", "bounds", "columns"]
"""What the user may say about a data set; see `Request`."""

Bounds = tuple[np.ndarray, np.ndarray]


@runtime_checkable
class Budget(Protocol):
    """The published numbers of updates."""

    @property
    def updates(self) -> int:
        """On most tasks."""
        ...

    @property
    def d4rl_updates(self) -> int:
        """On D4RL's."""
        ...


@dataclasses.dataclass(frozen=True)
class Task:
    """A data set and the environment it is judged in.

    Attributes:
        name: what names it again; the absolute path of a log of your own.
        label: what run folders are called after.
        source: where its data come from.
        environment: where policies are evaluated; None where nobody has named one.
    """

    name: str
    label: str
    source: "Source"
    environment: EnvironmentSpec | None


@dataclasses.dataclass(frozen=True)
class Request:
    """How a data set is to be read.

    Attributes:
        path: its training file, instead of the usual folder and the official download.
        bounds: of the actions, (action,) or one number each.
        folder: for tables that are memory-mapped, where the data are too large for memory.
        columns: names of the arrays; see `drol.data.files.read`.
        progress: called with (bytes so far, bytes in all or None) during a download.
        expected: the SHA-256 of the training file, in hexadecimal.
    """

    path: Path | None = None
    bounds: Bounds | None = None
    folder: Path | None = None
    columns: Columns = dataclasses.field(default_factory=dict)
    progress: Progress | None = None
    expected: str | None = None


class Source(abc.ABC):
    """Where data sets come from: the names of its tasks, their data, their environments, what can be made here.

    `claims` and the needs must not import optional packages, nor JAX.

    Attributes:
        accepts: the options that make sense here; the others are known, or named by the task itself.
        named_by_path: whether tasks are called after files or folders, which may have been moved.
        environment_needs, collection_needs: what evaluation and `collect` need.
    """

    accepts: ClassVar[frozenset[Option]] = frozenset({"path"})
    named_by_path: ClassVar[bool] = False
    environment_needs: ClassVar[Needs] = {}
    collection_needs: ClassVar[Needs] = {}

    def tasks(self) -> Collection[str]:
        """The names of all tasks, as far as they are known without a network.

        Raises:
            MissingExtraError: if a package that lists them is not installed.
        """
        return ()

    @abc.abstractmethod
    def claims(self, name: str) -> bool:
        """Whether a name has the form of the names here."""

    def knows(self, name: str) -> bool:
        """Whether a name is that of a task here.

        Raises:
            MissingExtraError: if a package that says so is not installed.
        """
        return self.claims(name)

    def full_name(self, name: str) -> str:
        """A known name such that it means the same in any folder."""
        return name

    def label(self, name: str) -> str:
        """What run folders of a task are called after."""
        return name

    def environment(self, name: str) -> EnvironmentSpec | None:
        """Where policies trained on a task are evaluated, if anybody has said so."""
        return None

    def makes(self, spec: EnvironmentSpec) -> bool:
        """Whether an environment is one of those here."""
        return False

    @abc.abstractmethod
    def data_needs(self, name: str) -> Needs:
        """What reading a data set needs; its name need not be known."""

    @abc.abstractmethod
    def read(self, name: str, request: Request) -> "Log":
        """A task's data as they are, to be examined; nothing is downloaded.

        Raises:
            DataError: if they cannot be read.
        """

    @abc.abstractmethod
    def load(self, task: Task, request: Request) -> "Dataset":
        """A task's data, ready for training.

        Raises:
            DataError: if they are missing, damaged or not what they should be.
        """

    def updates(self, budget: Budget) -> int:
        """How many of the published numbers of updates apply here."""
        return budget.updates

    def check_readable(self, name: str) -> None:
        """Raise before anything else is done if the name means data that are not there, or in no form that is read.

        Raises:
            DataError: saying what was found.
        """
        return

    def own_files(self, name: str) -> Collection[Path] | None:
        """The files that the name itself means; None where it means none, or none are there."""
        return None

    def is_present(self, name: str) -> bool:
        """Whether the data may be there, or can be fetched."""
        return True

    def is_large(self, name: str, columns: Columns) -> bool:
        """Whether the data should be memory-mapped instead of loaded."""
        return False

    def has_one_file(self, name: str) -> bool:
        """Whether the training data are one file, which can have a checksum."""
        return True

    def data_set(self, name: str) -> str | None:
        """What `collect` calls a task's data set; None where none can be made here."""
        return None

    def file_name(self, data_set: str) -> str:
        """What the training file of a data set that `collect` makes is called by default."""
        raise NotImplementedError

    def check_collection(self, data_set: str, out: Path) -> None:
        """Raise, before anything is done or said, if a data set cannot be made into a file.

        Raises:
            DataError: saying why.
        """
        raise NotImplementedError

    def collect(
        self,
        data_set: str,
        *,
        out: Path,
        episodes: int | None,
        seed: int,
        workers: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Path]:
        """Make a data set with an expert.

        Args:
            data_set: see `data_set`.
            out: the training file.
            episodes: how many; as many as were published without.
            seed: makes the files.
            workers: processes, where several can be used.
            progress: called with (so far, in all).

        Returns:
            The paths of the files.

        Raises:
            DataError: if it cannot be made.
        """
        raise NotImplementedError
