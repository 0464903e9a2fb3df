"""A training run is a folder."""

import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from filelock import FileLock, Timeout

from ..datasets.fingerprint import changes
from ..drawing import save_picture
from ..files import naming, write_atomically
from .checkpoint import list_checkpoints

DEPTH = 8  # levels of folders that are searched for an earlier run
LOCK, PART = ".lock", ".part"
_locks: WeakValueDictionary[Path, FileLock] = WeakValueDictionary()  # a new trainer of this process takes a folder over


class RunFolder:
    """`config.json`, `metrics.jsonl`, `checkpoints/`, `samples/` and TensorBoard's events of one run.

    Only the main process writes, and nothing before the first step is done: a run that cannot work leaves no trace, and a run
    that it should overwrite stays. `metrics.jsonl` holds what the run computed and nothing of the clock, so that a run that
    was killed and resumed leaves the same lines as one that was not.
    """

    def __init__(self, folder: Path, is_main: bool = True):
        self.folder, self.is_main = folder, is_main
        self.checkpoints = folder / "checkpoints"
        self._description: dict[str, Any] = {}
        self._overwrite = False
        self._lock: FileLock | None = None
        self._metrics: Any = None
        self._events: Any = None

    def claim(self) -> None:
        """Hold the folder until `close` or until this process ends, however it does; ValueError where another one holds it."""
        if not self.is_main:
            return
        path = self.folder.absolute() / LOCK
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = _locks.setdefault(path, FileLock(path, thread_local=False))
        if lock.is_locked and not path.exists():  # somebody has removed the folder
            lock.release(force=True)
        try:
            if not lock.is_locked:
                lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(
                f"another process is training in {self.folder}: wait until it ends, or choose another --out"
            ) from None
        except NotImplementedError:  # a file system without locks
            pass
        self._lock = lock

    def open(self, description: dict[str, Any], resume: bool, overwrite: bool = False) -> None:
        """Check that the folder is free, or holds the same run; the main process does so for all.

        Raises
        ------
        FileExistsError
            A run is there, and both `resume` and `overwrite` are off.
        ValueError
            A run with another description is there.
        """
        if not self.is_main:
            return
        self._description, self._overwrite = description, overwrite
        path = self.folder / "config.json"
        if overwrite or not path.exists():
            return
        if not resume:
            raise FileExistsError(
                f"{self.folder} holds a run already: continue it with --resume auto, or choose another --out"
            )
        old = json.loads(path.read_text())
        if old.get("format") != description["format"]:
            raise ValueError(
                f"the run in {self.folder} was begun by another version of maelib and cannot be resumed: begin a new "
                f"one with its weights, --init {self.folder} and another --out"
            )
        if differences := _differences(old, description):
            raise ValueError(
                f"{self.folder} holds another run ({'; '.join(differences)}): give it what it was begun with, or choose "
                f"another --out, to which --init {self.folder} takes its weights"
            )

    def copy_earlier_run(self, place: Path, description: dict[str, Any]) -> str:
        """Copy the run found below `place` into this folder, unless a run is here already; returns what to tell the user."""
        if (self.folder / "config.json").exists():
            return f"goes on with the run that is in {self.folder}"
        found = earlier_run(place, description)
        if found is None:
            return f"no earlier run below {place}"
        part = self.folder / PART
        shutil.rmtree(part, ignore_errors=True)
        for path in found.rglob("*"):
            target = part / path.relative_to(found)
            if path.is_file() and path.name != LOCK:
                target.parent.mkdir(parents=True, exist_ok=True)
                with naming(target):
                    shutil.copyfile(path, target)  # the content alone: the original may be write-protected
        for path in sorted(part.iterdir(), key=lambda path: path.name == "config.json"):  # which makes it a run, last
            remove(self.folder / path.name)
            path.replace(self.folder / path.name)
        part.rmdir()
        return f"copies the run in {found}"

    def steps_written(self) -> float:
        """The last step of which a line of metrics tells; 0 where none does."""
        path = self.folder / "metrics.jsonl"
        steps = map(_step_of, path.read_text().splitlines(keepends=True)) if path.exists() else ()
        return max((step for step in steps if step < math.inf), default=0)

    def begin(self, step: int) -> None:
        """Once a step is done: write what is missing, drop the lines after `step`, which a killed run wrote and the resumed one
        will write again, and begin to append."""
        if not self.is_main or self._metrics is not None:
            return
        if self._overwrite:
            for name in ("config.json", "metrics.jsonl", "model.safetensors", "checkpoints", "samples", "events.out.*"):
                for path in self.folder.glob(name):
                    remove(path)
            self._overwrite = False
        path = self.folder / "config.json"
        if not path.exists():
            write_atomically(path, (json.dumps(self._description, indent=2, allow_nan=False) + "\n").encode())
        path = self.folder / "metrics.jsonl"
        if path.exists():
            kept = [line for line in path.read_text().splitlines(keepends=True) if _step_of(line) <= step]
            write_atomically(path, "".join(kept).encode())
        (self.folder / "samples").mkdir(exist_ok=True)
        self._metrics = path.open("a")
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._events = SummaryWriter(str(self.folder), purge_step=step)

    def write(self, line: dict[str, Any]) -> None:
        """Append one line of metrics; it is with the operating system before this returns."""
        if self.is_main:
            with naming(self.folder / "metrics.jsonl"):
                self._metrics.write(json.dumps(line, allow_nan=False) + "\n")
                self._metrics.flush()
            for name in ("loss", "lr", "grad_norm"):
                self.scalar(name, line[name], line["step"])

    def scalar(self, name: str, value: float, step: int) -> None:
        """One point of a TensorBoard curve, where TensorBoard is installed."""
        if self._events is not None:
            self._events.add_scalar(name, value, step)

    def sample(self, picture: Any, epoch: int) -> None:
        """Keep a picture (PIL) of an epoch."""
        save_picture(picture, self.folder / "samples" / f"epoch-{epoch:04d}.png")

    def close(self) -> None:
        """Close the files and let go of the folder, which is removed where nothing is in it."""
        for file in (self._metrics, self._events):
            if file is not None:
                with suppress(OSError):  # a full disk has been told of
                    file.close()
        self._metrics = self._events = None
        if self._lock is not None:
            shutil.rmtree(self.folder / PART, ignore_errors=True)
            with suppress(OSError):
                self._lock.release(force=True)
                (self.folder / LOCK).unlink(missing_ok=True)
                self.folder.rmdir()
            self._lock = None


