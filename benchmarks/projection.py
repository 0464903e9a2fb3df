"""What the article's model may reach on two T4s: arithmetic from counted work, until a reader's run is recorded.

    python benchmarks/projection.py --json data/results/projection.json     # a minute

Operations and bytes of a training step of ours are counted while it runs here (attention in one kernel, as on a GPU). The
ceiling is the roofline of the card's data sheet, products and memory at full speed and one after the other; this code,
uncompiled, cannot pass it. The floor is what a public notebook of the same model reports for the same two cards. The share
of the peak that we measure on a CPU (`training_step.json`) does not carry over: there arithmetic is the limit, on a T4
memory is. Two cards lose what `scaling.json` projects for the gradients' way over the bus.
"""

import json
from typing import Any

import torch
from ablation import attention, fused_attention
from harness import parser_of, write_result
from scaling import PUBLISHED
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from training_step import make_step

from maelib import create_model
from maelib.files import data_path
from maelib.training.config import ARTICLE_MODEL, ARTICLE_RECIPE

PEAK, BANDWIDTH = 65e12, 320e9  # of a T4 by its data sheet: operations a second in fp16, bytes a second
PICTURES = 100_000  # of Tiny ImageNet, an epoch


class Traffic(TorchDispatchMode):
    """Bytes that operators read and write, as if nothing stayed in a cache."""

    bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            tensors = [leaf for leaf in tree_leaves([args, kwargs, result]) if isinstance(leaf, torch.Tensor)]
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return result


def work(model: str) -> tuple[float, float, float]:
    """Of a training step: operations in products and bytes for each picture, and bytes for the step itself."""
    found = {}
    for batch in (2, 4):
        net = create_model(model)
        step = make_step(net, torch.rand(batch, 3, *net.config.hw), "bf16")  # 16 bits, as fp16 has
        step()  # the optimizer's state is there from now on
        with FlopCounterMode(display=False) as operations:
            step()
        with attention(fused_attention), Traffic() as traffic:
            step()
        found[batch] = operations.get_total_flops(), traffic.bytes
    each = (found[4][1] - found[2][1]) / 2
    return found[4][0] / 4, each, found[4][1] - 4 * each


def row(case: str, images_per_second: float, share: float) -> dict[str, Any]:
    """A line of the table."""
    hours = ARTICLE_RECIPE.epochs * PICTURES / images_per_second / 3600
    return {"case": case, "images_per_second": round(images_per_second), "share_of_peak": round(share, 3),
            "hours_of_25_epochs": round(hours, 1)}  # fmt: skip


def main() -> None:
    parser = parser_of(__doc__, "json")
    args = parser.parse_args()
    operations, each, once = work(ARTICLE_MODEL)
    scaling = json.loads(data_path("results/scaling.json").read_text())["table"]
    efficiency = next(line["efficiency"] for line in scaling if "T4" in line["case"])
    batch = ARTICLE_RECIPE.batch_size / 2  # a card's share of a step
    seconds = operations / PEAK + (each + once / batch) / BANDWIDTH  # of a picture on one card
    ceiling, others = 2 * efficiency / seconds, PUBLISHED * operations / (2 * PEAK)
    table = [
        row("a public notebook of the same model, reported", PUBLISHED, others),
        row(
            "ours, by the roofline of the data sheet: projected, a ceiling", ceiling, ceiling * operations / (2 * PEAK)
        ),
    ]
    print(f"{operations / 1e9:.1f} GFLOP and {each / 1e6:.0f} MB a picture, {once / 1e9:.1f} GB a step")
    for line in table:
        print(line)
    if args.json:
        about = {
            "about": "Two T4s, the article's model, fp16; nothing here was measured by this project. From the operations and "
            "bytes of our step, counted, and the data sheet: 65 TFLOP/s and 320 GB/s a card. A run should lie between "
            "the lines",
            "gflop_per_image": round(operations / 1e9, 1), "mb_per_image": round(each / 1e6),
        }  # fmt: skip
        write_result(args.json, table, **about, hardware=None, software=None)


if __name__ == "__main__":
    main()
