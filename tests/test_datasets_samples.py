"""Pictures made to fit, and the ones that ship with the project."""

import numpy as np
import pytest
from datasets_helpers import make_picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from maelib.datasets import read_image, resize_crop, resize_crop_square, sample_path, samples
from maelib.files import data_path


@settings(max_examples=50, deadline=None)
@given(width=st.integers(1, 90), height=st.integers(1, 90), size=st.integers(1, 40))
def test_resize_crop_square_has_its_size_and_stays_centred(width: int, height: int, size: int):
    picture = make_picture(width, height)
    got = resize_crop_square(picture, size)
    assert got.size == (size, size)
    mirrored = resize_crop_square(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), size)
    difference = np.asarray(got).astype(int) - np.asarray(mirrored)[:, ::-1]
    assert np.abs(difference).max() <= 1  # rounding


@pytest.mark.parametrize(("width", "height", "size"), [(128, 64, 32), (64, 192, 32), (16, 32, 64), (64, 64, 64)])
def test_resize_crop_square_is_resize_then_centre_crop(width: int, height: int, size: int):
    picture = make_picture(width, height)
    scale = size / min(width, height)
    resized = picture.resize((round(width * scale), round(height * scale)), Image.Resampling.BICUBIC)
    left, top = (resized.width - size) // 2, (resized.height - size) // 2
    expected = np.asarray(resized.crop((left, top, left + size, top + size))).astype(int)
    difference = np.abs(np.asarray(resize_crop_square(picture, size)) - expected)
    assert difference[2:-2, 2:-2].max() <= 1  # the cut edge has other neighbours
    assert resize_crop(picture, 10, 20).size == (20, 10)


def test_the_samples_are_small_documented_photographs():
    names = samples()
    assert len(names) >= 8
    assert "chelsea" in names
    readme = data_path("samples/README.md").read_text()
    for name in names:
        picture = read_image(sample_path(name))
        assert max(picture.size) <= 512
        assert np.asarray(picture).std() > 10
        assert sample_path(name).name in readme
    assert sum(sample_path(name).stat().st_size for name in names) < 1_000_000
    with pytest.raises(FileNotFoundError, match="chelsea"):
        sample_path("nobody")
