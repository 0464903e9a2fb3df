"""What a seed draws for a lab sheet, and what a question of it is."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from ..masking import num_visible
from ..strategies import seeded_integers

Item = TypeVar("Item")


class Question(NamedTuple):
    """What a sheet asks, and what its marker knows."""

    text: str  # Markdown
    answer: float | list[int]  # a list: whole numbers, `set_of` in any order
    how: str  # the way to the answer, with this sheet's numbers
    tolerance: float = 0.0  # of the answer itself, not a share of it
    set_of: bool = False
    photograph: str = ""  # a shipped one, drawn above the text
    grid: tuple[int, int] = (1, 1)  # of patches, drawn on it
    hidden: tuple[int, ...] = ()  # patches that are gray on it


class Draw:
    """Draws of one chapter of one seed, the same on every machine."""

    def __init__(self, seed: int, chapter: int):
        self.seed, self.next = seed, 1000 * chapter

    def below(self, count: int) -> int:
        """A whole number from 0 to count - 1."""
        self.next += 1
        return int(seeded_integers(self.seed, 1, self.next)[0]) % count

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + self.below(high - low + 1)

    def of(self, items: Sequence[Item]) -> Item:
        """One of them."""
        return items[self.below(len(items))]

    def some(self, count: int, of: int) -> list[int]:
        """So many different numbers from 0 to of - 1, in no order."""
        left = list(range(of))
        return [left.pop(self.below(len(left))) for _ in range(count)]


def decimal(number: int, digits: int) -> str:
    """A whole number of tenths, hundredths, ... as a decimal without zeros at its end."""
    return f"{number / 10**digits:.{digits}f}".rstrip("0").rstrip(".")


def table(rows: Sequence[Sequence[object]], heads: Sequence[object]) -> str:
    """A table in Markdown."""
    lines = [heads, ["--:"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def share_hidden(draw: Draw, num_patches: int, percents: Sequence[int]) -> tuple[int, int]:
    """One of the mask ratios, in percent, and its K; none of those where K depends on how 1 - ratio is rounded."""
    exact = [r for r in percents if num_visible(num_patches, r / 100) == max(1, num_patches * (100 - r) // 100)]
    ratio = draw.of(exact)
    return ratio, num_visible(num_patches, ratio / 100)
