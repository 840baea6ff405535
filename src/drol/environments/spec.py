"""What makes an environment, in words a worker process understands.

Names alone need no gymnasium, an optional dependency: it is imported where environments are made or spaces are read.
"""

import dataclasses
import textwrap
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from drol.files import DataError
from drol.seeding import make_reproducible

if TYPE_CHECKING:
    import gymnasium

Kind = Literal["gymnasium", "d4rl", "minari"]
KINDS: tuple[str, ...] = get_args(Kind)


@dataclasses.dataclass(frozen=True)
class EnvironmentSpec:
    """An environment by name.

    Attributes:
        id: a gymnasium id (`module:id` imports the module that registers it first), a D4RL id such as `pen-human-v1`,
            or the name of a Minari data set.
        options: keyword arguments of `gymnasium.make`.
        kind: whose id it is.
    """

    id: str
    options: tuple[tuple[str, Any], ...] = ()
    kind: Kind = "gymnasium"

    def as_record(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {"id": self.id, "kind": self.kind, "options": [list(option) for option in self.options]}

    @classmethod
    def from_record(cls, record: Any) -> "EnvironmentSpec":
        """What `as_record` gave.

        Raises:
            DataError: if it gave no such thing.
        """
        try:
            name, kind, options = record["id"], record["kind"], [(option, value) for option, value in record["options"]]
        except (TypeError, KeyError, ValueError):
            name, kind, options = None, None, []
        if not isinstance(name, str) or not all(isinstance(option, str) for option, _ in options) or kind not in KINDS:
            raise DataError(
                f"expected an 'id', a 'kind' (one of {', '.join(KINDS)}) and 'options' by name, found {_shown(record)}"
            )
        return cls(name, tuple(options), kind)

    def make(self) -> "gymnasium.Env":
        """Build the environment, ready for `reset_seeded`, its observations and boxes of actions laid in rows.

        Raises:
            InterfaceError: if its observations are images, or hold anything but numbers, or it is no environment of
                gymnasium's.
        """
        from drol.environments.wrappers import flat

        return flat(make_reproducible(self._make()))

    def _make(self) -> "gymnasium.Env":
        if self.kind == "d4rl":
            from drol.environments import d4rl

            return d4rl.make(self.id)
        if self.kind == "minari":
            from drol.environments import minari

            return minari.make(self.id)
        import gymnasium

        from drol.environments.interface import STRUCTURAL, InterfaceError, is_gymnasiums

        try:
            return gymnasium.make(self.id, **dict(self.options))
        except (gymnasium.error.Error, *STRUCTURAL) as error:
            if not is_gymnasiums(error):
                raise
            raise InterfaceError(f"the environment {self.id} cannot be made: {error}") from None


def action_bounds(space: "gymnasium.Space") -> tuple[np.ndarray, np.ndarray] | None:
    """The bounds of a box of actions, flat, (action,) each; None for other spaces and for boxes without end."""
    import gymnasium

    if not isinstance(space, gymnasium.spaces.Box) or not np.isfinite([space.low, space.high]).all():
        return None
    return space.low.ravel().astype(np.float64), space.high.ravel().astype(np.float64)


def _shown(record: Any) -> str:
    return textwrap.shorten(repr(record), 200)
