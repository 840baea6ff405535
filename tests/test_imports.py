"""The direction of imports, and how fast the package answers."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import drol

ROOT = Path(drol.__file__).parent

# Each module may import those above its own line, never those below. `files`, `modules`, `extras`, `processes`,
# `seeding` and `signals` are tools without knowledge of learning, next to the shapes in `types` and to `published`.
LAYERS = [
    {
        "errors",
        "types",
        "files",
        "modules",
        "extras",
        "processes",
        "numerics",
        "seeding",
        "signals",
        "published",
        "machine",
        "launchers",
    },
    {"ops"},
    {"nn"},
    {"policy"},
    {"algorithm", "hyperparameters"},
    {"environments"},
    {"data"},
    {"sources"},
    {"algorithms", "doctor", "training"},
    {"online"},
    {"presets"},
    {"report"},
    {"experiment"},
    {"compare", "benchmarks"},
    {"cli"},
]
NEIGHBOURS = {"algorithms", "doctor", "training"}
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# Neighbours on one layer that must not know each other, and what is to be known by sources alone.
FORBIDDEN = {
    *((one, other) for one in NEIGHBOURS for other in NEIGHBOURS if one != other),
    ("data", "environments"),
    ("training", "environments"),
    ("training", "sources"),
    ("doctor", "sources"),
    ("compare", "benchmarks"),
    ("benchmarks", "compare"),
}


def imports(path):
    """The drol modules a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from (
                [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "drol" else [node.module]
            )
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def package(dotted):
    return dotted.split(".")[1] if dotted.startswith("drol.") else None


FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path):
    home = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for imported in filter(None, map(package, imports(path))):
        if imported in RANK and imported != home:
            assert RANK[imported] <= RANK[home], f"{home} imports {imported} from above"
            assert (home, imported) not in FORBIDDEN, f"{home} must not import {imported}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_parsed_arguments_stay_in_the_command_line(path):
    if path.relative_to(ROOT).parts[0] != "cli":
        assert "argparse" not in path.read_text()


def test_every_package_has_its_layer():
    found = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in FILES}
    assert found == set(RANK)


REPOSITORY = Path(__file__).parent.parent
MODULES = [path for folder in ("examples", "proofs_checks", "tests") for path in (REPOSITORY / folder).rglob("*.py")]


def dotted(path):
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)


def named(path):
    """Every module a file may import: by a statement, or by a string, as environments and code for other processes."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            start = ".".join(filter(None, (*dotted(path).split(".")[: -node.level or 0], node.module)))
            yield from (start, *(f"{start}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (word.strip(".") for word in re.findall(r"[\w.]+", node.value))


def test_what_tests_share_is_in_no_test_and_no_conftest():
    """It is in `tests/helpers`; a test or a conftest is imported by pytest alone."""
    private = {dotted(path) for path in MODULES if re.match("test_|conftest$", path.stem)}
    assert len(private) > 80
    shared = {dotted(path): names for path in MODULES if (names := private & set(named(path)))}
    assert not shared


@pytest.mark.parametrize("name", [name for name in drol.__all__ if name != "__version__"])
def test_every_public_name_resolves_and_is_documented(name):
    assert getattr(drol, name).__doc__


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        drol.nonsense  # noqa: B018


@pytest.mark.parametrize(
    "statement",
    [
        "import drol",
        "import drol.cli.main",
        "import drol.environments.groups",
        "import drol.environments.spec",
        "from drol.sources import parse_task; parse_task('pen-human-v1'), parse_task('log.npz')",
        "import drol.sources.ogbench.experts",
        "import drol.sources.d4rl.environments",
        "import drol.sources.minari.environments",
        "import drol.compare.tables",
    ],
)
def test_light_imports_load_no_jax(statement):
    code = f"{statement}; import sys; print('jax' in sys.modules)"
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_commands_and_rollouts_can_be_imported_without_gymnasium():
    """It is optional; the commands say what they need when they know what they were asked for."""
    commands = ("bench", "collect", "compare", "doctor", "evaluate", "presets", "train")
    modules = ["drol.environments.rollout", "drol.sources", "drol.doctor", *(f"drol.cli.{c}" for c in commands)]
    code = f"import sys; sys.modules['gymnasium'] = None; import {', '.join(modules)}"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
