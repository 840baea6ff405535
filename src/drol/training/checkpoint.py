"""Checkpoints of a training state, by Orbax: written whole, restored exactly."""

import os
import re
from pathlib import Path
from typing import TypeVar

import jax

from drol.algorithm import TrainState
from drol.extras import require
from drol.files import DataError, clear_write_errors
from drol.types import Key

State = TypeVar("State", bound=TrainState)

KEEP = 2
"""Checkpoints kept; an older one goes once the new one is complete."""


class Checkpoints:
    """The `checkpoints/` folder of a run: state, optimizer, update number and the run's key.

    Args:
        folder: made if needed.
    """

    def __init__(self, folder: Path):
        require("orbax.checkpoint", "train")
        import orbax.checkpoint as ocp

        self._ocp = ocp
        self._folder = folder.absolute()
        options = ocp.CheckpointManagerOptions(max_to_keep=KEEP, enable_async_checkpointing=False)
        handler = ocp.StandardCheckpointHandler()
        self._manager = ocp.CheckpointManager(self._folder, options=options, item_handlers=handler)

    def latest(self) -> int | None:
        """The update of the newest complete checkpoint."""
        return self._manager.latest_step()

    def save(self, state: TrainState, key: Key) -> None:
        """Save a checkpoint named after the state's update number; nothing happens if it is there already.

        Raises:
            OSError: with a clear message; the earlier checkpoints stay.
        """
        update = int(state.step)
        if update == self.latest():
            return
        with clear_write_errors(self._folder):
            try:
                self._manager.save(update, args=self._ocp.args.StandardSave(_named(state, key)))
                self._manager.wait_until_finished()
            except ValueError as error:
                # Orbax reports a failed write as a ValueError that carries the operating system's error code.
                code = re.search(r"os_error_code='(\d+)'", str(error))
                if code is None:
                    raise
                raise OSError(int(code[1]), os.strerror(int(code[1]))) from error

    def restore(self, like: State, key: Key) -> tuple[State, Key]:
        """The newest checkpoint, in the structure of `like`.

        Raises:
            DataError: if there is none, or it does not fit.
        """
        update = self.latest()
        if update is None:
            raise DataError(f"{self._folder} holds no complete checkpoint; start the run anew in another folder")
        named = _named(like, key)
        try:
            there = self._manager.item_metadata(update)
            shapes = {name: tuple(leaf.shape) for name, leaf in there["state"].items()}
        except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
            raise DataError(f"checkpoint {update} in {self._folder} cannot be read ({error})") from error
        # Orbax would find out halfway and leave tasks behind: compare first.
        if shapes != {name: leaf.shape for name, leaf in named["state"].items()}:
            raise DataError(
                f"checkpoint {update} in {self._folder} does not fit this configuration: other arrays or other shapes"
            )
        wanted = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), named)
        try:
            stored = self._manager.restore(update, args=self._ocp.args.StandardRestore(wanted))
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise DataError(f"checkpoint {update} in {self._folder} cannot be read ({error})") from error
        run_key = jax.random.wrap_key_data(stored["key"], impl=jax.random.key_impl(key))
        leaves = [stored["state"][name] for name in named["state"]]
        return jax.tree.unflatten(jax.tree.structure(like), leaves), run_key

    def close(self) -> None:
        """Release Orbax's threads."""
        self._manager.close()


def _named(state: TrainState, key: Key) -> dict:
    """The state's arrays under readable names, in the order of its leaves."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    named = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
    return {"state": named, "key": jax.random.key_data(key)}
