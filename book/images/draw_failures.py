"""Draw what losses and failures look like, for the page "Is my run normal?": python book/images/draw_failures.py

Most pictures come from the embedded model, with something broken on purpose. Two need a young model with the joint decoder: a small
one is trained on the shipped photographs for them.
"""

import copy
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import maelib
from maelib.datasets import load_dataset, read_image, resize_crop, sample_path
from maelib.drawing import tile, to_uint8
from maelib.loss import normalize_patches, patch_statistics
from maelib.masking import gather_tokens
from maelib.patches import patchify, unpatchify
from maelib.strategies import seeded
from maelib.training.batches import crop, draw_crops

FOLDER = Path(__file__).parent / "normal"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SMALL = {"patch_size": 8, "width": 96, "depth": 2, "heads": 3, "decoder_width": 64, "decoder_depth": 1}


def pixels(images: Tensor) -> np.ndarray:
    """(1, C, H, W) as (H, W, C) uint8."""
    return to_uint8(images[0].permute(1, 2, 0).nan_to_num(0).numpy())


def save(name: str, *pictures: Tensor) -> None:
    sheet = Image.fromarray(tile([pixels(picture) for picture in pictures], len(pictures), gap=6))
    sheet.save(FOLDER / f"{name}.png", optimize=True)


def of_loss(image: Tensor, loss: float, p: int = 8) -> Tensor:
    """A picture whose patches explain all but `loss` of their normalised variance: coarse waves first, then finer ones."""
    patches = patchify(image, p)
    target = normalize_patches(patches)
    angles = torch.arange(p)[:, None] * (torch.arange(p) + 0.5) * torch.pi / p
    wave = angles.cos() * torch.full((p, 1), (2 / p) ** 0.5).index_fill(
        0, torch.tensor(0), (1 / p) ** 0.5
    )  # orthonormal
    order = (torch.arange(p)[:, None] + torch.arange(p)).flatten().argsort(stable=True)  # from coarse to fine
    values = torch.einsum("ay,nyxc,bx->nabc", wave, target[0].unflatten(1, (p, p, -1)), wave).flatten(1, 2)
    coarse, left = torch.zeros_like(values), target.square().mean()
    for i in order:
        energy = values[:, i].square().sum() / values.numel()
        rest = (loss - (left - energy)).clamp(min=0)  # of this wave's energy, what must stay unexplained
        share = 1 - (rest / energy).clamp(max=1).sqrt()
        coarse[:, i] = share * values[:, i]
        left = left - energy * (1 - (1 - share) ** 2)
        if share < 1:
            break
    back = torch.einsum("ay,nabc,bx->nyxc", wave, coarse.unflatten(1, (p, p)), wave).flatten(1)[None]
    assert abs((back - target).square().mean() - loss) < 0.01
    mean, std = patch_statistics(patches)
    return unpatchify(back * std + mean, p, (image.shape[2] // p, image.shape[3] // p)).clamp(0, 1)


def trained(photos: Tensor, steps: int) -> maelib.MaskedAutoencoder:
    """A small model with the joint decoder after so many steps on crops of the photographs."""
    torch.manual_seed(0)
    model = maelib.create_model("mae_tiny_patch4_64_plain", **SMALL)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    random = torch.Generator().manual_seed(0)
    for _ in range(steps):
        chosen = torch.randint(len(photos), (16,), generator=random)
        images = crop(photos[chosen] / 255, draw_crops(16, (0.2, 1.0), random), (64, 64))
        model(images).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def photo(name: str, size: int) -> Tensor:
    """A shipped photograph: (1, 3, size, size)."""
    return torch.from_numpy(np.array(resize_crop(read_image(sample_path(name)), size, size))).movedim(2, 0)[None] / 255


@torch.no_grad()
def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    large, cat = photo("chelsea", 96), photo("chelsea", 64)
    save("losses", large, *(of_loss(large, loss) for loss in (0.4, 0.65, 1.0)))

    model = maelib.load("mae_tiny_patch4_64")
    masking = seeded(model.config.grid)
    hidden = unpatchify(masking.mask[..., None].expand(-1, -1, 48), 4, (16, 16))
    raw, _ = model.reconstruct(cat, masking)
    good = torch.where(hidden, raw, cat)
    masked = cat.masked_fill(hidden, 0.5)

    lost = copy.deepcopy(model)
    lost.decoder.positions.zero_()
    save("checkerboard", masked, torch.where(hidden, lost.reconstruct(cat, masking)[0], cat), good)
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))
    save("gray", masked, torch.where(hidden, raw * std + mean, cat), good)
    patches = patchify(cat, 4)
    answer = torch.cat(
        [gather_tokens(patches, masking.visible), gather_tokens(patchify(raw, 4), masking.hidden)], dim=1
    )
    save("puzzle", masked, unpatchify(answer, 4, (16, 16)), good)
    broken = copy.deepcopy(model)
    broken.encoder.norm.weight[0] = torch.nan
    save("nan", masked, torch.where(hidden, broken.reconstruct(cat, masking)[0], cat), good)

    stars = photo("hubble_deep_field", 64)  # of many colours
    raw, _ = model.reconstruct(stars, masking)
    bare = unpatchify(normalize_patches(patchify(raw, 4)), 4, (16, 16)).clamp(0, 1)
    sheet = (stars.masked_fill(hidden, 0.5), torch.where(hidden, bare, stars), torch.where(hidden, raw, stars))
    save("normalised", *sheet)

    photos = torch.tensor(load_dataset("samples", size=128).images).movedim(3, 1)
    with torch.enable_grad():
        young, older = trained(photos, 400), trained(photos, 1500)
    masking = seeded(young.config.grid)
    hidden = unpatchify(masking.mask[..., None].expand(-1, -1, 192), 8, (8, 8))
    masked = cat.masked_fill(hidden, 0.5)
    raw, _ = young.reconstruct(cat, masking)
    flat = torch.where(hidden, raw, cat)
    save("visible", masked, raw, flat)
    save("flat", masked, flat, good)
    raw, _ = older.reconstruct(cat, masking)
    save("edges", cat, torch.where(hidden, raw, cat), good)


if __name__ == "__main__":
    main()
