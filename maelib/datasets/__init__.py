"""Data: Tiny ImageNet, any folder of pictures, the shipped samples; and one picture from anywhere."""

from .loading import load_dataset
from .packed import PackedImages
from .pictures import PictureError, fit, fit_square, read_picture
from .samples import sample_path, samples
from .sources import DatasetError

__all__ = [
    "DatasetError", "PackedImages", "PictureError", "fit", "fit_square", "load_dataset",
    "read_picture", "sample_path", "samples",
]  # fmt: skip
