"""XLA's settings for all tests; must be imported before JAX starts.

Eight CPU devices, so that sharding is tested as it runs on accelerators. And little optimisation: these programs take
longer to compile than to run. DROL with two layers of 16 units compiles in 4.9 s of processor time by default, in 2.5 s
at level 0 and in 0.5 s without MLIR's fusion emitters as well (JAX 0.10.2); newer releases have only the emitters and
take 1.5 s at level 0 (4.1 s by default; JAX 0.12.0). Not splitting code for several threads saves another quarter.
`DROL_TEST_OPTIMISED=1` compiles as users do.
"""

import functools
import os
import subprocess
import sys

DEVICES = "--xla_force_host_platform_device_count=8"
FAST_COMPILATION = (
    "--xla_backend_optimization_level=0",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
)

CHOSEN = "DROL_TEST_XLA_FLAGS"
"""Environment variable that hands the flags on to pytest's workers and to subprocesses, which need not ask again."""


@functools.cache
def refusal(flags: str) -> str | None:
    """Why JAX does not start with these XLA_FLAGS: the last line of its complaint. None if it starts.

    XLA ends the process over a flag that it does not know, so only another process can ask.
    """
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", "import jax; jax.devices()"]
    outcome = subprocess.run(command, env=environment, capture_output=True, text=True)
    if outcome.returncode == 0:
        return None
    return (outcome.stderr.strip().splitlines() or [f"exit status {outcome.returncode}"])[-1]


def with_known(flags: str, wanted: tuple[str, ...]) -> str:
    """`flags`, and those of `wanted` that the installed XLA knows.

    Raises:
        RuntimeError: if JAX does not start even with `flags` alone.
    """
    everything = " ".join((flags, *wanted)).strip()
    if refusal(everything) is None:
        return everything
    if (reason := refusal(flags)) is not None:
        raise RuntimeError(f"JAX does not start with XLA_FLAGS={flags!r} ({reason}); correct or unset XLA_FLAGS")
    return " ".join([flags, *(flag for flag in wanted if refusal(f"{flags} {flag}".strip()) is None)]).strip()


if CHOSEN not in os.environ:
    given = os.environ.get("XLA_FLAGS", "")
    wanted = () if os.environ.get("DROL_TEST_OPTIMISED") else FAST_COMPILATION
    os.environ[CHOSEN] = with_known(given, (DEVICES, *wanted))
os.environ["XLA_FLAGS"] = os.environ[CHOSEN]

# Tests leave no programs in the user's folder; the cache's own tests switch it on.
os.environ.setdefault("JAX_ENABLE_COMPILATION_CACHE", "false")
