"""Damaged and hostile archives, pictures that do not decode: one error that names the file, nothing written outside."""

import contextlib
import zipfile
from pathlib import Path

import pytest
from datasets_helpers import (
    encoded,
    listing,
    load,
    make_picture,
    make_tiny_imagenet,
    write_photos,
    write_picture,
    zip_folder,
)

from maelib.datasets import DatasetError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_picture_that_does_not_decode_is_named(photos: Path, tmp_path: Path, zipped: bool):
    whole = (photos / "a/00.png").read_bytes()
    (photos / "a/00.png").write_bytes(whole[: len(whole) // 2])
    source = zip_folder(photos, tmp_path / "p.zip") if zipped else photos
    with pytest.raises(DatasetError, match=rf"{source}[:/]a/00\.png is damaged or truncated"):
        load(source, tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []
    (photos / "a/00.png").write_bytes(b"")
    source = zip_folder(photos, tmp_path / "p.zip") if zipped else photos
    with pytest.raises(DatasetError, match=rf"{source}[:/]a/00\.png is empty"):
        load(source, tmp_path / "cache")


def test_a_flipped_byte_in_a_zip_names_the_member(tmp_path: Path):
    archive = zip_folder(make_tiny_imagenet(tmp_path / "t"), tmp_path / "t.zip")
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as opened:
        info = opened.getinfo("train/n01/images/n01_2.JPEG")
    content[info.header_offset + 200] ^= 1
    archive.write_bytes(content)
    with pytest.raises(DatasetError, match=r"t\.zip:train/n01/images/n01_2\.JPEG cannot be read .*CRC"):
        load(archive, tmp_path / "cache")


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.95, 0.999])
def test_a_truncated_zip_is_named(tmp_path: Path, part: float):
    archive = zip_folder(make_tiny_imagenet(tmp_path / "t"), tmp_path / "t.zip")
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(DatasetError, match=r"t\.zip is no zip, or is damaged or truncated"):
        load(archive, tmp_path / "cache")


@pytest.mark.parametrize("name", ["../victim.png", "{outside}/victim.png", "a/../../victim.png", "..\\victim.png"])
def test_a_hostile_zip_writes_nothing_outside(tmp_path: Path, name: str):
    write_picture(tmp_path / "victim.png", seed=5)
    archive = tmp_path / "inside" / "hostile.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr(name.format(outside=tmp_path), encoded(make_picture(seed=6)))
        opened.writestr("good.png", encoded(make_picture(seed=7)))
    before = listing(tmp_path)
    for split in ("train", "val"):
        with contextlib.suppress(DatasetError):  # names that begin with a dot do not count: a split may be empty
            load(archive, tmp_path / "inside" / "cache", split)
    after = {path: data for path, data in listing(tmp_path).items() if not path.startswith(f"{tmp_path}/inside/cache")}
    assert after == before
    assert (tmp_path / "inside" / "cache").exists()


def test_a_link_in_a_zip_is_not_followed(tmp_path: Path):
    victim = write_picture(tmp_path / "victim.png", seed=5)
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "hostile.zip", "w") as opened:
        opened.writestr(link, str(victim))
    with pytest.raises(DatasetError, match=r"hostile\.zip:link\.png is not a picture"):
        load(tmp_path / "hostile.zip", tmp_path / "cache")
