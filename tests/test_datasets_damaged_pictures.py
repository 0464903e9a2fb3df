"""Damaged picture files: an error or the whole picture, never a part of it, and no other error."""

import numpy as np
import pytest
from datasets_helpers import encoded, make_picture
from hypothesis import given, settings
from hypothesis import strategies as st

from maelib.datasets import ImageError, read_image

FILES = {kind: encoded(make_picture(48, 40), kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")}
FILES["progressive JPEG"] = encoded(make_picture(48, 40), "JPEG", progressive=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FILES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_truncated_picture_raises_or_is_whole(kind: str, data: st.DataObject):
    whole = FILES[kind]
    cut = data.draw(st.integers(0, len(whole) - 1))
    try:
        got = np.asarray(read_image(whole[:cut]))
    except ImageError:
        return
    np.testing.assert_array_equal(got, np.asarray(read_image(whole)))  # only what follows the pixels was lost


@pytest.mark.parametrize("kind", FILES)
def test_half_a_picture_raises(kind: str):
    with pytest.raises(ImageError, match="damaged or truncated"):
        read_image(FILES[kind][: len(FILES[kind]) * 6 // 10])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FILES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_is_damaged_no_other_error_escapes(kind: str, data: st.DataObject):
    content = bytearray(FILES[kind])
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert read_image(bytes(content), max_pixels=10**6).mode == "RGB"
    except ImageError as error:
        assert str(error).startswith("the upload ")  # noqa: PT017
