"""Checkpoints of a training state, by Orbax: written in the background, sealed with checksums, restored exactly."""

import contextlib
import errno
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from drol.algorithm import TrainState
from drol.errors import DataError
from drol.extras import lazy, require
from drol.files import Remedy, WriteError, clear_write_errors, null_for_nan, read_json, sha256, write_json
from drol.training.orbax_errors import drop_late_callbacks, said_once
from drol.types import Key

if TYPE_CHECKING:
    import orbax.checkpoint as ocp
else:
    ocp = lazy("orbax.checkpoint", "train")

logger = logging.getLogger("drol")

GONE = Remedy("the folder is gone; was it removed or renamed during training?", "put it back")

A_CENTURY = 100 * 365 * 24 * 3600


class Restored(NamedTuple):
    """What a checkpoint holds: the state, the run's key, and the metrics of the chunk that ended there."""

    state: Any
    key: Key
    metrics: dict[str, Any] | None


class Checkpoints:
    """The `checkpoints/` folder of a run.

    A checkpoint counts once it is sealed: complete, flushed to the disk, read back, and described by `UPDATE.json` with
    the checksum of each of its files. Older checkpoints are deleted only after that.

    Args:
        folder: made if needed.
        keep_last: how many of the newest to keep.
        keep_every: also keep those at multiples of this many updates; 0 for none.
        first: the update at which the run begins.
    """

    def __init__(self, folder: Path, *, keep_last: int = 2, keep_every: int = 0, first: int = 0):
        require("orbax.checkpoint", "train")
        self._folder = folder.absolute()
        self._keep_last, self._keep_every, self._first = keep_last, keep_every, first
        # Orbax measures its timeouts by the wall clock: with its default of twenty minutes, setting the clock forward
        # while a checkpoint is being written would end the run.
        options = ocp.CheckpointManagerOptions(
            async_options=ocp.AsyncOptions(timeout_secs=A_CENTURY),
            multiprocessing_options=_alone(),
            create=False,
        )
        with clear_write_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._manager = ocp.CheckpointManager(
                self._folder, options=options, item_handlers=ocp.StandardCheckpointHandler()
            )
        self._unsealed: tuple[int, Mapping[str, Any] | None] | None = None
        # Active until `close`, because Orbax's threads keep writing between `save` and `finish`.
        self._quiet, self._failed = contextlib.ExitStack(), False
        self._quiet.callback(drop_late_callbacks(lambda: self._failed))
        self._quiet.enter_context(said_once())

    def updates(self) -> list[int]:
        """The updates of the sealed checkpoints, oldest first."""
        return sorted(step for step in self._manager.all_steps() if self._seal(step).exists())

    def latest(self) -> int | None:
        """The update of the newest sealed checkpoint."""
        return max(self.updates(), default=None)

    def newest_intact(self, limit: int | None = None) -> int | None:
        """The newest checkpoint whose files all match their checksums; damaged ones are reported and skipped.

        Args:
            limit: look no later than this update.

        Returns:
            Its update; None if there is none up to `limit`, or nothing was ever saved.

        Raises:
            DataError: if every checkpoint is damaged; none is deleted.
            OSError: if one cannot be read at the moment.
        """
        sealed = self.updates()
        for update in reversed(sealed):
            if limit is not None and update > limit:
                continue
            damage = self._damage(update)
            if damage is None:
                return update
            logger.warning("checkpoint %d in %s is damaged (%s) and is not used", update, self._folder, damage)
        # A crash before anything was sealed leaves at most the checkpoint with which the run begins.
        if limit is None and (sealed or any(step != self._first for step in self._manager.all_steps())):
            raise DataError(
                f"{self._folder} holds no intact checkpoint; restore one from a backup, or start the run again in "
                f"another folder"
            )
        return None

    def save(self, state: TrainState, key: Key, metrics: Mapping[str, Any] | None = None) -> None:
        """Start to save a checkpoint named after the state's update number; does nothing if it already exists.

        Seals the previous checkpoint first. Returns once the state is copied, so the caller may then change it.

        Raises:
            OSError: with a clear message; the earlier checkpoints are kept.
        """
        self.finish()
        update = int(state.step)
        if update in self.updates():
            return
        self._try_to_write()
        with self._clear_errors():
            # As NumPy arrays, which share no buffer with training and belong to no device.
            arrays = jax.tree.map(np.array, _named(state, key))
            self._manager.save(update, args=ocp.args.StandardSave(arrays))
        self._unsealed = update, metrics

    def finish(self) -> None:
        """Wait for the checkpoint that is being written, seal it, then delete old ones.

        Raises:
            OSError: with a clear message; the earlier checkpoints are kept.
        """
        if self._unsealed is None:
            return
        (update, metrics), self._unsealed = self._unsealed, None
        with self._clear_errors():
            self._manager.wait_until_finished()
            root = self._folder / str(update)
            for path in [*root.rglob("*"), root, self._folder]:
                _flush(path)
            files = {name: sha256(path) for name, path in self._files(update)}
            seal = {"update": update, "metrics": None if metrics is None else null_for_nan(metrics), "sha256": files}
            write_json(self._seal(update), seal)
            _flush(self._folder)
            for old in self.updates()[: -self._keep_last]:
                if not self._keep_every or old % self._keep_every:
                    self._delete(old)

    def cut(self, update: int) -> None:
        """Delete all checkpoints after `update`, and whatever a crash left unfinished."""
        sealed = self.updates()
        for step in list(self._manager.all_steps()):
            if step > update or step not in sealed:
                self._delete(step)
        for leftover in self._folder.glob("*.orbax-checkpoint-tmp*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def restore(self, like: TrainState, key: Key, update: int | None = None) -> Restored:
        """Restore a checkpoint, with the structure and on the devices of `like`.

        Args:
            like: a state of the same shapes.
            key: a key of the same type.
            update: which one; the newest intact one by default.

        Raises:
            DataError: if there is none, or it does not fit.
        """
        update = self.newest_intact() if update is None else update
        if update is None:
            raise DataError(f"{self._folder} holds no complete checkpoint; start the run again in another folder")
        named = _named(like, key)
        with self._unreadable(update):
            there = self._manager.item_metadata(update)
            found = {name: (tuple(leaf.shape), np.dtype(leaf.dtype)) for name, leaf in there["state"].items()}
        # Compare first: Orbax would notice a mismatch only halfway, and leave tasks behind.
        if found != {name: (leaf.shape, leaf.dtype) for name, leaf in named["state"].items()}:
            raise DataError(
                f"checkpoint {update} in {self._folder} does not fit this configuration: its arrays have other "
                f"names, shapes or types"
            )
        with self._unreadable(update):
            arrays = self._manager.restore(update, args=ocp.args.StandardRestore(jax.tree.map(np.asarray, named)))
        stored = jax.tree.map(lambda array, leaf: jax.device_put(array, leaf.sharding), arrays, named)
        run_key = jax.random.wrap_key_data(stored["key"], impl=jax.random.key_impl(key))
        leaves = [stored["state"][name] for name in named["state"]]
        _, metrics = self._description(update)
        return Restored(jax.tree.unflatten(jax.tree.structure(like), leaves), run_key, metrics)

    def close(self) -> None:
        """Release Orbax's threads; the next `cut` removes an unsealed checkpoint."""
        with self._quiet, contextlib.suppress(OSError, ValueError):
            self._manager.close()

    def _seal(self, update: int) -> Path:
        return self._folder / f"{update}.json"

    def _files(self, update: int) -> Iterator[tuple[str, Path]]:
        root = self._folder / str(update)
        for path in sorted(root.rglob("*")):
            if path.is_file():
                yield path.relative_to(root).as_posix(), path

    def _damage(self, update: int) -> str | None:
        """What is wrong with a checkpoint, in words; None if it is intact."""
        try:
            expected, _ = self._description(update)
            found = {name: sha256(path) for name, path in self._files(update)}
        except (DataError, FileNotFoundError) as error:
            return f"its description cannot be read: {error}"
        if missing := sorted(expected.keys() - found.keys()):
            return f"{missing[0]} is missing"
        wrong = sorted(name for name in expected if found[name] != expected[name])
        return f"{wrong[0]} does not match its checksum" if wrong else None

    def _description(self, update: int) -> tuple[dict[str, str], dict[str, Any] | None]:
        """The checksums of a checkpoint's files by name, and the metrics of its chunk.

        Raises:
            DataError: if the file does not hold them.
        """
        stored = read_json(self._seal(update))
        sums, metrics = (
            (stored.get(name) for name in ("sha256", "metrics")) if isinstance(stored, dict) else (None, None)
        )
        if not isinstance(sums, dict) or not isinstance(metrics, dict | None):
            raise DataError(f"{self._seal(update)} should hold 'sha256' by file name and 'metrics'")
        return sums, metrics

    def _delete(self, update: int) -> None:
        # The seal first, so that an interrupted deletion leaves no checkpoint that counts.
        self._seal(update).unlink(missing_ok=True)
        self._manager.delete(update)

    def _try_to_write(self) -> None:
        """Check that the folder is writable: Orbax would re-create it, or leave threads waiting for each other."""
        probe = self._folder / ".probe.part"
        with clear_write_errors(self._folder):
            try:
                probe.touch()
                probe.unlink()
            except FileNotFoundError as error:
                raise WriteError(errno.ENOENT, self._folder, GONE) from error

    @contextlib.contextmanager
    def _clear_errors(self) -> Iterator[None]:
        with clear_write_errors(self._folder):
            try:
                yield
            except ValueError as error:
                # Orbax reports a failed write as a ValueError that carries the operating system's error code.
                self._failed, code = True, re.search(r"os_error_code='(\d+)'", str(error))
                if code is None:
                    raise
                raise OSError(int(code[1]), os.strerror(int(code[1])), str(self._folder)) from error

    @contextlib.contextmanager
    def _unreadable(self, update: int) -> Iterator[None]:
        try:
            yield
        except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
            raise DataError(f"checkpoint {update} in {self._folder} cannot be read ({error})") from error


def _alone() -> "ocp.options.MultiprocessingOptions":
    """Of several processes, only process 0 writes checkpoints."""
    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    return ocp.options.MultiprocessingOptions(primary_host=0, active_processes={0}, barrier_sync_key_prefix="drol")


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _named(state: TrainState, key: Key) -> dict:
    """The state's arrays under readable names, in the order of its leaves."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    named = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
    return {"state": named, "key": jax.random.key_data(key)}
