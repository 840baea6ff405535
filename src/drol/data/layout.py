"""Where a file keeps its arrays: at its root, in one group, or in one group per episode."""

import dataclasses
import re
from collections.abc import Collection, Iterable, Iterator

from drol.data.columns import LIKELY, Columns, as_options
from drol.data.formats import natural
from drol.files import DataError, listed


@dataclasses.dataclass(frozen=True)
class Layout:
    """The groups that hold arrays.

    Attributes:
        groups: their paths, each ending in `/`; the root is the empty one. Those of episodes in the order of time.
        episodic: whether each is one episode.
    """

    groups: tuple[str, ...]
    episodic: bool

    def names_in(self, names: Iterable[str]) -> dict[str, list[str]]:
        """The names of the arrays of each group, without the group's own path."""
        if self.groups == ("",):
            return {"": list(names)}
        inside: dict[str, list[str]] = {group: [] for group in self.groups}
        depths = sorted({group.count("/") for group in self.groups})
        for name in names:
            parts = name.split("/")
            for depth in depths:
                if (group := "".join(f"{part}/" for part in parts[:depth])) in inside:
                    inside[group].append(name[len(group) :])
        return inside

    def within(self, columns: Columns) -> Columns:
        """Columns that the user named by their whole path, by their place in a group."""
        return {name: source and self._inside(source) for name, source in columns.items()}

    def _inside(self, source: str) -> str:
        whole = {group for group in self.groups if group}
        parts = [part.strip(" /") for part in source.split("+")]
        for number, part in enumerate(parts):
            groups = [part[:end] for end in range(len(part), 0, -1) if part[end - 1] == "/" and part[:end] in whole]
            parts[number] = part[len(groups[0]) :] if groups else part
        return "+".join(parts)


ROOT = Layout(("",), episodic=False)


def layout_of(names: Collection[str], columns: Columns, where: str) -> Layout:
    """Where a file keeps its arrays, told by where the actions are.

    Groups that differ by their numbers alone (`data/demo_0`, `data/demo_1`, `task_2/episode_7`), each with actions
    of its own, are one episode each, in the order of the numbers. A single group is looked through. Whatever lies
    beside (`mask/train`, metadata) is left alone.

    Args:
        names: of all arrays of the file.
        columns: what the user says.
        where: the file, for messages.

    Raises:
        DataError: if actions lie in several groups that are not those of episodes.
    """
    said = columns.get("actions")
    leaves = {"actions", *LIKELY["actions"]} if said is None else {said.split("+")[0].strip(" /")}
    places = {name: name.rpartition("/") for name in names}
    if said in places or "observations" in places or any(leaf in places for leaf in leaves):
        return ROOT
    groups = {f"{group}/" for name, (group, _, leaf) in places.items() if leaf in leaves or name.endswith(f"/{said}")}
    kinds: dict[str, list[str]] = {}
    for group in sorted(groups, key=natural):
        if not groups & set(_above(group)):
            kinds.setdefault(re.sub(r"\d+(?=/)", "#", group), []).append(group)
    if len(kinds) > 1:
        shown = listed(f"{kind.rstrip('/')} ({len(found)})" for kind, found in kinds.items())
        first = next(iter(kinds.values()))[0]
        options = as_options({"observations": f"{first}observations", "actions": f"{first}actions"})
        raise DataError(
            *(
                f"{where}: actions lie in several kinds of groups, {shown}; name all arrays of one, for instance "
                f"{option}, or store each in a file of its own"
                for option in options
            )
        )
    for kind, found in kinds.items():
        return Layout(tuple(found), episodic="#" in kind)
    return ROOT


def _above(group: str) -> Iterator[str]:
    """The groups that a group lies in."""
    parts = group.split("/")[:-1]
    return ("".join(f"{part}/" for part in parts[:depth]) for depth in range(1, len(parts)))
