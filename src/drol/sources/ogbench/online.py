"""The environments in which OGBench's experts learn: an ant that follows directions, and one that moves a ball."""

from collections.abc import Collection
from typing import ClassVar

from drol.environments.spec import EnvironmentSpec
from drol.sources.bare import Without
from drol.sources.contract import GYMNASIUM, Needs

KIND = "ogbench-online"
FACTORY = "drol.sources.ogbench.locomotion:make"
EXPERTS = {"ant": "online-ant", "antball": "online-antball"}
"""Experts by name -> the tasks in which they learn."""

TASKS = tuple(EXPERTS.values())


class OGBenchOnlineSource(Without):
    """`online-ant` and `online-antball`."""

    environment_needs: ClassVar[Needs] = GYMNASIUM | {"ogbench": "ogbench"}

    def tasks(self) -> Collection[str]:
        """Both."""
        return TASKS

    def claims(self, name: str) -> bool:
        """Whether it is one of them."""
        return name in TASKS

    def environment(self, name: str) -> EnvironmentSpec | None:
        """See `drol.sources.ogbench.locomotion`."""
        return EnvironmentSpec(name, kind=KIND, factory=FACTORY)

    def makes(self, spec: EnvironmentSpec) -> bool:
        """Whether it is one of them."""
        return spec.factory == FACTORY and spec.id in TASKS


OGBENCH_ONLINE = OGBenchOnlineSource()
