"""The race to 17.0 dB: which recipe gets a small model there with the fewest pictures. So far its first part, the screening.

    python benchmarks/speedrun.py --runs ~/runs/race --json data/results/speedrun.json     # about six minutes a trick on a core
    python benchmarks/speedrun.py --runs ~/runs/race --only "muon, batch 32"

Every trick is tried once: 40,000 pictures of Tiny ImageNet's training set, each seen once, the embedded shape where nothing
else is said, 75 % hidden unless the trick says otherwise, warm-up over 5 %, cosine to zero, flips, clip 1, seed 0. Pictures 475
to 499 of each class, by the number in their names, are never trained on; on these 5,000 every trick is scored (`masked`, 75 %
hidden, mask seed 0). The validation set is not looked at. Runs resume; scores that are in the file stay there.
"""

import json
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import parser_of, write_result
from short_run import train
from torch import Tensor

from maelib import PRESETS, MAEOutput, MaskedAutoencoder, Masking
from maelib.datasets import PackedImages, load_dataset
from maelib.datasets.loading import cache_folder, find_source
from maelib.evaluation import evaluate
from maelib.loss import normalize_patches
from maelib.masking import gather_tokens
from maelib.training import TrainConfig

FIRST_HELD_OUT = 475  # number in the name of a picture of its class, 0 to 499
SHAPE = PRESETS["mae_tiny_patch4_64"]
STANDARD = {"pixel_mean": 0.45, "pixel_std": 0.27}  # of Tiny ImageNet's training pictures, all channels together


class LogLoss(MaskedAutoencoder):
    """Scored by the mean over pictures of the logarithm of the error, which is what a mean PSNR scores."""

    def forward(self, images: Tensor, masking: float | Masking = 0.75) -> MAEOutput:
        patches = self.to_patches(images)
        masking = Masking.of(masking, patches)
        out = super().forward(images, masking)
        target = gather_tokens(patches, masking.hidden)
        if self.config.normalize_targets:
            target = normalize_patches(target)
        error = (out.pred.float() - target.float()).square().mean(dim=(1, 2))  # (B,)
        return out._replace(loss=(error + 1e-6).log().mean())


@dataclass(frozen=True)
class Trick:
    """What a trial changes in the shape and in the recipe; `peak` is the learning rate of AdamW after the warm-up."""

    name: str
    shape: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    peak: float = 1.5e-3
    model: type[MaskedAutoencoder] = MaskedAutoencoder

    def recipe_for(self, pictures: int) -> TrainConfig:
        """The whole recipe, for one pass over so many pictures."""
        batch = self.recipe.get("batch_size", 64)
        common: dict[str, Any] = {"epochs": 1, "batch_size": batch, "warmup_epochs": 0.05, "limit": pictures}
        common |= {"sample_epochs": 0, "checkpoint_minutes": 3.0, "base_lr": self.peak * 256 / batch}
        return TrainConfig(**common | self.recipe)


def muon(batch: int, rate: float, **recipe: Any) -> dict[str, Any]:
    """The recipe of Muon at a rate and batch."""
    return {"batch_size": batch, "muon_lr": rate} | recipe


