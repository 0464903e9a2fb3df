"""The configuration: what cannot be built is refused with its value, whatever it is read from."""

import math
from dataclasses import replace

import pytest
from conftest import SMALL

from maelib import MAEConfig


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patch_size": 5}, "32 x 32 pixels are not a multiple of the patch size 5"),
        ({"image_size": 4}, "4 x 4 pixels are not a multiple of the patch size 8"),
        ({"image_size": (32, 32, 3)}, r"image_size must be a whole number of pixels or \(height, width\), got \(32, 32, 3\)"),
        ({"image_size": "32"}, "image_size must be a whole number of pixels .* got '32'"),
        ({"image_size": 32.0}, "image_size must be a whole number of pixels .* got 32.0"),
        ({"image_size": None}, "image_size must be a whole number of pixels .* got None"),
        ({"image_size": -8}, "-8 x -8 pixels are not a multiple"),
        ({"heads": 5}, "heads must divide width, got 5 heads for 32"),
        ({"decoder_heads": 3}, "decoder_heads must divide decoder_width, got 3 heads for 16"),
        ({"width": 0}, "width must be a whole number of at least 1, got 0"),
        ({"depth": 2.5}, "depth must be a whole number of at least 1, got 2.5"),
        ({"channels": True}, "channels must be a whole number of at least 1, got True"),
        ({"decoder_width": 18}, "decoder_width must be a multiple of 4"),
        ({"decoder_cross": 1}, "decoder_cross must be true or false, got 1"),
        ({"normalize_targets": "yes"}, "normalize_targets must be true or false, got 'yes'"),
        ({"mlp_ratio": 0}, "mlp_ratio must be finite and above 0.0, got 0"),
        ({"mlp_ratio": "4"}, "mlp_ratio must be finite and above 0.0, got '4'"),
        ({"mlp_ratio": (4.0, 4.0, 4.0)}, "mlp_ratio must be finite and above"),
        ({"norm_eps": math.inf}, "norm_eps must be finite and above 0.0, got inf"),
        ({"pixel_mean": (0.1, 0.2)}, "pixel_mean needs one value or one for each of 3 channels, got"),
        ({"pixel_mean": math.nan}, "pixel_mean must be finite and above -inf, got nan"),
        ({"pixel_mean": ["red", "green", "blue"]}, "pixel_mean must be finite"),
        ({"pixel_std": 0}, "pixel_std must be finite and above 0.0, got 0"),
        ({"pixel_std": 0.0}, "pixel_std must be finite and above 0.0, got 0.0"),
        ({"pixel_std": (0.2, 0.2, math.nan)}, "pixel_std must be finite and above 0.0"),
        ({"pixel_std": (0.2, -0.2, 0.2)}, "pixel_std must be finite and above 0.0"),
        ({"pixel_std": ["a", "list", "of words"]}, "pixel_std must be finite and above 0.0, got"),
        ({"pixel_std": ()}, "pixel_std needs one value or one for each of 3 channels"),
        ({"pixel_std": None}, "pixel_std must be finite and above 0.0, got None"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_refused_with_its_value(change, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **change)


def test_lists_become_tuples_since_json_has_lists_only():
    config = MAEConfig(image_size=[32, 64], pixel_mean=[0.1, 0.2, 0.3], pixel_std=[1, 2, 3])
    assert (config.image_size, config.pixel_mean, config.pixel_std) == ((32, 64), (0.1, 0.2, 0.3), (1, 2, 3))
    assert hash(config) == hash(MAEConfig(image_size=(32, 64), pixel_mean=(0.1, 0.2, 0.3), pixel_std=(1, 2, 3)))
    assert (config.hw, config.grid, config.patch_dim) == ((32, 64), (8, 16), 48)
