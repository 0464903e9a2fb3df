"""Checkpoints: everything that a run needs to go on, written atomically and checked when read."""

import io
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from ..files import write_atomically

NAME = re.compile(r"step-(\d{8})\.pt")


def save_checkpoint(folder: Path, step: int, state: dict[str, Any], keep: int = 2) -> Path:
    """Write `step-XXXXXXXX.pt` into the folder, then remove all but the newest `keep`."""
    path = folder / f"step-{step:08d}.pt"
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())
    for old in list_checkpoints(folder)[keep:]:
        old.unlink()
    for leftover in folder.glob(".step-*"):  # what a killed process began to write
        leftover.unlink()
    return path


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints of a folder, the newest first."""
    return sorted((path for path in folder.glob("step-*.pt") if NAME.fullmatch(path.name)), reverse=True)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint on the CPU, without running any code in it, after checking every byte against its checksums.

    Raises
    ------
    ValueError
        The file is damaged or no checkpoint.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch writes a zip with a CRC for each tensor, and does not check it
            if (bad := archive.testzip()) is not None:
                raise ValueError(f"checksum of {bad} differs")
        return torch.load(path, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, pickle.UnpicklingError, ValueError, RuntimeError, EOFError, OSError) as error:
        raise ValueError(f"checkpoint {path} cannot be read ({error})") from error


def newest_checkpoint(folder: Path, warn: Any = print) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint of a folder that can be read, with a word about each damaged one; None where there is none."""
    damaged = []
    for path in list_checkpoints(folder):
        try:
            return path, load_checkpoint(path)
        except ValueError as error:
            damaged.append(error)
            warn(f"skipped: {error}")
    if damaged:
        raise ValueError(f"no checkpoint in {folder} can be read; remove the folder to train from scratch")
    return None
