"""Checks of gymnasium's interface where environments are known to break it, each reported in one sentence."""

import inspect
import math
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, SupportsFloat, TypeVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Tuple

from drol.errors import DataError
from drol.seeding import reset_seeded

T = TypeVar("T")

Answer = SupportsFloat | Mapping[Any, Any] | Sequence[Any] | None
"""Whatever an environment may answer, wrong answers included."""

Step = tuple[np.ndarray, float, bool, bool, bool | None]

STRUCTURAL = (TypeError, ValueError, AssertionError)
"""What wrappers raise on unexpected return values and arguments."""

OWN_CHECKS = ("gymnasium.utils.passive_env_checker", "gymnasium.envs.registration")

MODERN = "wrap it, or give it gymnasium's interface"


class InterfaceError(DataError):
    """An environment breaks gymnasium's interface, or its observations or actions are of an unsupported kind."""


def name_of(env: gymnasium.Env) -> str:
    """An environment's id, or the name of its class."""
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__


def leaves(space: Space, name: str = "observation") -> Iterator[tuple[str, Space]]:
    """The numeric spaces that make up an observation, each with its name, in the order of `row`.

    Raises:
        InterfaceError: for images, and for anything but numbers.
    """
    if isinstance(space, Dict | Tuple):
        parts = sorted(space.spaces.items()) if isinstance(space, Dict) else enumerate(space.spaces)
        for key, part in parts:
            yield from leaves(part, f"{name}[{key!r}]")
    elif not isinstance(space, Box | Discrete | MultiBinary | MultiDiscrete):
        raise InterfaceError(f"the {name} has the space {space}; expected a fixed number of numbers")
    elif space.dtype == np.uint8 and len(_shape(space)) > 1:
        raise InterfaceError(
            f"the {name} is an image, {_shape(space)} of uint8; policies act on states, for instance on an encoder's "
            f"features of the image"
        )
    else:
        yield name, space


def width(space: Space) -> int:
    """The length of the vector that `row` makes of an observation. Raises the same errors as `leaves`."""
    return sum(math.prod(_shape(leaf)) for _, leaf in leaves(space))


def row(space: Space, observation: Answer, name: str = "observation") -> np.ndarray:
    """An observation as a vector, in the order of `drol.environments.flatten.flatten`.

    Args:
        space: the observation's space.
        observation: the observation; instead of arrays, it may hold nested lists of numbers.
        name: what it is called in error messages.

    Returns:
        (width,)

    Raises:
        InterfaceError: if its structure or shape differs from that of its space.
    """
    if isinstance(space, Dict):
        if not isinstance(observation, Mapping) or set(observation) != set(space.spaces):
            found = list(observation) if isinstance(observation, Mapping) else type(observation).__name__
            raise InterfaceError(f"the {name} should have the keys {sorted(space.spaces)}, found {_short(found)}")
        parts = [row(space[key], observation[key], f"{name}[{key!r}]") for key in sorted(space.spaces)]
    elif isinstance(space, Tuple):
        if not isinstance(observation, tuple | list) or len(observation) != len(space.spaces):
            raise InterfaceError(f"the {name} should be a tuple of {len(space.spaces)}, found {_short(observation)}")
        parts = [row(part, observation[i], f"{name}[{i}]") for i, part in enumerate(space.spaces)]
    else:
        return _numbers(space, observation, name)
    return np.concatenate(parts)


def _numbers(space: Space, observation: Answer, name: str) -> np.ndarray:
    array, shape = _array(observation), _shape(space)
    if array is None:
        raise InterfaceError(f"the {name} should be numbers of shape {shape}, found {_short(observation)}")
    # A category may also come as an array of one element.
    if array.shape != shape and not (shape == () and array.size == 1 and isinstance(space, Discrete)):
        raise InterfaceError(f"the {name} should have shape {shape}, as its space says, found {array.shape}")
    return array.ravel()


def _shape(space: Space) -> tuple[int, ...]:
    return space.shape or ()


