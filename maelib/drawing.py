"""Small pictures as arrays (H, W, 3) uint8, and sheets of them with words, drawn with numpy and PIL."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .files import write_atomically

GAP = 2  # white pixels between pictures that stand side by side
MARGIN = 12  # of a sheet with words
DIM = 0.45  # what is not meant keeps this share of its brightness
STRETCH = 0.02, 0.98  # the quantiles of a band that are shown black and white, where it is no photograph

# Black, purple, red, orange, pale yellow: brightness grows all the way, for colour-blind eyes and for print.
_STOPS = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], dtype=float)
COLOURS = np.stack(
    [np.interp(np.linspace(0, len(_STOPS) - 1, 256), range(len(_STOPS)), stop) for stop in _STOPS.T], axis=1
)
COLOURS = np.rint(COLOURS).astype(np.uint8)  # (256, 3)


class Look(NamedTuple):
    """How values (H, W, C) in [0, 1] are shown; scores are of the values as they are.

    `bands` counts from 1: three are red, green and blue, one is gray. `low` and `high` are the values of each that become
    black and white; None where 0 and 1 do.
    """

    bands: tuple[int, ...]
    low: np.ndarray | None = None
    high: np.ndarray | None = None

    @classmethod
    def of(cls, picture: np.ndarray, bands: Sequence[int] = (), known: np.ndarray | None = None) -> "Look":
        """The look of a picture (H, W, C), and of what is compared with it: each band stretched by its quantiles.

        `known` (H, W) bool leaves the other pixels out of them. ValueError where there is no such band.
        """
        bands = bands_shown(picture.shape[2], bands)
        pixels = picture[np.ones(picture.shape[:2], bool) if known is None or not known.any() else known]
        low, high = np.quantile(pixels[:, np.array(bands) - 1], STRETCH, axis=0)
        flat = 0.5 * (low == high)  # a band without contrast is shown gray
        return cls(bands, low - flat, high + flat)

    def unit(self, picture: np.ndarray) -> np.ndarray:
        """The bands that are shown, (H, W, 3) or (H, W, 1), black 0 and white 1."""
        chosen = picture[:, :, np.array(self.bands) - 1]
        return chosen if self.low is None or self.high is None else (chosen - self.low) / (self.high - self.low)

    @property
    def words(self) -> str:
        """What is shown, such as `bands 4, 3, 2 as red, green, blue, stretched from their 2 to their 98 % quantiles`."""
        one, numbers = len(self.bands) == 1, ", ".join(map(str, self.bands))
        text = f"band {numbers} as gray" if one else f"bands {numbers} as red, green, blue"
        if self.low is None:
            return text
        each, (low, high) = "its" if one else "their", (100 * share for share in STRETCH)
        return f"{text}, stretched from {each} {low:g} to {each} {high:g} % quantile{'' if one else 's'}"


def bands_shown(channels: int, bands: Sequence[int] = ()) -> tuple[int, ...]:
    """Which bands are shown, counted from 1: three as colours or one in gray; ValueError where they are not there.

    If none are named, the first three, or the first of one or two.
    """
    bands = tuple(bands) or (tuple(range(1, 4)) if channels >= 3 else (1,))
    if len(bands) not in (1, 3) or not all(1 <= band <= channels for band in bands):
        raise ValueError(f"bands to show must be 1 or 3 of 1 to {channels}, got {' '.join(map(str, bands))}")
    return bands


def to_uint8(picture: np.ndarray, look: Look | None = None) -> np.ndarray:
    """Values (H, W) or (H, W, C) as a picture (H, W, 3) uint8, rounded: by their look, else [0, 1] as black to white.

    A picture that is uint8 already stays as it is.
    """
    pixels = np.asarray(picture).reshape(*picture.shape[:2], -1)
    if pixels.dtype != np.uint8:
        unit = (look or Look(bands_shown(pixels.shape[2]))).unit(pixels)
        pixels = np.rint(unit.clip(0, 1) * 255).astype(np.uint8)
    return pixels if pixels.shape[2] == 3 else pixels[:, :, :1].repeat(3, axis=2)


def heat(values: np.ndarray, limit: float) -> np.ndarray:
    """Values (H, W) from 0 to `limit` in colours from black to pale yellow; what is beyond is clipped."""
    return COLOURS[np.rint(np.clip(values / limit, 0, 1) * 255).astype(np.uint8)]


def hatched(picture: np.ndarray, where: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) uint8 with slanted stripes in place of some of its pixels (H, W) bool.

    They are two pixels wide whatever its size, so that a hole of one patch shows both shades.
    """
    row, column = np.indices(where.shape)
    stripes = np.where((row + column) % 4 < 2, np.uint8(64), np.uint8(217))
    return np.where(where[..., None], stripes[..., None], picture)


def highlight_patch(picture: np.ndarray, row: int, column: int, patch_size: int) -> np.ndarray:
    """A picture with everything dimmed but one patch."""
    dimmed = np.rint(picture * DIM).astype(np.uint8)
    box = np.s_[row * patch_size : (row + 1) * patch_size, column * patch_size : (column + 1) * patch_size]
    dimmed[box] = picture[box]
    return dimmed


