"""Records of what a run was trained on: versions, device, machine, command."""

import contextlib
import hashlib
import platform
import sys
from collections.abc import Callable, Mapping
from importlib import metadata

import jax

from drol.processes import cores

SIMULATORS = ("ogbench", "gymnasium", "mujoco", "d4rl", "free-mujoco-py", "minari")
PACKAGES = ("drol", "jax", "jaxlib", "equinox", "optax", "numpy", "orbax-checkpoint", *SIMULATORS)

Json = dict[str, object]


def machine() -> Json:
    """Versions and hardware, for the record."""
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    device = jax.devices()[0]
    return {
        "versions": versions | {"python": platform.python_version()},
        "device": {"platform": device.platform, "kind": device.device_kind, "count": jax.device_count()},
        "machine": {"cores": cores(), "processor": platform.machine(), "system": platform.system()},
        "processor": hashlib.sha256(processor_features().encode()).hexdigest()[:16],
        "command": sys.argv[1:],
    }


def processor_features() -> str:
    """The instructions that this processor has; its name where the system does not list them."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name.strip() in ("flags", "Features"):
                return " ".join(sorted(value.split()))
    return platform.processor()


def continued(stored: Mapping[str, object], warn: Callable[[str], None]) -> Json:
    """The record of a resumed run, with the current versions and hardware; warns where these have changed."""
    now = machine()
    for name in ("versions", "device", "machine"):
        if stored[name] != now[name]:
            warn(f"note: {name} changed since the run was started; results may differ in rounding")
    earlier = stored.get("resumes", [])
    assert isinstance(earlier, list)
    return {**stored, "resumes": [*earlier, now]}
