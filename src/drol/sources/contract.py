"""The interface of data set sources. Only the sources themselves know which tasks belong to them."""

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
"""What the user may specify about a data set; see `Request`."""

Bounds = tuple[np.ndarray, np.ndarray]


@runtime_checkable
class Budget(Protocol):
    """The published numbers of updates."""

    @property
    def updates(self) -> int:
        """For all tasks but D4RL's."""
        ...

    @property
    def d4rl_updates(self) -> int:
        """For D4RL's tasks."""
        ...


@dataclasses.dataclass(frozen=True)
class Task:
    """A data set and the environment in which policies trained on it are evaluated.

    Attributes:
        name: refers to the same task later and from any folder; for your own log, its absolute path.
        label: what run folders are named after.
        source: where its data come from.
        environment: where policies are evaluated; None if no environment has been named.
    """

    name: str
    label: str
    source: "Source"
    environment: EnvironmentSpec | None


@dataclasses.dataclass(frozen=True)
class Request:
    """How a data set is to be read.

    Attributes:
        path: the training file, instead of the usual folder and the official download.
        bounds: lower and upper bounds of the actions, each (action,) or a single number.
        folder: where memory-mapped tables are written if the data are too large for memory.
        columns: names of the arrays; see `drol.data.files.read`.
        progress: called with (bytes so far, total bytes or None) during a download.
        expected: the SHA-256 of the training file, in hexadecimal.
    """

    path: Path | None = None
    bounds: Bounds | None = None
    folder: Path | None = None
    columns: Columns = dataclasses.field(default_factory=dict)
    progress: Progress | None = None
    expected: str | None = None


class Source(abc.ABC):
    """Where data sets come from: task names, their data and environments, and the data sets that can be collected.

    `claims` and the `*_needs` members must import neither optional packages nor JAX.

    Attributes:
        accepts: the options that apply to this source; the others are already known or fixed by the task's name.
        named_by_path: whether task names are paths of files or folders, which may have been moved.
        environment_needs, collection_needs: the packages that evaluation and `collect` need.
    """

    accepts: ClassVar[frozenset[Option]] = frozenset({"path"})
    named_by_path: ClassVar[bool] = False
    environment_needs: ClassVar[Needs] = {}
    collection_needs: ClassVar[Needs] = {}

    def tasks(self) -> Collection[str]:
        """The names of all tasks, as far as they are known without network access.

        Raises:
            MissingExtraError: if the package that lists them is not installed.
        """
        return ()

    @abc.abstractmethod
    def claims(self, name: str) -> bool:
        """Whether a name has the form of this source's task names."""

    def knows(self, name: str) -> bool:
        """Whether this source has a task of that name.

        Raises:
            MissingExtraError: if the package that lists the tasks is not installed.
        """
        return self.claims(name)

    def full_name(self, name: str) -> str:
        """A known name in a form that does not depend on the current folder."""
        return name

    def label(self, name: str) -> str:
        """What run folders of a task are named after."""
        return name

    def environment(self, name: str) -> EnvironmentSpec | None:
        """Where policies trained on a task are evaluated; None if no environment is known."""
        return None

    def makes(self, spec: EnvironmentSpec) -> bool:
        """Whether an environment belongs to this source."""
        return False

    def has_data(self, name: str) -> bool:
        """Whether a task has data; environments alone have none."""
        return True

    def reward(self, name: str) -> Callable[[float], float]:
        """The reward in a task's data, given the environment's: the data of some tasks have others."""
        return float

    @abc.abstractmethod
    def data_needs(self, name: str) -> Needs:
        """The packages needed to read a data set; its name need not be known."""

    @abc.abstractmethod
    def read(self, name: str, request: Request) -> "Log":
        """A task's data as stored, for inspection; nothing is downloaded.

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
        """Which of the published numbers of updates applies to this source."""
        return budget.updates

    def check_readable(self, name: str) -> None:
        """Check early that the data the name refers to exist and are in a supported format.

        Raises:
            DataError: saying what was found instead.
        """
        return

    def own_files(self, name: str) -> Collection[Path] | None:
        """The files that the name itself refers to; None if it refers to no files or they do not exist."""
        return None

    def is_present(self, name: str) -> bool:
        """Whether the data may be present or can be fetched."""
        return True

    def is_large(self, name: str, columns: Columns) -> bool:
        """Whether the data should be memory-mapped instead of loaded."""
        return False

    def has_one_file(self, name: str) -> bool:
        """Whether the training data are a single file, whose checksum can be given."""
        return True

    def data_set(self, name: str) -> str | None:
        """The name of a task's data set in `collect`; None if this source cannot collect it."""
        return None

    def about_collection(self, data_set: str) -> str | None:
        """What to know about data that `collect` makes, in a sentence; None if they are made as the published ones."""
        return None

    def file_name(self, data_set: str) -> str:
        """The default name of the training file that `collect` writes for a data set."""
        raise NotImplementedError

    def check_collection(self, data_set: str, out: Path) -> None:
        """Check, before any work or output, that a data set can be collected into a file.

        Raises:
            DataError: if it cannot, saying why.
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
        experts: Path | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Path]:
        """Collect a data set with an expert.

        Args:
            data_set: its name; see the method `data_set`.
            out: the training file to write.
            episodes: how many; defaults to the number that was published.
            seed: determines the files.
            workers: number of processes, if several can be used.
            experts: the folder of trained experts, where data are collected by such; those that come with the package
                by default.
            progress: called with (done so far, total).

        Returns:
            The paths of the files.

        Raises:
            DataError: if it cannot be collected.
        """
        raise NotImplementedError
