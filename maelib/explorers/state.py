"""The reconstruction explorer without its widgets: a state goes in, pictures and scores come out.

The explorer and the web application both call these functions. A state is flat and goes through JSON:

- `sample`: the name of a shipped picture, or "own";
- `own`: the reader's picture at the model's size, a PNG in base64, an array of numpy where it is no photograph, or "";
- `ratio`: per cent of the patches that is hidden; `strategy`; `seed`;
- `hand`: with the strategy "hand", a character for each patch of the model row by row, "1" for hidden; "" where nothing is.
  The 64 characters of earlier states, for 8 x 8 squares over the patches, are still read;
- `view`: which picture is shown.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..config import MAEConfig
from ..datasets import ImageError, Values, read_bands, read_image, resize_crop_square, sample_path, samples
from ..datasets.bands import EIGHT_BIT, resize_bands
from ..drawing import Look, heat, png, tile, to_uint8
from ..evaluation import FILLS, Reconstruction, reconstruct
from ..evaluation.metrics import decibels
from ..evaluation.reconstruction import photographs, picture_for, values_of
from ..loading import load
from ..masking import Masking
from ..model import MaskedAutoencoder
from ..strategies import STRATEGIES as RULES
from ..strategies import seeded

EMBEDDED = "mae_tiny_patch4_64"
STRATEGIES = (*RULES, "hand")
VIEWS = ("side by side", "masked", "raw", "pasted", "error", "original")
RATIO_MAX = 95  # per cent
HAND = 8  # squares in a row and in a column, where a mask is made with buttons
ERROR_LIMIT = 0.5  # the error that gets the brightest colour, on the scale of pixels in [0, 1]
MAX_PIXELS, MAX_BYTES = 64_000_000, 40_000_000  # of an own picture: a telephone's has 50 million pixels
DEFAULT: dict[str, Any] = {
    "sample": "chelsea",
    "own": "",
    "ratio": 75,
    "strategy": "random",
    "seed": 0,
    "hand": "",
    "view": "side by side",
}


@lru_cache(maxsize=1)
def embedded_model() -> MaskedAutoencoder:
    """The trained model that comes with the project, loaded once."""
    return load(EMBEDDED)


def check(state: dict[str, Any], grid: tuple[int, int]) -> dict[str, Any]:
    """The state with what is missing taken from `DEFAULT`; ValueError says what cannot be on a grid of patches."""
    if unknown := set(state) - DEFAULT.keys():
        raise ValueError(f"a state has {', '.join(DEFAULT)}, not {', '.join(sorted(unknown))}")
    state = DEFAULT | state
    for key, allowed in (("sample", (*samples(), "own")), ("strategy", STRATEGIES), ("view", VIEWS)):
        if state[key] not in allowed:
            raise ValueError(f"{key} must be one of {', '.join(allowed)}, got {state[key]!r}")
    if not 0 <= state["ratio"] <= RATIO_MAX:
        raise ValueError(f"ratio must be from 0 to {RATIO_MAX} per cent, got {state['ratio']}")
    patches = grid[0] * grid[1]
    if len(state["hand"]) not in (0, patches, HAND**2) or set(state["hand"]) - {"0", "1"}:
        raise ValueError(f"hand must be {patches} characters 0 or 1, one for each patch, got {state['hand']!r}")
    if state["strategy"] == "hand" and hidden_by_hand(state["hand"], grid).all():
        raise ValueError("every patch is hidden: leave at least one visible, the model has nothing to go on")
    if state["sample"] == "own" and not state["own"]:
        raise ValueError("there is no picture of yours yet: upload one first")
    return state


def takes(config: MAEConfig, values: Values | None) -> str:
    """What pictures a model takes, in words for who has another one; "" where any photograph will do."""
    if photographs(config.channels, values):
        return ""
    kind = (values or EIGHT_BIT).dtype or "any"
    many = "1 band" if config.channels == 1 else f"{config.channels} bands"
    files = "TIFF, PNG or .npy" if config.channels <= 4 and kind in ("uint8", "uint16") else "TIFF or .npy"
    return f"This model takes pictures of {many} of {kind} values, as {files}"


def own_picture(
    content: bytes | memoryview,
    config: MAEConfig,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    values: Values | None = None,
) -> str:
    """The reader's file as the `own` of a state, for a model whose data has these values: at its size, in base64.

    Raises
    ------
    ImageError
        Empty, not a picture, damaged, truncated, too large, or of other bands or values, in one sentence.
    """
    if len(content) > max_bytes:
        raise ImageError(
            f"the upload has {len(content) / 1e6:.1f} MB, more than {max_bytes / 1e6:.1f} MB: make it smaller first"
        )
    if photographs(config.channels, values):
        made = png(to_uint8(picture_for(read_image(bytes(content), max_pixels), config)))
    else:
        array = read_bands(bytes(content), config.channels, "the upload", max_pixels, values=values or EIGHT_BIT)
        file = io.BytesIO()
        np.save(file, resize_bands(array, config.hw))
        made = file.getvalue()
    return base64.b64encode(made).decode()


def pixels_of(state: dict[str, Any], config: MAEConfig, values: Values | None = None) -> np.ndarray:
    """The picture of a state at the size of a model whose data has these values: (H, W, C) float32 in [0, 1]."""
    if state["sample"] == "own":
        return picture_for(base64.b64decode(state["own"]), config, values)
    return _sample_pixels(state["sample"], config, values)


@lru_cache(maxsize=64)
def _sample_pixels(name: str, config: MAEConfig, values: Values | None) -> np.ndarray:
    pixels = picture_for(sample_path(name), config, values)
    pixels.flags.writeable = False  # everyone gets the same array
    return pixels


def thumbnail(name: str, side: int = 48) -> bytes:
    """A shipped picture as a small JPEG file."""
    file = io.BytesIO()
    resize_crop_square(Image.open(sample_path(name)).convert("RGB"), side).save(file, "JPEG", quality=80)
    return file.getvalue()


def masking_of(state: dict[str, Any], grid: tuple[int, int]) -> Masking:
    """Which patches a state hides."""
    if state["strategy"] == "hand":
        return Masking.from_mask(torch.from_numpy(hidden_by_hand(state["hand"], grid).flatten()))
    return seeded(grid, state["ratio"] / 100, state["seed"], state["strategy"])


def square_of_patches(grid: tuple[int, int]) -> np.ndarray:
    """The number of the square that each patch lies under, row by row: (rows, columns) int."""
    row, column = (np.arange(count) * HAND // count for count in grid)
    return row[:, None] * HAND + column


def hidden_by_hand(hand: str, grid: tuple[int, int]) -> np.ndarray:
    """The patches that a mask by hand hides, whichever form it has: (rows, columns) bool."""
    if not hand:
        return np.zeros(grid, bool)
    hidden = np.array(list(hand)) == "1"
    return hidden.reshape(grid) if hidden.size == grid[0] * grid[1] else hidden[square_of_patches(grid)]


def hand_of(hidden: np.ndarray) -> str:
    """The `hand` of a state that hides these patches, (rows, columns) bool."""
    return "".join("01"[h] for h in hidden.flatten().astype(int)) if hidden.any() else ""


def unfilled(state: dict[str, Any], config: MAEConfig) -> Reconstruction:
    """The picture and the mask of a state, nothing predicted yet: what was hidden is as it was."""
    state = check(state, config.grid)
    pixels = pixels_of(state, config)
    return Reconstruction(pixels, pixels, masking_of(state, config.grid).mask.reshape(config.grid).numpy())


def reconstruction_of(model: MaskedAutoencoder, state: dict[str, Any], bands: Sequence[int] = ()) -> Reconstruction:
    """What the model makes of a state, `bands` as in `maelib.reconstruct`; ValueError for a state that cannot be."""
    c, values = model.config, values_of(model)
    state, unit = check(state, c.grid), None if photographs(c.channels, values) else Values(0, 1)
    return reconstruct(model, pixels_of(state, c, values), masking_of(state, c.grid), values=unit, bands=bands)


def baseline_of(reconstruction: Reconstruction) -> Reconstruction:
    """The same picture under the same mask, filled by the Gaussian average of the visible pixels: nothing is learned."""
    picture = torch.from_numpy(reconstruction.original.transpose(2, 0, 1).copy())[None]
    visible = torch.from_numpy(~reconstruction.hidden)[None, None].float()
    patch_size = len(reconstruction.original) // len(reconstruction.mask)
    filled = FILLS["gaussian"](picture, visible, patch_size)[0].permute(1, 2, 0).numpy()
    return replace(reconstruction, raw=filled, oracle=None)


def views(reconstruction: Reconstruction) -> dict[str, np.ndarray]:
    """Every view: (H, W, 3) uint8. The error is that of the pasted picture, its root mean square over the channels."""
    r, four = reconstruction, reconstruction.shown
    error = np.sqrt(np.square(r.pasted - r.original).mean(axis=2))
    error = error if r.known is None else np.where(r.known, error, 0)
    return four | {"error": heat(error, ERROR_LIMIT), "side by side": tile(list(four.values()), columns=2)}


def scores(reconstruction: Reconstruction) -> dict[str, dict[str, dict[str, float]]]:
    """PSNR (dB) and SSIM by protocol, of the model and of the Gaussian average: `{"model": {protocol: ...}, "gaussian": ...}`."""
    return {"model": reconstruction.scores(), "gaussian": baseline_of(reconstruction).scores()}


def flat_scores(found: dict[str, dict[str, dict[str, float]]], mask: np.ndarray) -> dict[str, float | None]:
    """Scores in one level, such as `model_masked_psnr`; None where nothing was hidden."""
    flat: dict[str, float | None] = {"hidden": int(mask.sum()), "patches": mask.size}
    for who, protocols in found.items():
        flat[f"{who}_masked_psnr"] = protocols.get("masked", {}).get("psnr")
        flat[f"{who}_pasted_psnr"] = protocols["pasted"]["psnr"] if mask.any() else None
        flat[f"{who}_pasted_ssim"] = protocols["pasted"].get("ssim") if mask.any() else None
    return flat


PROTOCOL_TITLES = {
    "masked": "masked: hidden pixels only",
    "pasted": "pasted: whole picture",
    "article": "article: pasted, with an oracle",
}
ROW_TITLES = {"model": "the model", "gaussian": "average of the neighbours, nothing learned"}


def scores_html(
    found: dict[str, dict[str, dict[str, float]]], hidden: int, patches: int, look: Look | None = None
) -> str:
    """How many patches are hidden, what is shown where it is no photograph, and a table of the scores with their protocols
    where any is."""
    shown = "" if look is None else f"<p>Shown: {look.words}. The scores are of all bands, not stretched.</p>"
    count = f"<p>{hidden} of {patches} patches hidden ({100 * hidden / patches:.0f} %)</p>{shown}"
    if not hidden:
        return f"{count}<p>Nothing is hidden, so nothing is painted and nothing is scored.</p>"
    protocols = [name for name in PROTOCOL_TITLES if name in found["model"] or name == "masked"]
    rows = "".join(
        f'<tr><th scope="row">{ROW_TITLES[who]}</th>'
        + "".join(f"<td>{_cell(by_protocol.get(name))}</td>" for name in protocols)
        + "</tr>"
        for who, by_protocol in found.items()
    )
    heads = "".join(f'<th scope="col">{PROTOCOL_TITLES[name]}</th>' for name in protocols)
    return f'{count}<table class="maelib-scores"><tr><td></td>{heads}</tr>{rows}</table>'


def _cell(values: dict[str, float] | None) -> str:
    if values is None:
        return "–"
    return decibels(values["psnr"]) + (f", SSIM {values['ssim']:.3f}" if "ssim" in values else "")
