"""Your own data: transitions from arrays in memory."""

import numpy as np

from drol.data.episodes import Transitions, check_actions, check_array, check_masks
from drol.files import DataError


def from_arrays(
    observations: np.ndarray,
    actions: np.ndarray,
    rewards: np.ndarray,
    terminated: np.ndarray,
    next_observations: np.ndarray,
    *,
    truncated: np.ndarray | None = None,
) -> Transitions:
    """Transitions from tuples (s, a, r, terminated, s'), T of them, in the order they were recorded.

    A tuple's next state is stored once where it is the following tuple's state.

    Args:
        observations: (T, observation).
        actions: (T, action) in [-1, 1].
        rewards: (T,).
        terminated: (T,) true where s' is a true end (success, failure), after which nothing more is earned.
        next_observations: (T, observation).
        truncated: (T,) true where an episode was merely cut (a time limit); bootstrapping goes on there.

    Raises:
        DataError: naming the array, the row and what was expected.
    """
    where = "from_arrays"
    observations = check_array("observations", np.asarray(observations), (None, None), where)
    count = len(observations)
    if count == 0:
        raise DataError(f"{where}: 'observations' has no rows; at least one transition is needed")
    actions = check_actions(check_array("actions", np.asarray(actions), (count, None), where), where)
    rewards = check_array("rewards", np.asarray(rewards), (count,), where)
    masks = check_masks(1 - check_array("terminated", np.asarray(terminated), (count,), where), where)
    following = check_array("next_observations", np.asarray(next_observations), observations.shape, where)
    ends = masks == 0
    if truncated is not None:
        ends = ends | (check_array("truncated", np.asarray(truncated), (count,), where) != 0)
    continues = np.zeros(count, bool)
    continues[:-1] = ~ends[:-1] & (following[:-1] == observations[1:]).all(axis=-1)
    number = np.arange(count)
    separate = ~continues
    next_index = number + 1
    next_index[separate] = count + np.arange(separate.sum())
    return Transitions(
        observations=np.concatenate([observations, following[separate]]),
        actions=actions,
        rewards=rewards,
        masks=masks,
        index=number.astype(np.int32),
        next_index=next_index.astype(np.int32),
        next_action_index=np.where(continues, number + 1, number).astype(np.int32),
    )
