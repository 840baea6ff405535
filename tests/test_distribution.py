"""The wheel and the source archive: what is in them, and that the wheel works far from the checkout."""

import os
import shlex
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.own_logs import walk

pytestmark = pytest.mark.slow
for module in ("build", "hatchling", "twine"):
    pytest.importorskip(module, reason="install the extra `dev`")

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
STEM = f"{PROJECT['name']}-{PROJECT['version']}"
FOLDERS = {".ci", "docs", "examples", "proofs_checks", "src", "tests"}
FILES = {".gitignore", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "PKG-INFO", "README.md"}
FILES |= {"pyproject.toml"}
MEGABYTE = 1_000_000
MODULES = {
    str(path.relative_to(ROOT / "src"))
    for path in (ROOT / "src" / "drol").rglob("*")
    if path.is_file() and path.suffix != ".pyc"
}

GUARD = """
import sys
FORBIDDEN = {forbidden!r}
def check(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and str(arguments[0]).startswith(FORBIDDEN):
        raise PermissionError(f"the checkout was read: {{arguments[0]}}")
sys.addaudithook(check)
"""


def run(*command, folder):
    """The finished process of a command, whose Python knows nothing of this one's settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The source archive, and the wheel that is built from it alone."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, folder=folder)
    return folder / f"{STEM}.tar.gz", folder / f"{STEM}-py3-none-any.whl"


@pytest.fixture(scope="module")
def away(archives, tmp_path_factory):
    """A virtual environment with the wheel and this environment's other packages, which may not read the checkout."""
    folder = tmp_path_factory.mktemp("away")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", archives[1], folder=folder)
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=folder).strip())
    others = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (packages / "others.pth").write_text("\n".join(others) + "\n")
    forbidden = tuple(str(ROOT / name) for name in ("src", "tests", "examples", "pyproject.toml"))
    (packages / "guard.py").write_text(GUARD.format(forbidden=forbidden))
    (packages / "guard.pth").write_text("import guard\n")
    return folder


@pytest.fixture
def drol(away):
    """A command of the installed wheel; returns what it prints."""
    return lambda *arguments: run(away / "venv" / "bin" / "drol", *arguments, folder=away)


@pytest.fixture
def python(away):
    """Code under the wheel's interpreter; returns what it prints."""
    return lambda code: run(away / "venv" / "bin" / "python", "-W", "ignore", "-c", code, folder=away)


@pytest.fixture(scope="module")
def trained(away):
    """The folder of a tiny run of the main job on a log."""
    np.savez(away / "log.npz", **walk(episodes=40))
    size = ("--updates", 20, "--hidden", 8, 8, "--num-candidates", 2, "--batch-size", 16)
    run(away / "venv" / "bin" / "drol", "train", "log.npz", "--out", "run", *size, folder=away)
    return away / "run"


def test_both_would_be_accepted_by_a_package_index(archives):
    printed = run(sys.executable, "-m", "twine", "check", "--strict", *archives, folder=ROOT)
    assert printed.count("PASSED") == 2


def test_the_wheel_holds_the_library_its_types_and_its_licence_alone(archives):
    with zipfile.ZipFile(archives[1]) as wheel:
        names = set(wheel.namelist())
        metadata = wheel.read(f"{STEM}.dist-info/METADATA").decode()
    about = {f"{STEM}.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")}
    assert names == MODULES | about | {f"{STEM}.dist-info/licenses/LICENSE"}
    assert "drol/py.typed" in names
    assert "\nLicense-Expression: Apache-2.0\n" in metadata


def test_the_source_archive_holds_what_a_packager_needs_and_no_more(archives):
    with tarfile.open(archives[0]) as archive:
        members = {name.removeprefix(f"{STEM}/") for name in archive.getnames()}
    tops = {name.partition("/")[0] for name in members}
    assert tops - FOLDERS == FILES
    assert tops >= FOLDERS - {"docs"}
    assert members >= {f"src/{name}" for name in MODULES}
    assert {name for name in members if name.startswith(".ci")} == {".ci/constraints.txt"}
    assert not [name for name in members if "__pycache__" in name or name.startswith("tests/golden")]
    assert archives[0].stat().st_size < 2 * MEGABYTE


def test_the_command_explains_itself(drol):
    assert "train" in drol("--help")
    assert "cube-double-play" in drol("presets")


def test_python_finds_the_wheel_and_not_the_checkout(away, python):
    version, place = python("import drol; print(drol.__version__, drol.__file__)").split()
    assert version == PROJECT["version"]
    assert Path(place).is_relative_to(away)
    assert "the checkout was read" in python(
        f"try:\n open({str(ROOT / 'pyproject.toml')!r})\nexcept PermissionError as error:\n print(error)"
    )


def test_the_main_job_runs_and_its_policy_acts(trained, python):
    assert (trained / "metrics.jsonl").is_file()
    act = "import drol, numpy as np; action = drol.load_policy('run')(np.zeros(3)); print(*action)"
    action = np.array(python(act).split(), float)
    assert action.shape == (2,)
    assert np.all(np.abs(action) <= 1)


def test_a_missing_extra_is_installed_by_the_names_of_its_packages(trained, python):
    """The wheel's users have no clone, and drol need not be in their package index."""
    hidden = "import sys; sys.modules |= dict.fromkeys(['rich', 'orbax'])"
    code = f"{hidden}; from drol.cli.main import main; sys.stderr = sys.stdout; main(['train', 'log.npz'])"
    words = shlex.split(python(code).partition("install with: ")[2])
    extra = sorted(PROJECT["optional-dependencies"]["train"])
    assert words[-len(extra) :] == extra
    assert "install" in words
    assert "-e" not in words
