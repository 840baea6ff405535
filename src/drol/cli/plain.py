"""The part of rich that the commands use, as plain text, for installations without rich."""

import contextlib
import dataclasses
import shutil

SIMPLE = None


class Text(str):
    """A string; its style is dropped."""

    def __new__(cls, text: str, style: str = ""):
        return super().__new__(cls, text)


@dataclasses.dataclass(frozen=True)
class Column:
    """A column by its heading; columns are as wide as their widest cell."""

    header: str
    no_wrap: bool = False
    min_width: int | None = None
    overflow: str = "fold"


class Table:
    """Columns side by side under their headings."""

    def __init__(self, *columns: str | Column, title: str | None = None, box: None = None, padding: int = 0):
        self._title = title
        self._rows = [tuple(column if isinstance(column, str) else column.header for column in columns)]

    def add_row(self, *cells: str) -> None:
        """One cell for each column."""
        self._rows.append(cells)

    def __str__(self) -> str:
        widths = [max(map(len, column)) for column in zip(*self._rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in self._rows]
        title = [] if self._title is None else [self._title]
        return "\n".join([*title, lines[0], "-" * (sum(widths) + 2 * (len(widths) - 1)), *lines[1:]])


class Console:
    """Prints to the standard output; lines are not wrapped."""

    def __init__(self, *, width: int | None = None, highlight: bool = False):
        self.width = width or shutil.get_terminal_size().columns

    def print(self, *objects: str | Table, end: str = "\n", **_: str | bool | None) -> None:
        """Print the objects as text; style options are accepted and ignored."""
        print(*objects, end=end)

    def status(self, text: str) -> contextlib.AbstractContextManager[None]:
        """A status that is not shown without rich."""
        return contextlib.nullcontext()
