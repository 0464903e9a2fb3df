"""Raw pixels against normalised targets with a statistics head, trained alike and scored alike.

    python benchmarks/statistics_head.py --json data/results/statistics_head.json     # half an hour on two cores

A model of normalised targets predicts patches without mean and scale; to paint them it needs both. Its twin here has two
outputs more in the decoder's head: mean and standard deviation of each hidden patch. Scored under `masked` with its own
statistics, with those of the visible patches on average, and with the true ones, which no model can know.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from harness import parser_of, write_result
from short_run import RECIPE, train
from torch import Tensor, nn

from maelib import PRESETS, MAEConfig, MAEOutput, MaskedAutoencoder, Masking
from maelib.datasets import load_dataset
from maelib.evaluation import evaluate
from maelib.loss import normalize_patches, patch_statistics, reconstruction_loss, shared_statistics
from maelib.masking import gather_tokens
from maelib.patches import unpatchify

VARIANCE = 0.07  # of the pixels of Tiny ImageNet: an error of statistics of this size weighs as one of a whole patch
STATISTICS = ("own", "visible average", "true (an oracle)")


class WithStatistics(MaskedAutoencoder):
    """Predicts normalised patches, and the mean and the standard deviation of each; paints with the `statistics` chosen."""

    statistics = "own"

    def __init__(self, config: MAEConfig):
        super().__init__(replace(config, normalize_targets=True))
        head = nn.Linear(config.decoder_width, config.patch_dim + 2)
        nn.init.xavier_uniform_(head.weight)
        nn.init.zeros_(head.bias)
        self.decoder.head = head

    def forward(self, images: Tensor, masking: float | Masking = 0.75) -> MAEOutput:
        patches = self.to_patches(images)
        masking = Masking.of(masking, patches)
        out = self.decoder.hidden_patches(self.encoder(patches, masking.visible), masking)  # (B, M, P + 2)
        target = gather_tokens(patches, masking.hidden)
        loss = reconstruction_loss(out[..., :-2], normalize_patches(target))
        loss = loss + reconstruction_loss(out[..., -2:], torch.cat(patch_statistics(target), dim=-1)) / VARIANCE
        return MAEOutput(loss, out[..., :-2], masking.mask)

    def reconstruct(
        self, images: Tensor, masking: float | Masking = 0.75, oracle: bool = False
    ) -> tuple[Tensor, Tensor]:
        c, patches = self.config, self.to_patches(images)
        masking = Masking.of(masking, patches)
        out, mask = self.predict(images, masking)  # (B, N, P + 2)
        mean, std = out[..., -2:-1], out[..., -1:]
        if oracle or self.statistics == "true (an oracle)":
            mean, std = patch_statistics(patches)
        elif self.statistics == "visible average":
            mean, std = shared_statistics(gather_tokens(patches, masking.visible))
        pixels = unpatchify(out[..., :-2] * std + mean, c.patch_size, c.grid) * self.pixel_std + self.pixel_mean
        return pixels.clamp(0, 1), mask


def main() -> None:
    parser = parser_of(__doc__, "images", "n", "model", "data", "out", "json", out=Path("runs/statistics_head"))
    args = parser.parse_args()
    config = replace(PRESETS[args.model], normalize_targets=False)
    recipe = replace(RECIPE, limit=args.images)
    data, val = (load_dataset(args.data, split, size=config.hw[0]) for split in ("train", "val"))
    rows: list[dict[str, Any]] = []

    def score(model: MaskedAutoencoder, targets: str, statistics: str) -> None:
        figures = evaluate(model, val, ("masked",), n=args.n)["masked"]
        rows.append({"targets": targets, "statistics": statistics, "psnr": round(figures["psnr"], 3)})
        print(f"{targets:12}{statistics:20}{figures['psnr']:7.2f} dB", flush=True)

    torch.manual_seed(recipe.seed)
    raw = train(MaskedAutoencoder(config), "raw", data, args.out / "raw", recipe)
    score(raw, "raw", "none needed")
    torch.manual_seed(recipe.seed)
    twin = train(WithStatistics(config), "normalised, statistics head", data, args.out / "normalised", recipe)
    assert isinstance(twin, WithStatistics)
    for twin.statistics in STATISTICS:
        score(twin, "normalised", twin.statistics)
    if args.json:
        about = {
            "model": args.model, "recipe": asdict(recipe),
            "about": "Raw pixels against normalised targets with a head for mean and spread of each patch; each trained on the "
            "first pictures of Tiny ImageNet, seen once, and scored under `masked`, 75 % hidden, masks of seed 0.",
            "images_seen": args.images // recipe.batch_size * recipe.batch_size, "n": args.n,
        }  # fmt: skip
        write_result(args.json, rows, **about)


if __name__ == "__main__":
    main()
