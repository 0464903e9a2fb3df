"""Pictures and data sets made on the spot, for the tests of `maelib.datasets`."""

import io
import zipfile
from pathlib import Path

import numpy as np
import tifffile
import torch
from PIL import Image

from maelib.datasets import PackedImages, load_dataset

WNIDS = ("n03", "n01", "n02")


def make_picture(width: int = 64, height: int = 64, seed: int = 0) -> Image.Image:
    """A smooth colour picture that JPEG keeps well and that differs everywhere from its mirror images."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The file of a picture."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def write_picture(path: Path, seed: int = 0, width: int = 64, height: int = 64) -> Path:
    """A picture file, in the format that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    make_picture(width, height, seed).save(path)
    return path


def make_tiny_imagenet(root: Path, per_class: int = 5) -> Path:
    """The layout of Tiny ImageNet with three classes."""
    for c, wnid in enumerate(WNIDS):
        for k in range(per_class):
            write_picture(root / f"train/{wnid}/images/{wnid}_{k}.JPEG", seed=100 * c + k)
        (root / f"train/{wnid}/{wnid}_boxes.txt").write_text("")
        write_picture(root / f"val/images/val_{c}.JPEG", seed=1000 + c)
    (root / "val/val_annotations.txt").write_text(
        "".join(f"val_{c}.JPEG\t{wnid}\t0\t0\t62\t62\n" for c, wnid in enumerate(WNIDS))
    )
    (root / "wnids.txt").write_text("\n".join(WNIDS))
    (root / "words.txt").write_text("n01\tgoldfish\nn02\tcat, tom\nn99\tnobody\n")
    return root


def zip_folder(folder: Path, target: Path, prefix: str = "") -> Path:
    """A zip of a folder's content, stored as the original is."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, f"{prefix}{path.relative_to(folder).as_posix()}")
    return target


def listing(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder with its content."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def write_photos(folder: Path) -> Path:
    """Forty pictures of different sizes in two classes, 38 of them for training."""
    for k in range(40):
        write_picture(folder / f"{'ab'[k % 2]}/{k:02}.png", seed=k, width=20 + k, height=60 - k)
    return folder


def load(source: Path, cache: Path, split: str = "train", size: int | tuple[int, int] = 16) -> PackedImages:
    """Packed pictures of a path, without a bar."""
    return load_dataset(source, split, size=size, cache=cache, progress=False)


def packed_folder(cache: Path) -> Path:
    """The one folder of packed pictures in a cache."""
    (folder,) = [path for path in cache.iterdir() if path.is_dir()]
    return folder


def scene(bands: int, dtype: str = "uint16", seed: int = 0, height: int = 40, width: int = 56) -> np.ndarray:
    """(H, W, bands) of random values over the whole range of a dtype."""
    random = np.random.default_rng(seed)
    if dtype == "float32":
        return random.normal(1000, 5000, (height, width, bands)).astype(dtype)
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, (height, width, bands), dtype=dtype, endpoint=True)


def tiff(array: np.ndarray, planar: bool = False, **options) -> bytes:
    """A TIFF of (H, W, bands), as tifffile writes it."""
    file = io.BytesIO()
    if array.shape[2] == 1:
        array = array[:, :, 0]
    elif planar:
        options, array = {"planarconfig": "separate", **options}, array.transpose(2, 0, 1)
    else:
        options = {"planarconfig": "contig", **options}
    tifffile.imwrite(file, array, **{"photometric": "minisblack", "metadata": None, **options})
    return file.getvalue()


def write_scenes(folder: Path, bands: int, dtype: str = "uint16", count: int = 40, high: int = 4000) -> Path:
    """Smooth scenes with values from 100 to about `high`, as TIFF."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for k in range(count):
        coarse = torch.from_numpy(random.uniform(100, high, (1, bands, 5, 7)).astype(np.float32))
        smooth = torch.nn.functional.interpolate(coarse, (40, 56), mode="bilinear")[0].permute(1, 2, 0)
        (folder / f"{k:02}.tif").write_bytes(tiff(smooth.numpy().astype(dtype)))
    return folder
