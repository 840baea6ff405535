"""The official download against a local server: resumed, checked, and clear when it fails."""

import hashlib
import http.server
import json
import re
import threading
import time

import pytest

from drol.data import download as module
from drol.data.download import download
from drol.files import DataError

CONTENT = bytes(range(256)) * 4096
NAME = "cube-single-play-v0.npz"


class Server:
    """Serves CONTENT under NAME with ranges; can cut a response short, lie about its size or refuse ranges."""

    def __init__(self):
        self.cut_after = None
        self.ranges = True
        self.requests = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append(self.headers.get("Range"))
                if not self.path.endswith(NAME):
                    self.send_error(404)
                    return
                match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
                start = int(match[1]) if match and outer.ranges else 0
                if start >= len(CONTENT):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
                    self.end_headers()
                    return
                body = CONTENT[start:]
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body if outer.cut_after is None else body[: outer.cut_after])

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch):
    server = Server()
    monkeypatch.setenv("DROL_OGBENCH_URL", server.url)
    yield server
    server.close()


def test_a_whole_file_is_fetched_and_recorded(server, tmp_path):
    seen = []
    path = download(NAME, tmp_path, lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT
    record = json.loads((tmp_path / f"{NAME}.json").read_text())
    assert record["bytes"] == len(CONTENT)
    assert record["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert not list(tmp_path.glob("*.part"))


def test_a_cut_download_goes_on_where_it_stopped(server, tmp_path):
    server.cut_after = 100_000
    with pytest.raises(DataError, match=f"ended after 100000 of {len(CONTENT)} bytes. Run the command again"):
        download(NAME, tmp_path)
    assert not (tmp_path / NAME).exists()
    server.cut_after = None
    assert download(NAME, tmp_path).read_bytes() == CONTENT
    assert server.requests == [None, "bytes=100000-"]


def test_a_server_without_ranges_starts_over(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(b"left over")
    server.ranges = False
    assert download(NAME, tmp_path).read_bytes() == CONTENT


def test_a_complete_part_is_finished_and_an_overlong_one_thrown_away(server, tmp_path):
    part = tmp_path / f"{NAME}.part"
    part.write_bytes(CONTENT)
    assert download(NAME, tmp_path).read_bytes() == CONTENT
    part.write_bytes(CONTENT + b"more")
    with pytest.raises(DataError, match="ended after"):
        download(NAME, tmp_path)
    assert not part.exists()


def test_a_missing_file_names_the_other_ways(server, tmp_path):
    with pytest.raises(DataError, match=r"answered 404.*--collect 150.*--data"):
        download("no-such-play-v0.npz", tmp_path)


def test_an_unreachable_host_answers_within_seconds(monkeypatch, tmp_path):
    monkeypatch.setenv("DROL_OGBENCH_URL", "http://127.0.0.1:9")
    began = time.monotonic()
    with pytest.raises(DataError, match=r"cannot be fetched.*drol collect cube-single-play"):
        download(NAME, tmp_path)
    assert time.monotonic() - began < 5


def test_a_silent_host_answers_within_seconds(monkeypatch, tmp_path):
    import socket

    monkeypatch.setattr(module, "CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("DROL_OGBENCH_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(DataError, match="cannot be fetched"):
            download(NAME, tmp_path)
