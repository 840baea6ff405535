"""Resumable downloads of large files, with checksums and a record of each download."""

import base64
import binascii
import contextlib
import dataclasses
import datetime
import hashlib
import http.client
import logging
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from drol.errors import DataError
from drol.files import clear_write_errors, read_json, sha256, write_json

logger = logging.getLogger("drol")

CONNECT_SECONDS = 8.0
CHUNK = 1 << 20

Progress = Callable[[int, int | None], None]
"""Called with (bytes so far, total bytes or None)."""


def download(
    url: str, path: Path, progress: Progress | None = None, *, other_ways: str = "", expected: str | None = None
) -> Path:
    """Fetch `url` to `path`, resuming an interrupted attempt if the server's file is still the same.

    The bytes are written to `PATH.part` and the server's description of them to `PATH.part.json`. The file is renamed
    to `path` once it is complete and matches every checksum that the server announced. `PATH.json` next to it records
    the URL, size, SHA-256 and date of the first download; later downloads must have the same SHA-256. Nothing
    authenticates a file that comes over http without an expected checksum; a warning says so.

    Args:
        url: the address of the file.
        path: where to put it; its folder is created if needed.
        progress: see `Progress`.
        other_ways: sentences appended to every error message, saying what to do if the host cannot be reached.
        expected: the SHA-256 that the file must have, in hexadecimal.

    Raises:
        DataError: if the host cannot be reached or does not have the file, or the connection breaks (the part is kept);
            or if the bytes do not match an announced or expected checksum or the record of the first download (the part
            is removed).
        OSError: if the file cannot be written.
    """
    part, notes = _beside(path, ".part"), _beside(path, ".part.json")
    try:
        with clear_write_errors(part):
            path.parent.mkdir(parents=True, exist_ok=True)
            announced = _fetch(url, part, notes, progress, other_ways)
            found = part.stat().st_size
            if announced.bytes not in (None, found):
                raise DataError(
                    f"{url} ended after {found} of {announced.bytes} bytes. Rerun the command to resume. "
                    f"{other_ways}".rstrip()
                )
            digest = sha256(part)
            _check_digests(announced, digest, part, notes, other_ways)
            _check_known(url, path, digest, expected)
            _record_first(url, path, found, digest)
            os.replace(part, path)
            if expected is None and url.startswith("http:"):
                logger.warning(
                    "%s came over http, so nothing authenticates it; compare its SHA-256, %s, with that of a copy you "
                    "trust (with --sha256, any other file is refused)",
                    path,
                    digest,
                )
            _remove(notes)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and path.exists():  # another process finished first
            check_expected(path, sha256(path) if expected is not None else "", expected)
            return path
        raise OSError(
            error.errno, f"{url} cannot be stored in {path.parent}: {error.strerror}. {other_ways}".rstrip()
        ) from error
    return path


def check_expected(where: str | Path, digest: str, expected: str | None) -> None:
    """Refuse a file that does not have the SHA-256 that the user expects.

    Raises:
        DataError: naming both digests.
    """
    if expected is not None and digest != expected:
        raise DataError(f"{where} has SHA-256 {digest}, not the expected {expected}: it is another file or damaged")


def verify_record(path: Path) -> str:
    """The SHA-256 of a file, compared with the record of its download if there is one.

    Raises:
        DataError: if the file has changed since it was fetched, or the record is damaged.
    """
    note = _beside(path, ".json")
    if not note.exists():
        return sha256(path)
    record = read_json(note)
    if not isinstance(record, dict) or not {"bytes", "sha256"} <= record.keys():
        raise DataError(f"{note} should record the 'bytes' and 'sha256' of a download, but does not; remove it")
    remedy = f"it has changed or was damaged; remove it to fetch it again, or remove {note.name} to keep it as it is"
    if (size := path.stat().st_size) != record["bytes"]:
        raise DataError(f"{path} has {size} bytes, but {record['bytes']} were fetched: {remedy}")
    if (digest := sha256(path)) != record["sha256"]:
        raise DataError(f"{path} has SHA-256 {digest}, but {record['sha256']} was fetched: {remedy}")
    return digest


