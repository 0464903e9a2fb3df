"""Data: Tiny ImageNet, any folder of pictures, the shipped samples; and one picture from anywhere."""

from .bands import Values, read_bands
from .images import ImageError, read_image, resize_crop, resize_crop_square, sample_path, samples
from .loading import load_dataset
from .packed import PackedImages
from .sources import DatasetError

__all__ = [
    "DatasetError", "ImageError", "PackedImages", "Values", "load_dataset", "read_bands", "read_image", "resize_crop",
    "resize_crop_square", "sample_path", "samples",
]  # fmt: skip
