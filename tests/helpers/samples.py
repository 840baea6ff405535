"""Which of a test's parameters are tried by default; the others are tried with `pytest -m slow`."""

from collections.abc import Iterable, Sequence

import pytest


def sampled(values: Iterable, by_default: Sequence) -> list:
    """Parameters for `pytest.mark.parametrize` or a fixture: those not named in `by_default` are slow.

    A value for several arguments is a tuple.
    """
    values = list(values)
    missing = [value for value in by_default if value not in values]
    assert not missing, f"no parameters: {missing}"
    parameters = []
    for value in values:
        marks = [] if value in by_default else [pytest.mark.slow]
        parameters.append(pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=marks))
    return parameters
