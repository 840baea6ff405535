"""What to say about a hyperparameter that an algorithm does not have."""

import dataclasses

from drol.algorithm import Algorithm
from drol.algorithms.registry import ALGORITHMS, algorithm_class
from drol.errors import nearest
from drol.experiment.options import option_name
from drol.files import listed


def foreign_hyperparameter(cls: type[Algorithm], name: str) -> str | None:
    """Which algorithms have a hyperparameter that this one does not have, and the nearest ones that it has.

    Args:
        cls: the algorithm that was chosen.
        name: of the hyperparameter.

    Returns:
        A sentence; None if no algorithm has such a hyperparameter.
    """
    owners = [owner for owner in ALGORITHMS if name in named_hyperparameters(algorithm_class(owner))]
    if not owners:
        return None
    own, tuned = named_hyperparameters(cls), cls.published.fields if cls.published else ()
    near = list(dict.fromkeys([*tuned, *nearest(name, own, most=3)]))[:3] or own[:3]
    options = listed(map(option_name, near))
    return (
        f"{cls.name} has no {name}, which belongs to {listed(owners)} (choose with --algorithm); the nearest that "
        f"{cls.name} has: {options}"
    )


def named_hyperparameters(cls: type[Algorithm]) -> list[str]:
    """The hyperparameters that can be given as plain values; a custom optimizer cannot."""
    return [field.name for field in dataclasses.fields(cls) if is_plain(field)]


def is_plain(field: "dataclasses.Field[object]") -> bool:
    """Whether a hyperparameter is a number, a word, a boolean or several whole numbers."""
    default = field.metadata.get("default")
    if field.metadata.get("choices") is not None:
        return True
    return isinstance(default, bool | int | float | tuple) or field.type == (float | None)
