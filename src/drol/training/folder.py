"""The folder of one run: its files by name, and the lock that keeps a second process out."""

import contextlib
import fcntl
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from drol.errors import DataError
from drol.files import JsonValue, clear_write_errors, read_json, write_json
from drol.signals import raise_if_stopped
from drol.training.records import JsonLines
from drol.training.settings import Settings

LOCK = "run.lock"
LOCK_POLL_SECONDS = 0.2

NOTHING = type(None)
ENTRIES: dict[str, tuple[type, ...]] = {
    "task": (str,),
    "settings": (dict,),
    "hyperparameters": (dict,),
    "data": (dict,),
}
"""The entries that every configuration holds, and their types."""

FURTHER: dict[str, tuple[type, ...]] = {
    "algorithm": (str,),
    "size": (str,),
    "preset": (dict, NOTHING),
    "eval_episodes": (int,),
    "collect": (int, NOTHING),
    "collect_seed": (int,),
    "data_file": (str, NOTHING),
    "evaluated_in": (dict, NOTHING),
    "width": (int, NOTHING),
    "action_low": (list, NOTHING),
    "action_high": (list, NOTHING),
    "normalize_observations": (bool,),
    "resumes": (list,),
}
"""Further entries that `drol train` writes."""


def _check_config(config: JsonValue) -> None:
    """Raise TypeError or ValueError if this is not the configuration of a run."""
    if not isinstance(config, dict):
        raise TypeError(f"expected an object, found {type(config).__name__}")
    if missing := [name for name in ENTRIES if name not in config]:
        raise ValueError(f"{', '.join(missing)} missing")
    for name, kinds in (ENTRIES | FURTHER).items():
        if name in config and type(config[name]) not in kinds:
            expected = " or ".join("null" if kind is NOTHING else kind.__name__ for kind in kinds)
            raise TypeError(f"{name!r} should be {expected}, found {config[name]!r:.100}")
    if wrong := [name for name, value in config["settings"].items() if type(value) is not int]:
        raise TypeError(f"{wrong[0]!r} should be int, found {config['settings'][wrong[0]]!r:.100}")
    Settings.from_record(config["settings"])
    if wrong := [x for n in ("action_low", "action_high") for x in config.get(n) or () if type(x) not in (int, float)]:
        raise TypeError(f"bounds should be numbers, found {wrong[0]!r:.100}")
    files = config["data"].get("files")
    if not isinstance(files, list) or not all(map(_is_file, files)):
        raise TypeError("'data' should hold 'files', each with 'name' and 'sha256'")


def _is_file(record: JsonValue) -> bool:
    return isinstance(record, dict) and all(isinstance(record.get(name), str) for name in ("name", "sha256"))


