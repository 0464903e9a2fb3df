"""Masking: which patches stay visible (chapter 02). A training step gets its masks from `training.batches`."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .patches import unpatchify


def num_visible(num_patches: int, ratio: float) -> int:
    """K = max(1, int(N (1 - ratio))), the count of the reference code of He et al. 2022; ValueError outside [0, 1)."""
    if not 0 <= ratio < 1:
        raise ValueError(f"a mask ratio must be in [0, 1), got {ratio}")
    return max(1, int(num_patches * (1 - ratio)))


class Masking(NamedTuple):
    """Who is visible and who is hidden, for one image or for each of a batch; both in raster order.

    Made with `random`, `from_noise`, `from_mask`, or `maelib.strategies.seeded`; the model takes it in place of a ratio.
    `missing` marks patches whose pixels nobody knows: as long as K are known, none of them is shown, and none is scored.
    """

    visible: Tensor  # (B, K) int64: indices of the visible patches
    hidden: Tensor  # (B, M) int64: indices of the hidden ones, K + M = N
    missing: Tensor | None = None  # (B, N) bool

    @property
    def num_patches(self) -> int:
        """N = K + M."""
        return self.visible.shape[1] + self.hidden.shape[1]

    @property
    def restore(self) -> Tensor:
        """Where each patch stands in [visible, hidden]: (B, N) int64."""
        return torch.cat([self.visible, self.hidden], dim=1).argsort(dim=1)

    @property
    def mask(self) -> Tensor:
        """(B, N) bool, True = hidden."""
        return self.restore >= self.visible.shape[1]

    @classmethod
    def from_noise(cls, noise: Tensor, ratio: float = 0.75, missing: Tensor | None = None) -> "Masking":
        """The K patches with the lowest noise (B, N) stay visible, of equal ones the first; missing ones come last."""
        keep = num_visible(noise.shape[1], ratio)
        if missing is not None:
            noise = noise.masked_fill(missing, torch.inf)
        order = noise.argsort(dim=1, stable=True)
        return cls(order[:, :keep].sort(dim=1).values, order[:, keep:].sort(dim=1).values, missing)

    @classmethod
    def random(
        cls, batch: int, num_patches: int, ratio: float = 0.75, device: Any = None, missing: Tensor | None = None
    ) -> "Masking":
        """By chance, for each image its own (He et al. 2022, section 3)."""
        return cls.from_noise(torch.rand(batch, num_patches, device=device), ratio, missing)

    @classmethod
    def from_mask(cls, mask: Tensor, missing: Tensor | None = None) -> "Masking":
        """Hidden are the True patches of a mask (N,) or (B, N), and the missing ones; ValueError where that cannot be."""
        mask = torch.atleast_2d(torch.as_tensor(mask))
        if mask.dtype != torch.bool or mask.dim() != 2:
            raise ValueError(f"a mask is boolean, (N,) or (B, N), True = hidden; got {mask.dtype} {tuple(mask.shape)}")
        if missing is not None:
            missing = torch.atleast_2d(torch.as_tensor(missing))
            mask = mask | missing
        counts = sorted(set((~mask).sum(dim=1).tolist()))
        if len(counts) != 1 or counts == [0]:
            raise ValueError(f"every image needs as many visible patches, at least one; got {counts}")
        order = mask.byte().argsort(dim=1, stable=True)  # visible first, each group in raster order
        return cls(order[:, : counts[0]], order[:, counts[0] :], missing)

    @classmethod
    def of(cls, masking: "float | Masking", patches: Tensor) -> "Masking":
        """For patches (B, N, P): a ratio draws, a Masking of one image serves all; ValueError for another B or N."""
        B, N, _ = patches.shape
        if not isinstance(masking, (int, float, Masking)):
            raise TypeError(f"masking is a ratio or a Masking, got {type(masking).__name__}: see Masking.from_mask")
        if not isinstance(masking, Masking):
            return cls.random(B, N, masking, patches.device)
        given = [ids for ids in masking if ids is not None]
        rows, count = given[0].shape[0], masking.num_patches
        if rows not in (1, B) or count != N or any(ids.shape[0] != rows for ids in given):
            raise ValueError(f"a masking of {rows} x {count} patches does not fit {B} images of {N} patches")
        return cls(*(ids.to(patches.device).expand(B, -1) for ids in given))


def gather_tokens(tokens: Tensor, ids: Tensor) -> Tensor:
    """Pick tokens by index, each row its own: (B, N, D) and (B, K) -> (B, K, D)."""
    return tokens.gather(1, ids[..., None].expand(-1, -1, tokens.shape[2]))


def pixel_mask(mask: Tensor, patch_size: int, grid: tuple[int, int]) -> Tensor:
    """A mask of patches (B, N) as one of pixels: (B, 1, H, W) bool, True = hidden."""
    return unpatchify(mask[..., None].expand(-1, -1, patch_size**2), patch_size, grid)
