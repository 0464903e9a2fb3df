"""Pictures of reconstructions, drawn with PIL."""

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from .reconstruction import Reconstruction

MARGIN = 12


def to_picture(array: np.ndarray, at_least: int = 0) -> Image.Image:
    """(H, W, C) in [0, 1] as a picture, enlarged by whole pixels until its sides have `at_least` pixels."""
    pixels = np.rint(array.clip(0, 1) * 255).astype(np.uint8)
    factor = max(1, -(-at_least // min(pixels.shape[:2])))
    pixels = pixels.repeat(factor, 0).repeat(factor, 1)
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert("RGB")


def four_panels(reconstruction: "Reconstruction", side: int = 320) -> Image.Image:
    """Original, masked, raw and pasted in a row, each labelled; the figures with their protocol below."""
    r, metrics = reconstruction, reconstruction.metrics()
    pasted = metrics["pasted"]
    captions = [f"pasted: {pasted['psnr']:.2f} dB, SSIM {pasted['ssim']:.3f}"]
    captions += [f"{name}: {m['psnr']:.2f} dB" for name, m in metrics.items() if name != "pasted"]
    labels = ["original", f"masked, {r.mask.mean():.0%} hidden", "raw prediction", "pasted"]
    pictures = [to_picture(array, side) for array in (r.original, r.masked, r.raw, r.pasted)]
    width, height = pictures[0].size
    font, small = ImageFont.load_default(size=22), ImageFont.load_default(size=18)
    sheet = Image.new("RGB", (4 * (width + MARGIN) + MARGIN, height + 92), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (label, picture) in enumerate(zip(labels, pictures, strict=True)):
        x = MARGIN + i * (width + MARGIN)
        draw.text((x, 8), label, fill="black", font=font)
        sheet.paste(picture, (x, 44))
    draw.text((MARGIN, height + 58), "PSNR by protocol   " + "     ".join(captions), fill="#333333", font=small)
    return sheet


def contact_sheet(reconstructions: list["Reconstruction"], side: int = 96) -> Image.Image:
    """Many reconstructions: a column each, with original, masked, raw and pasted below one another."""
    columns = [[to_picture(a, side) for a in (r.original, r.masked, r.raw, r.pasted)] for r in reconstructions]
    width, height = columns[0][0].size
    sheet = Image.new("RGB", (len(columns) * (width + 4) - 4, 4 * (height + 4) - 4), "white")
    for i, column in enumerate(columns):
        for j, picture in enumerate(column):
            sheet.paste(picture, (i * (width + 4), j * (height + 4)))
    return sheet


def labelled_sheets(
    groups: list[tuple[str, list[tuple[str, "Reconstruction"]]]], columns: int = 5, side: int = 128
) -> Image.Image:
    """Contact sheets below one another, `columns` wide: each group under its title, each picture under its label."""
    font, small = ImageFont.load_default(size=20), ImageFont.load_default(size=14)
    parts = [
        (title if start == 0 else "", members[start : start + columns])
        for title, members in groups
        for start in range(0, len(members), columns)
    ]
    sheets = [contact_sheet([reconstruction for _, reconstruction in part], side) for _, part in parts]
    above = [24 + (34 if title else 0) for title, _ in parts]
    size = (
        max(sheet.width for sheet in sheets),
        sum(sheet.height for sheet in sheets) + sum(above) + MARGIN * len(parts),
    )
    page = Image.new("RGB", (size[0] + 2 * MARGIN, size[1] + MARGIN), "white")
    draw, y = ImageDraw.Draw(page), MARGIN
    for (title, part), sheet, room in zip(parts, sheets, above, strict=True):
        draw.text((MARGIN, y), title, fill="black", font=font)
        step = (sheet.width + 4) // len(part)
        for i, (label, _) in enumerate(part):
            draw.text((MARGIN + i * step, y + room - 20), label, fill="#333333", font=small)
        page.paste(sheet, (MARGIN, y + room))
        y += room + sheet.height + MARGIN
    return page
