"""The book as a site: one strict build, served below a folder as on GitHub Pages, opened in a real browser."""

import gzip
import mimetypes
import os
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parent.parent
URLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
PREFIX = urlsplit(URLS["Documentation"]).path  # not "/": a link to the root of the host must fail here too
COMPRESSED = ("text/", "application/javascript", "application/json", "application/wasm", "image/svg")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-fake-device-for-media-stream",
]  # fmt: skip


def build_book(folder: Path) -> Path:
    """Build the book strictly below a folder; where the pages are."""
    command = [Path(sys.executable).with_name("jupyter-book"), "build", ROOT, "--path-output", folder]
    done = subprocess.run([*command, "-n", "-W", "--keep-going", "--quiet"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return folder / "_build" / "html"


class _Handler(SimpleHTTPRequestHandler):
    """Files below `PREFIX`, compressed and cached as GitHub Pages does it, nothing else."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        file = Path(self.translate_path("/" + path.removeprefix(PREFIX)))
        file = file / "index.html" if file.is_dir() else file
        if not path.startswith(PREFIX) or not file.is_file():
            self.send_error(404)
            return
        body = file.read_bytes()
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        self.send_response(200)
        if kind.startswith(COMPRESSED) and "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, 6)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Type", kind + ("; charset=utf-8" if kind.startswith("text/") else ""))
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "max-age=600")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent: a test that fails says more."""


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder; the address of its first page, with a slash at the end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{PREFIX}"
    finally:
        server.shutdown()
        server.server_close()


def chromium() -> str:
    """Path of a Chromium; the test is skipped without one, and fails where continuous integration promised one."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if found := shutil.which(name):
            return found
    if os.environ.get("CI"):
        pytest.fail("no Chromium on the PATH: install Debian's package chromium")
    pytest.skip("no Chromium on the PATH: the book is not opened in a browser")


def pages(folder: Path) -> list[str]:
    """Every page of the book by its path, less `index.html`, which only forwards."""
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.html"))
    return [page for page in found if page != "index.html" and not page.startswith("_")]
