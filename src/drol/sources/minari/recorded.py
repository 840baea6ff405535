"""Decide by name, before anything is imported, which environments in a Minari data set's metadata may be made.

A data set may come from anywhere, so its metadata may call only what is listed here: environments that are registered
with gymnasium or defined by known environment packages, gymnasium's wrappers that only compute, and arguments that are
numbers or plain words that such environments accept.
"""

import importlib
import json
import math
import re
from typing import Any

import gymnasium

from drol.errors import DataError
from drol.files import JsonValue

ENVIRONMENTS = re.compile(
    r"(gymnasium\.envs\.(box2d|classic_control|mujoco|phys2d|toy_text)|gymnasium_robotics\.envs|minigrid\.envs)"
    r"(\.[a-z]\w*)*:[A-Z]\w*"
)

WRAPPERS: dict[str, tuple[str, ...]] = {
    "ClipAction": (),
    "ClipReward": ("min_reward", "max_reward"),
    "DelayObservation": ("delay",),
    "FilterObservation": ("filter_keys",),
    "FlattenObservation": (),
    "FrameStackObservation": ("stack_size", "padding_type"),
    "MaxAndSkipObservation": ("skip",),
    "NormalizeObservation": ("epsilon",),
    "NormalizeReward": ("gamma", "epsilon"),
    "OrderEnforcing": ("disable_render_order_enforcing",),
    "PassiveEnvChecker": (),
    "RecordEpisodeStatistics": ("buffer_length", "stats_key"),
    "RepeatAction": ("num_repeats",),
    "RescaleAction": ("min_action", "max_action"),
    "RescaleObservation": ("min_obs", "max_obs"),
    "ReshapeObservation": ("shape",),
    "StickyAction": ("repeat_action_probability", "repeat_action_duration"),
    "TimeAwareObservation": ("flatten", "normalize_time", "dict_time_key"),
    "TimeLimit": ("max_episode_steps",),
}
"""gymnasium's wrappers that only compute -> their permitted arguments."""

IN_WORDS = (
    *("desc", "map_name", "maze_map", "reward_type", "target_position", "target_rotation", "tasks_to_complete"),
    *("touch_get_obs", "dict_time_key", "filter_keys", "padding_type", "stats_key"),
)
"""Arguments that may be or contain words; all others must be numbers."""

RENDERED = (None, "rgb_array", "rgb_array_list", "depth_array", "ansi")
"""Render modes that open no window."""

WORDS = re.compile(r"[\w -]{0,64}")


def check_recorded(text: JsonValue, where: str) -> None:
    """Refuse an environment specification that would call or open anything not listed here.

    Args:
        text: the output of gymnasium's `EnvSpec.to_json`, which may have been edited by hand; None is accepted.
        where: the data set, for error messages.

    Raises:
        DataError: naming what was found.
        ImportError: if the package of a permitted environment is not installed.
    """
    if text is None:
        return
    try:
        spec = json.loads(text, object_pairs_hook=_object)  # pyright: ignore[reportArgumentType]  (caught below)
        called, arguments = spec["entry_point"], dict(spec.get("kwargs") or {})
        wrappers = [(entry["entry_point"], dict(entry["kwargs"] or {})) for entry in spec["additional_wrappers"]]
    except (TypeError, KeyError, ValueError, AttributeError, RecursionError) as error:
        raise DataError(f"{where} describes its environment in a way that cannot be read ({error}); damaged?") from None
    registered = [entry for entry in gymnasium.registry.values() if entry.entry_point == called]
    if not isinstance(called, str) or not (registered or ENVIRONMENTS.fullmatch(called)):
        raise _refusal(where, f"{called!r:.100} as its environment")
    for name, value in arguments.items():
        usual = any(name in entry.kwargs and entry.kwargs[name] == value for entry in registered)
        if not (usual or _is_harmless(name, value)):
            raise _refusal(where, f"the argument {name}={value!r:.100} of its environment")
    for entry_point, given in wrappers:
        _check_wrapper(entry_point, given, where)
    if not registered:
        module, _, name = called.partition(":")
        found = getattr(importlib.import_module(module), name)
        if not (isinstance(found, type) and issubclass(found, gymnasium.Env)):
            raise _refusal(where, f"{called!r} as its environment")


def _check_wrapper(entry_point: JsonValue, arguments: dict[str, Any], where: str) -> None:
    match = re.fullmatch(r"gymnasium\.wrappers(\.[a-z]\w*)*:(\w+)", str(entry_point))
    if match is None or match[2] not in WRAPPERS:
        raise _refusal(where, f"{entry_point!r:.100} as a wrapper of its environment")
    for name, value in arguments.items():
        if name not in WRAPPERS[match[2]] or not _is_harmless(name, value):
            raise _refusal(where, f"the argument {name}={value!r:.100} of the wrapper {match[2]}")


def _refusal(where: str, what: str) -> DataError:
    return DataError(
        f"{where} names {what}, which a data set may not choose; nothing was called. If you trust it, name the "
        f"environment yourself (--env MODULE:ID); otherwise skip evaluation (--env none)"
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose names are plain and unique, so that every parser reads it the same way."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names) or not all(name.isidentifier() for name in names):
        raise ValueError(f"expected unique plain names, found {names!r:.100}")
    return dict(pairs)


def _is_harmless(name: str, value: JsonValue) -> bool:
    if name == "render_mode":
        return value in RENDERED
    if isinstance(value, list):
        return all(_is_harmless(name, part) for part in value)
    if isinstance(value, dict):
        return all(_is_harmless(name, part) for part in value.values())
    if isinstance(value, str):
        return name in IN_WORDS and WORDS.fullmatch(value) is not None
    return value is None or isinstance(value, bool | int) or (isinstance(value, float) and not math.isnan(value))
