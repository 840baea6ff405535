"""Which environments of a Minari data set's description may be made: decided by names, before anything is imported.

A data set may come from anywhere. What its description calls, with which arguments, is what is listed here, and nothing
else: environments that are registered with gymnasium, or that packages of environments define; wrappers of gymnasium's
that compute; arguments that are numbers, or words that such environments know.
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
"""gymnasium's wrappers that compute, and their arguments."""

IN_WORDS = (
    *("desc", "map_name", "maze_map", "reward_type", "target_position", "target_rotation", "tasks_to_complete"),
    *("touch_get_obs", "dict_time_key", "filter_keys", "padding_type", "stats_key"),
)
"""Arguments that may be words, or hold them; others are numbers."""

RENDERED = (None, "rgb_array", "rgb_array_list", "depth_array", "ansi")
"""Ways to render that open no window."""

WORDS = re.compile(r"[\w -]{0,64}")


def check_recorded(text: JsonValue, where: str) -> None:
    """Refuse a description whose making would call, or open, anything else than what is listed here.

    Args:
        text: what gymnasium's `EnvSpec.to_json` gave, or whatever an editor made of it; None passes.
        where: the data set, for messages.

    Raises:
        DataError: naming what was found.
        ImportError: if the package of an environment that is listed here is not installed.
    """
    if text is None:
        return
    try:
        spec = json.loads(text, object_pairs_hook=_object)
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
        f"{where} names {what}, which is not taken from a data set; nothing was called. If you trust it, evaluate in "
        f"an environment that you name yourself (--env MODULE:ID), or in none (--env none)"
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are plain, and each there once: so it means the same to whoever reads it."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names) or not all(name.isidentifier() for name in names):
        raise ValueError(f"expected different plain names, found {names!r:.100}")
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
