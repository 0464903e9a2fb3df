"""Where pictures come from: a zip or a folder, Tiny ImageNet or anybody's. Nothing is ever extracted."""

import hashlib
import os
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".npy", ".npz"}
# What reading a damaged zip or folder raises; the last two for encryption and unknown compression.
_READ_ERRORS = (OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError)


class DatasetError(Exception):
    """A data set that is missing, damaged or empty; the message names the file and the remedy."""


@dataclass(frozen=True)
class Source:
    """The pictures of one split, before they are decoded.

    `members` are names inside `origin` (a zip or a folder), `labels` (n,) int64 are indices into `classes`, or None. `note`
    says how many were held out, where the data has no splits of its own.
    """

    name: str
    origin: Path
    members: list[str]
    labels: np.ndarray | None
    classes: list[str]
    note: str = ""
    _zip: zipfile.ZipFile | None = field(default=None, repr=False, compare=False)

    def read(self, index: int) -> bytes:
        """The file of one picture; DatasetError names it where it cannot be read. Threads may call it at once."""
        try:
            if self._zip is not None:
                return self._zip.read(self.members[index])
            return (self.origin / self.members[index]).read_bytes()
        except _READ_ERRORS as error:
            raise DatasetError(f"{self.where(index)} cannot be read ({error}): get the data set again") from error

    def where(self, index: int) -> str:
        """A name for one picture that a person can find it by."""
        return f"{self.origin}{':' if self._zip else os.sep}{self.members[index]}"

    def key(self) -> str:
        """16 hexadecimal digits that change with the content: a zip's own checksums, or the files' sizes and times."""
        digest = hashlib.sha256(repr((self.name, self.classes)).encode())
        if self._zip is None:
            digest.update(str(self.origin.resolve()).encode())
        for index, member in enumerate(self.members):
            try:
                if self._zip is not None:
                    info = self._zip.getinfo(member)
                    stamp = (info.CRC, info.file_size)
                else:
                    status = (self.origin / member).stat()
                    stamp = (status.st_mtime_ns, status.st_size)
            except (OSError, KeyError) as error:
                raise DatasetError(f"{self.where(index)} is missing: get the data set again") from error
            digest.update(f"{member} {stamp}\n".encode())
        if self.labels is not None:
            digest.update(self.labels.tobytes())
        return digest.hexdigest()[:16]


class Tree:
    """A zip or a folder as the list of its files: relative names with forward slashes.

    Raises
    ------
    DatasetError
        The zip is none, or is truncated.
    """

    def __init__(self, origin: Path):
        self.origin = origin
        self.zip = None
        if origin.is_file():
            try:
                self.zip = zipfile.ZipFile(origin)
            except (zipfile.BadZipFile, OSError) as error:
                raise DatasetError(f"{origin} is no zip, or is damaged or truncated ({error}): get it again") from error

    def names(self, below: str = "") -> list[str]:
        """Names of all files below a folder ("" or "some/folder/"), sorted: the same from a zip and unpacked."""
        if self.zip is not None:
            return sorted(name for name in self.zip.namelist() if name.startswith(below) and not name.endswith("/"))
        names, seen = [], set()
        for folder, folders, files in os.walk(self.origin / below, followlinks=True):
            if (real := os.path.realpath(folder)) in seen:  # links may lead round in a circle
                folders.clear()
                continue
            seen.add(real)
            relative = Path(folder).relative_to(self.origin)
            names += [(relative / file).as_posix() for file in files]
        return sorted(names)

    def has_folder(self, name: str) -> bool:
        """Whether there is such a folder at the top, even an empty one."""
        if self.zip is not None:
            return any(member.startswith(f"{name}/") for member in self.zip.namelist())
        return (self.origin / name).is_dir()

    def text(self, name: str) -> str:
        """A text file's content; DatasetError where it is missing."""
        try:
            data = self.zip.read(name) if self.zip is not None else (self.origin / name).read_bytes()
            return data.decode()
        except (*_READ_ERRORS, UnicodeDecodeError) as error:
            raise DatasetError(f"{self.origin}: {name} is missing or damaged ({error}): get the data again") from error

    def source(
        self, name: str, members: list[str], labels: np.ndarray | None, classes: list[str], note: str = ""
    ) -> Source:
        """A `Source` of some of the files; DatasetError where there are none."""
        if not members:
            endings = ", ".join(sorted(SUFFIXES))
            raise DatasetError(f"{self.origin} holds no pictures for {name}: their names end in {endings}")
        return Source(name, self.origin, members, labels, classes, note, self.zip)


