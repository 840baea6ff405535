"""The documentation names what exists, and all of it; its site builds without a warning and works without a network."""

import argparse
import ast
import functools
import importlib
import importlib.util
import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import drol
from drol.cli.main import COMMANDS
from drol.cli.parser import Parser

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
REFERENCE = "".join(path.read_text() for path in sorted((ROOT / "docs" / "reference").glob("*.md")))

# Modules whose names are public below `drol` itself.
MODULES = (
    *("drol.ops.axis", "drol.ops.bellman", "drol.ops.flow", "drol.ops.latent", "drol.ops.losses", "drol.ops.routing"),
    *("drol.nn", "drol.nn.flow", "drol.doctor", "drol.algorithms.learner", "drol.algorithms.registry"),
    *("drol.algorithms.fields",),
)


def names_of(module):
    """The public functions and classes of a module: those that it lists or re-exports, else those that it defines."""
    found = importlib.import_module(module)
    if module == "drol.nn":
        return [name for name, value in vars(found).items() if name[0] != "_" and not inspect.ismodule(value)]
    own = [name for name, value in vars(found).items() if getattr(value, "__module__", None) == module]
    names = getattr(found, "__all__", None) or own
    return [name for name in names if name[0] != "_" and is_code(getattr(found, name))]


def is_code(value):
    return inspect.isfunction(value) or inspect.isclass(value)


@functools.cache
def entries():
    """What the reference documents: dotted names, also of the members that an entry lists or includes."""
    found = set()
    for match in re.finditer(r"^::: (\S+)\n((?:    .*\n)*)", REFERENCE + "\n", re.M):
        path, options = match[1], match[2]
        found.add(path)
        members = re.search(r"members: (.*)", options)
        if members and members[1].startswith("["):
            found |= {f"{path}.{name.strip()}" for name in members[1].strip("[]").split(",")}
        elif not members and is_module(path):
            found |= {f"{path}.{name}" for name in names_of(path)}
    return found


def is_module(path):
    try:
        return importlib.util.find_spec(path) is not None
    except ModuleNotFoundError:
        return False


PUBLIC = [f"drol.{name}" for name in drol.__all__ if name != "__version__"]
PUBLIC += [f"{module}.{name}" for module in MODULES for name in names_of(module)]


def resolved(path):
    """The object at a dotted name.

    Raises:
        AttributeError: if there is none.
    """
    found = drol
    for name in path.split(".")[1:]:
        try:
            found = getattr(found, name)
        except AttributeError:
            if not (inspect.ismodule(found) and is_module(f"{found.__name__}.{name}")):
                raise
            found = importlib.import_module(f"{found.__name__}.{name}")
    return found


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_a_docstring_and_an_entry_in_the_reference(name):
    found = resolved(name)
    assert found.__doc__
    assert found.__doc__ != getattr(type(found), "__doc__", None) or inspect.isclass(found)
    assert name in entries() or any(resolved(entry) is found for entry in entries()), "add it to docs/reference"


@pytest.mark.parametrize("name", sorted(entries()))
def test_every_entry_of_the_reference_exists(name):
    resolved(name)


def links():
    """Dotted names that pages link to."""
    return sorted({(page, name) for page in PAGES for name in re.findall(r"\]\[(drol[\w.]*)\]", page.read_text())})


@pytest.mark.parametrize(("page", "name"), links(), ids=lambda value: getattr(value, "name", value))
def test_every_name_that_a_page_links_to_exists(page, name):
    resolved(name)


BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)


def blocks(*languages):
    """Code blocks, with where they are; what is included from a file is checked there."""
    for page in PAGES:
        for number, match in enumerate(BLOCK.finditer(page.read_text())):
            if match[1] in languages and "--8<--" not in match[2]:
                yield pytest.param(match[2], id=f"{page.relative_to(ROOT)}-{number}")


@pytest.mark.parametrize("code", list(blocks("python")))
def test_python_in_pages_uses_what_exists(code):
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute) and (path := dotted(node)):
            resolved(path)
        if isinstance(node, ast.Call) and (path := dotted(node.func)):
            accepted = inspect.signature(resolved(path)).parameters
            named = {keyword.arg for keyword in node.keywords}
            assert named <= set(accepted), f"{path} takes no {named - set(accepted)}"


