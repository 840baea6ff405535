"""The official download of OGBench's files: resumable, checked, recorded."""

import contextlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from drol.files import DataError, clear_write_errors, sha256, write_json

CONNECT_SECONDS = 8.0
CHUNK = 1 << 20


def base_url() -> str:
    """Where ogbench publishes its data sets; the environment variable DROL_OGBENCH_URL names a mirror."""
    from ogbench.utils import DATASET_URL

    return os.environ.get("DROL_OGBENCH_URL", DATASET_URL)


def download(name: str, folder: Path, progress: Callable[[int, int | None], None] | None = None) -> Path:
    """Fetch one file into `folder`, going on where an earlier attempt was cut off.

    The bytes go to `NAME.part`; the file gets its name when all announced bytes are there. `NAME.json` beside it
    records its address, size and SHA-256.

    Args:
        name: file name, for instance `cube-single-play-v0.npz`.
        folder: where to put it; made if needed.
        progress: called with (bytes so far, bytes in all or None).

    Raises:
        DataError: if the host cannot be reached, has no such file, or the connection breaks; the part is kept.
    """
    url = f"{base_url()}/{name}"
    path, part = folder / name, folder / f"{name}.part"
    with clear_write_errors(part):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            total = _fetch(url, part, progress)
        except urllib.error.HTTPError as error:
            raise DataError(f"{url} answered {error.code} ({error.reason}). {_other_ways(name, folder)}") from None
        except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise DataError(f"{url} cannot be fetched ({reason}). {_other_ways(name, folder)}") from None
        found = part.stat().st_size
        if total is not None and found != total:
            if found > total:
                part.unlink()
            raise DataError(
                f"{url} ended after {found} of {total} bytes. Run the command again to go on. "
                f"{_other_ways(name, folder)}"
            )
        write_json(folder / f"{name}.json", {"url": url, "bytes": found, "sha256": sha256(part)})
        os.replace(part, path)
    return path


def _fetch(url: str, part: Path, progress: Callable[[int, int | None], None] | None) -> int | None:
    """Append what is missing of `url` to `part`; returns the whole file's size as the server announced it."""
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(request, timeout=CONNECT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:
            # Nothing is left to send: the part is whole, or longer than the file and so worthless.
            total = error.headers.get("Content-Range", "").rpartition("/")[2]
            return int(total) if total.isdigit() else start
        raise
    with response, contextlib.ExitStack() as stack:
        resumed = response.status == 206
        start = start if resumed else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length is not None else None
        file = stack.enter_context(open(part, "ab" if resumed else "wb"))
        while chunk := response.read(CHUNK):
            file.write(chunk)
            start += len(chunk)
            if progress is not None:
                progress(start, total)
        file.flush()
        os.fsync(file.fileno())
    return total


def _other_ways(name: str, folder: Path) -> str:
    dataset = name.removesuffix(".npz").removesuffix("-val").removesuffix("-v0")
    return (
        f"Other ways: make the data here with OGBench's own experts (`drol train TASK --collect 150`, or "
        f"`drol collect {dataset} --out FILE.npz` and then `--data FILE.npz`); or fetch {name} on another machine "
        f"and put it into {folder}, or name it with --data."
    )
