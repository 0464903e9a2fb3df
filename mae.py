"""A masked autoencoder (MAE, He et al. 2022) in one file, to read and to fork: `python mae.py FOLDER`.

Hide three quarters of a picture's patches, show a vision transformer the rest, ask for what was hidden. The left two
thirds of each picture train; crops of the right third score, as PSNR of the hidden pixels in dB: higher is better.
Shapes: B batch, C channels, N patches, K visible, M hidden, P values in a patch, D width, h heads, L tokens."""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BF16 = torch.cuda.is_bf16_supported(False) if DEVICE == "cuda" else torch.cpu._is_avx512_bf16_supported()  # is it fast?
MEAN, STD = 0.45, 0.27  # of photographs in [0, 1]: standardised pixels train faster


def read_picture(path: Path, size: int) -> Tensor:  # (3, H, W) uint8; in a third of it crops have room to move
    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    picture = ImageOps.scale(picture, 2.5 * size / min(picture.height, picture.width / 3))
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def random_crop(picture: Tensor, size: int) -> Tensor:  # (3, size, size) in [0, 1]; every second one is mirrored
    y, x = (int(torch.randint(side - size + 1, ())) for side in picture.shape[1:])
    return picture[:, y : y + size, x : x + size].flip([2] if torch.rand(()) < 0.5 else []) / 255


def random_masking(B: int, N: int, ratio: float = 0.75) -> tuple[Tensor, Tensor]:  # indices (B, K) and (B, M)
    order, K = torch.rand(B, N).argsort(dim=1).to(DEVICE), max(1, int(N * (1 - ratio)))
    return order[:, :K].sort(dim=1).values, order[:, K:].sort(dim=1).values


def patchify(images: Tensor, p: int) -> Tensor:  # (B, C, H, W) -> (B, N, P): row by row, in a patch channels last
    return images.unflatten(3, (-1, p)).unflatten(2, (-1, p)).permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def unpatchify(patches: Tensor, p: int, side: int) -> Tensor:  # (B, N, P) -> (B, C, H, W)
    return (
        patches.unflatten(2, (p, p, -1)).unflatten(1, (side, side)).permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)
    )


