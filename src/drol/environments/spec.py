"""Specifications of environments, which can be sent to worker processes.

A specification does not need gymnasium, an optional dependency, which is imported only to make environments or to read
spaces.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from drol.extras import lazy

if TYPE_CHECKING:
    import gymnasium

    from drol.environments import making
else:
    gymnasium, making = lazy("gymnasium", "train"), lazy("drol.environments.making", "train")

GYMNASIUM = "drol.environments.making:registered"
"""The factory of environments that are registered with gymnasium."""


@dataclasses.dataclass(frozen=True)
class EnvironmentSpec:
    """The name of an environment and the factory that makes it.

    Attributes:
        id: the factory's name for it: for gymnasium's, an id (`module:id` first imports the module that registers it).
        options: the factory's keyword arguments.
        kind: the name of the factory in records.
        factory: `module:function`, called with the id and the options. It is always chosen by this library, never by a
            file: records hold the kind instead.
    """

    id: str
    options: tuple[tuple[str, Any], ...] = ()
    kind: str = "gymnasium"
    factory: str = GYMNASIUM

    @property
    def filmed(self) -> "EnvironmentSpec":
        """The same environment, able to render pictures."""
        return dataclasses.replace(self, options=(*self.options, ("render_mode", "rgb_array")))

    def as_record(self) -> dict[str, Any]:
        """Id, kind and options as JSON values; `drol.sources.environment_of_record` reads them."""
        return {"id": self.id, "kind": self.kind, "options": [list(option) for option in self.options]}

    def make(self) -> "gymnasium.Env":
        """Make the environment, ready for `reset_seeded`, with observations and box actions flattened.

        Raises:
            InterfaceError: if its observations are images or hold anything but numbers, or if it does not have
                gymnasium's interface.
        """
        return making.make(self)


def action_bounds(space: "gymnasium.Space") -> tuple[np.ndarray, np.ndarray] | None:
    """Lower and upper bounds of a box of actions, flat, (action,) each; None for other spaces and unbounded boxes."""
    if not isinstance(space, gymnasium.spaces.Box) or not np.isfinite([space.low, space.high]).all():
        return None
    return space.low.ravel().astype(np.float64), space.high.ravel().astype(np.float64)
