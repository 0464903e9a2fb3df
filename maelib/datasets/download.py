"""Download Tiny ImageNet: resumed where it was cut off, checked at the end."""

import hashlib
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


def download_tiny_imagenet(folder: Path, url: str = URL, md5: str = MD5, pause: float = 2.0) -> Path:
    """The original zip (248 MB) in a folder, downloaded if it is not there; a call that was cut off goes on where it stopped.

    Raises
    ------
    DatasetError : no connection after several tries `pause` seconds apart (growing), or the checksum differs.
    """
    target = folder / "tiny-imagenet-200.zip"
    part = target.with_suffix(".zip.part")
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if target.exists():
            return target
        for attempt in range(TRIES):
            try:
                _fetch(url, part)
                break
            except (OSError, EOFError) as error:  # URLError, timeouts and cut connections among them
                if attempt == TRIES - 1:
                    raise DatasetError(f"could not download {url} ({error}): call again to resume, or set MAELIB_DATA") from error
                time.sleep(pause * 2**attempt)
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
        if found != md5:
            part.unlink()
            raise DatasetError(f"{url} has checksum {found}, expected {md5}: it was removed, call again")
        os.replace(part, target)
    return target


def _fetch(url: str, part: Path) -> None:
    """Append what is missing of a file to `part`; EOFError where the connection ends too early."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is missing, or the part is none of this file: the checksum tells
            return
        raise
    with response:
        resumes = response.status == 206
        have = have if resumes else 0
        total = have + int(response.headers["Content-Length"])
        bar = tqdm(total=total, initial=have, desc="downloading", unit="B", unit_scale=True, disable=None)
        with part.open("ab" if resumes else "wb") as file, bar:
            while block := response.read(1 << 18):
                file.write(block)
                bar.update(len(block))
                have += len(block)
    if have < total:
        raise EOFError(f"connection closed at {have} of {total} bytes")
