"""The map of the whole machine, which opens the book and each of its chapters: a drawing, and the same in words."""

from collections.abc import Sequence
from html import escape
from textwrap import fill
from typing import NamedTuple

from .config import PRESETS, MAEConfig
from .masking import num_visible

PARTS = ("patches", "positions", "masking", "encoder", "decoder", "loss", "training", "pixels")
RATIO = 0.75  # of the patches is hidden

# Two layouts of one drawing, wide and upright: the room that is there chooses. All colours are those of the text, but one.
_STYLE = """<style>
.maelib-map { container-type: inline-size; margin: 0.5rem 0; }
.maelib-map svg { display: block; width: 100%; height: auto; color: inherit; }
.maelib-map svg.upright { display: none; max-width: 420px; margin: auto; }
.maelib-map text { fill: currentColor; font: 11.5px system-ui, sans-serif; text-anchor: middle; }
.maelib-map svg.upright text { font-size: 13.5px; }
.maelib-map .left text { text-anchor: start; }
.maelib-map text.name { font-weight: 600; }
.maelib-map .line, .maelib-map .empty { fill: none; stroke: currentColor; stroke-width: 1.2; }
.maelib-map .empty { stroke-dasharray: 2 1.5; }
.maelib-map .box { fill: currentColor; fill-opacity: 0.07; stroke: currentColor; stroke-width: 1.2; }
.maelib-map .full { fill: currentColor; fill-opacity: 0.75; }
.maelib-map .half { fill: currentColor; fill-opacity: 0.3; }
.maelib-map .lit .full, .maelib-map .lit .half, .maelib-map .lit .box { fill: #D55E00; }
.maelib-map .lit .box { fill-opacity: 0.22; }
.maelib-map .lit .box, .maelib-map .lit .empty, .maelib-map .lit .line { stroke: #D55E00; stroke-width: 2.4; }
.maelib-map .lit text { font-weight: 700; }
.maelib-map .lit > text { text-decoration: underline 2.5px #D55E00; text-underline-offset: 2px; }
@container (max-width: 640px) {
  .maelib-map svg.wide { display: none; }
  .maelib-map svg.upright { display: block; }
}
</style>
"""


class Node(NamedTuple):
    """A tensor or a network: the part it belongs to, its words, its squares, and the middle of it in either layout.

    Squares are letters, `f` full, `h` half, `e` empty, `o` a circle, and `/` begins a row; "box" is a network.
    """

    part: str
    words: tuple[str, ...]
    squares: str
    wide: tuple[int, int]
    upright: tuple[int, int]