TRICKS = (
    Trick("AdamW, pixels in [0, 1]"),
    Trick("AdamW", STANDARD),
    Trick("AdamW, plain shape", STANDARD | {"depth": 12, "decoder_depth": 2, "decoder_cross": False}),
    Trick("AdamW, rate 3e-3", STANDARD, peak=3e-3),
    Trick("AdamW, batch 32", STANDARD, {"batch_size": 32}),
    Trick("Muon, batch 64", STANDARD, muon(64, 5e-3), 2e-3),
    Trick("Muon, batch 32", STANDARD, muon(32, 7e-3), 2e-3),
    Trick("Muon, batch 32, rate 1.4e-2", STANDARD, muon(32, 1.4e-2), 2e-3),
    Trick("Muon, batch 32, rate 3.5e-3", STANDARD, muon(32, 3.5e-3), 2e-3),
    Trick("Muon, batch 16", STANDARD, muon(16, 7e-3), 2e-3),
    Trick("Muon, batch 32, logarithm of the error", STANDARD, muon(32, 7e-3), 2e-3, LogLoss),
    Trick("Muon, batch 32, 85 % hidden", STANDARD, muon(32, 7e-3, mask_ratio=0.85), 2e-3),
    Trick("Muon, batch 32, 65 % hidden", STANDARD, muon(32, 7e-3, mask_ratio=0.65), 2e-3),
    Trick("Muon, batch 32, no decay", STANDARD, muon(32, 7e-3, weight_decay=0.0), 2e-3),
    Trick("Muon, batch 32, decoder of two blocks", STANDARD | {"decoder_depth": 2}, muon(32, 7e-3), 2e-3),
    Trick("Muon, batch 32, plain shape",
          STANDARD | {"depth": 12, "decoder_depth": 2, "decoder_cross": False}, muon(32, 7e-3), 2e-3),
)  # fmt: skip


def parts(source: str) -> tuple[PackedImages, np.ndarray]:
    """The pictures to train on, in an order of their own that mixes the classes, and the 5,000 that choose."""
    names = find_source(source, "train", cache_folder()).members
    numbers = np.array([int(re.findall(r"_(\d+)\.", name)[-1]) for name in names])
    packed = load_dataset(source, "train")
    held_out, rest = (np.flatnonzero(where) for where in (numbers >= FIRST_HELD_OUT, numbers < FIRST_HELD_OUT))
    order = np.random.default_rng(0).permutation(rest)
    return replace(packed, images=packed.images[order], labels=None), packed.images[held_out]


def main() -> None:
    parser = parser_of(__doc__, "data", "images", "json", images=40_000)
    parser.add_argument("--runs", type=Path, default=Path("runs/race"), help="folder of the runs")
    parser.add_argument("--only", nargs="+", default=[trick.name for trick in TRICKS], metavar="TRICK",
                        help=f"one or several of: {'; '.join(trick.name for trick in TRICKS)}".replace("%", "%%"))  # fmt: skip
    args = parser.parse_args()
    if unknown := set(args.only) - {trick.name for trick in TRICKS}:
        parser.error(f"no trick {', '.join(sorted(unknown))}; --help lists them")
    data, held_out = parts(args.data)
    kept = json.loads(args.json.read_text())["table"] if args.json and args.json.exists() else []
    rows: dict[str, dict[str, Any]] = {row["trick"]: row for row in kept}
    for trick in TRICKS:
        if trick.name not in args.only or trick.name in rows:
            continue
        recipe = trick.recipe_for(args.images)
        torch.manual_seed(recipe.seed)
        model = trick.model(replace(SHAPE, **trick.shape))
        folder = args.runs / re.sub(r"[^a-z0-9]+", "-", trick.name.lower())
        trained = train(model, trick.name, data, folder, recipe)
        psnr = evaluate(trained, held_out, ("masked",))["masked"]["psnr"]
        seen = args.images // recipe.batch_size * recipe.batch_size
        changed = {key: value for key, value in asdict(recipe).items() if value != getattr(TrainConfig(), key)}
        rows[trick.name] = {"trick": trick.name, "psnr": round(psnr, 3), "images_seen": seen, "shape": trick.shape}
        rows[trick.name] |= {"recipe": changed, "parameters": sum(p.numel() for p in trained.parameters())}
        print(f"{trick.name:40} {psnr:.3f} dB", flush=True)
        if args.json:
            about = " ".join((__doc__ or "").split("\n\n")[2].split())
            table = [rows[name] for name in (trick.name for trick in TRICKS) if name in rows]
            write_result(args.json, table, about=about, n=len(held_out), mask_ratio=0.75, seed=0, protocol="masked")


if __name__ == "__main__":
    main()
