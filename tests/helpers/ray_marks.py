"""How tests that start Ray are marked."""

import pytest

RAY = (pytest.mark.ci, pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning"))
"""Ray forks to start its processes. JAX, which an earlier test may have started, warns of every fork."""
