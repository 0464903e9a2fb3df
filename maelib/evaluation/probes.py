"""What an encoder's features are good for: nearest neighbours and a linear probe (chapter 10)."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from ..datasets import PackedImages
from ..model import MaskedAutoencoder
from .reconstruction import check_values

DECAYS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)


@torch.inference_mode()
def layer_features(
    model: MaskedAutoencoder, data: PackedImages | np.ndarray, *, batch_size: int = 64, progress: bool = True
) -> Tensor:
    """Features of whole pictures after every block, nothing hidden: (n, depth, D) float32, means over the patches.

    As nothing is hidden, patches with missing pixels are seen like all others, `pixel_mean` in those pixels.

    Parameters
    ----------
    data
        Packed pictures, or (n, H, W, C) uint8, of the model's own size; ValueError where their range is not the model's.
    """
    data = PackedImages.of(data)
    check_values(model, data)
    n = len(data)
    c = model.config
    device = model.pixel_mean.device
    found = torch.empty(n, c.depth, c.width)
    outputs: list[Tensor] = []
    hooks = [
        block.register_forward_hook(lambda *call: outputs.append(call[-1][:, 1:].float().mean(dim=1)))
        for block in model.encoder.blocks
    ]
    try:
        with tqdm(total=n, desc="features", unit="image", disable=None if progress else True) as bar:
            for start in range(0, n, batch_size):
                images = data.unit(slice(start, min(start + batch_size, n)), c.pixel_mean).to(device)
                model.encode(images, pool=None)
                found[start : start + len(images)] = torch.stack(outputs, dim=1).cpu()
                outputs.clear()
                bar.update(len(images))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def nearest(queries: Tensor, features: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest by cosine, nearest first, for queries (Q, D) among features (n, D): similarities and indices (Q, k)."""
    if not 1 <= k <= len(features):
        raise ValueError(f"k must be from 1 to the {len(features)} features there are, got {k}")
    features = F.normalize(features.float(), dim=1)
    parts = [(F.normalize(part.float(), dim=1) @ features.T).topk(k, dim=1) for part in queries.split(1000)]
    return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])


def knn_predict(queries: Tensor, features: Tensor, labels: Tensor, k: int = 20, temperature: float = 0.07) -> Tensor:
    """Classes (Q,) by vote of the k nearest, each with the weight exp(cosine / temperature) (Wu et al. 2018)."""
    similarity, index = nearest(queries, features, k)
    votes = torch.zeros(len(queries), int(labels.max()) + 1)
    weight = ((similarity - similarity[:, :1]) / temperature).exp()  # the nearest has weight 1: nothing overflows
    return votes.scatter_add(1, labels[index], weight).argmax(dim=1)


def fit_linear(features: Tensor, labels: Tensor, decay: float, steps: int = 100) -> nn.Linear:
    """Logistic regression by L-BFGS, with a penalty of `decay` on the squared weights: (n, D) and (n,) to a layer."""
    linear = nn.Linear(features.shape[1], int(labels.max()) + 1)
    nn.init.zeros_(linear.weight)  # convex: where one starts does not matter
    nn.init.zeros_(linear.bias)
    optimizer = torch.optim.LBFGS(linear.parameters(), max_iter=steps, line_search_fn="strong_wolfe")

    def closure():  # type: ignore[no-untyped-def]
        optimizer.zero_grad()
        loss = F.cross_entropy(linear(features), labels) + decay * linear.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return linear


class LinearProbe:
    """A linear classifier on frozen features (n, D), standardised number by number.

    Mean and spread are those of the training set, as in the batch norm without parameters that He et al. 2022 put before
    their probe (appendix A.1). `decay` None takes the best of `DECAYS` on a fifth of the training set that is held back,
    then all of it is used.

    Raises
    ------
    ValueError
        Features and labels of different length, only one class, or fewer than five features to choose a decay by.
    """

    def __init__(
        self, features: Tensor, labels: Tensor, decay: float | None = None, standardise: bool = True, seed: int = 0
    ):
        if len(features) != len(labels):
            raise ValueError(f"each feature needs a label, got {len(labels)} labels for {len(features)} features")
        if labels.min() == labels.max():
            raise ValueError(f"a probe needs at least two classes, got only class {int(labels.min())}")
        self.mean, self.std = torch.zeros(features.shape[1]), torch.ones(features.shape[1])
        if standardise:
            self.mean, self.std = features.mean(dim=0), features.std(dim=0).clamp(min=1e-6)
        if decay is None and len(features) < 5:
            raise ValueError(f"a fifth of {len(features)} features is none to choose a decay by: give decay")
        x = (features - self.mean) / self.std
        self.decay = _best_decay(x, labels, seed) if decay is None else decay
        self.linear = fit_linear(x, labels, self.decay)

    @torch.inference_mode()
    def predict(self, features: Tensor) -> Tensor:
        """Classes (Q,) of features (Q, D)."""
        return self.linear((features - self.mean) / self.std).argmax(dim=1)

    def accuracy(self, features: Tensor, labels: Tensor) -> float:
        """Share of features (Q, D) whose class is predicted right."""
        return (self.predict(features) == labels).float().mean().item()


def _best_decay(x: Tensor, labels: Tensor, seed: int) -> float:
    """Of `DECAYS` the one that predicts a fifth best from the rest."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    held, rest = order[: len(x) // 5], order[len(x) // 5 :]

    def score(decay: float) -> float:
        predicted = fit_linear(x[rest], labels[rest], decay)(x[held]).argmax(dim=1)
        return (predicted == labels[held]).float().mean().item()

    return max(DECAYS, key=score)
