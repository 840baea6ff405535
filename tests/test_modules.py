"""Modules that a user names are found in the current folder."""

import sys

import pytest

from drol.modules import import_named


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A current folder that is not on the path; imports are forgotten afterwards."""
    known = dict(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    yield tmp_path
    for name in sys.modules.keys() - known.keys():
        del sys.modules[name]


def test_a_module_of_the_current_folder_is_found_with_what_it_imports(here):
    (here / "drol_test_helper.py").write_text("VALUE = 3")
    (here / "drol_test_module.py").write_text("from drol_test_helper import VALUE")
    (here / "drol_test_package").mkdir()
    (here / "drol_test_package" / "__init__.py").write_text("")
    (here / "drol_test_package" / "inner.py").write_text("from drol_test_helper import VALUE")
    assert import_named("drol_test_module").VALUE == 3
    assert import_named("drol_test_package.inner").VALUE == 3
    assert import_named("drol_test_module") is sys.modules["drol_test_module"]


def test_only_the_named_module_goes_before_installed_ones(here):
    (here / "antigravity.py").write_text("VALUE = 'own'")
    (here / "colorsys.py").write_text("raise RuntimeError('hides the standard library')")
    (here / "drol_test_module.py").write_text("import colorsys")
    (here / "turtle").mkdir()
    assert import_named("antigravity").VALUE == "own", "the standard library has a module of this name"
    assert import_named("drol_test_module").colorsys.rgb_to_hls
    assert sys.path[-1] == str(here)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "there is no module 'drol_test_module' in .*, on PYTHONPATH or installed"),
        ("import no_such_thing", "module 'drol_test_module' imports 'no_such_thing', which is not installed"),
        ("def broken(:", "fails while it is imported: SyntaxError"),
        ("raise SystemExit(2)", "fails while it is imported: SystemExit"),
    ],
)
def test_a_module_that_cannot_be_imported_is_told(here, code, words):
    if code is not None:
        (here / "drol_test_module.py").write_text(code)
    with pytest.raises(ImportError, match=words):
        import_named("drol_test_module")
    assert "drol_test_module" not in sys.modules


@pytest.mark.parametrize(("name", "module"), [("drol_test.py", "drol_test"), ("./envs/mine.py", "envs.mine")])
def test_a_file_is_no_module(here, name, module):
    (here / "drol_test.py").write_text("raise RuntimeError('not even looked at')")
    with pytest.raises(ImportError, match=f"is the name of a file; give the name of the module, '{module}'"):
        import_named(name)