def remove(path: Path) -> None:
    """A file or a folder with all that is in it, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def earlier_run(place: Path, description: dict[str, Any]) -> Path | None:
    """The folder below `place` that holds a run of this description with a checkpoint, by content; None where no run is.

    Raises
    ------
    ValueError
        Two folders hold it, or there are runs and all of them are others.
    """
    same, others = [], []
    for folder in _folders(place):
        if (folder / "config.json").is_file() and list_checkpoints(folder / "checkpoints"):
            try:
                found = json.loads((folder / "config.json").read_text())
                differences = _differences(found, description)
                if found.get("format") != description["format"]:
                    differences = ["begun by another version of maelib: --init takes its weights"]
            except ValueError:
                differences = ["its config.json cannot be read"]
            if differences:
                others.append(f"{folder} ({'; '.join(differences)})")
            else:
                same.append(folder)
    if len(same) > 1:
        names = ", ".join(map(str, same))
        raise ValueError(f"{len(same)} earlier runs to go on from: {names}; remove all inputs but the newest")
    if others and not same:
        raise ValueError(
            f"only other runs below {place}: {', '.join(others)}; remove that input to train from scratch, give its "
            "recipe to go on with it, or begin a new run with its weights (--init)"
        )
    return same[0] if same else None


def _folders(place: Path) -> Iterator[Path]:
    """A folder and those below it, a few levels deep; data sets, which have thousands, are not entered."""
    level = [place]
    for _ in range(DEPTH + 1):
        below: list[Path] = []
        for folder in level:
            try:
                with os.scandir(folder) as scan:
                    entries = sorted(scan, key=lambda entry: entry.name)
            except OSError:  # absent or not ours to read
                continue
            yield folder
            if not any(entry.name == "wnids.txt" for entry in entries):
                below += [Path(entry.path) for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
        level = below


def _step_of(line: str) -> float:
    """Step of a line of metrics; infinite for a line that was cut off."""
    try:
        return json.loads(line)["step"] if line.endswith("\n") else float("inf")
    except ValueError:
        return float("inf")


def _differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """What two nested descriptions disagree about, for people; the name, the bands that are shown and where the data lies
    do not count."""
    found = []
    for key in sorted((old.keys() | new.keys()) - {"name", "bands", "path"}):
        a, b = old.get(key), new.get(key)
        if key == "pictures" and not prefix:  # a run of an earlier version does not say what they were
            found += changes(a or {}, b or {})
        elif isinstance(a, dict) and isinstance(b, dict):
            found += _differences(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(f"{prefix}{key} was {a!r}, now {b!r}")
    return found
