"""The folder of one run: its files by name, and the lock that keeps a second process out."""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from drol.files import DataError, clear_write_errors, read_json, write_json
from drol.training.records import JsonLines

LOCK = "run.lock"


class RunFolder:
    """The folder of one run, and its files by name."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.metrics = JsonLines(self.path / "metrics.jsonl")
        self.evaluations = JsonLines(self.path / "evaluations.jsonl")
        self.checkpoints = self.path / "checkpoints"
        self.policy = self.path / "policy"
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
        # A `.part` file is what a crash left of the very first write: nothing to keep.
        if self.path.exists() and (
            not self.path.is_dir()
            or any(entry.suffix != ".part" and entry.name != LOCK for entry in self.path.iterdir())
        ):
            raise DataError(
                f"{self.path} exists already; add --resume to continue the run in it, or choose another with --out"
            )

    def read_config(self) -> dict[str, Any]:
        """The configuration of the run.

        Raises:
            DataError: if there is no run here.
        """
        if not self.config.exists():
            raise DataError(f"{self.path} holds no run (no config.json); start one without --resume")
        config = read_json(self.config)
        if not isinstance(config, dict) or not {"task", "settings", "hyperparameters", "data"} <= set(config):
            raise DataError(f"{self.config} is not the configuration of a run; was it edited?")
        return config

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process from training here; the system releases the lock however this process ends.

        A second `with` on the same object changes nothing.

        Raises:
            DataError: if another process holds it.
        """
        if self._locked:
            yield
            return
        path = self.path / LOCK
        with clear_write_errors(path):
            self.path.mkdir(parents=True, exist_ok=True)
            file = open(path, "a+")  # noqa: SIM115  (open as long as the lock is held)
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise DataError(
                    f"another process (number {file.read().strip() or 'unknown'}) is training in {self.path}; wait for "
                    f"it or stop it, or choose another folder with --out"
                ) from None
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            self._locked = True
            try:
                yield
            finally:
                self._locked = False
