"""OGBench as a source of tasks."""

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from drol.data.readers.formats import looks_like_a_path
from drol.environments.spec import GYMNASIUM as REGISTERED
from drol.environments.spec import EnvironmentSpec
from drol.extras import lazy
from drol.sources.contract import GYMNASIUM, Needs, Request, Source, Task
from drol.sources.ogbench import names

if TYPE_CHECKING:
    from drol.data.dataset import Dataset
    from drol.data.log import Log
    from drol.sources.ogbench import collection, reading
else:
    collection, reading = lazy("drol.sources.ogbench.collection"), lazy("drol.sources.ogbench.reading")

NEEDS: Needs = {"ogbench": "ogbench"}
ENVIRONMENT = re.compile(r"ogbench:[\w.-]+")


class OGBenchSource(Source):
    """OGBench's single tasks, such as `cube-single-play-singletask-task2-v0`."""

    environment_needs: ClassVar[Needs] = GYMNASIUM | NEEDS
    collection_needs: ClassVar[Needs] = NEEDS

    def tasks(self) -> Collection[str]:
        """All state-based single tasks in OGBench's registry."""
        return names.known_tasks()

    def claims(self, name: str) -> bool:
        """Whether it contains `-singletask` and is not a file name."""
        return "-singletask" in name and not (looks_like_a_path(name) and Path(name).suffix)

    def knows(self, name: str) -> bool:
        """Whether OGBench knows it."""
        return self.claims(name) and name in names.known_tasks()

    def environment(self, name: str) -> EnvironmentSpec | None:
        """OGBench's own, with the task's goal set."""
        return EnvironmentSpec(f"ogbench:{names.parse_task(name).env_id}")

    def makes(self, spec: EnvironmentSpec) -> bool:
        """Whether OGBench registers it."""
        return spec.factory == REGISTERED and ENVIRONMENT.fullmatch(spec.id) is not None

    def data_needs(self, name: str) -> Needs:
        """OGBench, which is needed to relabel the rewards."""
        return NEEDS

    def read(self, name: str, request: Request) -> "Log":
        """See `drol.sources.ogbench.reading.read`."""
        task = names.parse_task(name)
        return reading.read(request.path or reading.CACHE.expanduser() / f"{task.dataset}.npz", task)

    def load(self, task: Task, request: Request) -> "Dataset":
        """See `drol.sources.ogbench.reading.load`."""
        return reading.load(
            names.parse_task(task.name), path=request.path, progress=request.progress, expected=request.expected
        )

    def data_set(self, name: str) -> str | None:
        """Environment and kind of expert, such as `cube-single-play`; not all of them have a scripted expert."""
        return names.parse_task(name).dataset.removesuffix("-v0")

    def about_collection(self, data_set: str) -> str | None:
        """Of data of trained ants, whose they are."""
        actors = collection.parse_collection(data_set).actors
        if not actors:
            return None
        return f"collected here with drol's experts ({' and '.join(actors)}), not the published set"

    def file_name(self, data_set: str) -> str:
        """OGBench's own file name."""
        return f"{data_set.removesuffix('-v0')}-v0.npz"

    def check_collection(self, data_set: str, out: Path) -> None:
        """Check that a scripted expert can collect it."""
        collection.parse_collection(data_set)

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
        """See `drol.sources.ogbench.collection.collect`."""
        given: dict[str, Any] = {"episodes": episodes, "seed": seed, "workers": workers, "actors": experts}
        return list(collection.collect(data_set, out=out, progress=progress, **given))


OGBENCH = OGBenchSource()
