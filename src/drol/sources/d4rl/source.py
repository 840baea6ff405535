"""D4RL as a source of tasks."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from drol.environments.spec import EnvironmentSpec
from drol.errors import DataError
from drol.extras import lazy
from drol.sources.contract import GYMNASIUM, HDF5, Budget, Needs, Request, Source, Task
from drol.sources.d4rl.tasks import SHIFTED, TASKS, is_d4rl, task

if TYPE_CHECKING:
    from drol.data.dataset import Dataset
    from drol.data.log import Log
    from drol.sources.d4rl import maze2d, reading
else:
    maze2d, reading = lazy("drol.sources.d4rl.maze2d"), lazy("drol.sources.d4rl.reading")

KIND = "d4rl"
FACTORY = "drol.sources.d4rl.environments:make"


class D4RLSource(Source):
    """D4RL's tasks, such as `pen-human-v1`."""

    # D4RL's own packages are not listed, as pip alone cannot install them: errors point to `drol install-d4rl`.
    environment_needs: ClassVar[Needs] = GYMNASIUM
    collection_needs: ClassVar[Needs] = GYMNASIUM | HDF5

    def tasks(self) -> Collection[str]:
        """All tasks in the table."""
        return TASKS

    def claims(self, name: str) -> bool:
        """Whether it is in the table."""
        return is_d4rl(name)

    def environment(self, name: str) -> EnvironmentSpec | None:
        """D4RL's own."""
        return EnvironmentSpec(name, kind=KIND, factory=FACTORY)

    def makes(self, spec: EnvironmentSpec) -> bool:
        """Whether it is in the table."""
        return spec.factory == FACTORY and is_d4rl(spec.id)

    def reward(self, name: str) -> Callable[[float], float]:
        """antmaze's rewards are lowered by 1, as in the data."""
        return (lambda reward: reward - 1) if task(name).family == SHIFTED else float

    def data_needs(self, name: str) -> Needs:
        """h5py; reading needs none of D4RL's packages."""
        return HDF5

    def read(self, name: str, request: Request) -> "Log":
        """See `drol.sources.d4rl.reading.read`."""
        return reading.read(name, request.path or reading.dataset_folder() / task(name).file)

    def load(self, task: Task, request: Request) -> "Dataset":
        """See `drol.sources.d4rl.reading.load`."""
        return reading.load(task.name, path=request.path, progress=request.progress, expected=request.expected)

    def updates(self, budget: Budget) -> int:
        """The number for D4RL's tasks."""
        return budget.d4rl_updates

    def data_set(self, name: str) -> str | None:
        """The task's name; only the mazes have an expert."""
        return name

    def file_name(self, data_set: str) -> str:
        """An HDF5 file."""
        return f"{data_set}.hdf5"

    def check_collection(self, data_set: str, out: Path) -> None:
        """Check that there is an expert and that the file does not exist yet."""
        maze2d.maze_task(data_set)
        if out.exists():
            raise DataError(f"{out} already exists; choose another name with --out or remove it")

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
        """See `drol.sources.d4rl.maze2d.collect`; an episode counts as many steps as the task's time limit."""
        steps = maze2d.published_steps(data_set)
        if episodes is not None:
            steps = episodes * task(data_set).max_episode_steps
        return [maze2d.collect(data_set, out=out, steps=steps, seed=seed, noise=maze2d.NOISE, progress=progress)]


D4RL = D4RLSource()
