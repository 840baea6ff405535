"""The part of a plan that is still to be executed, for several episodes side by side."""

from collections.abc import Callable, Mapping

import numpy as np


class PlanQueue:
    """Plans of several episodes, each executed action by action and then replaced.

    Episodes need not be in phase: whenever any of them needs a plan, all are planned in one call of fixed shape, and
    only the plans that are needed are taken.

    Args:
        rows: the number of episodes.
        executed: how many actions of a plan are executed.
        action_dim: the numbers of an action.

    Attributes:
        plans: how many plans each episode has made.
    """

    def __init__(self, rows: int, executed: int, action_dim: int):
        self._executed = executed
        self._actions = np.zeros((rows, executed, action_dim), np.float32)
        self._left = np.zeros(rows, np.int64)
        self.plans = np.zeros(rows, np.int32)

    @property
    def rows(self) -> int:
        """The number of episodes."""
        return len(self._left)

    def kept(self) -> dict[str, np.ndarray]:
        """What is left of all plans, for `restore`."""
        return {"actions": self._actions.copy(), "left": self._left.copy(), "plans": self.plans.copy()}

    def restore(self, kept: Mapping[str, np.ndarray]) -> None:
        """Go on where `kept` was called."""
        self._actions, self._left, self.plans = (np.array(kept[name]) for name in ("actions", "left", "plans"))

    def clear(self, row: int | np.ndarray | None = None) -> None:
        """Begin an episode: forget its plan, and count its plans from 0.

        Args:
            row: one episode, several (their numbers, or a mask), or all if None.
        """
        chosen = slice(None) if row is None else row
        self._left[chosen], self.plans[chosen] = 0, 0

    def next(self, plan: Callable[[np.ndarray], np.ndarray], running: np.ndarray | None = None) -> np.ndarray:
        """The next action of every episode.

        Args:
            plan: makes a plan for all episodes, (rows, numbers of a plan); called with a mask of those that need one,
                and only if there are any.
            running: a mask of the episodes that act; all by default.

        Returns:
            (rows, action)
        """
        needed = self._left == 0
        if running is not None:
            needed &= running
        if needed.any():
            made = plan(needed).reshape(self.rows, -1, self._actions.shape[-1])
            self._actions = self._actions.astype(made.dtype, copy=False)
            self._actions[needed] = made[needed, : self._executed]
            self._left[needed] = self._executed
            self.plans[needed] += 1
        place = np.maximum(self._executed - self._left, 0) % self._executed
        actions = self._actions[np.arange(self.rows), place]
        self._left -= self._left > 0 if running is None else (self._left > 0) & running
        return actions
