"""What the encoder's features are good for: neighbours and a linear probe, by layer and by share of the labels.

    python benchmarks/probes.py --json data/results/probes.json                       # two hours on two cores
    python benchmarks/probes.py --shares 0.01 0.1 --n 5000 --json FILE                # a quarter of an hour

Features of Tiny ImageNet by the embedded model, and by one of its shape with random weights. They are kept in OUT, so an
interrupted run goes on.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import parser_of, write_result
from torch import Tensor

import maelib
from maelib import MaskedAutoencoder, create_model
from maelib.datasets import PackedImages, load_dataset
from maelib.evaluation.probes import LinearProbe, knn_predict, layer_features
from maelib.hardware import DTYPES, choose_precision


def labels_of(data: PackedImages) -> np.ndarray:
    """The labels, which this needs."""
    if data.labels is None:
        raise ValueError(f"{data.name} has no labels: a folder for each class is needed")
    return data.labels


def some_of_each(labels: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    """Indices of a share of the pictures of every class, at least one, drawn with a seed."""
    random = np.random.default_rng(seed)
    classes = [random.permutation(np.flatnonzero(labels == c)) for c in range(labels.max() + 1)]
    return np.sort(np.concatenate([members[: max(1, round(share * len(members)))] for members in classes]))


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """What is in a file, or else what `make` makes, which is then kept there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(make(), path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)
    return torch.load(path)


def encoders(name: str) -> dict[str, MaskedAutoencoder]:
    """The trained model, and one of its shape that has seen nothing."""
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return {"pre-trained": maelib.load(name).to(device), "random": create_model(name).eval().to(device)}


def probe_row(seen: Tensor, classes: Tensor, asked: Tensor, truth: Tensor, **fields: Any) -> dict[str, Any]:
    """A linear probe and the nearest neighbours, on labelled features and asked about others."""
    probe = LinearProbe(seen, classes)
    neighbours = (knn_predict(asked, seen, classes, k=min(20, len(seen))) == truth).float().mean().item()
    row = {"method": "linear probe", **fields, "pictures": len(seen), "accuracy": round(probe.accuracy(asked, truth), 4),
           "knn_accuracy": round(neighbours, 4), "decay": probe.decay}  # fmt: skip
    print(row, flush=True)
    return row


def probe_rows(
    name: str, train: PackedImages, val: PackedImages, shares: Sequence[float], n: int, out: Path
) -> list[dict[str, Any]]:
    """Every layer on a tenth of the labels, then the best layer on other shares."""
    labels, truth = labels_of(train), torch.from_numpy(labels_of(val)[:n])
    rows = []
    for weights, model in encoders(name).items():
        everyone = some_of_each(labels, max(*shares, 0.1))  # a larger share holds the smaller ones
        seen = kept(out / f"{weights}-train-{len(everyone)}.pt", partial(features, model, train.images, everyone))
        asked = kept(out / f"{weights}-val-{n}.pt", partial(features, model, val.images, np.arange(n)))

        def score(
            layer: int, share: float, everyone: np.ndarray = everyone, seen: Tensor = seen, asked: Tensor = asked,
            weights: str = weights,
        ) -> dict[str, Any]:  # fmt: skip
            ids = some_of_each(labels, share)
            x = seen[np.searchsorted(everyone, ids), layer]
            fields = {"weights": weights, "labels": share, "layer": layer + 1}
            return probe_row(x, torch.from_numpy(labels[ids]), asked[:, layer], truth, **fields)

        layers = [score(layer, 0.1) for layer in range(seen.shape[1])]
        best = max(range(len(layers)), key=lambda layer: layers[layer]["accuracy"])
        rows += layers + [score(best, share) for share in shares if share != 0.1]
    return rows


def features(model: MaskedAutoencoder, images: np.ndarray, ids: np.ndarray) -> Tensor:
    """Features of some pictures by layer, in the precision the machine is fast in."""
    device = next(model.parameters()).device
    dtype = DTYPES[choose_precision("auto", device)]
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        return layer_features(model, images[ids])


def main() -> None:
    parser = parser_of(__doc__, "model", "n", "data", "out", "json", n=10_000, out=Path("runs/probes"))
    parser.add_argument(
        "--shares", type=float, nargs="+", default=[0.01, 0.1, 1.0], help="of the labels, for the probes"
    )
    args = parser.parse_args()
    train, val = (load_dataset(args.data, split) for split in ("train", "val"))
    rows = probe_rows(args.model, train, val, args.shares, args.n, args.out)
    if args.json:
        about = {
            "kind": "probe", "model": args.model, "n": args.n, "seed": 0,
            "about": f"Accuracy among the {len(train.classes)} classes of Tiny ImageNet, first {args.n:,} validation pictures. "
            "Linear probe: logistic regression on the standardised mean over the patches after a layer, weight decay chosen on "
            "a fifth of the labelled pictures held back; neighbours: 20, by cosine. The layers are compared on a tenth of the "
            "labels, the best one is used for other shares. Random: the same network before its first step. One run each, seed 0",
        }  # fmt: skip
        write_result(args.json, rows, **about)


if __name__ == "__main__":
    main()
