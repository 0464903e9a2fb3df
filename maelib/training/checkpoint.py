"""Checkpoints: everything that a run needs to go on, written atomically and checked when read.

A file is what `torch.save` writes and, behind it, a SHA-256 over all of that. Format 1 had no checksum.
"""

import hashlib
import io
import math
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..files import write_atomically

NAME = re.compile(r"step-(\d{8})\.pt")
MARK = b"maelib, SHA-256:"
TRAILER = len(MARK) + hashlib.sha256().digest_size  # bytes


def save_checkpoint(folder: Path, step: int, state: dict[str, Any], keep: int = 2) -> Path:
    """Write `step-XXXXXXXX.pt` into the folder, then remove later ones, which nobody could read, and all but the newest `keep`."""
    path = folder / f"step-{step:08d}.pt"
    buffer = io.BytesIO()
    torch.save(state, buffer)
    digest = hashlib.sha256(buffer.getbuffer()).digest()
    buffer.seek(0, io.SEEK_END)
    buffer.write(MARK + digest)
    write_atomically(path, buffer.getvalue())
    there = list_checkpoints(folder)
    for old in set(there) - set([other for other in there if other <= path][:keep]):
        old.unlink()
    for leftover in folder.glob(".step-*"):  # what a killed process began to write
        leftover.unlink()
    return path


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints of a folder, the newest first."""
    return sorted((path for path in folder.glob("step-*.pt") if NAME.fullmatch(path.name)), reverse=True)


def is_checkpoint(path: Path) -> bool:
    """Whether a file begins as what `torch.save` writes."""
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint on the CPU, without running any code in it, after checking every byte against its checksum.

    Raises
    ------
    ValueError
        The file is damaged or no checkpoint, or a number in it is not finite.
    """
    try:
        content = path.read_bytes()
        if marked := content[-TRAILER:].startswith(MARK):
            if hashlib.sha256(memoryview(content)[:-TRAILER]).digest() != content[len(MARK) - TRAILER :]:
                raise ValueError("the checksum differs: the file is damaged")
        else:
            content = _rewritten(content)
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        if not marked and isinstance(state, dict) and "format" in state:
            raise ValueError("it has no checksum: the file is damaged")
        if not _finite(state):
            raise ValueError("a number in it is not finite")
        return state
    except Exception as error:  # whatever damage makes zipfile, pickle and torch raise
        raise ValueError(f"checkpoint {path} cannot be read ({' '.join(str(error).split())})") from error


def newest_checkpoint(
    folder: Path, warn: Any = print, take: Callable[[Path, dict[str, Any]], Any] = lambda *found: found
) -> Any:
    """What `take` makes of the newest good checkpoint, its path and state if left out; None where there is none.

    One that cannot be read, or that `take` refuses with whatever exception, is damaged: `warn` is told, the one before is taken.

    Raises
    ------
    ValueError
        There are checkpoints, and all are damaged.
    """
    for path in (there := list_checkpoints(folder)):
        try:
            return take(path, load_checkpoint(path))
        except Exception as error:
            reason = " ".join(str(error).split())
            warn(f"skipped: {reason if str(path) in reason else f'checkpoint {path} is damaged ({reason})'}")
    if there:
        raise ValueError(f"no checkpoint in {folder} can be read; remove the folder to train from scratch")
    return None


def _rewritten(content: bytes) -> bytes:
    """A file of format 1 with nothing in it but what zipfile has checked; torch.load trusts a zip's directory."""
    new = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(new, "w") as checked:
        for entry in archive.infolist():
            checked.writestr(entry.filename, archive.read(entry))
    return new.getvalue()


def _finite(value: Any) -> bool:
    """Whether all numbers in nested dictionaries and lists are finite."""
    if isinstance(value, Tensor):
        return bool(value.isfinite().all())
    if isinstance(value, dict | list | tuple):
        return all(map(_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)
