"""Compiled programs kept between runs: the second start of a run loads them and need not compile again."""

import contextlib
import hashlib
import os
import platform
import shutil
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import jax

from drol.extras import is_installed, lazy
from drol.machine import processor_features

if TYPE_CHECKING:
    from jax.experimental.compilation_cache import compilation_cache
else:
    # `drol train --help` need not wait for it.
    compilation_cache = lazy("jax.experimental.compilation_cache.compilation_cache")

MOST_BYTES = 1 << 30
"""What the programs of one machine and one version of JAX may take; the least recently used are dropped."""

MOST_FOLDERS = 3
"""Machines and versions whose programs are kept; the least recently used are dropped."""

VARIABLES = ("XLA_FLAGS", "LIBTPU_INIT_ARGS")
"""Environment variables that change what is compiled."""


@contextlib.contextmanager
def kept_programs() -> Iterator[Path | None]:
    """Let JAX keep compiled programs, and load them, in a folder for this machine, version and flags.

    Results are the same with and without. A cache that is already set up in JAX (`JAX_COMPILATION_CACHE_DIR`), or
    switched off (`JAX_ENABLE_COMPILATION_CACHE=false`), is left as it is. Of several processes, one writes at a time,
    under a lock; of a distributed run, only process 0 writes. If the folder cannot be written, or fails later, programs
    are compiled again.

    Yields:
        The folder; None if no programs are kept there.
    """
    folder = _usable_folder()
    if folder is None:
        yield None
        return
    names = ("jax_compilation_cache_dir", "jax_compilation_cache_max_size")
    before = {name: getattr(jax.config, name) for name in names}
    _configure(dict(zip(names, (str(folder), MOST_BYTES), strict=True)))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache")
            yield folder
    finally:
        _configure(before)


def _configure(settings: dict[str, str | int | None]) -> None:
    for name, value in settings.items():
        jax.config.update(name, value)
    # Otherwise JAX would go on with what it decided at its first compilation.
    compilation_cache.reset_cache()


def _usable_folder() -> Path | None:
    """The folder, made and found to be writable; None without one."""
    config = jax.config
    is_off = not config.jax_enable_compilation_cache  # pyright: ignore[reportAttributeAccessIssue]
    # JAX bounds the folder under a lock, which it takes from filelock.
    if config.jax_compilation_cache_dir or is_off or not is_installed("filelock"):  # pyright: ignore[reportAttributeAccessIssue]
        return None
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "drol" / "compiled"
    folder = root / machine_key()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Says that it was used, and whether it can be.
        (folder / ".used").touch()
    except (OSError, RuntimeError):
        return None
    _drop_oldest(root)
    return folder


def machine_key() -> str:
    """What compiled programs depend on besides their source: processor, versions and flags, as one short word."""
    facts = [platform.machine(), processor_features()]
    facts += [f"{package} {metadata.version(package)}" for package in ("jax", "jaxlib")]
    facts += [f"{name}={os.environ.get(name, '')}" for name in VARIABLES]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _drop_oldest(root: Path) -> None:
    """Remove the programs of machines and versions that were not used for longest."""
    with contextlib.suppress(OSError):
        folders = [folder for folder in root.iterdir() if folder.is_dir()]
        folders.sort(key=lambda folder: (folder / ".used").stat().st_mtime if (folder / ".used").exists() else 0.0)
        for folder in folders[:-MOST_FOLDERS]:
            shutil.rmtree(folder, ignore_errors=True)
