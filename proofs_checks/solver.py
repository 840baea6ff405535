"""Statements about all real numbers, proved by the solver Z3."""

import z3

SECONDS = 60


def prove(claim: z3.BoolRef, *assumptions: z3.BoolRef) -> None:
    """Assert that the assumptions imply the claim for every value of every variable.

    Raises:
        AssertionError: with a counterexample if there is one, or if the solver does not decide within a minute.
    """
    solver = z3.Solver()
    solver.set("timeout", SECONDS * 1000)
    solver.add(*assumptions, z3.Not(claim))
    answer = solver.check()
    assert answer != z3.sat, f"refuted by {solver.model()}"
    assert answer == z3.unsat, f"not decided within {SECONDS} seconds"


def refute(claim: z3.BoolRef, *assumptions: z3.BoolRef) -> z3.ModelRef:
    """A counterexample: values that satisfy the assumptions but not the claim.

    Raises:
        AssertionError: if there is none, or none was found within a minute.
    """
    solver = z3.Solver()
    solver.set("timeout", SECONDS * 1000)
    solver.add(*assumptions, z3.Not(claim))
    answer = solver.check()
    assert answer == z3.sat, f"no counterexample: {answer}"
    return solver.model()


def vector(name: str, dim: int) -> list[z3.ArithRef]:
    """Real unknowns name_0 .. name_(dim - 1)."""
    return [z3.Real(f"{name}_{i}") for i in range(dim)]


def dot(first, second):
    return sum(x * y for x, y in zip(first, second, strict=True))


def clip(x, low, high):
    return z3.If(x < low, low, z3.If(x > high, high, x))
