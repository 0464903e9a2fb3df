"""Where pictures come from: a zip or a folder, Tiny ImageNet or anybody's. Nothing is ever extracted."""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}


class DatasetError(Exception):
    """A data set that is missing, damaged or empty; the message names the file and the remedy."""


@dataclass(frozen=True)
class Source:
    """The pictures of one split, before they are decoded.

    `members` are names inside `origin` (a zip or a folder), `labels` (n,) are indices into `classes`, or None.
    """

    name: str
    origin: Path
    members: list[str]
    labels: np.ndarray | None
    classes: list[str]
    _zip: zipfile.ZipFile | None = field(default=None, repr=False, compare=False)

    def read(self, index: int) -> bytes:
        """The file of one picture; DatasetError names it where it cannot be read."""
        try:
            if self._zip is not None:
                return self._zip.read(self.members[index])
            return (self.origin / self.members[index]).read_bytes()
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError) as error:
            raise DatasetError(f"{self.where(index)} cannot be read ({error}): get the data set again") from error

    def where(self, index: int) -> str:
        """A name for one picture that a person can find it by."""
        return f"{self.origin}{':' if self._zip else os.sep}{self.members[index]}"

    def key(self) -> str:
        """Changes with the content: names and, of a zip, its checksums; of a folder, sizes and times."""
        digest = hashlib.sha256()
        for member in self.members:
            if self._zip is not None:
                info = self._zip.getinfo(member)
                stamp = f"{info.CRC} {info.file_size}"
            else:
                status = (self.origin / member).stat()
                stamp = f"{status.st_size} {status.st_mtime_ns}"
            digest.update(f"{member} {stamp}\n".encode())
        if self.labels is not None:
            digest.update(self.labels.tobytes())
        return digest.hexdigest()[:16]


class Tree:
    """A zip or a folder as the set of its file names, relative and with forward slashes."""

    def __init__(self, origin: Path):
        self.origin = origin
        self.zip = None
        if origin.is_file():
            try:
                self.zip = zipfile.ZipFile(origin)
            except (zipfile.BadZipFile, OSError) as error:
                raise DatasetError(f"{origin} is no zip, or is truncated ({error}): get it again") from error

    def names(self, below: str = "") -> Iterator[str]:
        """Names of all files below a folder, sorted."""
        if self.zip is not None:
            yield from sorted(n for n in self.zip.namelist() if n.startswith(below) and not n.endswith("/"))
            return
        for folder, folders, files in os.walk(self.origin / below, followlinks=True):
            folders.sort()
            relative = PurePosixPath(Path(folder).relative_to(self.origin).as_posix())
            for file in sorted(files):
                yield str(relative / file)

    def text(self, name: str) -> str:
        """A text file's content; DatasetError where it is missing."""
        try:
            data = self.zip.read(name) if self.zip is not None else (self.origin / name).read_bytes()
        except (KeyError, OSError, zipfile.BadZipFile, zlib.error) as error:
            raise DatasetError(f"{self.origin}: {name} is missing or damaged ({error}): get the data set again") from error
        return data.decode()

    def source(self, name: str, members: list[str], labels: np.ndarray | None, classes: list[str]) -> Source:
        """A `Source` of some of the files."""
        if not members:
            raise DatasetError(f"{self.origin} holds no pictures for {name}; they end in {', '.join(sorted(SUFFIXES))}")
        return Source(name, self.origin, members, labels, classes, self.zip)


def is_picture(name: str) -> bool:
    """Whether a file counts as a picture: by its ending, and neither hidden nor a by-product of macOS."""
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not any(p.startswith((".", "__MACOSX")) for p in path.parts)


def tiny_imagenet(tree: Tree, root: str, split: str) -> Source:
    """A split of Tiny ImageNet whose files lie below `root` in the tree ("" or "some/folder/")."""
    wnids = tree.text(f"{root}wnids.txt").split()
    index = {wnid: label for label, wnid in enumerate(wnids)}
    words = dict(line.split("\t", 1) for line in tree.text(f"{root}words.txt").splitlines() if "\t" in line)
    if split == "train":
        members = [name for name in tree.names(f"{root}train/") if is_picture(name)]
        keys = [PurePosixPath(name[len(root) :]).parts[1] for name in members]
    else:
        lines = [line.split("\t") for line in tree.text(f"{root}val/val_annotations.txt").splitlines() if line]
        members, keys = [f"{root}val/images/{line[0]}" for line in lines], [line[1] for line in lines]
    if unknown := set(keys) - index.keys():
        raise DatasetError(f"{tree.origin}: classes {sorted(unknown)[:3]} are not in wnids.txt: get the data set again")
    labels = np.array([index[key] for key in keys], dtype=np.int64)
    return tree.source(f"tiny-imagenet/{split}", members, labels, [words.get(wnid, wnid) for wnid in wnids])


def any_folder(tree: Tree, split: str) -> Source:
    """A split of any folder or zip of pictures.

    Folders `train/` and `val/` are the splits where both are there; else 5 % of the pictures, by a hash of their names, are "val".
    The first folder on the way to a picture is its class, where there are several.
    """
    names = [name for name in tree.names() if is_picture(name)]
    tops = {PurePosixPath(name).parts[0] for name in names if "/" in name}
    if {"train", "val"} <= tops:
        names = [name for name in names if name.startswith(f"{split}/")]
        depth = 1
    else:
        order = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
        held_out = set(order[: max(1, len(names) // 20)]) if len(names) > 1 else set()
        names = [name for name in names if (name in held_out) == (split == "val")]
        depth = 0
    folders = [PurePosixPath(name).parts[depth : depth + 1] if name.count("/") > depth else () for name in names]
    classes = sorted({folder[0] for folder in folders if folder})
    labelled = len(classes) > 1 and all(folders)
    labels = np.array([classes.index(folder[0]) for folder in folders], dtype=np.int64) if labelled else None
    return tree.source(f"{tree.origin.stem}/{split}", names, labels, classes if labelled else [])
