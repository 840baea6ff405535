"""The mutation suite: deliberate defects of the library, and the checks that must catch each of them.

mutants.toml holds defects of the formulas, shell_mutants.toml those of the code around them, chunk_mutants.toml those
of chunks of actions, and online_mutants.toml those of learning online.

`python -m proofs_checks.mutants` prints the table of README.md.
"""

import dataclasses
import tomllib
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One defect: `old` occurs exactly once in `file` (below src/drol) and is replaced by `new`."""

    name: str
    file: str
    old: str
    new: str
    caught_by: tuple[str, ...]


def load(name: str) -> list[Mutant]:
    entries = tomllib.loads((Path(__file__).parent / name).read_text())["mutants"]
    return [Mutant(**entry | {"caught_by": tuple(entry["caught_by"])}) for entry in entries]


FORMULAS, SHELL = load("mutants.toml"), load("shell_mutants.toml")
CHUNKS, ONLINE = load("chunk_mutants.toml"), load("online_mutants.toml")
MUTANTS = FORMULAS + SHELL + CHUNKS + ONLINE


def table(mutants: list[Mutant] = MUTANTS) -> str:
    """Mutants and what catches them, in Markdown."""
    rows = ["| defect | file | caught by |", "|---|---|---|"]
    for mutant in mutants:
        names = [check.rstrip("/").split("/")[-1].replace(".py", "").split("[")[0] for check in mutant.caught_by]
        checks = "<br>".join(f"`{name}`" for name in names)
        rows.append(f"| {mutant.name} | `{mutant.file}` | {checks} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
