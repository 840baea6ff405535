"""Hooks of the build: what the site needs from npm, figures of the examples, and the help of every command.

The built folder makes no request to any other site, so KaTeX and the search worker for file:// are copied into it. They
come from npm once, into `.cache/npm`; each archive must have the integrity that is pinned here.
"""

import base64
import contextlib
import dataclasses
import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from drol.cli.main import main

VENDOR = "assets/vendor"


@dataclasses.dataclass(frozen=True)
class Package:
    """A package of npm.

    Attributes:
        name: on npm.
        version: the exact version.
        integrity: what `npm view NAME@VERSION dist.integrity` prints.
        files: a regular expression of paths in the archive -> where they go in the site, below `VENDOR`.
    """

    name: str
    version: str
    integrity: str
    files: Mapping[str, str]

    @property
    def archive(self) -> str:
        return f"{self.name}-{self.version}.tgz"


PACKAGES = (
    Package(
        "katex",
        "0.19.1",
        "sha512-jG8uKntjSEcm2EpQOh0XturpPuuC9r3Sq5HLHdsFdWZT27E672SF19QEi+of0/YeOy15lDgRhKvr5614uRrEfA==",
        {
            r"package/dist/(katex\.min\.(?:js|css)|contrib/auto-render\.min\.js|fonts/.*)": r"katex/\1",
            r"package/LICENSE": "katex/LICENSE",
        },
    ),
    Package(
        "iframe-worker",
        "1.0.4",
        "sha512-roeaaI+Lg1LJNfgpCjoRe/+WzEjy9+Z08LoEvu85MCPbBjwm+qXz8Ag5U05lHa6V1CysZyGzE0SOkAtSUA5q7Q==",
        {r"package/shim/index\.js": "iframe-worker.js", r"package/LICENSE": "iframe-worker.LICENSE"},
    ),
)

FIGURES = ("voronoi.png", "candidates.png", "cube.webp", "cube-curve.svg")

# Addresses in the theme's scripts: what they would load for features that this site does not use (diagrams, old
# browsers, the counters of a repository). The names of namespaces look like addresses, and are none.
REMOTE = re.compile(r"(?<=[\"`])https?://(?!www\.w3\.org/)[^\"`]*")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files that are not in the folder of the documentation."""
    root = Path(config.config_file_path).parent
    for package in PACKAGES:
        for place, content in unpacked(package, root / ".cache" / "npm"):
            files.append(File.generated(config, f"{VENDOR}/{place}", content=content))
    for name in FIGURES:
        path = root / "examples" / "figures" / name
        files.append(File.generated(config, f"figures/{name}", abs_src_path=str(path)))
    return files


def unpacked(package: Package, cache: Path) -> list[tuple[str, bytes]]:
    """The wanted files of a package: where they go, and their content."""
    path = cache / package.archive
    if not path.exists():
        fetch(package, cache)
    content = path.read_bytes()
    found = f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"
    if found != package.integrity:
        raise PluginError(f"{path} has the integrity {found}, expected {package.integrity}; remove it, and build again")
    wanted = []
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive.getmembers():
            for pattern, place in package.files.items():
                if member.isfile() and (match := re.fullmatch(pattern, member.name)):
                    wanted.append((match.expand(place), archive.extractfile(member).read()))
    return wanted


def fetch(package: Package, cache: Path) -> None:
    """Download the archive of a package into the cache."""
    npm = shutil.which("npm")
    if npm is None:
        raise PluginError(
            "building the documentation requires npm, which fetches KaTeX: install it (apt-get install npm)"
        )
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        command = [npm, "pack", f"{package.name}@{package.version}", "--silent", "--pack-destination", folder]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
            raise PluginError(f"npm cannot fetch {package.name} {package.version} ({reason})")
        os.replace(Path(folder) / package.archive, cache / package.archive)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace `<!-- help: COMMAND -->` with what `drol COMMAND --help` prints."""
    return re.sub(r"<!-- help: (.*?) -->", lambda match: f"```text\n{help_of(match[1].split())}\n```", markdown)


def help_of(command: list[str]) -> str:
    """The help of a command, as in a terminal of 100 columns."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        before = os.environ.get("COLUMNS")
        os.environ["COLUMNS"] = "100"
        try:
            main([*command, "--help"])
        finally:
            os.environ.pop("COLUMNS")
            if before is not None:
                os.environ["COLUMNS"] = before
    return printed.getvalue().rstrip()


def on_post_build(config: MkDocsConfig) -> None:
    """Remove from the theme's scripts what would be loaded from other sites, and their source maps."""
    for path in Path(config.site_dir, "assets").rglob("*.map"):
        path.unlink()
    for path in Path(config.site_dir, "assets", "javascripts").rglob("*.js"):
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r"\n//# sourceMappingURL=.*", "", REMOTE.sub("data:,", text)), encoding="utf-8")
