"""The parser of every command: errors are one line that says what is wrong, and what was probably meant."""

import argparse
from collections.abc import Callable, Collection, Sequence
from typing import Any, NoReturn

from drol.cli.numbers import NEGATIVE
from drol.errors import UsageError, nearest
from drol.files import listed


class Parser(argparse.ArgumentParser):
    """Raises instead of exiting, suggests alternatives, and tells negative numbers from options.

    Options cannot be abbreviated: the meaning of an abbreviation would depend on the algorithm and change with the next
    option that is added.

    Attributes:
        explain: what to say about an unknown option, given its name; None for nothing in particular.
    """

    def __init__(self, **options: Any):
        options.setdefault("allow_abbrev", False)
        super().__init__(**options)
        self._negative_number_matcher = NEGATIVE
        self.explain: Callable[[str], str | None] = lambda _: None

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError`."""
        raise UsageError(f"{message.removeprefix('argument ')}; see `{self.prog} --help`")

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]  (the stubs have overloads)
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse, and refuse whatever is left over here, where the command's own options are known."""
        parsed, left = super().parse_known_args(args, namespace or argparse.Namespace())
        if left:
            unknown = next((word for word in left if word.startswith("-")), None)
            if unknown is None:
                self.error(f"unexpected {left[0]!r}")
            name = unknown.partition("=")[0]
            raise UsageError(self.explain(name) or f"there is no option {name}{self._meant(name)}")
        return parsed, left

    def _meant(self, name: str) -> str:
        """Which option was probably meant by an unknown one."""
        known = [option for option in self._option_string_actions if option.startswith("--")]
        near = [option for option in known if option.startswith(name) and len(name) > 2][:3]
        return did_you_mean(near) or did_you_mean(nearest(name, known)) or f"; `{self.prog} --help` lists them"

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """Refuse a value that is not among the choices. (Called by argparse for every value.)"""
        if action.choices is None or value in action.choices:
            return
        names = [str(choice) for choice in action.choices]
        hint = did_you_mean(nearest(str(value), names))
        if action.nargs == argparse.PARSER:
            what = "command" if action.dest == "command" else action.dest
            raise UsageError(f"there is no {what} {value!r}{hint or f'; there are {listed(names)}'}")
        raise argparse.ArgumentError(action, f"expected one of {listed(names, 20)}, found {value!r}{hint}")


def did_you_mean(names: Collection[str]) -> str:
    """A question, to end a message with; empty without names."""
    return f"; did you mean {' or '.join(names)}?" if names else ""
