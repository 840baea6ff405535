"""Which stored arrays are meant: by our names, by their synonyms, and by names that the user gives."""

import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping

from drol.errors import DataError, nearest
from drol.files import listed

Columns = Mapping[str, str | None]
"""Our name of an array -> its name in the file; `a+b` lays several side by side; None means that there is none."""

NOTHING: Columns = {}
"""Every array goes by its own name."""

ALIASES = {
    "terminated": ("terminals", "terminations"),
    "truncated": ("timeouts", "truncations"),
}
"""Names that mean the same."""

ENDS = ("dones", "done", "episode_terminals")
"""Flags of all ends, true ends and time-outs alike; given flags of one kind, they yield those of the other."""

OF_EPISODES = {"observations": "obs", "next_observations": "next_obs"}
"""robomimic's names, which are understood if each episode has its own group."""

TABLES = ("observations", "actions", "next_observations")
"""What may be a group of arrays, which are laid side by side in alphabetical order."""

STATES = ("qpos", "qvel", "infos/qpos", "infos/qvel")
BOUNDS = ("action_low", "action_high")
NAMES = (*TABLES, "rewards", "terminated", "truncated", *BOUNDS, "qpos", "qvel")
"""The names that a column can have."""

REQUIRED = ("observations", "actions", "terminated")

LIKELY = {
    "observations": ("obs", "observation", "ob", "state", "states", "obs_state", "env_states"),
    "actions": ("acts", "action", "act", "acs"),
    "rewards": ("rews", "reward", "rew", "rwd", "rs"),
    "terminated": ("terminal", "termination", "terminate", "is_terminal", "terms"),
    "truncated": ("timeout", "truncation", "time_out", "time_outs", "truncs", "is_truncated"),
    "next_observations": ("next_obs", "next_observation", "next_state", "next_states", "obs2", "obs_next", "new_obs"),
}
"""Names that other libraries use; they are suggested, never assumed."""

EXPECTED = (
    "'observations' (T, n), 'actions' (T, m), 'rewards' (T,), 'terminated' (T,) and optionally 'truncated' (T,) and "
    "'next_observations' (T, n)"
)


def parse_columns(text: str) -> dict[str, str | None]:
    """`observations=obs/state,actions=acts,terminated=none` as a mapping.

    Raises:
        DataError: for anything else.
    """
    columns: dict[str, str | None] = {}
    for entry in text.split(","):
        name, separator, source = (part.strip() for part in entry.partition("="))
        if not separator or not name or not source:
            raise DataError(f"expected columns like observations=obs,actions=acts, found {entry.strip()!r}")
        if name in columns:
            raise DataError(f"{name!r} is given twice; lay several arrays side by side with {name}=a+b")
        columns[name] = None if source == "none" else source
    return canonical(columns)


def columns_as_text(columns: Columns) -> str:
    """The text that `parse_columns` reads as these columns."""
    return ",".join(f"{name}={source or 'none'}" for name, source in columns.items())


def canonical(columns: Columns) -> dict[str, str | None]:
    """The same columns by our names.

    Raises:
        DataError: if the name of a column is unknown.
    """
    ours = {alias: name for name, aliases in ALIASES.items() for alias in aliases}
    named = {ours.get(name, name): source for name, source in columns.items()}
    if len(named) < len(columns):
        raise DataError(f"some of these columns mean the same: {listed(columns)}; keep one of them")
    for name in named:
        if name not in NAMES:
            raise DataError(f"unknown column {name!r}; known are {listed(NAMES)}")
    return named


def as_options(columns: Mapping[str, str]) -> tuple[str, str]:
    """How to name columns, in Python and on the command line."""
    return f"columns={dict(columns)}", "--columns " + ",".join(f"{name}={source}" for name, source in columns.items())


@dataclasses.dataclass(frozen=True)
class Chosen:
    """Which stored arrays are read.

    Attributes:
        parts: by our names, the stored arrays that form each; several are laid side by side, and () means that the user
            said there is none.
        ends: the array that flags ends of both kinds, if it is needed.
    """

    parts: Mapping[str, tuple[str, ...]]
    ends: str | None

    @property
    def stored(self) -> list[str]:
        """Every stored array that is read, once."""
        ends = [] if self.ends is None else [self.ends]
        return list(dict.fromkeys([*(name for parts in self.parts.values() for name in parts), *ends]))


def choose(names: Collection[str], columns: Columns, where: str, *, episode: bool = False) -> Chosen:
    """Which of the stored arrays are meant.

    Args:
        names: of the stored arrays.
        columns: the user's names of them, by our names.
        where: the file, for messages.
        episode: whether they belong to one episode, and may have robomimic's names.

    Raises:
        DataError: if a column that the user names does not exist, or two mean the same.
    """
    parts: dict[str, tuple[str, ...]] = {}
    for name in (*NAMES, *(state for state in STATES if state not in NAMES)):
        if name in columns:
            source = columns[name]
            parts[name] = () if source is None else _named(name, source, names, where)
            continue
        following = _following(columns, parts, names) if name == "next_observations" else ()
        if found := following or _found(name, names, where, episode):
            parts[name] = found
    flags = [name for name in ("terminated", "truncated") if name in parts]
    used = {stored for name in flags for stored in parts[name]}
    ends = next((name for name in ENDS if name in names and name not in used), None)
    # Given one kind of ends, they yield the other; given none, they are used only if the rows are a single episode.
    return Chosen(parts, ends if len(flags) == 1 or (not flags and episode) else None)