class MachineMap:
    """The drawing for notebooks and pages (`_repr_html_`), and what it shows in words (`text`); see `machine_map`."""

    def __init__(self, config: MAEConfig, lit: tuple[str, ...]):
        self.lit, c = lit, config
        N, (H, W), C, P, D = c.grid[0] * c.grid[1], c.hw, c.channels, c.patch_dim, c.width
        K = num_visible(N, RATIO)
        M, below = N - K, c.decoder_width
        blocks = [f"{depth} block{'s' * (depth > 1)}" for depth in (c.depth, c.decoder_depth)]
        self.text = (
            f"The machine: a picture of {C} x {H} x {W} numbers is cut into N = {N} patches of P = {P} values. "
            f"{RATIO:.0%} of them are hidden. The K = {K} visible ones, each with its position, and one class token go "
            f"through the encoder of {blocks[0]} and become 1 + K = {1 + K} latents of width D = {D}. The decoder of "
            f"{blocks[1]} takes these and M = {M} mask tokens, one for each hidden patch, each with its position, and "
            f"predicts {M} x {P} values: the pixels of the hidden patches. The loss compares them with the true hidden "
            f"patches, and with nothing else. In training its gradient changes encoder and decoder."
        ) + (f" Lit: {', '.join(lit)}." if lit else "")
        whole, picture = "hffh/fhff/ffhf/hfff", f"{C} × {H} × {W}"
        self.nodes = [
            Node("patches", ("picture", "(C, H, W)", picture), whole, (46, 96), (66, 40)),
            Node("patches", ("patches", "(N, P)", f"{N} × {P}"), "f f f f/" * 4, (140, 96), (66, 128)),
            Node("masking", ("visible", "(K, P)", f"{K} × {P}"), "f f f f", (236, 96), (66, 214)),
            Node("masking", ("hidden", "(M, P)", f"{M} × {P}"), "h h h h/" * 3, (236, 212), (232, 128)),
            Node("encoder", ("encoder", blocks[0], f"width {D}"), "box", (328, 96), (66, 290)),
            Node("encoder", ("latents", "(1 + K, D)", f"{1 + K} × {D}"), "o f f f f", (420, 96), (66, 374)),
            Node("decoder", ("mask tokens", "(M, D′)", f"{M} × {below}"), "e e e e/" * 3, (512, 24), (200, 462)),
            Node("decoder", ("decoder", blocks[1], f"width {below}"), "box", (512, 96), (66, 462)),
            Node("decoder", ("predicted", "(M, P)", f"{M} × {P}"), "f f f f/" * 3, (604, 96), (66, 550)),
            Node("pixels", ("pixels", "(C, H, W)", picture), whole, (694, 96), (66, 634)),
            Node("loss", ("loss", "of the hidden", "patches alone"), "box", (604, 212), (300, 550)),
        ]

    def __repr__(self) -> str:
        return fill(self.text, 74)

    def _repr_html_(self) -> str:
        drawings = self._drawing("wide", 740, 284, _WIDE) + self._drawing("upright", 376, 690, _UPRIGHT)
        return f'{_STYLE}<div class="maelib-map" role="img" aria-label="{escape(self.text)}">\n{drawings}</div>'

    def _drawing(self, layout: str, width: int, height: int, lines: list[tuple[str, str, str]]) -> str:
        shapes = [self._part(part, _arrow(points), _words(words)) for part, points, words in lines]
        shapes += [self._part(node.part, *_node(node, layout)) for node in self.nodes]
        return f'<svg class="{layout}" viewBox="0 0 {width} {height}" aria-hidden="true">{"".join(shapes)}</svg>\n'

    def _part(self, part: str, *shapes: str) -> str:
        return f'<g class="{part}{" lit" * (part in self.lit)}">{"".join(shapes)}</g>'


def machine_map(*lit: str, config: MAEConfig = PRESETS["mae_tiny_patch4_64"]) -> MachineMap:
    """Draw the way of a picture through a masked autoencoder, with the shape of every tensor; the parts named are lit.

    The numbers are those of a configuration with 75 % hidden. ValueError for a part that is not among `PARTS`.
    """
    for part in lit:
        if part not in PARTS:
            raise ValueError(f"the map has no part {part!r}; there are: {', '.join(PARTS)}")
    return MachineMap(config, lit)


# Arrows of either layout: the part they belong to, their corners, and words beside them as "x,y,text", centred on x.
_WIDE = [
    ("patches", "72,96 114,96", ""),
    ("masking", "166,96 210,96", "188,88,25 %"),
    ("masking", "140,170 140,212 210,212", "175,204,75 %"),
    ("encoder", "262,96 286,96", ""),
    ("encoder", "328,46 328,66", "328,22,class token"),
    ("positions", "", "328,37,+ positions"),
    ("encoder", "370,96 386,96", ""),
    ("decoder", "454,96 470,96", ""),
    ("decoder", "512,46 512,66", ""),
    ("positions", "", "556,59,+ positions"),
    ("decoder", "554,96 578,96", ""),
    ("pixels", "630,96 668,96", ""),
    ("loss", "604,164 604,184", ""),
    ("loss", "262,226 562,226", "412,241,the true values"),
    ("training", "562,198 512,198 512,126", ""),
    ("training", "562,198 328,198 328,126", "420,191,gradients, in training"),
]
_UPRIGHT = [
    ("patches", "66,66 66,102", ""),
    ("masking", "66,154 66,204", "88,184,25 %"),
    ("masking", "166,128 204,128", "184,120,75 %"),
    ("encoder", "66,224 66,260", ""),
    ("encoder", "160,290 120,290", "206,286,class token"),
    ("positions", "", "206,304,+ positions"),
    ("encoder", "66,320 66,364", ""),
    ("decoder", "66,384 66,432", ""),
    ("decoder", "174,462 120,462", ""),
    ("positions", "", "162,496,+ positions"),
    ("decoder", "66,492 66,528", ""),
    ("pixels", "66,572 66,608", ""),
    ("loss", "172,550 248,550", ""),
    ("loss", "232,150 232,184 338,184 338,520", "284,201,the true values"),
    ("training", "300,580 300,676 4,676 4,462 14,462", ""),
    ("training", "4,462 4,290 14,290", "232,668,gradients, in training"),
]