@dataclasses.dataclass(frozen=True)
class _Announced:
    """What a server's headers say about the whole file; None for what they do not state."""

    url: str
    bytes: int | None
    etag: str | None
    modified: str | None
    sha256: str | None
    md5: str | None

    @property
    def validator(self) -> str | None:
        """The value for `If-Range`; a weak entity tag is not allowed, as it does not guarantee identical bytes."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


def _fetch(url: str, part: Path, notes: Path, progress: Progress | None, other_ways: str) -> _Announced:
    """Append the missing bytes of `url` to `part`; returns what the server announced about the whole file."""
    announced, start = _left_off(url, part, notes)
    with contextlib.ExitStack() as stack:
        with _clear_network_errors(url, other_ways):
            response = _open(url, announced, start)
            stack.enter_context(response)
            if announced is None or not _goes_on(response, announced, start):
                if response.status == 206:  # the server sent the rest of a different file
                    response = stack.enter_context(_open(url, None, 0))
                announced, start = _read_announced(url, response.headers), 0
        if start == 0:
            # Remove the part instead of truncating it: another process may still be writing to it. Write the notes only
            # afterwards, or the bytes of one version could be taken for those of another.
            _remove(part)
            write_json(notes, dataclasses.asdict(announced))
        file = stack.enter_context(open(part, "r+b" if start else "wb"))
        file.seek(start)
        while True:
            with _clear_network_errors(url, other_ways):
                chunk = response.read(CHUNK)
            if not chunk:
                break
            file.write(chunk)
            start += len(chunk)
            if progress is not None:
                progress(start, announced.bytes)
        file.flush()
        os.fsync(file.fileno())
    return announced


def _left_off(url: str, part: Path, notes: Path) -> tuple[_Announced | None, int]:
    """What was announced to an earlier attempt and the byte to resume from; (None, 0) if it cannot be resumed."""
    try:
        size, begun = part.stat().st_size, _Announced(**read_json(notes))
    except (FileNotFoundError, DataError, TypeError):
        return None, 0
    texts = (begun.etag, begun.modified, begun.sha256, begun.md5)
    if not isinstance(begun.bytes, int) or not all(isinstance(text, str | None) for text in texts):
        return None, 0
    # If the part is complete, its last byte is requested again: the response shows whether the file is still the same.
    start = min(size, begun.bytes - 1)
    usable = begun.url == url and begun.validator is not None and 0 < size <= begun.bytes and start > 0
    return (begun, start) if usable else (None, 0)


def _open(url: str, announced: _Announced | None, start: int) -> Any:
    """The server's response, from byte `start` on if its file is still the announced one."""
    headers = {} if announced is None else {"Range": f"bytes={start}-", "If-Range": announced.validator}
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=CONNECT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == 416 and headers:
            error.close()
            return _open(url, None, 0)
        raise


def _goes_on(response: HTTPResponse, announced: _Announced, start: int) -> bool:
    """Whether a response continues the announced file at byte `start`; not every server respects `If-Range`."""
    now = _read_announced(response.url, response.headers)
    same = now.etag in (None, announced.etag) and now.modified in (None, announced.modified)
    sent = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    return response.status == 206 and same and sent is not None and sent.groups() == (str(start), str(announced.bytes))


def _read_announced(url: str, headers: Message) -> _Announced:
    length = headers.get("Content-Length", "")
    sums: dict[str, str] = {}
    for name in ("Repr-Digest", "Digest", "x-goog-hash"):
        for item in ",".join(headers.get_all(name, [])).split(","):
            kind, _, value = item.strip().partition("=")
            sums[kind.lower()] = value.strip(":")
    return _Announced(
        url=url,
        bytes=int(length) if length.isdigit() else None,
        etag=headers.get("ETag"),
        modified=headers.get("Last-Modified"),
        sha256=_hexadecimal(sums.get("sha-256", ""), 32),
        md5=_hexadecimal(headers.get("Content-MD5", "") or sums.get("md5", ""), 16),
    )


def _hexadecimal(encoded: str, length: int) -> str | None:
    """A base64 checksum of `length` bytes in hexadecimal; None if it is not valid."""
    try:
        raw = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw.hex() if len(raw) == length else None


def _check_digests(announced: _Announced, digest: str, part: Path, notes: Path, other_ways: str) -> None:
    """Remove the part and raise a DataError if it does not match an announced checksum."""
    with open(part, "rb") as file:
        md5 = announced.md5 and hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    for kind, expected, found in (("SHA-256", announced.sha256, digest), ("MD5", announced.md5, md5)):
        if expected is not None and found != expected:
            _remove(part, notes)
            raise DataError(
                f"{announced.url} arrived damaged: its server announced {kind} {expected}, but the bytes have {found}. "
                f"They were removed; rerun the command to fetch them again. {other_ways}".rstrip()
            )


@contextlib.contextmanager
def _clear_network_errors(url: str, other_ways: str) -> Iterator[None]:
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        raise DataError(f"{url} answered {error.code} ({error.reason}). {other_ways}".rstrip()) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(f"{url} cannot be fetched ({reason}). {other_ways}".rstrip()) from None


def _check_known(url: str, path: Path, digest: str, expected: str | None) -> None:
    """Remove the part and raise a DataError if it differs from the expected file or from the first download."""
    part, notes, record = (_beside(path, ending) for ending in (".part", ".part.json", ".json"))
    try:
        check_expected(url, digest, expected)
        first = read_json(record) if record.exists() else {}
        known = first.get("sha256") if isinstance(first, dict) else None
        # A checksum given by the user takes precedence over the record of an earlier download.
        if expected is None and known not in (None, digest):
            raise DataError(
                f"{url} now has SHA-256 {digest}, but had {known} when it was first fetched: it was changed on the "
                f"server or in transit; remove {record} if you trust the new file"
            )
    except DataError:
        _remove(part, notes)
        raise


def _record_first(url: str, path: Path, size: int, digest: str) -> None:
    """Record a download next to its file; an earlier record of the same bytes is kept."""
    record = _beside(path, ".json")
    first = read_json(record) if record.exists() else {}
    if isinstance(first, dict) and (first.get("bytes"), first.get("sha256")) == (size, digest):
        return
    today = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    write_json(record, {"url": url, "bytes": size, "sha256": digest, "fetched": today})


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _remove(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