def _array(value: Answer) -> np.ndarray | None:
    """The value as an array of real numbers; None if it is anything else."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):  # lists of unequal lengths
        return None
    if array.dtype.kind == "O" and all(isinstance(entry, numbers.Real) for entry in array.flat):
        array = array.astype(np.float64)
    return array if array.dtype.kind in "biuf" else None


def _short(value: Answer) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def _one(value: Answer, name: str) -> Any:
    """The single number or truth value in a scalar or an array of one element."""
    array = _array(value)
    if array is None:
        raise InterfaceError(f"{name} should be one number, found {_short(value)}")
    if array.size != 1:
        raise InterfaceError(f"{name} should be one number, found an array of shape {array.shape}")
    return array.item()


def _verdict(info: Mapping[str, Any]) -> bool | None:
    """The success that an environment reports as `success` or `is_success`; None if it reports none.

    If there are several values (for instance, one per goal), all must be true. NaN counts as no verdict.

    Raises:
        InterfaceError: if it is neither a truth value nor a number.
    """
    found = next((info[name] for name in ("success", "is_success") if info.get(name) is not None), None)
    if found is None:
        return None
    array = _array(found)
    if array is None:
        raise InterfaceError(f"the info's success should be a truth value or a number, found {_short(found)}")
    return None if array.size == 0 or np.isnan(array).any() else bool(array.all())


def start(env: gymnasium.Env, seed: int) -> np.ndarray:
    """Start an episode that depends only on `seed`; returns its first observation as a vector.

    Raises:
        InterfaceError: if the environment breaks the interface.
    """
    try:
        answer = reset_seeded(env, seed)
    except Exception as error:
        _explain(env, error, _old_reset(env, seed) if isinstance(error, STRUCTURAL) else None)
        raise
    if fault := _not_a_pair(answer):
        raise InterfaceError(f"{name_of(env)}: {fault}")
    return _named(env, "after reset", row, answer[0])


def act(env: gymnasium.Env, action: np.ndarray) -> Step:
    """Take one action; returns the observation as a vector, the reward, `terminated`, `truncated` and the success.

    Raises:
        InterfaceError: if the environment breaks the interface.
    """
    try:
        answer = env.step(action)
    except Exception as error:
        _explain(env, error, _old_step(env, action) if isinstance(error, STRUCTURAL) else None)
        raise
    if fault := _not_five(answer):
        raise InterfaceError(f"{name_of(env)}: {fault}")
    return _named(env, "after a step", _converted, answer)


def _converted(space: Space, answer: tuple[Any, ...]) -> Step:
    observation, reward, terminated, truncated, info = answer
    if not isinstance(info, Mapping):
        raise InterfaceError(f"the info should be a dictionary, found {_short(info)}")
    return (
        row(space, observation),
        float(_one(reward, "the reward")),
        bool(terminated is not None and _one(terminated, "`terminated`")),
        bool(truncated is not None and _one(truncated, "`truncated`")),
        _verdict(info),
    )


def _named(env: gymnasium.Env, moment: str, convert: Callable[[Space, Any], T], answer: Answer) -> T:
    """`convert(*args)`, with the environment's name and the moment added to errors."""
    try:
        return convert(env.observation_space, answer)
    except InterfaceError as error:
        raise InterfaceError(f"{name_of(env)}, {moment}: {error}") from None


def _explain(env: gymnasium.Env, error: Exception, fault: str | None) -> None:
    """Raise `InterfaceError` if an error was raised by gymnasium itself or is explained by a known fault."""
    if fault is None and is_gymnasiums(error):
        fault = str(error)
    if fault is not None:
        raise InterfaceError(f"{name_of(env)}: {fault}") from None


def is_gymnasiums(error: Exception) -> bool:
    """Whether an error was raised by gymnasium's own checks; its message then says what is wrong."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    raised_by = "" if trace is None else trace.tb_frame.f_globals.get("__name__")
    return isinstance(error, gymnasium.error.Error) or (isinstance(error, STRUCTURAL) and raised_by in OWN_CHECKS)


def _not_a_pair(answer: Answer) -> str | None:
    if isinstance(answer, tuple) and len(answer) == 2:
        return None
    return f"`reset` should return (observation, info), found {_short(answer)}; {MODERN}"


def _not_five(answer: Answer) -> str | None:
    if isinstance(answer, tuple) and len(answer) == 5:
        return None
    found = f"{len(answer)} values" if isinstance(answer, tuple) else _short(answer)
    return f"`step` should return (observation, reward, terminated, truncated, info), found {found}; {MODERN}"


def _old_reset(env: gymnasium.Env, seed: int) -> str | None:
    """What is wrong with the `reset` of the environment inside all wrappers; None if nothing is, or if it fails."""
    try:
        parameters = inspect.signature(env.unwrapped.reset).parameters
        if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values()):
            missing = [f"`{name}`" for name in ("seed", "options") if name not in parameters]
            if missing:
                return f"`reset` should accept `seed` and `options`, but lacks {' and '.join(missing)}; {MODERN}"
        return _not_a_pair(env.unwrapped.reset(seed=seed, options=None))
    except Exception:
        return None


def _old_step(env: gymnasium.Env, action: np.ndarray) -> str | None:
    """What is wrong with the `step` of the environment inside all wrappers; None if nothing is, or if it fails."""
    try:
        inner: Any = env
        while isinstance(inner, gymnasium.Wrapper):
            action = inner.action(action) if isinstance(inner, gymnasium.ActionWrapper) else action
            inner = inner.env
        return _not_five(inner.step(action))
    except Exception:
        return None
