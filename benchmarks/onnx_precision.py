"""What the weights may lose on their way into a web page: ONNX in fp32, fp16 and int8, measured on real pictures.

    python benchmarks/onnx_precision.py --n 1000 --json data/results/onnx_precision.json     # five minutes on two cores

PSNR of the hidden pixels (protocol `masked`) on the first n validation pictures of Tiny ImageNet, 75 % hidden, through
onnxruntime, one mask a picture as in `maelib evaluate`. `furthest` is the largest difference of any pixel from the
float32 file over those pictures, on the scale of 0 to 255. Chosen is the smallest file that loses at most 0.1 dB and moves
no pixel by more than 2.
"""

import argparse
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from maelib import load
from maelib.datasets import load_dataset
from maelib.hardware import describe_hardware, describe_software
from maelib.interop.onnx import PRECISIONS, onnx_bytes
from maelib.masking import num_visible, seeded_noise, split_by_noise
from maelib.patches import patchify

ALLOWED_DB, ALLOWED_PIXEL = 0.1, 2.0


def measure(name: str, n: int, mask_ratio: float = 0.75, seed: int = 0) -> list[dict[str, Any]]:
    """A row for each precision."""
    model = load(name)
    c = model.config
    images = torch.from_numpy(np.array(load_dataset("tiny-imagenet", "val", size=c.hw[0]).images[:n]))
    patches = patchify(images.permute(0, 3, 1, 2) / 255, c.patch_size).numpy()
    keep = num_visible(patches.shape[1], mask_ratio)
    masking = split_by_noise(seeded_noise(c.grid, seed, batch=n), keep)
    rows: list[dict[str, Any]] = []
    reference = None
    for precision in PRECISIONS:
        content = onnx_bytes(model, precision)
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        found = np.stack([one(session, patches[i], masking.visible[i], masking.hidden[i]) for i in range(n)])
        hidden = masking.mask.numpy()
        psnr = [-10 * np.log10(np.square(found[i] - patches[i])[hidden[i]].mean(dtype=np.float64)) for i in range(n)]
        reference = found if reference is None else reference
        row: dict[str, Any] = {
            "weights": precision,
            "bytes": len(content),
            "gzip_bytes": len(gzip.compress(content, 9, mtime=0)),
        }
        row |= {"masked_psnr_db": float(np.mean(psnr)), "furthest": float(np.abs(found - reference).max() * 255)}
        rows.append(row)
    for row in rows:
        row["lost_db"] = rows[0]["masked_psnr_db"] - row["masked_psnr_db"]
    return rows


def one(session: Any, patches: np.ndarray, visible: torch.Tensor, hidden: torch.Tensor) -> np.ndarray:
    inputs = {"patches": patches[None], "visible": visible[None].numpy(), "hidden": hidden[None].numpy()}
    return session.run(None, inputs)[0][0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mae_tiny_patch4_64")
    parser.add_argument("--n", type=int, default=1000, help="pictures")
    parser.add_argument("--json", type=Path, default=None)
    args = parser.parse_args()
    rows = measure(args.model, args.n)
    good = (row for row in rows if row["lost_db"] <= ALLOWED_DB and row["furthest"] <= ALLOWED_PIXEL)
    chosen = min(good, key=lambda row: row["bytes"])
    for row in rows:
        row["chosen"] = row is chosen
        print({key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()})
    record = {
        "kind": "benchmark",
        "name": "onnx_precision",
        "model": args.model,
        "about": f"PSNR under `masked` on the first {args.n:,} validation pictures of Tiny ImageNet, 75 % hidden, masks of seed 0",
        "hardware": describe_hardware(),
        "software": f"{describe_software()}, onnxruntime {onnxruntime.__version__}",
        "n": args.n,
        "table": rows,
    }
    if args.json:
        args.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
