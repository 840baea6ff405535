"""Checks of seeds, and seeding of every generator that a gymnasium environment draws from."""

import operator
from typing import TYPE_CHECKING, Any

from drol.extras import lazy

if TYPE_CHECKING:
    import gymnasium
    import numpy as np
else:
    # `drol --help` checks seeds as well, and need not wait for it.
    np = lazy("numpy")


def checked_seed(seed: object, name: str = "seed") -> int:
    """A seed as a Python integer.

    Raises:
        ValueError: if it is not a whole number from 0 to 2^64 - 1.
    """
    try:
        number = operator.index(seed)  # pyright: ignore[reportArgumentType]  (anything may be given)
    except TypeError:
        number = -1
    if isinstance(seed, bool) or not 0 <= number < 2**64:
        raise ValueError(f"{name} must be a whole number from 0 to 2^64 - 1, found {seed!r}")
    return number


def make_reproducible(env: "gymnasium.Env") -> "gymnasium.Env":
    """Give an environment a single, persistent action space, so that `reset_seeded` can seed it.

    OGBench's manipulation environments build a new, unseeded action space at every access and sample random actions
    from it inside `reset`.
    """
    base = env.unwrapped
    if isinstance(getattr(type(base), "action_space", None), property):
        base.__class__ = type(type(base).__name__, (type(base),), {"action_space": base.action_space})
    return env


def episode_seed(seed: int, *path: int) -> int:
    """A 32-bit seed for one episode: a hash of (seed, path), so that episodes are independent."""
    return int(np.random.SeedSequence([seed, *path]).generate_state(1)[0])


def reset_seeded(env: "gymnasium.Env", seed: int, options: dict[str, Any] | None = None) -> Any:
    """Start an episode that depends on `seed` alone; returns what the environment's `reset` returns.

    Seeds the environment, its action space and NumPy's global generator, from which OGBench's mazes draw start noise
    and teleports. Call `make_reproducible` first.
    """
    np.random.seed(seed)
    env.unwrapped.action_space.seed(episode_seed(seed, 2))
    return env.reset(seed=seed, options=options)