def is_picture(name: str) -> bool:
    """Whether a file counts as a picture: by its ending, and neither hidden nor a by-product of macOS."""
    if os.path.splitext(name)[1].lower() not in SUFFIXES:
        return False
    return not any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def tiny_imagenet(tree: Tree, root: str, split: str) -> Source:
    """A split, or all, of Tiny ImageNet whose files lie below `root` in the tree ("" or "some/folder/").

    Labels are positions in `wnids.txt`, classes the words for them. The folder names the class, or for val the list.

    Raises
    ------
    DatasetError
        A list is missing or does not fit the pictures, or there are no pictures.
    """
    wnids = tree.text(f"{root}wnids.txt").split()
    index = {wnid: label for label, wnid in enumerate(wnids)}
    words = dict(line.split("\t", 1) for line in tree.text(f"{root}words.txt").splitlines() if "\t" in line)
    members, keys = [], []
    if split != "val":
        members = [name for name in tree.names(f"{root}train/") if is_picture(name)]
        keys = [name.removeprefix(f"{root}train/").split("/")[0] for name in members]
    if split != "train":
        lines = [line.split("\t") for line in tree.text(f"{root}val/val_annotations.txt").splitlines() if "\t" in line]
        members += [f"{root}val/images/{line[0]}" for line in lines]
        keys += [line[1] for line in lines]
    if unknown := sorted(set(keys) - index.keys()):
        raise DatasetError(f"{tree.origin}: {split} pictures have classes that wnids.txt lacks, such as {unknown[0]!r}")
    labels = np.array([index[key] for key in keys], dtype=np.int64)
    return tree.source(f"tiny-imagenet/{split}", members, labels, [words.get(wnid, wnid) for wnid in wnids])


def any_folder(tree: Tree, split: str) -> Source:
    """A split, or all, of any folder or zip of pictures.

    Folders `train/` and `val/` are the splits where both are there; else 5 % of the pictures, by a hash of their names,
    are "val". The first folder on the way to a picture is its class, where there are several. Both splits number the
    classes alike.

    Raises
    ------
    DatasetError
        The split has no pictures.
    """
    names = [name for name in tree.names() if is_picture(name)]
    has_splits, note = tree.has_folder("train") and tree.has_folder("val"), ""
    if has_splits:
        names = [name for name in names if name.startswith(("train/", "val/"))]
        chosen = {name for name in names if split == "all" or name.startswith(f"{split}/")}
    else:
        shuffled = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
        held_out = max(1, len(names) // 20) if len(names) > 1 else 0
        chosen = set({"val": shuffled[:held_out], "train": shuffled[held_out:], "all": names}[split])
        if split == "val":
            share = f"{100 * held_out / max(1, len(names)):.0f} % held out: {held_out} of {len(names)} pictures"
            note = f"{share}, as {tree.origin} has no train/ and val/"
    folders = {name: PurePosixPath(name).parts[has_splits:-1] for name in names}
    classes = sorted({parts[0] for parts in folders.values() if parts})
    members = [name for name in names if name in chosen]
    labels = None
    if len(classes) > 1 and all(folders.values()):
        labels = np.array([classes.index(folders[name][0]) for name in members], dtype=np.int64)
    name = tree.origin.stem if tree.zip is not None else tree.origin.resolve().name
    return tree.source(f"{name}/{split}", members, labels, classes if labels is not None else [], note)
