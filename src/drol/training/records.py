"""Records of a run: JSON lines that survive a kill, and optional further sinks."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from drol.extras import lazy
from drol.files import clear_write_errors, null_for_nan, parse_json, read_bytes, write_atomic

if TYPE_CHECKING:
    import tensorboardX
    import wandb  # pyright: ignore[reportMissingImports]
else:
    tensorboardX, wandb = lazy("tensorboardX", "tensorboard"), lazy("wandb", "wandb")


@runtime_checkable
class Sink(Protocol):
    """Receives the metrics of a run as it is trained, in the order of updates.

    With evaluations in the background, lines wait for the evaluation before them. A sink with a true attribute `live`
    is told of every line at once, and again of a line whose evaluation has ended.
    """

    def write(self, update: int, metrics: Mapping[str, Any]) -> None:
        """Record scalars at an update."""
        ...

    def close(self) -> None:
        """Flush and release."""
        ...


def is_live(sink: Sink) -> bool:
    """Whether a sink shows metrics at once, in the order in which they come."""
    return bool(getattr(sink, "live", False))


class JsonLines:
    """A file of one JSON object per line, each with its `update`; NaN and infinity become null.

    Lines are flushed to the disk as they are written. `cut` drops a line that a crash left incomplete.
    """

    def __init__(self, path: Path):
        self._path = path

    def append(self, *lines: Mapping[str, Any]) -> None:
        """Append lines: all of them or, on an error, none.

        Raises:
            OSError: with a clear message; the file is as it was before.
        """
        content = "".join(json.dumps(null_for_nan(line), allow_nan=False) + "\n" for line in lines).encode()
        # Unbuffered, because a buffer would later be flushed into the space that the truncation frees.
        with clear_write_errors(self._path), open(self._path, "ab", buffering=0) as file:
            before = file.seek(0, os.SEEK_END)
            try:
                while content:
                    content = content[file.write(content) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(before)
                raise

    def cut(self, update: int) -> None:
        """Keep the lines up to and including `update`, and drop later ones."""
        kept = "".join(json.dumps(line) + "\n" for line in self.read() if line["update"] <= update)
        if self._path.exists():
            write_atomic(self._path, lambda file: file.write(kept.encode()))

    def read(self) -> list[dict[str, Any]]:
        """All complete lines; none if the file does not exist yet.

        Raises:
            DataError: if it is not a file.
            OSError: if it cannot be read.
        """
        if not self._path.exists():
            return []
        lines = []
        for text in read_bytes(self._path).split(b"\n"):
            try:
                line = parse_json(text)
            except ValueError:
                continue
            if isinstance(line, dict) and type(line.get("update")) is int:
                lines.append(line)
        return lines


class TensorBoardSink:
    """Metrics as TensorBoard scalars in a folder."""

    def __init__(self, folder: Path):
        self._writer = tensorboardX.SummaryWriter(str(folder))

    def write(self, update: int, metrics: Mapping[str, Any]) -> None:
        for name, value in metrics.items():
            if isinstance(value, int | float):
                self._writer.add_scalar(name, value, update)

    def close(self) -> None:
        self._writer.close()


class WandbSink:
    """Metrics in a Weights & Biases project."""

    def __init__(self, project: str, config: Mapping[str, Any], folder: Path):
        # Several runs in one process are separate runs there, too.
        self._run = wandb.init(
            project=project, name=folder.name, config=dict(config), dir=str(folder), reinit="create_new"
        )

    def write(self, update: int, metrics: Mapping[str, Any]) -> None:
        self._run.log(dict(metrics), step=update)

    def close(self) -> None:
        self._run.finish()