def dotted(node):
    """`drol.a.b` of an expression; None for anything else."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join(["drol", *reversed(parts)]) if isinstance(node, ast.Name) and node.id == "drol" and parts else None


def commands():
    """Every `drol COMMAND ...` in pages: in blocks of commands, and in code within sentences."""
    for page in PAGES:
        text = page.read_text()
        lines = [line for match in BLOCK.finditer(text) if match[1] == "bash" for line in match[2].splitlines()]
        lines += re.findall(r"`([^`\n]*)`", BLOCK.sub("", text))
        for line in lines:
            if match := re.search(r"(?:^|[\s/])drol ((?:{})\b.*)".format("|".join(COMMANDS)), line):
                yield pytest.param(match[1], id=f"{page.relative_to(ROOT)}: {match[1][:60]}")


@pytest.mark.parametrize("line", list(commands()))
def test_commands_in_pages_have_their_options(line):
    command, *words = shlex.split(re.sub(r"\$\S+|<.*?>", "", line), comments=True)
    if command == "bench" and words and not words[0].startswith("-"):
        command += f" {words.pop(0)}"
    algorithm = words[words.index("--algorithm") + 1] if "--algorithm" in words else "drol"
    known = options(command, algorithm if re.fullmatch("[a-z-]+", algorithm) and algorithm != "all" else "drol")
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    if ":" in algorithm:  # an algorithm of the reader's own has options of its own
        given &= known
    assert given <= known, f"drol {command} has no {given - known}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_within_sentences_exist_in_some_command(page):
    text = BLOCK.sub("", page.read_text())
    every = set().union(*(options(command, "drol") for command in COMMANDS if command != "bench"))
    every |= set().union(*(options(f"bench {name}", "drol") for name in ("step", "profile", "train", "act", "churn")))
    every |= options("train", "sorl") | options("train", "rebrac")
    foreign = {"--strict", "--help", "--xla_force_host_platform_device_count", "--xla_cpu_experimental_ynn_fusion_type"}
    for code in re.findall(r"`([^`\n]*)`", text):
        found = {word.rstrip(",").partition("=")[0] for word in code.split() if re.match(r"--\w", word)}
        if not re.search(r"\b(pytest|apt-get|uv|pip|mkdocs)\b", code):
            assert found <= every | foreign, f"{page.name}: {found - every - foreign}"


@functools.cache
def options(command, algorithm):
    """The options of a command, by name."""
    name, *benchmark = command.split()
    parser = Parser(prog="drol", formatter_class=argparse.RawTextHelpFormatter)
    module = importlib.import_module(f"drol.cli.{name.replace('-', '_')}")
    module.add_arguments(parser, [name, "--algorithm", algorithm])
    for chosen in benchmark:
        (choices,) = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        parser = choices[chosen]
    return {option for option in parser._option_string_actions if option.startswith("--")}


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().split()) <= 1000


def test_links_of_the_readme_lead_somewhere():
    places = re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    assert len(places) > 8
    assert [place for place in places if not (ROOT / place.partition("#")[0]).exists()] == []


MISSING = [name for name in ("mkdocs", "material", "mkdocstrings") if importlib.util.find_spec(name) is None]
MISSING += [] if shutil.which("npm") else ["npm"]
REQUIRED = "DROL_DOCS_REQUIRED" in os.environ
needs_generator = pytest.mark.skipif(
    bool(MISSING) and not REQUIRED, reason=f"building the site needs the extra docs and npm; missing: {MISSING}"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built with every warning an error."""
    folder = tmp_path_factory.mktemp("site")
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


# What a browser loads by itself, by tag; links (`a`) are followed by readers alone.
LOADED = {"src", "srcset", "data", "poster", "action", "background", "formaction"}


