"""Other work in the same time: decode some of the hidden patches, hide more, mask a picture several ways.

    python benchmarks/changed_work.py --json data/results/changed_work.json     # half an hour on two cores

Images per second say nothing where the work differs. So every contender gets the same seconds of training: a quiet
minute measures the speed of each, in turns, and that fixes how many pictures it may see. Then all are scored alike, under
`masked` with 75 % hidden. The speeds are kept in OUT/speeds.json and the runs resume, so an interrupted comparison goes on
as it began, and several processes may train a part each (--only).
"""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from harness import images_per_second, parser_of, write_result
from short_run import RECIPE, first_visible, shuffled, train
from torch import Tensor
from training_step import make_step

from maelib import PRESETS, MAEConfig, MAEOutput, MaskedAutoencoder, Masking
from maelib.datasets import load_dataset
from maelib.evaluation import evaluate
from maelib.loss import reconstruction_loss
from maelib.masking import gather_tokens

SAMPLES = RECIPE.batch_size  # masked pictures in a step, for all alike


class DecodesSome(MaskedAutoencoder):
    """Predicts and scores a random share of the hidden patches: a sample of the loss, without bias (Fu et al. 2024)."""

    def __init__(self, config: MAEConfig, share: float):
        super().__init__(config)
        self.share = share

    def forward(self, images: Tensor, masking: float | Masking = 0.75) -> MAEOutput:
        patches = self.to_patches(images)
        masking = Masking.of(masking, patches)
        asked = shuffled(masking.hidden)[:, : round(self.share * masking.hidden.shape[1])]
        latents = self.encoder(patches, masking.visible)
        pred = self.decoder.hidden_patches(latents, masking._replace(hidden=asked))
        return MAEOutput(reconstruction_loss(pred, gather_tokens(patches, asked)), pred, masking.mask)


class SeveralMasks(MaskedAutoencoder):
    """Takes each picture once for every mask; with 75 % hidden and four masks, each patch is visible in one of them."""

    def __init__(self, config: MAEConfig, masks: int):
        super().__init__(config)
        self.masks = masks

    def forward(self, images: Tensor, masking: float | Masking = 0.75) -> MAEOutput:
        masking = Masking.of(masking, self.to_patches(images))
        order = torch.cat([shuffled(masking.visible), shuffled(masking.hidden)], dim=1)  # (B, N)
        shift = order.shape[1] / self.masks
        turned = torch.cat([order.roll(round(i * shift), dims=1) for i in range(self.masks)])
        return super().forward(images.repeat(self.masks, 1, 1, 1), first_visible(turned, masking.visible.shape[1]))


def contenders(config: MAEConfig) -> dict[str, tuple[MaskedAutoencoder, float, int]]:
    """Model, share hidden in training, and masks for a picture."""
    made: dict[str, tuple[MaskedAutoencoder, float, int]] = {}

    def add(name: str, kind: type[MaskedAutoencoder], *how: Any, mask_ratio: float = 0.75, masks: int = 1) -> None:
        torch.manual_seed(RECIPE.seed)
        made[name] = kind(config, *how), mask_ratio, masks

    add("all hidden patches decoded", MaskedAutoencoder)
    add("half of them", DecodesSome, 0.5)
    add("a quarter of them", DecodesSome, 0.25)
    add("85 % hidden in training", MaskedAutoencoder, mask_ratio=0.85)
    add("four masks for a picture", SeveralMasks, 4, masks=4)
    return made


def speeds(config: MAEConfig, rounds: int) -> dict[str, float]:
    """Masked pictures a second of a training step in bf16, each in turns."""
    steps = {}
    for name, (model, ratio, masks) in contenders(config).items():
        model.forward = _with_ratio(model, ratio)  # type: ignore[method-assign]
        steps[name] = make_step(model, torch.rand(SAMPLES // masks, config.channels, *config.hw), "bf16")
    return images_per_second(steps, SAMPLES, rounds)


def _with_ratio(model: MaskedAutoencoder, ratio: float) -> Any:
    forward = model.forward
    return lambda images: forward(images, ratio)


def main() -> None:
    parser = parser_of(__doc__, "n", "rounds", "model", "data", "out", "json", out=Path("runs/changed_work"))
    parser.add_argument("--seconds", type=float, default=300, help="of training for each, on a quiet machine")
    parser.add_argument("--only", type=int, nargs="+", default=None, help="contenders by number, from 0; no table")
    args = parser.parse_args()
    config = PRESETS[args.model]
    kept = args.out / "speeds.json"
    if not kept.exists():
        args.out.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(speeds(config, args.rounds), indent=1, allow_nan=False) + "\n")
    per_second = json.loads(kept.read_text())
    data, val = (load_dataset(args.data, split, size=config.hw[0]) for split in ("train", "val"))
    rows: list[dict[str, Any]] = []
    for number, (name, (model, ratio, masks)) in enumerate(contenders(config).items()):
        if args.only and number not in args.only:
            continue
        pictures = round(args.seconds * per_second[name] / SAMPLES) * SAMPLES // masks
        peak = RECIPE.base_lr * masks  # the rate follows the masked pictures of a step, not the pictures
        recipe = replace(RECIPE, limit=pictures, batch_size=SAMPLES // masks, base_lr=peak, mask_ratio=ratio)
        trained = train(model, name, data, args.out / str(number), recipe)
        psnr = evaluate(trained, val, ("masked",), n=args.n)["masked"]["psnr"]
        row = {"in_training": name, "images_per_second": per_second[name], "pictures": pictures,
               "masked_pictures": pictures * masks, "psnr": round(psnr, 3)}  # fmt: skip
        rows.append(row)
        print(row, flush=True)
    if args.json and not args.only:
        about = {
            "model": args.model, "recipe": asdict(RECIPE),
            "about": f"What the same {args.seconds:.0f} seconds of training bring on two cores, where the work differs: speed of "
            "a step measured apart, in turns, batch of 64 masked pictures; then as many pictures of Tiny ImageNet as fit the "
            "time, each seen once; scored under `masked`, 75 % hidden, masks of seed 0; one run each, seed 0.",
            "seconds": args.seconds, "n": args.n,
        }  # fmt: skip
        write_result(args.json, rows, **about)


if __name__ == "__main__":
    main()
