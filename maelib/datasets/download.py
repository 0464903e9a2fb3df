"""Download Tiny ImageNet: resumed where it was cut off, checked at the end."""

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

from filelock import FileLock
from tqdm import tqdm

from .sources import DatasetError

URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
TRIES = 5


def download_tiny_imagenet(
    folder: Path, url: str = URL, md5: str = MD5, pause: float = 2.0, progress: bool = True
) -> Path:
    """The original zip (248 MB) in a folder, downloaded if it is not there; after a cut it goes on where it stopped.

    Raises
    ------
    DatasetError
        The server refuses, five tries in a row bring no byte (the waits between them begin at `pause` seconds and
        double), the folder cannot be written, or the checksum differs.
    """
    target = folder / "tiny-imagenet-200.zip"
    part = target.with_suffix(".zip.part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not target.exists():  # else another process was faster
                _fetch_patiently(url, part, pause, progress)
                _check(url, part, md5)
                os.replace(part, target)
    except OSError as error:
        raise DatasetError(f"cannot write {target} ({error}): set MAELIB_CACHE to a folder with room") from error
    return target


def _fetch_patiently(url: str, part: Path, pause: float, progress: bool) -> None:
    """Fetch until all is there; tries count from one again whenever some bytes have come."""
    tries = 0
    while True:
        before = _size(part)
        try:
            return _fetch(url, part, progress)
        except (OSError, EOFError, http.client.HTTPException) as error:  # timeouts, cut connections, no route, ...
            final = isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code not in (408, 429)
            tries = 1 if _size(part) > before else tries + 1
            if final or tries >= TRIES:
                raise DatasetError(
                    f"could not download {url} ({error}): try again later, it resumes; or get the zip by other means "
                    "and set MAELIB_DATA to its folder"
                ) from error
        time.sleep(pause * 2 ** (tries - 1))


def _fetch(url: str, part: Path, progress: bool) -> None:
    """Append what is missing of a file to `part`; EOFError where the connection ends too early."""
    have = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is missing, or the part is none of this file: the checksum tells
            return
        raise
    with response:
        resumes = response.status == 206  # 200: the server knows no ranges and sends everything
        have = have if resumes else 0
        length = response.headers["Content-Length"]
        total = have + int(length) if length else None
        bar = tqdm(
            total=total, initial=have, desc="downloading", unit="B", unit_scale=True, disable=None if progress else True
        )
        with part.open("ab" if resumes else "wb") as file, bar:
            while block := response.read(1 << 18):
                file.write(block)
                bar.update(len(block))
                have += len(block)
    if total is not None and have < total:
        raise EOFError(f"connection closed at {have} of {total} bytes")


def _check(url: str, part: Path, md5: str) -> None:
    with part.open("rb+") as file:
        os.fsync(file.fileno())
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found != md5:
        part.unlink()
        raise DatasetError(f"{url} arrived with the checksum {found}, expected {md5}: it was removed, try again")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
