"""Downloads against a local server: resumed, checked, and clear when they fail."""

import base64
import datetime
import errno
import hashlib
import http.server
import json
import os
import re
import socket
import threading
import time
from pathlib import Path

import pytest

from drol.errors import DataError
from drol.files import checksum, write_json
from drol.sources import download as module
from drol.sources.download import download, verify_record
from drol.sources.ogbench.names import parse_task
from drol.sources.ogbench.reading import load

CONTENT = bytes(range(256)) * 4096
OTHER = CONTENT[::-1]
NAME = "cube-single-play-v0.npz"
AGAIN = "Carry it here on a disk."


def b64(name, content):
    return base64.b64encode(hashlib.new(name, content).digest()).decode()


class Server:
    """Serves `content` under NAME as RFC 9110 says, unless told to cut it short, lie or ignore what it was asked."""

    def __init__(self):
        self.content, self.headers = CONTENT, {"ETag": '"one"'}
        self.cut_after = None
        self.announced_size = None
        self.ranges = self.heeds_if_range = True
        self.requests = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append((self.headers.get("Range"), self.headers.get("If-Range")))
                if not self.path.endswith(NAME):
                    self.send_error(404)
                    return
                size = len(outer.content)
                match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
                condition = self.headers.get("If-Range") if outer.heeds_if_range else None
                fits = condition is None or condition in outer.headers.values()
                start = int(match[1]) if match and outer.ranges and fits else 0
                if start >= size:
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{size}")
                    self.end_headers()
                    return
                body = outer.content[start:]
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(outer.announced_size or len(body)))
                self.end_headers()
                self.wfile.write(body if outer.cut_after is None else body[: outer.cut_after])

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{self.host}/{NAME}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / NAME