def _node(node: Node, layout: str) -> tuple[str, str]:
    """Its squares, or its box, and its words: in the box, below the squares or, where there is room, beside them."""
    x, y = node.wide if layout == "wide" else node.upright
    lines: list[tuple[float, float, str]]
    wide, spread = (84, 15) if layout == "wide" else (104, 17)
    if node.squares == "box":
        lines = [(x, y + 4 + spread * (i - 1), word) for i, word in enumerate(node.words)]
        return f'<rect class="box" x="{x - wide / 2:g}" y="{y - 30}" width="{wide}" height="60" rx="6"/>', _lines(lines)
    rows = node.squares.strip("/").split("/")
    pitch = 12 if " " in node.squares else 11
    shapes = []
    for row, letters in enumerate(rows):
        letters = letters.replace(" ", "")
        for column, letter in enumerate(letters):
            left, top = x + pitch * (column - len(letters) / 2), y + pitch * (row - len(rows) / 2)
            kind = {"f": "full", "h": "half", "e": "empty", "o": "full"}[letter]
            radius = ' rx="5"' if letter == "o" else ""
            size = pitch if pitch == 11 else 10
            shapes.append(f'<rect class="{kind}" x="{left:g}" y="{top:g}" width="{size}" height="{size}"{radius}/>')
    beside = layout == "upright" or node.words[0] == "mask tokens"
    if beside:
        lines = [(x + 35, y + 4 + spread * (i - 1), word) for i, word in enumerate(node.words)]
    else:
        below = y + round(pitch * len(rows) / 2) + 15
        lines = [(x, below + spread * i, word) for i, word in enumerate(node.words)]
    return "".join(shapes), _lines(lines, "left" * beside)


def _lines(lines: Sequence[tuple[float, float, str]], where: str = "") -> str:
    """Words, the first of them a name."""
    names = [' class="name"', *[""] * len(lines)]
    texts = (
        f'<text{name} x="{x:g}" y="{y:g}">{escape(word)}</text>'
        for (x, y, word), name in zip(lines, names, strict=False)
    )
    return f'<g class="{where}">{"".join(texts)}</g>'


def _words(words: str) -> str:
    if not words:
        return ""
    x, y, word = words.split(",", 2)
    return f'<text x="{x}" y="{y}">{escape(word)}</text>'


def _arrow(points: str) -> str:
    """A line along its corners with a head at the end; nothing where there are none."""
    if not points:
        return ""
    (a, b), (x, y) = (map(float, point.split(",")) for point in points.split()[-2:])
    dx, dy = (x > a) - (x < a), (y > b) - (y < b)
    head = (
        f"{x:g},{y:g} {x - 7 * dx - 4 * dy:g},{y - 7 * dy - 4 * dx:g} {x - 7 * dx + 4 * dy:g},{y - 7 * dy + 4 * dx:g}"
    )
    return f'<polyline class="line" points="{points}"/><polygon class="full" points="{head}"/>'
