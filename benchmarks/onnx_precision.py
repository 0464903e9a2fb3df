"""What the weights may lose on their way into a web page: ONNX in fp32, fp16 and int8, measured on real pictures.

    python benchmarks/onnx_precision.py --json data/results/onnx_precision.json     # three minutes on two cores

PSNR of the hidden pixels (protocol `masked`) on the first n validation pictures of Tiny ImageNet, 75 % hidden, through
onnxruntime, one mask a picture as in `maelib evaluate`. `furthest` is the largest difference of any pixel from the
float32 file over those pictures, on the scale of 0 to 255. Chosen is the smallest file that loses at most 0.1 dB.
"""

import gzip
from typing import Any

import numpy as np
import onnxruntime
from harness import parser_of, write_result

from maelib import load
from maelib.datasets import load_dataset
from maelib.evaluation.metrics import psnr
from maelib.hardware import describe_software
from maelib.interop.onnx import PRECISIONS, onnx_bytes
from maelib.masking import pixel_mask
from maelib.strategies import seeded

ALLOWED_DB = 0.1


def measure(name: str, n: int, mask_ratio: float = 0.75, seed: int = 0) -> list[dict[str, Any]]:
    """A row for each precision."""
    model = load(name)
    c = model.config
    images = np.array(load_dataset("tiny-imagenet", "val", size=c.hw[0]).images[:n], dtype=np.float32) / 255
    masking = seeded(c.grid, mask_ratio, seed, batch=n)
    hidden = pixel_mask(masking.mask, c.patch_size, c.grid)[:, 0].numpy()
    inputs = {"visible": masking.visible.numpy(), "hidden": masking.hidden.numpy()}
    inputs["images"] = images.transpose(0, 3, 1, 2)
    feeds = [{name: array[i : i + 1] for name, array in inputs.items()} for i in range(n)]
    rows: list[dict[str, Any]] = []
    reference = None
    for precision in PRECISIONS:
        content = onnx_bytes(model, precision)
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        found = np.concatenate([session.run(None, feed)[0] for feed in feeds]).transpose(0, 2, 3, 1)
        scores = [psnr(*picture) for picture in zip(images, found, hidden, strict=True)]
        reference = found if reference is None else reference
        row: dict[str, Any] = {
            "weights": precision,
            "bytes": len(content),
            "gzip_bytes": len(gzip.compress(content, 9, mtime=0)),
        }
        row |= {"masked_psnr_db": float(np.mean(scores)), "furthest": float(np.abs(found - reference).max() * 255)}
        rows.append(row)
    for row in rows:
        row["lost_db"] = rows[0]["masked_psnr_db"] - row["masked_psnr_db"]
    return rows


def main() -> None:
    parser = parser_of(__doc__, "model", "n", "json", n=500)
    args = parser.parse_args()
    rows = measure(args.model, args.n)
    good = (row for row in rows if row["lost_db"] <= ALLOWED_DB)
    chosen = min(good, key=lambda row: row["bytes"])
    for row in rows:
        row["chosen"] = row is chosen
        print({key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()})
    if args.json:
        software = f"{describe_software()}, onnxruntime {onnxruntime.__version__}"
        pictures = f"the first {args.n:,} validation pictures of Tiny ImageNet"
        about = f"PSNR under `masked` on {pictures}, 75 % hidden, masks of seed 0"
        write_result(args.json, rows, model=args.model, about=about, software=software, n=args.n)


if __name__ == "__main__":
    main()
