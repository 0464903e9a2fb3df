"""The download, against a server of our own that cuts, refuses and lies."""

import hashlib
import http.server
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from maelib.datasets import DatasetError
from maelib.datasets.download import TRIES, download_tiny_imagenet

CONTENT = np.random.default_rng(0).bytes(1_500_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT; `cuts`: the bytes after which the next answers break off, `codes`: refusals to begin with."""

    ranges, with_length = True, True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.cuts: list[int] = []
        self.codes: list[int] = []
        self.asked: list[str | None] = []  # the Range of each request
        self.sent = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}/file.zip"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.server.asked.append(wanted)
        if self.server.codes:
            return self.send_error(self.server.codes.pop(0))
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.server.ranges else 0
        if start >= len(CONTENT):
            return self.send_error(416)
        self.send_response(206 if wanted and self.server.ranges else 200)
        if self.server.with_length:
            self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        body = CONTENT[start:][: self.server.cuts.pop(0) if self.server.cuts else None]
        self.server.sent += len(body)
        self.wfile.write(body)
        return None

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def download(server: Server, folder: Path, md5: str = MD5) -> Path:
    return download_tiny_imagenet(folder, server.url, md5, pause=0, progress=False)


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_the_file_arrives_once(server: Server, tmp_path: Path):
    for _ in range(2):
        path = download(server, tmp_path / "deep" / "folder")
        assert path.read_bytes() == CONTENT
        assert path.name == "tiny-imagenet-200.zip"
    assert server.asked == [None]
    assert leftovers(path.parent) == [path.name]


def test_cut_connections_go_on_where_they_broke(server: Server, tmp_path: Path):
    server.cuts = [400_000, 1, 700_000]
    assert download(server, tmp_path).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=400000-", "bytes=400001-", "bytes=1100001-"]
    assert server.sent == len(CONTENT)


def test_tries_count_again_when_bytes_come(server: Server, tmp_path: Path):
    server.cuts = [1000] * (3 * TRIES)
    assert download(server, tmp_path).read_bytes() == CONTENT
    assert len(server.asked) == 3 * TRIES + 1


def test_the_next_call_resumes(server: Server, tmp_path: Path):
    server.cuts = [500_000] + [0] * TRIES
    with pytest.raises(DatasetError, match=r"500000 of 1500000 bytes.*it resumes.*MAELIB_DATA"):
        download(server, tmp_path)
    assert leftovers(tmp_path) == ["tiny-imagenet-200.zip.part"]
    server.cuts, server.asked = [], []
    assert download(server, tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=500000-"]


def test_a_server_without_ranges_starts_again(server: Server, tmp_path: Path):
    server.ranges, server.cuts = False, [400_000]
    assert download(server, tmp_path).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=400000-"]
    assert server.sent == len(CONTENT) + 400_000


def test_a_server_that_does_not_tell_the_length(server: Server, tmp_path: Path):
    server.with_length = False
    assert download(server, tmp_path).read_bytes() == CONTENT


def test_a_wrong_checksum_is_an_error_and_removes_the_file(server: Server, tmp_path: Path):
    with pytest.raises(DatasetError, match=f"checksum {MD5}, expected {'0' * 32}"):
        download(server, tmp_path, md5="0" * 32)
    assert leftovers(tmp_path) == []


def test_a_part_of_another_file_is_found_out(server: Server, tmp_path: Path):
    (tmp_path / "tiny-imagenet-200.zip.part").write_bytes(b"\0" * 1000)
    with pytest.raises(DatasetError, match="checksum"):
        download(server, tmp_path)
    assert download(server, tmp_path).read_bytes() == CONTENT


def test_a_complete_part_needs_its_checksum_only(server: Server, tmp_path: Path):
    (tmp_path / "tiny-imagenet-200.zip.part").write_bytes(CONTENT)
    assert download(server, tmp_path).read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT)}-"]  # answered by 416
    assert server.sent == 0


def test_a_part_that_is_too_long_is_removed(server: Server, tmp_path: Path):
    (tmp_path / "tiny-imagenet-200.zip.part").write_bytes(CONTENT + b"more")
    with pytest.raises(DatasetError, match="checksum"):
        download(server, tmp_path)
    assert leftovers(tmp_path) == []


def test_a_refusal_is_final(server: Server, tmp_path: Path):
    server.codes = [404]
    with pytest.raises(DatasetError, match=r"could not download http.*404"):
        download(server, tmp_path)
    assert len(server.asked) == 1


def test_a_busy_server_is_asked_again_but_not_for_ever(server: Server, tmp_path: Path):
    server.codes = [503, 429, 500]
    assert download(server, tmp_path / "a").read_bytes() == CONTENT
    server.codes, server.asked = [503] * 100, []
    with pytest.raises(DatasetError, match="503"):
        download(server, tmp_path / "b")
    assert len(server.asked) == TRIES


def test_no_server_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/x"
        with pytest.raises(DatasetError, match=r"could not download.*refused"):
            download_tiny_imagenet(tmp_path, url, MD5, pause=0, progress=False)


def test_several_at_once_download_once(server: Server, tmp_path: Path):
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: download(server, tmp_path), range(4)))
    assert {path.read_bytes() for path in paths} == {CONTENT}
    assert server.asked == [None]


def test_a_folder_that_cannot_be_written_is_named(server: Server, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatasetError, match=r"cannot write .*file.*MAELIB_CACHE"):
        download(server, tmp_path / "file" / "folder")
    assert server.asked == []