def sincos_2d(side: int, D: int) -> Tensor:  # (N, D), fixed: half a vector says the column, the other half the row
    angles = torch.arange(side)[:, None] * 10_000 ** -(torch.arange(D // 4, dtype=torch.float64) / (D // 4))
    axis = torch.cat([angles.sin(), angles.cos()], dim=1).float()  # (side, D/2)
    return torch.cat([axis.repeat(side, 1), axis.repeat_interleave(side, dim=0)], dim=1)


class Block(nn.Module):  # attention, then an MLP, each on normalised tokens and added to them: (B, L, D) -> (B, L, D)
    def __init__(self, D: int):
        super().__init__()
        self.norm1, self.norm2, self.heads = nn.LayerNorm(D, 1e-6), nn.LayerNorm(D, 1e-6), D // 32
        self.qkv, self.output = nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.mlp = nn.Sequential(nn.Linear(D, 4 * D), nn.GELU(), nn.Linear(4 * D, D))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (B, h, L, D/h)
        weights = (q @ k.transpose(2, 3) / q.shape[3] ** 0.5).softmax(dim=3)  # (B, h, L, L): who looks where
        x = x + self.output((weights @ v).transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):  # what encoder and decoder are made of
    def __init__(self, inputs: int, side: int, D: int, depth: int):
        super().__init__()
        self.embed, self.positions = nn.Linear(inputs, D), nn.Buffer(sincos_2d(side, D))
        self.token = nn.Parameter(0.02 * torch.randn(D))  # the encoder's class token, the decoder's mask token
        self.blocks, self.norm = nn.Sequential(*(Block(D) for _ in range(depth))), nn.LayerNorm(D, 1e-6)


class MaskedAutoencoder(nn.Module):
    def __init__(self, side: int, patch: int, normalize_targets: bool = False, D: int = 128, depth: int = 4):
        super().__init__()
        self.encoder, self.decoder = Transformer(3 * patch**2, side, D, depth), Transformer(D, side, D // 2, depth // 4)
        self.head, self.patch, self.normalize_targets = nn.Linear(D // 2, 3 * patch**2), patch, normalize_targets
        for matrix in (p for p in self.parameters() if p.dim() > 1):
            nn.init.xavier_uniform_(matrix)

    def forward(self, images: Tensor, visible: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows = torch.arange(len(images), device=images.device)[:, None]  # patches[rows, visible] is (B, K, P)
        patches = patchify((images - MEAN) / STD, self.patch)  # (B, N, P)
        x = self.encoder.embed(patches[rows, visible]) + self.encoder.positions[visible]  # (B, K, D)
        x = torch.cat([self.encoder.token.expand(len(x), 1, -1), x], dim=1)  # (B, 1 + K, D): hidden ones cost nothing
        x = self.decoder.embed(self.encoder.norm(self.encoder.blocks(x)))  # (B, 1 + K, D'), D' the decoder's width
        restore = torch.cat([visible, hidden], dim=1).argsort(dim=1)  # (B, N): back to raster order
        tokens = torch.cat([x[:, 1:], self.decoder.token.expand(*hidden.shape, -1)], dim=1)[rows, restore]
        x = torch.cat([x[:, :1], tokens + self.decoder.positions], dim=1)  # position alone tells hidden patches apart
        pred = self.head(self.decoder.norm(self.decoder.blocks(x)[:, 1:])).float()  # (B, N, P)
        target, pixels = patches, pred
        if self.normalize_targets:  # a patch less its mean, by its deviation; for pixels, those of the visible ones
            mean, std = patches.mean(2, keepdim=True), (patches.var(2, keepdim=True) + 1e-6).sqrt()  # (B, N, 1)
            target = (patches - mean) / std
            pixels = pred * std[rows, visible].square().mean(1, True).sqrt() + mean[rows, visible].mean(1, True)
        loss = (pred[rows, hidden] - target[rows, hidden]).square().mean()
        return loss, pred, (pixels * STD + MEAN).clamp(0, 1)  # the last two of all patches, (B, N, P)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="pictures, nested as you like; data/samples of the project will do")
    parser.add_argument("--seconds", type=float, default=60, help="of training: 60")
    parser.add_argument("--steps", type=int, help="of training, in place of --seconds: the same result every time")
    parser.add_argument("--out", type=Path, default="mae.png", help="the picture to write: mae.png")
    parser.add_argument("--size", type=int, default=48, help="of a crop in pixels, a multiple of --patch: 48")
    parser.add_argument("--patch", type=int, default=4, help="side of a patch in pixels: 4")
    parser.add_argument("--normalize-targets", action="store_true", help="predict patches without their mean and scale")
    parser.add_argument("--seed", type=int, default=0, help="of weights, crops and masks: 0")
    args = parser.parse_args()
    paths = sorted(p for p in args.folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp", ".tif"))
    if not paths:
        raise SystemExit(f"{args.folder} is no folder with pictures in it: name one that holds JPEG or PNG files")
    pictures = [read_picture(path, args.size) for path in paths]
    train, kept = [x[:, :, : x.shape[2] * 2 // 3] for x in pictures], [x[:, :, x.shape[2] * 2 // 3 :] for x in pictures]
    torch.set_num_threads(1)  # several would spin and wait on a busy machine; a wider model wants them back
    torch.manual_seed(args.seed)
    side, step, start = args.size // args.patch, 0, time.perf_counter()
    model = MaskedAutoencoder(side, args.patch, args.normalize_targets).to(DEVICE)
    matrices = {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": 0.05}
    others = {"params": [p for p in model.parameters() if p.dim() == 1], "weight_decay": 0.0}  # biases, norms, tokens
    optimizer = torch.optim.AdamW([matrices, others], betas=(0.9, 0.95), fused=True)
    while (progress := step / args.steps if args.steps else (time.perf_counter() - start) / args.seconds) < 1:
        for group in optimizer.param_groups:  # warm-up, then a cosine
            group["lr"] = 4e-3 * min(progress / 0.05, (1 + np.cos(np.pi * progress)) / 2)
        images = torch.stack([random_crop(train[i], args.size) for i in torch.randint(len(train), (16,))]).to(DEVICE)
        with torch.autocast(DEVICE, torch.bfloat16, enabled=BF16):
            loss = model(images, *random_masking(len(images), side**2))[0]
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        print(f"\r{progress:4.0%}, step {step}, loss {loss.item():.3f}", end="", flush=True)
    torch.manual_seed(0)  # the same crops and masks for every run
    images = torch.stack([random_crop(kept[i * len(kept) // 60], args.size) for i in range(60)]).to(DEVICE)
    visible, hidden = random_masking(len(images), side**2)
    original, raw = patchify(images, args.patch), model(images, visible, hidden)[2].detach()  # (B, N, P)
    where = hidden[..., None].expand(-1, -1, raw.shape[2])  # (B, M, P)
    colour = original.take_along_dim(visible[..., None], 1).unflatten(2, (-1, 3)).mean(dim=(1, 2))  # (B, 3)
    for name, fill in (("mean colour", colour.repeat(1, args.patch**2)[:, None].expand_as(raw)), ("this model", raw)):
        error = (fill - original).gather(1, where).square().mean(dim=(1, 2)).clamp(min=1e-10)
        print(f"\n{name}: {-10 * error.log10().mean().item():.2f} dB", end="")
    rows = [original, original.scatter(1, where, 0.5), raw, original.scatter(1, where, raw.gather(1, where))]
    rows = [nn.functional.pad(unpatchify(row[::6], args.patch, side), [2] * 4, value=1.0) for row in rows]
    sheet = (torch.stack(rows) * 255).round().byte().permute(0, 3, 1, 4, 2).flatten(0, 1).flatten(1, 2).cpu().numpy()
    ImageOps.scale(Image.fromarray(sheet), 2, Image.Resampling.NEAREST).save(args.out)
    print(f"\n{args.out}: original, masked, raw, pasted")
