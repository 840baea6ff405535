"""XLA's settings for all tests; must be imported before JAX starts.

Eight CPU devices, so that sharding is tested as it runs on accelerators. And little optimising: these programs take
longer to compile than to run, and without LLVM's optimisations and MLIR's fusion emitters a training step compiles in a
fifth of the time (DROL with two layers of 16 units: 0.84 s against 4.0 s at level 1 and 6.1 s by default).
`DROL_TEST_OPTIMISED=1` compiles as users do.
"""

import os

flags = ["--xla_force_host_platform_device_count=8"]
if not os.environ.get("DROL_TEST_OPTIMISED"):
    flags += ["--xla_backend_optimization_level=0", "--xla_cpu_use_fusion_emitters=false"]
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *flags])