def tile(pictures: Sequence[np.ndarray], columns: int, gap: int = GAP) -> np.ndarray:
    """Pictures of one size in a grid, row by row, white between them."""
    height, width, _ = pictures[0].shape
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, picture in enumerate(pictures):
        y, x = i // columns * (height + gap), i % columns * (width + gap)
        sheet[y : y + height, x : x + width] = picture
    return sheet


def enlarged(picture: np.ndarray, factor: int) -> np.ndarray:
    """Every pixel as factor x factor pixels."""
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def at_least(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture of `to_uint8` as (H', W', 3) uint8, enlarged until no side is below `side` pixels."""
    return enlarged(to_uint8(picture), max(1, -(-side // min(picture.shape[:2]))))


def png(picture: np.ndarray, enlarge: int = 1) -> bytes:
    """The bytes of a PNG file."""
    file = io.BytesIO()
    # The lightest compression: a slider waits for it, and a stronger one saves a tenth.
    Image.fromarray(enlarged(picture, enlarge)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def save_picture(picture: Image.Image, path: Path, **options: Any) -> None:
    """Write a picture in the format that the file's name says: all of it, or nothing where the disk is full."""
    file = io.BytesIO()
    picture.save(file, Image.registered_extensions()[path.suffix.lower()], **options)
    write_atomically(path, file.getvalue())


def side_by_side(pictures: Sequence[np.ndarray], height: int = 256) -> np.ndarray:
    """Pictures of any sizes in a row, each enlarged by whole pixels to at least `height`."""
    big = [enlarged(p, -(-height // len(p))) for p in pictures]
    tallest = max(len(p) for p in big)
    padded = [np.pad(p, ((0, tallest - len(p)), (0, 8), (0, 0)), constant_values=255) for p in big]
    return np.concatenate(padded, axis=1)[:, :-8]


def labelled_row(pictures: Sequence[np.ndarray], labels: Sequence[str], below: str, side: int = 320) -> Image.Image:
    """Pictures of `to_uint8` in a row, each enlarged under its label, and lines of text below."""
    big = [at_least(picture, side) for picture in pictures]
    height, width, _ = big[0].shape
    font, small = ImageFont.load_default(size=22), ImageFont.load_default(size=18)
    room = 92 + 26 * below.count("\n")
    sheet = Image.new("RGB", (len(big) * (width + MARGIN) + MARGIN, height + room), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (label, picture) in enumerate(zip(labels, big, strict=True)):
        x = MARGIN + i * (width + MARGIN)
        draw.text((x, 8), label, fill="black", font=font)
        sheet.paste(Image.fromarray(picture), (x, 44))
    draw.text((MARGIN, height + 58), below, fill="#333333", font=small)
    return sheet


def contact_sheet(columns: Sequence[Sequence[np.ndarray]], side: int = 96) -> Image.Image:
    """Columns of pictures of `to_uint8` beside one another, all of one size, each enlarged to at least `side` pixels."""
    rows = [picture for row in zip(*columns, strict=True) for picture in row]
    return Image.fromarray(tile([at_least(picture, side) for picture in rows], len(columns), gap=4))


def _fitting(line: str, font: Any, width: int) -> str:
    """The end of a line that is no wider than so many pixels."""
    if font.getlength(line) <= width:
        return line
    return next((f"..{line[i:]}" for i in range(len(line)) if font.getlength(f"..{line[i:]}") <= width), "")


def labelled_sheets(
    groups: Sequence[tuple[str, Sequence[tuple[str, Sequence[np.ndarray]]]]], columns: int = 5, side: int = 128
) -> Image.Image:
    """Contact sheets below one another, `columns` wide: each group under its title, each column under its label, whose
    lines lose their beginning where they are wider than it."""
    font, small = ImageFont.load_default(size=20), ImageFont.load_default(size=14)
    parts = [
        (title if start == 0 else "", members[start : start + columns])
        for title, members in groups
        for start in range(0, len(members), columns)
    ]
    sheets = [contact_sheet([pictures for _, pictures in part], side) for _, part in parts]
    lines = max((label.count("\n") + 1 for _, part in parts for label, _ in part), default=1)
    above = [6 + 18 * lines + (34 if title else 0) for title, _ in parts]
    width, height = max(sheet.width for sheet in sheets), sum(sheet.height for sheet in sheets) + sum(above)
    page = Image.new("RGB", (width + 2 * MARGIN, height + MARGIN * (len(parts) + 1)), "white")
    draw, y = ImageDraw.Draw(page), MARGIN
    for (title, part), sheet, room in zip(parts, sheets, above, strict=True):
        draw.text((MARGIN, y), title, fill="black", font=font)
        step = (sheet.width + 4) // len(part)
        for i, (label, _) in enumerate(part):
            text = "\n".join(_fitting(line, small, step - 6) for line in label.split("\n"))
            draw.text((MARGIN + i * step, y + room - 2 - 18 * lines), text, fill="#333333", font=small)
        page.paste(sheet, (MARGIN, y + room))
        y += room + sheet.height + MARGIN
    return page