class Requests(HTMLParser):
    """Collects what a page would request from another site."""

    def __init__(self):
        super().__init__()
        self.found = []
        self.code = False

    def handle_starttag(self, tag, attrs):
        self.code = tag in ("script", "style")
        for name, value in attrs:
            loads = name in LOADED or (tag == "link" and name == "href") or name == "style"
            if loads and re.search(r"(https?:)?//\w", value or ""):
                self.found.append((tag, name, value))

    def handle_data(self, data):
        if self.code and re.search(r"https?://", data):
            self.found.append(("script", "text", data))

    def handle_endtag(self, tag):
        self.code = False


@needs_generator
def test_the_site_requests_nothing_from_other_sites(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        requests = Requests()
        requests.feed(page.read_text())
        assert not requests.found, page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?(https?:)?//|@import", sheet.read_text()), sheet
    for script in site.rglob("*.js"):
        if script.name == "search_index.js":  # text, which is shown and not loaded
            continue
        text = re.sub(r"/\*.*?\*/", "", script.read_text(), flags=re.S)
        # The names of namespaces (SVG, MathML) look like addresses, and are none.
        addresses = set(re.findall(r"[\"'`](https?://[^\"'`]+|//[\w-]+\.[^\"'`\s]+)", text))
        assert not {address for address in addresses if "://www.w3.org/" not in address}, script


@needs_generator
def test_formulas_fonts_and_search_are_in_the_site(site):
    vendor = site / "assets" / "vendor"
    for name in ("katex/katex.min.js", "katex/katex.min.css", "katex/contrib/auto-render.min.js", "iframe-worker.js"):
        assert (vendor / name).stat().st_size > 500
    style = (vendor / "katex" / "katex.min.css").read_text()
    fonts = set(re.findall(r"url\(([^)]+)\)", style))
    assert len(fonts) > 30
    assert [font for font in fonts if not (vendor / "katex" / font).exists()] == []
    index = (site / "search" / "search_index.js").read_text()
    assert index.startswith("var __index = ")
    assert "drol.step" in index
    assert "iframe-worker.js" in (site / "reference" / "core.html").read_text()


@needs_generator
def test_formulas_have_no_errors(site):
    node = shutil.which("node") or shutil.which("nodejs")
    if node is None:
        pytest.skip("needs node")
    pages = (page.read_text() for page in site.rglob("*.html"))
    formulas = [found for page in pages for found in re.findall(r'class="arithmatex">(.*?)</(?:div|span)>', page, re.S)]
    assert len(formulas) > 80
    katex = site / "assets" / "vendor" / "katex" / "katex.min.js"
    program = f"""
        const katex = require({str(katex)!r});
        const unescape = text => text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
        for (const formula of JSON.parse(require("fs").readFileSync(0)))
            katex.renderToString(unescape(formula).slice(2, -2), {{ throwOnError: true, strict: "error" }});
    """
    done = subprocess.run([node, "-e", program], input=json.dumps(formulas), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@needs_generator
def test_every_public_name_has_its_place_in_the_site(site):
    anchors = set(re.findall(r'id="(drol[\w.]*)"', "".join(page.read_text() for page in site.rglob("*.html"))))
    assert [name for name in PUBLIC if name.count(".") == 1 and name not in anchors] == []


@needs_generator
def test_hyperparameters_are_in_the_reference(site):
    text = (site / "reference" / "algorithms.html").read_text()
    assert "routing budget K: candidate actions per state" in text
    assert "weight of distillation; tune from 3 to 1000" in text
    assert "updates between evaluations" in (site / "reference" / "runs.html").read_text()


@pytest.fixture
def hooks():
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["hooks"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["hooks"]


@needs_generator
def test_without_npm_the_build_says_so(hooks, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(hooks.PluginError, match="requires npm"):
        hooks.unpacked(hooks.PACKAGES[0], tmp_path)


@needs_generator
def test_an_archive_that_changed_is_refused(hooks, tmp_path):
    package = hooks.PACKAGES[0]
    (tmp_path / package.archive).write_bytes(b"something else")
    with pytest.raises(hooks.PluginError, match=r"has the integrity .* remove it, and build again"):
        hooks.unpacked(package, tmp_path)
