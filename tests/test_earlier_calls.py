"""What the README of version 0.1 showed: it runs unchanged, or fails with one sentence that names the new call."""

import shlex

import numpy as np
import pytest
import torch

import maelib
from maelib.cli import build_parser
from maelib.datasets import sample_path

COMMANDS = """
maelib reconstruct photo.jpg --mask-ratio 0.75 --out reconstruction.png
maelib train --data ~/photos --out runs/mine --epochs 20
maelib train --data ~/photos --out runs/mine --epochs 20 --resume auto
maelib evaluate runs/mine --data ~/photos --baselines --sheet typical-and-worst.png
maelib train --out runs/two-gpus
maelib app
maelib app --model runs/mine
maelib app --host 0.0.0.0 --port 8080 --paths off --max-mb 10
"""


@pytest.mark.parametrize("line", COMMANDS.strip().splitlines())
def test_the_commands_are_still_understood(line):
    args = build_parser().parse_args(shlex.split(line)[1:])
    assert callable(args.run)


def test_the_python_snippet_fails_where_it_must_and_names_the_new_call(tmp_path):
    model = maelib.load("mae_tiny_patch4_64")
    with pytest.raises(TypeError, match=r"^reconstruct\(\) takes masking, not mask_ratio: write masking=RATIO$"):
        maelib.reconstruct(model, sample_path("chelsea"), mask_ratio=0.75, seed=0)
    result = maelib.reconstruct(model, sample_path("chelsea"), 0.75, seed=0)  # what stood by place alone is unchanged
    result.panel().save(tmp_path / "reconstruction.png")
    with pytest.raises(AttributeError, match=r"^a Reconstruction has no metrics\(\) any more: call scores\(\)$"):
        print(result.metrics())


def test_masks_by_hand_and_noise_are_told_the_new_call(small_model):
    images = torch.rand(1, 3, 32, 32)
    with pytest.raises(TypeError, match=r"write masking=Masking.from_mask\(mask.flatten\(\)\)$"):
        maelib.reconstruct(small_model, sample_path("chelsea"), mask=np.zeros((4, 4), bool))
    for call in (small_model, small_model.forward, small_model.predict):
        with pytest.raises(
            TypeError, match=r"^(forward|predict)\(\) takes masking, not mask_ratio: write masking=RATIO$"
        ):
            call(images, mask_ratio=0.5)
        with pytest.raises(TypeError, match=r"not noise: write masking=Masking.from_noise\(noise, RATIO\)$"):
            call(images, noise=torch.rand(1, 16))


def test_the_new_calls_hide_what_the_earlier_ones_hid(small_model):
    images, noise = torch.rand(2, 3, 32, 32), torch.rand(2, 16)
    masking = maelib.Masking.from_noise(noise, 0.5)
    assert torch.equal(small_model(images, masking).mask, noise >= noise.sort(1).values[:, 8:9])


def test_the_conversion_from_transformers_is_where_it_was():
    from maelib.interop.huggingface import from_huggingface

    assert callable(from_huggingface)
