"""Minari as a source of data sets."""

import re
from typing import TYPE_CHECKING, ClassVar

from drol.environments.spec import EnvironmentSpec
from drol.extras import lazy
from drol.sources.contract import Needs, Option, Request, Source, Task

if TYPE_CHECKING:
    from drol.data.dataset import Dataset
    from drol.data.log import Log
    from drol.sources.minari import reading
else:
    reading = lazy("drol.sources.minari.reading")

PREFIX = "minari:"
NEEDS: Needs = {"minari": "minari"}

KIND = "minari"
FACTORY = "drol.sources.minari.environments:make"
ID = re.compile(r"[\w-]([\w/-]*[\w-])?-v\d+")


class MinariSource(Source):
    """Minari's data sets, named `minari:DATASET`."""

    accepts: ClassVar[frozenset[Option]] = frozenset()
    environment_needs: ClassVar[Needs] = NEEDS

    def claims(self, name: str) -> bool:
        """Whether it begins with `minari:`."""
        return name.startswith(PREFIX)

    def label(self, name: str) -> str:
        """The name without slashes."""
        return f"minari-{name.removeprefix(PREFIX).replace('/', '-')}"

    def environment(self, name: str) -> EnvironmentSpec | None:
        """The one named in the data set's metadata."""
        return EnvironmentSpec(name.removeprefix(PREFIX), kind=KIND, factory=FACTORY)

    def makes(self, spec: EnvironmentSpec) -> bool:
        """Whether the id has the form of a Minari data set; `recorded` decides whether it may be made."""
        return spec.factory == FACTORY and ID.fullmatch(spec.id) is not None

    def data_needs(self, name: str) -> Needs:
        """Minari, whose extra includes what it needs for reading."""
        return NEEDS

    def read(self, name: str, request: Request) -> "Log":
        """See `drol.sources.minari.reading.read`."""
        return reading.read(name.removeprefix(PREFIX))

    def load(self, task: Task, request: Request) -> "Dataset":
        """See `drol.sources.minari.reading.load`."""
        return reading.load(task.name.removeprefix(PREFIX), progress=request.progress)

    def has_one_file(self, name: str) -> bool:
        """False: a data set is a folder of several files."""
        return False


MINARI = MinariSource()
