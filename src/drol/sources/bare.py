"""Environments without data, by the name that gymnasium knows them by."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from drol.environments.spec import EnvironmentSpec
from drol.errors import DataError
from drol.extras import lazy, quiet, require
from drol.modules import import_named
from drol.sources.contract import GYMNASIUM, Needs, Request, Source, Task

if TYPE_CHECKING:
    import gymnasium

    from drol.data.dataset import Dataset
    from drol.data.log import Log
else:
    gymnasium = lazy("gymnasium", "train")

NAME = re.compile(r"(?:[\w.]+:)?(?:[\w-]+/)?[A-Z]\w*-v\d+")
"""Gymnasium's ids, optionally with the module that registers them; lower-case ids are those of data sets."""


def registered(name: str) -> EnvironmentSpec:
    """The environment that gymnasium knows by a name; `module:Id-v0` imports the module first.

    Raises:
        DataError: if there is none.
    """
    require("gymnasium", "train")
    module, _, known = name.rpartition(":")
    try:
        with quiet():
            if module:
                import_named(module)
            gymnasium.spec(known)
    except (gymnasium.error.Error, ImportError) as error:
        raise DataError(
            f"there is no environment {name!r} ({error}); expected a task, a gymnasium id such as Pendulum-v1, or "
            f"module:Id-v0, whose module registers it"
        ) from None
    return EnvironmentSpec(name)


class Without(Source):
    """A source of environments that have no data."""

    environment_needs: ClassVar[Needs] = GYMNASIUM

    def has_data(self, name: str) -> bool:
        """None has."""
        return False

    def data_needs(self, name: str) -> Needs:
        """Nothing."""
        return {}

    def is_present(self, name: str) -> bool:
        """There is nothing to be found."""
        return False

    def read(self, name: str, request: Request) -> "Log":
        """Refuses."""
        raise self._no_data(name)

    def load(self, task: Task, request: Request) -> "Dataset":
        """Refuses."""
        raise self._no_data(task.name)

    @staticmethod
    def _no_data(name: str) -> DataError:
        return DataError(
            f"{name} is an environment without data; learn in it with `drol finetune {name} --algorithm sac`, or train "
            f"on a file of your own"
        )


class BareSource(Without):
    """Any environment that is registered with gymnasium, such as `Pendulum-v1`."""

    def claims(self, name: str) -> bool:
        """Whether it has the form of a gymnasium id, and is no file or folder."""
        return NAME.fullmatch(name) is not None and not Path(name).exists()

    def label(self, name: str) -> str:
        """The id without its module."""
        return name.rpartition(":")[2]

    def environment(self, name: str) -> EnvironmentSpec | None:
        """The environment itself. Imports nothing: the name may come from a file."""
        return EnvironmentSpec(name)

    def check_readable(self, name: str) -> None:
        """Check that gymnasium knows it; imports the module of a name that the user gave."""
        registered(name)


BARE = BareSource()