def _found(name: str, names: Collection[str], where: str, episode: bool) -> tuple[str, ...]:
    """The stored arrays that have one of our names or its synonyms."""
    given = [alias for alias in (name, *ALIASES.get(name, ())) if alias in names]
    if len(given) > 1:
        raise DataError(f"{where}: {' and '.join(map(repr, given))} mean the same; keep one of them")
    found = tuple(given) or (_group(name, names) if name in TABLES else ())
    if not found and episode and name in OF_EPISODES:
        other = OF_EPISODES[name]
        found = (other,) if other in names else _group(other, names)
    return found


def _following(columns: Columns, parts: Mapping[str, tuple[str, ...]], names: Collection[str]) -> tuple[str, ...]:
    """For observations that the user named inside a group: the arrays of the same names in the group of successors."""
    if "observations" not in columns:
        return ()
    pairs = ((f"{name}/", f"next_{name}/") for name in ("observations", "obs"))
    for here, there in pairs:
        following = tuple(part.replace(here, there) for part in parts["observations"] if part.startswith(here))
        if following and len(following) == len(parts["observations"]) and all(part in names for part in following):
            return following
    return ()


def _group(name: str, names: Iterable[str]) -> tuple[str, ...]:
    """The arrays of a group, in alphabetical order."""
    return tuple(sorted(stored for stored in names if stored.startswith(f"{name}/")))


def _named(name: str, source: str, names: Collection[str], where: str) -> tuple[str, ...]:
    """The stored arrays that the user names."""
    if source in names:
        return (source,)
    parts: list[str] = []
    for part in (part.strip(" /") for part in source.split("+")):
        found = (part,) if part in names else _group(part, names)
        if not found:
            near = nearest(part, names, most=len(names) or 1, cutoff=0.0)
            raise DataError(f"{where}: there is no array {part!r} for {name!r}; there are {listed(near)}")
        parts += found
    return tuple(parts)


def refuse_missing(chosen: Chosen, names: Collection[str], where: str) -> None:
    """Raise if an array is missing, and suggest stored names that are likely to mean it.

    Raises:
        DataError: with one wording for Python and one for the command line.
    """
    given = {*chosen.parts, *(["terminated"] if chosen.ends else [])}
    likely = {name: found for name in LIKELY if name not in given and (found := _likely(name, names))}
    missing = [name for name in REQUIRED if name not in given] + ["rewards"] * ("rewards" in likely)
    if not missing:
        return
    what = f"{where}: expected {EXPECTED}; {', '.join(missing)} missing, found {listed(sorted(names))}"
    known = {*given, *likely}
    if "terminated" not in known and {"observations", "actions"} <= known:
        ends = next((name for name in ENDS if name in names), None)
        raise DataError(*(f"{what}; {hint}" for hint in _ends_hints(likely, ends)))
    if not likely and any(re.fullmatch(r"arr_\d+", name) for name in names):
        what += "; np.savez was given arrays without names: pass them by name, np.savez(file, observations=..., ...)"
    raise DataError(*(f"{what}; if you mean these, pass {option}" if likely else what for option in as_options(likely)))


def _ends_hints(likely: Mapping[str, str], ends: str | None) -> tuple[str, ...]:
    """What to do if no array says which rows are true ends; the option also names all other likely arrays."""
    if ends is None:
        return tuple(f"if no row is a true end, pass {option}" for option in _no_ends(likely))
    likely = {name: found for name, found in likely.items() if name != "truncated"}
    return tuple(
        f"{ends!r} does not tell true ends from time-outs: split it, or pass {option} if all are true ends, {other} "
        f"if all are time-outs"
        for option, other in zip(
            as_options({**likely, "terminated": ends}), _no_ends({**likely, "truncated": ends}), strict=True
        )
    )


def _no_ends(others: Mapping[str, str]) -> tuple[str, str]:
    """The options that say that there is no `terminated`."""
    python, shell = as_options({**others, "terminated": "none"})
    return python.replace("'none'", "None"), shell


def _likely(name: str, names: Iterable[str]) -> str | None:
    """A stored array or group that is likely to mean one of our names."""
    every = dict.fromkeys(names)
    groups = dict.fromkeys(
        "/".join(path.split("/")[:depth]) for path in every for depth in range(1, path.count("/") + 1)
    )
    last = {stored.rpartition("/")[2].lower(): stored for stored in (*reversed(groups), *reversed(every))}
    return next((last[word] for word in (name, *LIKELY[name]) if word in last), None)
