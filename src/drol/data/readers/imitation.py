"""Trajectories as the library imitation stores them: concatenated, with the indices at which to cut them.

`obs` holds one more observation than actions for each trajectory, `terminal` one flag for each (HumanCompatibleAI/
imitation: src/imitation/data/types.py).
"""

import itertools
from collections.abc import Collection, Iterator, Mapping

import numpy as np

from drol.data.checks import check_flags, check_table, column
from drol.errors import DataError

NAMES = {"obs", "acts", "indices", "terminal"}


def is_format(names: Collection[str]) -> bool:
    """Whether arrays of these names are trajectories in imitation's format."""
    return set(names) >= NAMES


def episodes(arrays: Mapping[str, np.ndarray], where: str) -> Iterator[dict[str, np.ndarray]]:
    """The arrays of each trajectory under our names, its final observation included.

    Raises:
        DataError: if lengths do not match.
    """
    check_table("acts", arrays["acts"], None, where)
    check_table("obs", arrays["obs"], None, where)
    steps = len(arrays["acts"])
    cuts = column("indices", arrays["indices"], arrays["indices"].size, where).astype(np.int64)
    starts = np.concatenate([[0], cuts, [steps]])
    count = len(starts) - 1
    if (np.diff(starts) < 1).any() or len(arrays["obs"]) != steps + count:
        raise DataError(
            f"{where}: 'indices' must cut {steps} rows of 'acts' into {count} trajectories with one more row of 'obs' "
            f"each, {steps + count} in all; found {len(arrays['obs'])}"
        )
    terminal = check_flags("terminal", arrays["terminal"], count, where)
    rewards = {"rewards": column("rews", arrays["rews"], steps, where)} if "rews" in arrays else {}
    for number, (start, stop) in enumerate(itertools.pairwise(starts)):
        last = np.arange(start, stop) == stop - 1
        yield {
            "observations": arrays["obs"][start + number : stop + number + 1],
            "actions": arrays["acts"][start:stop],
            "terminated": last & terminal[number],
            **{name: rows[start:stop] for name, rows in rewards.items()},
        }
