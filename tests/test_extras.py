"""The one message about what is not installed, and the command in it."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from drol import extras
from drol.experiment import progress
from drol.extras import MissingExtraError, install_command, lazy, require, require_all

ROOT = Path(__file__).parent.parent
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.fixture
def installed(monkeypatch):
    """What the environment has, to be changed by a test."""
    names = {"pip"}
    monkeypatch.setattr(extras, "is_installed", lambda name: name in names)
    return names


@pytest.fixture
def copy(monkeypatch, tmp_path):
    """As if drol had been installed from a wheel."""
    monkeypatch.setattr(extras, "ROOT", tmp_path)


def python(monkeypatch, *version):
    monkeypatch.setattr(sys, "version_info", version)
    monkeypatch.setattr(sys, "executable", "/a b/bin/python")


def test_nothing_is_said_of_what_is_there():
    require_all({"numpy": "train", "importlib.metadata": "train"})


def test_all_absent_packages_are_named_with_one_command():
    with pytest.raises(
        MissingExtraError, match=r"needs the packages 'nowhere' and 'xml.nowhere', which are not inst"
    ) as e:
        require_all({"nowhere": "ogbench", "numpy": "minari", "xml.nowhere": "train"})
    assert str(e.value).endswith(f"cd {ROOT} && {install_command(['ogbench', 'train']).partition(' && ')[2]}")
    assert str(e.value).endswith("-e '.[ogbench,train]'")
    with pytest.raises(MissingExtraError, match=r"needs the package 'nowhere.at_all', which is not installed"):
        require("nowhere.at_all", "train")


def test_a_clone_installs_itself_again(installed, monkeypatch):
    python(monkeypatch, 3, 12)
    assert install_command(["train", "hdf5"]) == f"cd {ROOT} && '/a b/bin/python' -m pip install -e '.[hdf5,train]'"
    monkeypatch.setattr(extras, "ROOT", Path("/the clone"))
    monkeypatch.setattr(Path, "is_file", lambda path: True)
    assert install_command(["train"]).startswith("cd '/the clone' && ")


def test_uv_installs_where_pip_cannot(installed, monkeypatch):
    """Where dm_control would take labmaze along, which only uv can leave out, and where there is no pip."""
    by_uv = "'/a b/bin/python' -m uv pip install --python '/a b/bin/python' -e "
    python(monkeypatch, 3, 13)
    assert install_command(["train"]).endswith("'/a b/bin/python' -m pip install -e '.[train]'")
    assert install_command(["ogbench"]).endswith(f" && '/a b/bin/python' -m pip install uv && {by_uv}'.[ogbench]'")
    installed.add("uv")
    assert install_command(["ogbench"]) == f"cd {ROOT} && {by_uv}'.[ogbench]'"
    installed.clear()
    assert install_command(["train"]) == f"cd {ROOT} && uv pip install --python '/a b/bin/python' -e '.[train]'"


def test_a_copy_installs_packages_by_their_own_names(installed, copy, monkeypatch):
    python(monkeypatch, 3, 11)
    words = shlex.split(install_command(["d4rl", "train"]))
    assert words == ["/a b/bin/python", "-m", "pip", "install", *sorted([*EXTRAS["hdf5"], *EXTRAS["train"]])]
    python(monkeypatch, 3, 13)
    by_uv = "'/a b/bin/python' -m uv pip install --python '/a b/bin/python' --excludes - 'ogbench>=1.2'"
    assert install_command(["ogbench"]) == f"'/a b/bin/python' -m pip install uv && echo labmaze | {by_uv}"
    installed.add("uv")
    assert install_command(["ogbench"]) == f"echo labmaze | {by_uv}"


def test_a_copy_in_a_folder_of_another_project_is_no_clone_of_it(installed, copy, monkeypatch):
    python(monkeypatch, 3, 12)
    (extras.ROOT / "pyproject.toml").touch()
    assert shlex.split(install_command(["hdf5"])) == ["/a b/bin/python", "-m", "pip", "install", *EXTRAS["hdf5"]]


@pytest.mark.parametrize("extra", EXTRAS)
def test_every_extra_of_a_copy_has_packages(extra, installed, copy):
    named = {re.split(r"[^\w-]", word)[0].lower() for word in shlex.split(install_command([extra]))}
    own = {re.split(r"[^\w-]", line)[0].lower() for line in EXTRAS[extra]} - {"drol"}
    assert own <= named
    assert "drol" not in named


def test_without_rich_a_count_has_no_bar(monkeypatch, capsys):
    monkeypatch.setattr(progress, "is_installed", lambda name: False)
    with progress.counting("collecting") as count:
        count(1, 2)
    assert capsys.readouterr().out == ""


def test_a_lazy_module_is_imported_on_first_use():
    code = (
        "import sys; from drol.extras import lazy; colours = lazy('colorsys', 'train'); before = 'colorsys' in "
        "sys.modules; colours.rgb_to_hsv(0.0, 0.0, 0.0); print(before, 'colorsys' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "True"]


def test_an_absent_lazy_module_names_its_extra_where_it_is_used():
    absent = lazy("no_such_module_anywhere", "train")
    with pytest.raises(MissingExtraError, match=r"no_such_module_anywhere.*train"):
        absent.anything  # noqa: B018