class RunFolder:
    """The folder of one run, and its files by name."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.metrics = JsonLines(self.path / "metrics.jsonl")
        self.evaluations = JsonLines(self.path / "evaluations.jsonl")
        self.probes = JsonLines(self.path / "probes.jsonl")
        self.episodes = JsonLines(self.path / "episodes.jsonl")
        self.steps = self.path / "steps"
        self.checkpoints = self.path / "checkpoints"
        self.policy = self.path / "policy"
        self.policies = self.path / "policies"
        self.divergence = self.path / "diverged.json"
        self._locked = False

    def create(self, config: Mapping[str, Any]) -> None:
        """Start a new run.

        Raises:
            DataError: if the folder exists and is not empty.
        """
        self.refuse_existing()
        write_json(self.config, config)

    def refuse_existing(self) -> None:
        """Raise if a new run must not start here.

        Raises:
            DataError: if the folder exists and is not empty.
        """
        # A `.part` file is what a crash left of the very first write, and not worth keeping.
        if self.path.exists() and (
            not self.path.is_dir()
            or any(entry.suffix != ".part" and entry.name != LOCK for entry in self.path.iterdir())
        ):
            raise DataError(
                f"{self.path} already exists; add --resume to continue the run in it, or choose another with --out"
            )

    def read_config(self) -> dict[str, Any]:
        """The configuration of the run.

        Raises:
            DataError: if there is no run here.
        """
        if not self.config.exists():
            raise DataError(f"{self.path} holds no run (no config.json); start one without --resume")
        config = read_json(self.config)
        try:
            _check_config(config)
        except (TypeError, ValueError) as error:
            raise DataError(f"{self.config} is not the configuration of a run ({error}); was it edited?") from None
        return config

    def read_divergence(self) -> str | None:
        """How the run diverged, in words; None if it did not.

        Raises:
            DataError: if the record cannot be read.
        """
        if not self.divergence.exists():
            return None
        record = read_json(self.divergence)
        if not isinstance(record, dict) or not isinstance(record.get("message"), str):
            raise DataError(f"{self.divergence} should say in its 'message' how the run diverged; was it edited?")
        return record["message"]

    def evaluated_policy(self, update: int) -> Path:
        """Where the policy of an evaluation is, if it is among the last."""
        return self.policies / str(update)

    def evaluated_updates(self) -> list[int]:
        """The updates of the evaluations whose policies are kept, ascending."""
        names = (entry.name for entry in self.policies.iterdir()) if self.policies.is_dir() else ()
        return sorted(int(name) for name in names if name.isdecimal())

    def cut_policies(self, last: int, most: int) -> None:
        """Remove the policies of evaluations after update `last`, and all but the newest `most`."""
        for update in self.evaluated_updates():
            if update > last:
                shutil.rmtree(self.evaluated_policy(update))
        for update in self.evaluated_updates()[:-most]:
            shutil.rmtree(self.evaluated_policy(update))

    @contextlib.contextmanager
    def locked(self, patience: float = 0.0) -> Iterator[None]:
        """Keep every other process from training here; the system releases the lock however this process ends.

        Entering it a second time on the same object has no effect.

        Args:
            patience: seconds to wait for a process that holds the lock.

        Raises:
            DataError: if another process holds the lock, and goes on holding it.
        """
        if self._locked:
            yield
            return
        with contextlib.ExitStack() as stack:
            self._lock(stack, time.monotonic() + patience)
            self._locked = True
            try:
                yield
            finally:
                self._locked = False

    def _lock(self, stack: contextlib.ExitStack, deadline: float) -> None:
        """Lock the folder itself, then the file that names the process that holds the lock.

        The folder is locked because a lock on the file would be lost if someone removed the file. The file is locked
        as well because some network file systems cannot lock folders, and earlier versions lock only the file.
        """
        path = self.path / LOCK
        with clear_write_errors(path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._hold(stack, os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), deadline)
            while True:
                handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
                self._hold(stack, handle, deadline)
                if _is_at(handle, path):  # the file was not removed in the meantime
                    break
            os.truncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)

    def _hold(self, stack: contextlib.ExitStack, handle: int, deadline: float) -> None:
        """Lock an open file or folder until the stack closes it.

        Raises:
            DataError: if another process holds it until the deadline.
        """
        stack.callback(os.close, handle)
        try:
            while not _lock_now(handle):
                raise_if_stopped()
                if time.monotonic() >= deadline:
                    raise DataError(
                        f"another process (ID {self._holder()}) is training in {self.path}; wait for it or stop it, or "
                        f"choose another folder with --out"
                    )
                time.sleep(LOCK_POLL_SECONDS)
        except OSError:
            if not stat.S_ISDIR(os.fstat(handle).st_mode):
                raise

    def is_locked(self) -> bool:
        """Whether a process trains here at the moment, as far as the system says (/proc/locks, so Linux only)."""
        return self._locking_process() is not None

    def _holder(self) -> str:
        """The ID of the process that holds the lock; from the system if the file that names it was removed."""
        with contextlib.suppress(OSError, ValueError):
            return str(int((self.path / LOCK).read_text()))
        return self._locking_process() or "unknown"

    def _locking_process(self) -> str | None:
        with contextlib.suppress(OSError):
            inodes = tuple(f":{path.stat().st_ino}" for path in (self.path, self.path / LOCK) if path.exists())
            for line in Path("/proc/locks").read_text().splitlines():
                fields = line.split()
                if "FLOCK" in fields and fields[5].endswith(inodes):
                    return fields[4]
        return None


def _lock_now(handle: int) -> bool:
    """Lock an open file, unless another process holds it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open file is the one at this path."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(handle), os.stat(path))
    return False
