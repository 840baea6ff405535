"""Where a file keeps its arrays: at its root, in one group, or in one group per episode."""

import dataclasses
import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from drol.data.readers.columns import ALIASES, ENDS, LIKELY, NAMES, OF_EPISODES, Columns, as_options
from drol.data.readers.formats import natural
from drol.errors import DataError
from drol.files import listed

FIELDS = "|".join([*NAMES, *OF_EPISODES.values(), *ENDS, *(alias for aliases in ALIASES.values() for alias in aliases)])
FIELD_FIRST = re.compile(rf"(?P<field>{FIELDS})[/_](?P<episode>[^/]*\d)(?P<rest>/.*)?")
FIELD_LAST = re.compile(rf"(?P<episode>[^/]*\d)_(?P<field>{FIELDS})(?P<rest>/.*)?")
"""Names of arrays that hold one episode each: `actions/demo_3`, `actions_3`; `demo_3_actions`."""

COLUMNS_OF_ONE = {"rewards", "terminated", "truncated", *ENDS, *ALIASES["terminated"], *ALIASES["truncated"]}


@dataclasses.dataclass(frozen=True)
class Layout:
    """The groups that hold arrays.

    Attributes:
        groups: for each group by name (empty for the root), episodes in time order: the name of each array in the
            group, and its name in the file.
        episodic: whether each is one episode.
    """

    groups: Mapping[str, Mapping[str, str]]
    episodic: bool

    def within(self, columns: Columns) -> Columns:
        """Columns that the user named by their full path, with paths relative to their group."""
        return {name: source and "+".join(map(self._inside, source.split("+"))) for name, source in columns.items()}

    def _inside(self, source: str) -> str:
        source = source.strip(" /")
        ends = (end for end in range(len(source), 0, -1) if source[end - 1] == "/")
        return next((source[end:] for end in ends if source[: end - 1] in self.groups), source)


def layout_of(names: Collection[str], columns: Columns, where: str) -> Layout:
    """Where a file keeps its arrays, judged by where the actions are.

    Groups whose names differ only in numbers (`data/demo_0`, `data/demo_1`, `task_2/episode_7`), each with its own
    actions, hold one episode each, in numerical order; so do arrays that are named by episode (`actions/demo_0`,
    `actions_0`). A single group is read like the root. Anything else in the file (`mask/train`, metadata) is ignored.

    Args:
        names: of all arrays of the file.
        columns: the user's names of arrays.
        where: the file, for messages.

    Raises:
        DataError: if actions lie in several groups that are not those of episodes.
    """
    root = Layout({"": {name: name for name in names}}, episodic=False)
    said = columns.get("actions")
    leaves = {"actions", *LIKELY["actions"]} if said is None else {said.split("+")[0].strip(" /")}
    places = {name: name.rpartition("/") for name in names}
    if said in places or "observations" in places or any(leaf in places for leaf in leaves):
        return root
    if not columns and (episodes := _by_array(names)):
        return Layout(episodes, episodic=True)
    groups = {group for name, (group, _, leaf) in places.items() if leaf in leaves or name.endswith(f"/{said}")}
    kinds: dict[str, list[str]] = {}
    for group in sorted(groups, key=natural):
        if not groups & set(_above(group)):
            kinds.setdefault(re.sub(r"\d+(?=/|$)", "#", group), []).append(group)
    if len(kinds) > 1:
        _refuse_several(kinds, where)
    for kind, found in kinds.items():
        return Layout(_inside_of(found, names), episodic="#" in kind)
    return root


def _by_array(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Episodes whose arrays are named by field and episode, if each has actions, observations and rewards or flags."""
    episodes: dict[str, dict[str, str]] = {}
    for name in names:
        if match := FIELD_LAST.fullmatch(name) or FIELD_FIRST.fullmatch(name):
            episodes.setdefault(match["episode"], {})[match["field"] + (match["rest"] or "")] = name
    for arrays in episodes.values():
        fields = {name.partition("/")[0] for name in arrays}
        # Rewards or flags tell episodes from parts of a state: `observations/joint_0`, `observations/joint_1`.
        if "actions" not in fields or not fields & {"observations", "obs"} or not fields & COLUMNS_OF_ONE:
            return {}
    return {episode: episodes[episode] for episode in sorted(episodes, key=natural)}


def _inside_of(groups: Iterable[str], names: Iterable[str]) -> dict[str, dict[str, str]]:
    """The arrays in each of the groups."""
    inside: dict[str, dict[str, str]] = {group: {} for group in groups}
    for name in names:
        for group in _above(name):
            if group in inside:
                inside[group][name[len(group) + 1 :]] = name
    return inside


def _above(name: str) -> Iterator[str]:
    """The groups that a group or array lies in."""
    parts = name.split("/")
    return ("/".join(parts[:depth]) for depth in range(1, len(parts)))


def _refuse_several(kinds: Mapping[str, list[str]], where: str) -> None:
    """Raise because actions lie in groups that are not episodes of one kind."""
    shown = listed(f"{kind} ({len(found)})" for kind, found in kinds.items())
    first = next(iter(kinds.values()))[0]
    options = as_options({"observations": f"{first}/observations", "actions": f"{first}/actions"})
    raise DataError(
        *(
            f"{where}: actions lie in several kinds of groups, {shown}; name all arrays of one, for instance {option}, "
            f"or store each in a separate file"
            for option in options
        )
    )