@pytest.fixture
def cut(server, path):
    """A download that broke off after 100,000 bytes."""
    server.cut_after = 100_000
    with pytest.raises(DataError, match=f"ended after 100000 of {len(CONTENT)} bytes. Rerun the command.*disk"):
        download(server.url, path, other_ways=AGAIN)
    assert not path.exists()
    server.cut_after = None
    return path


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_a_whole_file_is_fetched_and_recorded(server, path):
    seen = []
    assert download(server.url, path, lambda done, total: seen.append((done, total))) == path
    assert path.read_bytes() == CONTENT
    record = json.loads((path.parent / f"{NAME}.json").read_text())
    fetched = datetime.datetime.fromisoformat(record.pop("fetched"))
    assert abs(datetime.datetime.now(datetime.UTC) - fetched) < datetime.timedelta(minutes=10)
    assert record == {"url": server.url, "bytes": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert names(path.parent) == [NAME, f"{NAME}.json"]


@pytest.mark.parametrize(
    "headers", [{"ETag": '"one"'}, {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", "ETag": 'W/"weak"'}]
)
def test_a_cut_download_goes_on_where_it_stopped(server, path, headers):
    server.headers = headers
    server.cut_after = 100_000
    with pytest.raises(DataError, match="ended after 100000"):
        download(server.url, path)
    server.cut_after = None
    assert download(server.url, path).read_bytes() == CONTENT
    assert server.requests == [(None, None), ("bytes=100000-", next(iter(headers.values())))]
    assert names(path.parent) == [NAME, f"{NAME}.json"]


VERSIONS = [
    ("ETag", '"one"', '"two"'),
    ("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT", "Fri, 02 Jan 2026 00:00:00 GMT"),
]


@pytest.mark.parametrize("heeds", [True, False], ids=["If-Range heeded", "If-Range ignored"])
@pytest.mark.parametrize("content", [OTHER, OTHER[:-1], OTHER[:50_000]], ids=["same size", "shorter", "much shorter"])
@pytest.mark.parametrize(("mark", "old", "new"), VERSIONS, ids=["ETag", "Last-Modified"])
def test_a_file_changed_between_attempts_is_fetched_from_its_start(server, path, heeds, content, mark, old, new):
    server.headers, server.cut_after = {mark: old}, 100_000
    with pytest.raises(DataError, match="ended after"):
        download(server.url, path)
    server.content, server.headers, server.heeds_if_range, server.cut_after = content, {mark: new}, heeds, None
    assert download(server.url, path).read_bytes() == content


def test_another_size_under_the_same_tag_is_another_file(server, cut):
    server.content = OTHER + b"more"
    assert download(server.url, cut).read_bytes() == server.content


def test_a_file_without_a_mark_to_tell_its_versions_apart_starts_over(server, path):
    server.headers = {}
    server.cut_after = 100_000
    with pytest.raises(DataError, match="ended after"):
        download(server.url, path)
    server.cut_after, server.content = None, OTHER
    assert download(server.url, path).read_bytes() == OTHER
    assert server.requests == [(None, None)] * 2


def test_a_server_without_ranges_starts_over(server, cut):
    server.ranges = False
    assert download(server.url, cut).read_bytes() == CONTENT


@pytest.mark.parametrize("notes", [None, "no json", "[]", '{"etag": 3}', {"etag": 3}, {"bytes": "9"}, {"url": "other"}])
def test_a_part_of_unknown_origin_starts_over(server, cut, notes):
    file = cut.with_name(f"{NAME}.part.json")
    if notes is None:
        file.unlink()
    else:
        file.write_text(json.dumps(json.loads(file.read_text()) | notes) if isinstance(notes, dict) else notes)
    cut.with_name(f"{NAME}.part").write_bytes(OTHER[:100_000])
    assert download(server.url, cut).read_bytes() == CONTENT
    assert server.requests[-1] == (None, None)


def test_a_complete_part_is_finished_and_an_overlong_one_started_over(server, cut):
    part = cut.with_name(f"{NAME}.part")
    notes = cut.with_name(f"{NAME}.part.json").read_text()
    for content, asked in ((CONTENT, f"bytes={len(CONTENT) - 1}-"), (CONTENT + b"more", None)):
        part.write_bytes(content)
        part.with_name(f"{NAME}.part.json").write_text(notes)
        assert download(server.url, cut).read_bytes() == CONTENT
        assert server.requests[-1][0] == asked


@pytest.mark.parametrize("headers", [{"ETag": '"one"'}, {}])
@pytest.mark.parametrize("when", [1, 2, 4])
def test_two_processes_may_fetch_the_same_file(server, path, monkeypatch, headers, when):
    monkeypatch.setattr(module, "CHUNK", len(CONTENT) // 4)
    server.headers = headers
    calls = []

    def progress(*_):
        calls.append(None)
        if len(calls) == when:
            download(server.url, path)

    assert download(server.url, path, progress).read_bytes() == CONTENT
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == [NAME, f"{NAME}.json"]


def test_a_new_start_stopped_at_once_leaves_no_old_bytes_under_new_notes(server, cut, monkeypatch):
    server.content, server.headers = OTHER, {"ETag": '"two"'}

    def stop(*arguments):
        write_json(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_json", stop)
        with pytest.raises(KeyboardInterrupt):
            download(server.url, cut)
    assert download(server.url, cut).read_bytes() == OTHER


def test_a_wrong_announced_size_is_refused(server, path):
    server.announced_size = len(CONTENT) + 1
    with pytest.raises(DataError, match=rf"ended after {len(CONTENT)} of {len(CONTENT) + 1} bytes.*disk"):
        download(server.url, path, other_ways=AGAIN)
    assert not path.exists()


DIGESTS = {
    "Repr-Digest": lambda content: f"sha-512=:AAAA:, sha-256=:{b64('sha256', content)}:",
    "Digest": lambda content: f"SHA-256={b64('sha256', content)}",
    "Content-MD5": lambda content: b64("md5", content),
    "x-goog-hash": lambda content: f"crc32c=n03x6A==,md5={b64('md5', content)}",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_an_announced_checksum_is_compared(server, path, name):
    server.headers[name] = DIGESTS[name](OTHER)
    kind = "md5" if "MD5" in name or "goog" in name else "sha256"
    expected, found = (hashlib.new(kind, content).hexdigest() for content in (OTHER, CONTENT))
    with pytest.raises(DataError, match=rf"announced \S+ {expected}, but the bytes have {found}.*rerun.*disk"):
        download(server.url, path, other_ways=AGAIN)
    assert names(path.parent) == []
    server.headers[name] = DIGESTS[name](CONTENT)
    assert download(server.url, path).read_bytes() == CONTENT


@pytest.mark.parametrize("name", DIGESTS)
def test_a_resumed_file_is_compared_with_the_checksum_of_the_whole(server, path, name):
    server.headers[name] = DIGESTS[name](CONTENT)
    server.cut_after = 100_000
    with pytest.raises(DataError, match="ended after"):
        download(server.url, path)
    server.cut_after = None
    part = path.with_name(f"{NAME}.part")
    part.write_bytes(b"?" + part.read_bytes()[1:])
    server.headers["Content-MD5"] = b64("md5", CONTENT[100_000:])  # of an answer with a part: of that part
    with pytest.raises(DataError, match="arrived damaged"):
        download(server.url, path)
    assert server.requests[-1][0] == "bytes=100000-"


def test_what_is_no_checksum_is_not_compared(server, path):
    server.headers |= {"Content-MD5": "nonsense!", "Digest": "sha-256=AAAA", "x-goog-hash": "md5"}
    assert download(server.url, path).read_bytes() == CONTENT


def test_a_file_address_serves_as_a_mirror(tmp_path):
    (tmp_path / "mirror.npz").write_bytes(CONTENT)
    assert download((tmp_path / "mirror.npz").as_uri(), tmp_path / "fetched.npz").read_bytes() == CONTENT


def test_a_missing_file_names_the_other_ways(server, path):
    with pytest.raises(DataError, match=r"answered 404 \(Not Found\)\. Carry it here"):
        download(f"{server.host}/no-such-play-v0.npz", path, other_ways=AGAIN)


def test_a_part_outlives_a_server_that_answers_with_an_error(server, cut):
    with pytest.raises(DataError, match="answered 404"):
        download(f"{server.host}/else", cut)
    assert download(server.url, cut).read_bytes() == CONTENT
    assert server.requests[-1][0] == "bytes=100000-"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "http://no-such-host.invalid/x", "nonsense", "http://[/x"])
def test_an_unreachable_host_answers_within_seconds(path, url):
    began = time.monotonic()
    with pytest.raises(DataError, match=r"cannot be fetched.*Carry it here"):
        download(url, path, other_ways=AGAIN)
    assert time.monotonic() - began < 5
    assert names(path.parent) == []


@pytest.mark.parametrize("first_words", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnin"])
def test_a_silent_host_answers_within_seconds(monkeypatch, path, first_words):
    monkeypatch.setattr(module, "CONNECT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:

        def answer():
            with silent.accept()[0] as connection:
                connection.sendall(first_words)
                time.sleep(1)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(DataError, match=r"cannot be fetched \(.*timed out\)\. Carry it here"):
            download(f"http://127.0.0.1:{silent.getsockname()[1]}/x", path, other_ways=AGAIN)
        thread.join()


def test_a_full_disk_is_told(server, path, monkeypatch):
    def refuse(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match=r"cannot be stored.*the disk is full.*Carry it here") as caught:
        download(server.url, path, other_ways=AGAIN)
    assert caught.value.errno == errno.ENOSPC


def test_a_read_only_folder_is_told(server, path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OSError, match=r"cannot be stored.*the folder is read-only.*Carry it here"):
        download(server.url, path, other_ways=AGAIN)


def test_a_file_in_the_folders_place_is_told(server, path):
    path.parent.write_text("a file")
    with pytest.raises(OSError, match=rf"cannot be stored in {path.parent}.*Carry it here"):
        download(server.url, path, other_ways=AGAIN)


def test_a_record_is_verified(server, path):
    digest = hashlib.sha256(CONTENT).hexdigest()
    download(server.url, path)
    assert verify_record(path) == digest
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(DataError, match=rf"has {len(CONTENT) - 1} bytes, but {len(CONTENT)} were fetched.*remove it"):
        verify_record(path)
    path.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(DataError, match=rf"has SHA-256 \w+, but {digest} was fetched.*remove it"):
        verify_record(path)
    record = path.with_name(f"{NAME}.json")
    for text in ("no json", "[]", '{"bytes": 3}'):
        record.write_text(text)
        with pytest.raises(DataError, match=r"not readable as JSON|should record the 'bytes'"):
            verify_record(path)
    record.unlink()
    assert verify_record(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_ogbench_fetches_both_files_from_its_mirror_and_names_the_other_ways(server, tmp_path, monkeypatch):
    monkeypatch.setenv("DROL_OGBENCH_URL", server.host)
    with pytest.raises(DataError, match=r"-v0-val\.npz answered 404.*--collect 150.*drol collect cube-single-play"):
        load(parse_task("cube-single-play-singletask-v0"), cache=tmp_path)
    assert names(tmp_path) == [NAME, f"{NAME}.json"]


# Whose bytes they are


def test_only_the_expected_file_gets_its_name(server, path):
    with pytest.raises(DataError, match="not the expected 0000"):
        download(server.url, path, expected="0" * 64)
    assert names(path.parent) == []
    download(server.url, path, expected=hashlib.sha256(CONTENT).hexdigest())
    assert path.read_bytes() == CONTENT


def test_a_file_that_is_fetched_again_must_be_the_first_one(server, path):
    download(server.url, path)
    path.unlink()
    server.content = OTHER
    with pytest.raises(DataError, match=f"had {hashlib.sha256(CONTENT).hexdigest()} when it was first fetched"):
        download(server.url, path)
    assert names(path.parent) == [f"{NAME}.json"]
    # Who states the checksum knows better than the record.
    download(server.url, path, expected=hashlib.sha256(OTHER).hexdigest())
    assert verify_record(path) == hashlib.sha256(OTHER).hexdigest()


def test_the_record_stays_that_of_the_first_download(server, path):
    record = path.with_name(f"{NAME}.json")
    first = {"url": "http://elsewhere", "bytes": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}
    path.parent.mkdir()
    write_json(record, first)  # as earlier versions wrote it, without a date
    download(server.url, path)
    assert json.loads(record.read_text()) == first
    assert verify_record(path) == first["sha256"]
    path.unlink()
    server.content = OTHER
    download(server.url, path, expected=hashlib.sha256(OTHER).hexdigest())
    assert json.loads(record.read_text())["url"] == server.url


def test_what_nothing_authenticates_is_said(server, path, caplog):
    download(server.url, path)
    assert "nothing authenticates it" in caplog.text
    assert hashlib.sha256(CONTENT).hexdigest() in caplog.text
    caplog.clear()
    path.unlink()
    download(server.url, path, expected=hashlib.sha256(CONTENT).hexdigest())
    assert not caplog.records


@pytest.mark.parametrize("text", ["", "abc", "g" * 64, "0" * 63, "0" * 65])
def test_other_texts_are_no_checksums(text):
    with pytest.raises(ValueError, match="expected a SHA-256 of 64 hexadecimal digits"):
        checksum(text)


def test_checksums_may_be_in_upper_case():
    assert checksum("AB" * 32) == "ab" * 32


def test_a_file_that_another_process_fetched_meanwhile_is_compared_too(tmp_path, monkeypatch):
    path = tmp_path / NAME

    def fetch(*_):
        path.write_bytes(OTHER)
        raise FileNotFoundError(errno.ENOENT, "the part is gone")

    monkeypatch.setattr(module, "_fetch", fetch)
    assert download("http://localhost/x", path) == path
    assert download("http://localhost/x", path, expected=hashlib.sha256(OTHER).hexdigest()) == path
    with pytest.raises(DataError, match="not the expected"):
        download("http://localhost/x", path, expected=hashlib.sha256(CONTENT).hexdigest())
