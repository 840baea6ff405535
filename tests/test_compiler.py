"""The flags that the tests give to XLA, which ends a process over one that it does not know."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import compiler
from tests.helpers.samples import sampled

ROOT = Path(__file__).parent.parent
UNKNOWN = "--xla_no_release_knows_this=1"


def test_flags_that_the_installed_xla_does_not_know_are_left_out():
    flags = compiler.with_known("", (compiler.DEVICES, UNKNOWN))
    assert flags == compiler.DEVICES
    assert compiler.refusal(flags) is None
    assert UNKNOWN in str(compiler.refusal(f"{flags} {UNKNOWN}"))


def test_what_was_chosen_is_used_here():
    assert compiler.DEVICES in os.environ["XLA_FLAGS"]


def test_an_unknown_flag_of_the_users_own_is_named():
    with pytest.raises(RuntimeError, match=rf"XLA_FLAGS='{UNKNOWN}' .*correct or unset XLA_FLAGS"):
        compiler.with_known(UNKNOWN, (compiler.DEVICES,))


@pytest.mark.parametrize("optimised", sampled([False, True], [False]))
def test_a_fresh_process_starts_with_eight_devices(optimised):
    inherited = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", compiler.CHOSEN)}
    environment = inherited | {"DROL_TEST_OPTIMISED": "1" if optimised else ""}
    code = "import tests.helpers.compiler, jax, os; print(jax.device_count(), os.environ['XLA_FLAGS'])"
    command = [sys.executable, "-W", "ignore", "-c", code]
    answer = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert answer.startswith("8 ")
    assert ("optimization_level" in answer) != optimised
