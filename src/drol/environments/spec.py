"""What makes an environment, in words a worker process understands.

Names alone need no gymnasium, an optional dependency: it is imported where environments are made or spaces are read.
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
"""The factory of what is registered with gymnasium."""


@dataclasses.dataclass(frozen=True)
class EnvironmentSpec:
    """An environment by name, and what makes it.

    Attributes:
        id: what the factory knows it by: for gymnasium's, an id (`module:id` imports the module that registers it
            first).
        options: the factory's keyword arguments.
        kind: what records call the factory.
        factory: `module:function`, which is called with the id and the options. This library chooses it: no file names
            it, and records hold the kind instead.
    """

    id: str
    options: tuple[tuple[str, Any], ...] = ()
    kind: str = "gymnasium"
    factory: str = GYMNASIUM

    def as_record(self) -> dict[str, Any]:
        """Id, kind and options as JSON values; `drol.sources.environment_of_record` reads them."""
        return {"id": self.id, "kind": self.kind, "options": [list(option) for option in self.options]}

    def make(self) -> "gymnasium.Env":
        """Build the environment, ready for `reset_seeded`, its observations and boxes of actions laid in rows.

        Raises:
            InterfaceError: if its observations are images, or hold anything but numbers, or it does not have
                gymnasium's interface.
        """
        return making.make(self)


def action_bounds(space: "gymnasium.Space") -> tuple[np.ndarray, np.ndarray] | None:
    """The bounds of a box of actions, flat, (action,) each; None for other spaces and for boxes without end."""
    if not isinstance(space, gymnasium.spaces.Box) or not np.isfinite([space.low, space.high]).all():
        return None
    return space.low.ravel().astype(np.float64), space.high.ravel().astype(np.float64)
