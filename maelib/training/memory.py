"""What a training step needs of a GPU's memory, counted from shapes."""

from ..masking import num_visible
from ..config import MAEConfig
from ..model import MaskedAutoencoder

HALF, SINGLE = 2, 4  # bytes of a number


def step_memory(model: MaskedAutoencoder, batch: int, mask_ratio: float = 0.75) -> dict[str, int]:
    """Bytes of a training step in mixed precision on one GPU, by what they are for; `batch` pictures go through at once.

    `state`: weights, gradients, and AdamW's two means, in 32 bits. `copies`: weights in 16 bits, and the gradients that
    are on their way to the other cards. `activations`: what the forward pass keeps for the backward pass, with an
    attention that keeps no scores (fused, as on GPUs). Temporary buffers and the allocator's losses come on top: allow a
    fifth, and half a gigabyte for CUDA itself.
    """
    c: MAEConfig = model.config
    parameters = sum(p.numel() for p in model.parameters())
    patches = c.grid[0] * c.grid[1]
    visible = num_visible(patches, mask_ratio)
    hidden = patches - visible
    kept = c.depth * (1 + visible) * block_bytes(c.width, c.mlp_ratio)
    whole = block_bytes(c.decoder_width, c.mlp_ratio)
    norm, keys_values = c.decoder_width * (SINGLE + HALF), c.decoder_width * 2 * HALF
    # A block of the decoder that computes queries and the MLP for hidden patches only: all with cross-attention, else the
    # last. Its norm sees all tokens; keys and values come from all, with cross-attention from the visible ones.
    sources = visible if c.decoder_cross else patches
    partial = (1 + patches) * norm + (1 + sources) * keys_values + hidden * (whole - norm - keys_values)
    kept += (c.decoder_depth - 1) * (partial if c.decoder_cross else (1 + patches) * whole) + partial
    kept += visible * c.patch_dim * (SINGLE + HALF) + hidden * c.patch_dim * 3 * SINGLE  # in, out, targets
    kept += (1 + visible) * c.width * (SINGLE + HALF) + hidden * c.decoder_width * (SINGLE + HALF)  # the two last norms
    return {
        "state": parameters * 4 * SINGLE,
        "copies": parameters * (HALF + SINGLE),
        "activations": batch * kept,
    }


def block_bytes(width: int, mlp_ratio: float = 4.0) -> int:
    """What one block keeps for each of its tokens: norms' inputs in 32 bits; in 16 bits what enters each matrix, queries,
    keys and values, what leaves the attention, and what enters the GELU."""
    norms = 2 * width * SINGLE
    matrices = (
        2 * width * HALF + width * HALF + int(width * mlp_ratio) * HALF
    )  # two norms' outputs, attention's, GELU's
    return norms + matrices + 3 * width * HALF + int(width * mlp_ratio) * HALF
