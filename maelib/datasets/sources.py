"""Where pictures come from: a zip or a folder, Tiny ImageNet or anybody's. Nothing is ever extracted."""

import hashlib
import os
import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".npy", ".npz"}
# What reading a damaged zip or folder raises; the last two for encryption and unknown compression.
_READ_ERRORS = (OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError)


class DatasetError(Exception):
    """A data set that is missing, damaged or empty; the message names the file and the remedy."""


class GroupsShared(DatasetError):
    """A group stands on both sides of a split that the data itself makes."""


@dataclass(frozen=True)
class Source:
    """The pictures of one split, before they are decoded.

    `members` are names inside `origin` (a zip or a folder), `labels` (n,) int64 are indices into `classes`, or None. `note`
    says how many were held out, where the data has no splits of its own, and `group` by which expression. Where pictures are
    cut into tiles of (height, width) `tile`, a member stands once for each, `corners` (n, 2) int64 being its top and left,
    and `pieces` are the indices of those that are read together.
    """

    name: str
    origin: Path
    members: list[str]
    labels: np.ndarray | None
    classes: list[str]
    note: str = ""
    _zip: zipfile.ZipFile | None = field(default=None, repr=False, compare=False)
    group: str | None = None
    tile: tuple[int, int] | None = None
    overlap: int = 0
    corners: np.ndarray | None = None
    pieces: Sequence[range] = ()

    def read(self, index: int) -> bytes:
        """The file of one picture; DatasetError names it where it cannot be read. Threads may call it at once."""
        try:
            if self._zip is not None:
                return self._zip.read(self.members[index])
            return (self.origin / self.members[index]).read_bytes()
        except _READ_ERRORS as error:
            raise DatasetError(f"{self.where(index)} cannot be read ({error}): get the data set again") from error

    def file(self, index: int) -> Path | bytes:
        """The path of one picture where it has one, else its content."""
        return self.read(index) if self._zip is not None else self.origin / self.members[index]

    def crc(self, index: int) -> int:
        """CRC-32 of a picture's file; a zip knows those of its members, which are the same."""
        if self._zip is not None:
            return self._zip.getinfo(self.members[index]).CRC
        found = 0
        try:
            with (self.origin / self.members[index]).open("rb") as file:
                while part := file.read(1 << 20):
                    found = zlib.crc32(part, found)
        except OSError as error:
            raise DatasetError(f"{self.where(index)} cannot be read ({error}): get the data set again") from error
        return found

    def where(self, index: int) -> str:
        """A name for one picture that a person can find it by."""
        return f"{self.origin}{':' if self._zip else os.sep}{self.members[index]}"

    def called(self, index: int) -> str:
        """A name for one picture or tile: of a tile with its first row and column."""
        if self.corners is None:
            return self.where(index)
        row, column = self.corners[index].tolist()
        return f"{self.where(index)} (tile at row {row}, column {column})"

    def key(self) -> str:
        """16 hexadecimal digits that change with the content: a zip's own checksums, or the files' sizes and times."""
        digest = hashlib.sha256(repr((self.name, self.classes, self.group, self.tile, self.overlap)).encode())
        if self._zip is None:
            digest.update(str(self.origin.resolve()).encode())
        for index, member in enumerate(self.members):
            if index and member == self.members[index - 1]:  # another tile of it
                continue
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
        for numbers in (self.labels, self.corners):
            if numbers is not None:
                digest.update(numbers.tobytes())
        return digest.hexdigest()[:16]


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


class Unreadable(DatasetError):
    """Pictures that cannot be read, all of which the message names; `reasons` by name."""

    def __init__(self, source: Source, reasons: dict[str, str]):
        self.reasons = reasons
        names = [name for name in dict.fromkeys(source.members) if name in reasons]
        said = reasons[names[0]]
        if len(names) > 1:
            count = f"{len(names):,} of {len(set(source.members)):,} pictures cannot be read"
            remedy = f"Move them away; maelib data {source.origin} --report says what is wrong with each"
            said = f"{count}: {listed(names)}. The first: {said}. {remedy}"
        super().__init__(said)


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


def any_folder(tree: Tree, split: str, group: str | None = None) -> Source:
    """A split, or all, of any folder or zip of pictures.

    Folders `train/` and `val/` are the splits where both are there; else 5 % of the groups, by a hash of their keys, are
    "val". The key of a picture is its name, or what `group` finds in it: see `group_keys`. The first folder on the way to a
    picture is its class, where there are several. Both splits number the classes alike.

    Raises
    ------
    DatasetError
        The split has no pictures, or the groups cannot be told or kept apart.
    """
    title = tree.origin.stem if tree.zip is not None else tree.origin.resolve().name
    names = [name for name in tree.names() if is_picture(name)]
    has_splits, note = tree.has_folder("train") and tree.has_folder("val"), ""
    if has_splits:
        names = [name for name in names if name.startswith(("train/", "val/"))]
    keys = dict(zip(names, names if group is None else group_keys(names, group, str(tree.origin)), strict=True))
    groups = sorted(set(keys.values()), key=lambda key: hashlib.sha256(key.encode()).digest())
    if has_splits:
        chosen = {name for name in names if split == "all" or name.startswith(f"{split}/")}
        sides = [{keys[name] for name in names if name.startswith(side)} for side in ("train/", "val/")]
        if group is not None and (shared := sorted(sides[0] & sides[1])):
            raise GroupsShared(
                f"{tree.origin}: train/ and val/ share {len(shared)} of {len(groups)} groups of '{group}', such as "
                f"{shared[0]!r}: move each to one side, or leave out --group"
            )
    else:
        held_out = set(groups[: max(1, len(groups) // 20) if len(groups) > 1 else 0])
        of_val = {name for name in names if keys[name] in held_out}
        chosen = {"val": of_val, "train": set(keys) - of_val, "all": set(keys)}[split]
        if split == "val" and names:
            if not of_val:
                one = f"all are of one group, {groups[0]!r}" if group else "there is one picture only"
                remedy = "add others, or put some into a folder train/ and others into val/"
                raise DatasetError(f"{tree.origin} holds no pictures for {title}/val, as {one}: {remedy}")
            share = f"{100 * len(of_val) / len(names):.0f} % held out: {len(of_val)} of {len(names)} pictures"
            of_groups = (
                f", {len(held_out)} of {len(groups)} groups of '{group}' ({listed(sorted(held_out))})" if group else ""
            )
            note = f"{share}{of_groups}, as {tree.origin} has no train/ and val/"
    folders = {name: PurePosixPath(name).parts[has_splits:-1] for name in names}
    classes = sorted({parts[0] for parts in folders.values() if parts})
    members = [name for name in names if name in chosen]
    labels = None
    if len(classes) > 1 and all(folders.values()):
        labels = np.array([classes.index(folders[name][0]) for name in members], dtype=np.int64)
    found = tree.source(f"{title}/{split}", members, labels, classes if labels is not None else [], note)
    return replace(found, group=group)


def group_keys(names: list[str], group: str, origin: str) -> list[str]:
    """What a regular expression finds in each name: its first group, or all of the match where it has none.

    Raises
    ------
    DatasetError
        It finds nothing in some of the names.
    """
    matches = [re.search(group, name) for name in names]
    keys = [match and match[1 if match.re.groups else 0] for match in matches]
    if without := [name for name, key in zip(names, keys, strict=True) if not key]:
        raise DatasetError(
            f"{origin}: the group '{group}' is not found in {len(without)} of {len(names)} names, such as {without[0]!r}: "
            "give an expression that every name has"
        )
    return [key for key in keys if key]
