"""Text and tables on the terminal: by rich, or plain if it is not installed."""

from typing import TYPE_CHECKING

from drol.extras import is_installed

if TYPE_CHECKING or is_installed("rich"):
    from rich.box import SIMPLE as SIMPLE
    from rich.console import Console as Console
    from rich.table import Column as Column
    from rich.table import Table as Table
    from rich.text import Text as Text
else:
    from drol.cli.plain import SIMPLE, Column, Console, Table, Text  # noqa: F401
