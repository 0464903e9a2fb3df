"""What the game of the pages compares with: for each shipped picture 1,000 random masks, and what a search keeps.

    python book/_ext/game_tables.py        # about three minutes on one core; part of `make artifacts`

Writes data/game/mae_tiny_patch4_64.json: PSNR in dB of whole pictures (`pasted`), a quarter of the patches kept. Quantiles
of the random masks are given at every per cent. The search is greedy, over some candidates at a time, then swaps patches.
The weights' SHA-256 stands in the file, so that a page never compares with figures of another model.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch

from maelib.datasets import samples
from maelib.explorers.state import EMBEDDED, embedded_model, hand_of, pixels_of
from maelib.files import data_path, write_atomically
from maelib.masking import Masking
from maelib.model import MaskedAutoencoder
from maelib.strategies import seeded_integers

RATIO, MASKS, CANDIDATES, SWAPS, BATCH = 0.75, 1000, 12, 16, 50
SEED_STEP = 1009  # between the seeds of random picks, as in the page's script


def tables(model: MaskedAutoencoder, masks: int = MASKS, candidates: int = CANDIDATES, swaps: int = SWAPS) -> dict:
    """The file's content for a model: quantiles and the searched mask of every shipped picture."""
    patches = model.config.grid[0] * model.config.grid[1]
    keep = max(1, int(patches * (1 - RATIO)))
    orders = [np.argsort(seeded_integers(i * SEED_STEP, patches), kind="stable") for i in range(1, masks + 1)]
    random = np.ones((masks, patches), bool)
    for mask, order in zip(random, orders, strict=True):
        mask[order[:keep]] = False
    found = {}
    for name in samples():
        original = torch.from_numpy(pixels_of({"sample": name}, model.config).transpose(2, 0, 1).copy())[None]
        scores = np.concatenate(
            [scored(model, original, part) for part in np.array_split(random, max(1, masks // BATCH))]
        )
        hidden, best = search(model, original, keep, candidates, swaps)
        quantiles = np.quantile(scores, np.linspace(0, 1, 101)).round(3).tolist()
        found[name] = {
            "quantiles": quantiles,
            "masks": masks,
            "search": {"hidden": hand_of(hidden), "psnr": round(best, 3)},
        }
    return {"kind": "game", "mask_ratio": RATIO, "weights": fingerprint(model), "samples": found}


def fingerprint(model: MaskedAutoencoder) -> str:
    """SHA-256 over all tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


@torch.inference_mode()
def scored(model: MaskedAutoencoder, original: torch.Tensor, hidden: np.ndarray) -> np.ndarray:
    """PSNR of one picture under masks (B, N), visible patches as they are: (B,) dB."""
    config, batch = model.config, len(hidden)
    raw = model.reconstruct(original.expand(batch, -1, -1, -1), Masking.from_mask(torch.from_numpy(hidden)))[0]
    size = config.patch_size
    where = torch.from_numpy(hidden).reshape(batch, 1, *config.grid)
    where = where.repeat_interleave(size, 2).repeat_interleave(size, 3)
    error = ((raw - original) * where).square().mean((1, 2, 3))
    return -10 * error.clamp(min=1e-10).log10().numpy()


def search(
    model: MaskedAutoencoder, original: torch.Tensor, keep: int, candidates: int, swaps: int
) -> tuple[np.ndarray, float]:
    """Keep patch after patch, of some candidates the one that helps most; then try to exchange some. The same every time."""
    random, patches = np.random.default_rng(0), model.config.grid[0] * model.config.grid[1]
    hidden, best = np.ones(patches, bool), -np.inf
    for step in range(keep + swaps):
        tried = np.tile(hidden, (candidates, 1))
        for mask in tried:
            if step >= keep:
                mask[random.choice(np.flatnonzero(~hidden))] = True
            mask[random.choice(np.flatnonzero(hidden))] = False
        scores = scored(model, original, tried)
        if step < keep or scores.max() > best:
            hidden, best = tried[scores.argmax()], float(scores.max())
    return hidden, best


def path() -> Path:
    """Where the tables of the embedded model are."""
    return data_path() / "game" / f"{EMBEDDED}.json"


if __name__ == "__main__":
    torch.set_num_threads(1)
    made = tables(embedded_model())
    write_atomically(path(), (json.dumps(made, separators=(",", ":"), allow_nan=False) + "\n").encode())
    for name, table in made["samples"].items():
        low, middle, high = (table["quantiles"][i] for i in (0, 50, 100))
        print(
            f"{name:20} random masks {low:.1f}, {middle:.1f}, {high:.1f} dB; the search {table['search']['psnr']:.1f} dB"
        )
