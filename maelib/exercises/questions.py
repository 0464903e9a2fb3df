"""Questions of the lab sheets: three to a chapter, their numbers drawn by a seed, their answers worked out in plain arithmetic.

A question shows integers and short decimals only, so that a sheet is the same on every machine.
"""

import math
from collections.abc import Callable, Sequence

from .draws import Draw, Question, decimal, share_hidden, table

EDITION = 1  # grows with any change of what a seed asks, so that no sheet is marked by another sheet's answers
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "coins", "retina", "rocket")


def patches(draw: Draw) -> list[Question]:
    """Chapter 01."""
    p, rows, columns, D = draw.of((8, 14, 16)), draw.between(6, 12), draw.between(6, 12), draw.of((128, 192, 384))
    N, P = rows * columns, 3 * p * p
    chosen = draw.between(columns, N - 1)
    where = [chosen // columns, chosen % columns]
    return [
        Question(
            f"This photograph was cropped to {rows * p} x {columns * p} pixels (height x width). "
            f"The lines cut it into patches of {p} x {p} pixels. How many patches are there?",
            N,
            f"{rows} rows of {columns}",
            photograph=draw.of(PHOTOGRAPHS),
            grid=(rows, columns),
        ),
        Question(
            f"Patches are counted row by row, from 0. In which row and in which column, both counted from 0, stands patch "
            f"{chosen} of this picture?",
            where,
            f"{chosen} = {where[0]} x {columns} + {where[1]}",
        ),
        Question(
            f"A linear layer with a bias makes a token of width {D} from each of these patches (three channels). How many "
            "parameters has it?",
            P * D + D,
            f"P = {p} x {p} x 3 = {P}; {P} x {D} weights and {D} biases",
        ),
    ]


def masks(draw: Draw) -> list[Question]:
    """Chapter 02."""
    noise = [10 * i + draw.between(1, 9) for i in draw.some(9, 10)]
    ratio, K = share_hidden(draw, 9, (40, 50, 60, 70, 75, 80))
    visible = sorted(sorted(range(9), key=noise.__getitem__)[:K])
    order = visible + [i for i in range(9) if i not in visible]
    moved = [i for i in range(9) if order.index(i) != i] or [0]
    one = draw.of(moved)
    rows, columns = draw.of(((4, 5), (5, 5), (5, 8), (4, 10)))
    N = rows * columns
    M = draw.between(N // 4, N - 3)
    hidden = tuple(sorted(draw.some(M, N)))
    return [
        Question(
            f"Nine patches got this noise:\n\n{table([noise], range(9))}\n\nThe lowest noise stays, and the number of "
            "visible patches is rounded down. Which patches are visible at "
            f"a mask ratio of {ratio} %? Give their numbers (the first line).",
            visible,
            f"K = int(9 x {decimal(100 - ratio, 2)}) = {K}, the {K} lowest of the noise",
            set_of=True,
        ),
        Question(
            f"Write the visible patches of the question before from low to high, and the hidden ones behind them, also from low "
            f"to high. At which place, counted from 0, stands patch {one}? (This is `restore` of patch {one}.)",
            order.index(one),
            f"the order is {order}",
        ),
        Question(
            "Gray patches are hidden. What is the mask ratio, as a share of all patches (such as 0.4, 40 % or 2/5)?",
            M / N,
            f"{M} of {N} patches",
            tolerance=0.006,
            photograph=draw.of(PHOTOGRAPHS),
            grid=(rows, columns),
            hidden=hidden,
        ),
    ]


def encoder(draw: Draw) -> list[Question]:
    """Chapter 03."""
    B, side, D = draw.between(2, 64), draw.of((8, 12, 14, 16)), draw.of((96, 128, 192, 256, 384))
    ratio, K = share_hidden(draw, side * side, (25, 50, 60, 75, 80, 90))
    d, wide = draw.of((16, 64)), 32 * draw.between(2, 24)
    root = math.isqrt(d)
    first = draw.between(root, 6 * root)
    second = first - draw.between(1, 3 * root)
    weight = 1 / (1 + math.exp((second - first) / root))
    return [
        Question(
            f"A batch of {B} pictures with {side} x {side} patches, {ratio} % of them hidden, goes through an encoder of width {D} "
            "with a class token. The number of visible patches is rounded down. What is the shape of its output (three numbers)?",
            [B, 1 + K, D],
            f"(B, 1 + K, D) with K = int({side * side} x {decimal(100 - ratio, 2)}) = {K}",
        ),
        Question(
            f"A query has the products {first} and {second} with two keys; each head has width d = {d}. Which weight does "
            "attention give to the first key (three decimals)?",
            weight,
            f"1 / (1 + exp(({second} - {first}) / {root}))",
            tolerance=0.006,
        ),
        Question(
            f"How many parameters has one transformer block of width {wide} with an MLP four times as wide? Every linear layer and "
            "both norms have biases.",
            12 * wide**2 + 13 * wide,
            f"12 D^2 + 13 D: attention 4 D^2 + 4 D, MLP 8 D^2 + 5 D, two norms 4 D, D = {wide}",
        ),
    ]


def decoder(draw: Draw) -> list[Question]:
    """Chapter 04."""
    side = draw.of((10, 14, 16, 20))
    N = side * side
    ratio, K = share_hidden(draw, N, (50, 60, 75, 85, 90))
    M = N - K
    B, p = draw.between(2, 32), draw.of((4, 8, 16))
    joint, cross = (1 + N) ** 2, M * (1 + K)
    return [
        Question(
            f"{side} x {side} patches, {ratio} % of them hidden (visible ones rounded down), and a class token. "
            "How many tokens does a joint decoder work on, "
            "and how many of them are mask tokens (two numbers)?",
            [1 + N, M],
            f"1 + N = 1 + {N}; M = {N} - {K}",
        ),
        Question(
            "In a joint decoder every token looks at every token. With cross-attention each mask token looks at the visible "
            "patches and the class token alone. How many times as many scores does a head of the joint decoder of the question "
            "before compute (one decimal)?",
            joint / cross,
            f"(1 + N)^2 / (M (1 + K)) = {joint} / {cross}",
            tolerance=0.06,
        ),
        Question(
            f"Patches of {p} x {p} pixels with three channels, and a batch of {B} such pictures. What is the shape of the "
            "predictions of the hidden patches (three numbers)?",
            [B, M, 3 * p * p],
            f"(B, M, P) with P = {p} x {p} x 3",
        ),
    ]


def losses(draw: Draw) -> list[Question]:
    """Chapter 05."""
    target = [[draw.between(0, 9) for _ in range(2)] for _ in range(4)]
    error = [[draw.between(-3, 3) for _ in range(2)] for _ in range(4)]
    hidden = sorted(draw.some(draw.between(2, 3), 4))
    error[hidden[0]][0] = draw.of((1, 2, 3))  # never all zero
    rows = [
        [
            i,
            "hidden" if i in hidden else "visible",
            *target[i],
            *(t + e for t, e in zip(target[i], error[i], strict=True)),
        ]
        for i in range(4)
    ]
    total = sum(e * e for i in hidden for e in error[i])
    count = 2 * len(hidden)
    wrong = total / 8
    middle, far = draw.between(20, 80), draw.between(2, 9)
    near = draw.between(1, far)
    patch = [middle - far, middle - near, middle + near, middle + far]
    spread = math.sqrt((2 * far**2 + 2 * near**2) / 3)
    return [
        Question(
            "Four patches of two values each. What is the loss of a masked autoencoder with raw targets?\n\n"
            + table(rows, ["patch", "is", "target", "target", "predicted", "predicted"]),
            total / count,
            f"squared errors of the hidden patches, {total}, over their {count} values",
            tolerance=0.011,
        ),
        Question(
            "Somebody sums over the hidden values of the question before and divides by the number of *all* values. What would "
            "the loss be?",
            wrong,
            f"{total} / 8",
            tolerance=0.011,
        ),
        Question(
            f"A patch holds the values {patch}. It is normalised by its own mean and standard deviation (that of a sample, with "
            "n - 1; leave the 1e-6 away). What becomes of its last value (two decimals)?",
            far / spread,
            f"({patch[3]} - {middle}) / {spread:.3f}",
            tolerance=0.011,
        ),
    ]


def training(draw: Draw) -> list[Question]:
    """Chapter 06."""
    warmup, peak = 10 * draw.between(2, 5), draw.between(2, 40)
    step = draw.between(1, warmup - 2)
    n, parts = draw.of(((1, 4), (1, 3), (1, 2), (2, 3), (3, 4)))
    rest = parts * 100 * draw.between(1, 9)
    later = warmup + rest * n // parts
    base, piece, cards, accumulate = (
        draw.between(5, 30),
        draw.of((16, 32, 64)),
        draw.of((1, 2, 4, 8)),
        draw.of((2, 4, 8)),
    )
    batch = piece * cards * accumulate
    peak_rate, base_rate = peak / 10_000, base / 100_000
    return [
        Question(
            f"The learning rate rises in a line over {warmup} steps to {decimal(peak, 4)}; step 0 is the first and does not have a "
            f"rate of 0. Which rate has step {step} (three digits)?",
            peak_rate * (step + 1) / warmup,
            f"{decimal(peak, 4)} x ({step} + 1) / {warmup}",
            tolerance=peak_rate / 200,
        ),
        Question(
            f"From step {warmup} on it falls along half a cosine, to 0 at step {warmup + rest}. Which rate has step "
            f"{later} (three digits)?",
            peak_rate * (1 + math.cos(math.pi * n / parts)) / 2,
            f"{decimal(peak, 4)} x (1 + cos(pi x {n}/{parts})) / 2",
            tolerance=peak_rate / 200,
        ),
        Question(
            f"{cards} card{'s' if cards > 1 else ''}, pieces of {piece} pictures on each, {accumulate} pieces to a step. The base "
            f"rate of {decimal(base, 5)} is meant for 256 pictures and scaled with the batch. What is the peak rate "
            "(three digits)?",
            base_rate * batch / 256,
            f"{decimal(base, 5)} x {batch} / 256",
            tolerance=base_rate * batch / 256 / 100,
        ),
    ]


def sessions(draw: Draw) -> list[Question]:
    """Chapter 07."""
    hours, speed = draw.between(2, 12), 10 * draw.between(5, 60)
    seen = 3600 * hours * speed
    thousands = draw.of(
        [n for n in range(20, 201) if seen % (1000 * n) > 100 * n]
    )  # not all but a whole number of epochs
    epochs = seen // (1000 * thousands)
    millions = draw.between(5, 300)
    batch, rounds = draw.of((64, 128, 256, 512)), draw.between(3, 40)
    steps = 1000 * thousands // batch
    return [
        Question(
            f"A session lasts {hours} hours. An epoch has {thousands},000 pictures, and the cards do {speed} pictures a second. "
            "How many whole epochs fit?",
            epochs,
            f"{3600 * hours} s / ({thousands}000 / {speed} s), rounded down",
        ),
        Question(
            f"A checkpoint holds {millions} million weights and for each of them the two running means of AdamW, four bytes a "
            "number. How many megabytes is that (millions of bytes)?",
            12 * millions,
            f"3 x 4 x {millions}",
            tolerance=0.5,
        ),
        Question(
            f"Batches of {batch} from {thousands},000 pictures; an incomplete batch at the end of an epoch is left out. How many "
            f"steps do {rounds} epochs take?",
            rounds * steps,
            f"{rounds} x int({thousands}000 / {batch}) = {rounds} x {steps}",
        ),
    ]


def measuring(draw: Draw) -> list[Question]:
    """Chapter 08."""
    original = [draw.between(20, 235) for _ in range(9)]
    guess = [value + draw.of((-20, -12, -8, -4, 4, 8, 12, 20)) for value in original]
    total = sum((a - b) ** 2 for a, b in zip(original, guess, strict=True))
    ratio, masked = draw.of((40, 50, 60, 75, 80, 90)), draw.between(140, 260)
    low, more = draw.between(150, 220), draw.between(10, 60)
    rows = [[*original[i : i + 3], "", *guess[i : i + 3]] for i in (0, 3, 6)]
    return [
        Question(
            "An original of 3 x 3 gray pixels from 0 to 255 on the left, its reconstruction on the right. What is the PSNR in dB "
            f"(one decimal)?\n\n{table(rows, ['original', '', '', '', 'guess', '', ''])}",
            10 * math.log10(255**2 * 9 / total),
            f"the squared error is {total} / 9; 10 log10(255^2 / that)",
            tolerance=0.06,
        ),
        Question(
            f"With {ratio} % of the patches hidden a model scores {decimal(masked, 1)} dB under the protocol `masked`. What does "
            "it score under `pasted`, on the same picture (one decimal)?",
            masked / 10 + 10 * math.log10(100 / ratio),
            f"{decimal(masked, 1)} + 10 log10(1 / {decimal(ratio, 2)})",
            tolerance=0.06,
        ),
        Question(
            f"One model has {decimal(low, 1)} dB on a picture, another {decimal(low + more, 1)} dB. How many times as large is the "
            "squared error of the first (two digits)?",
            10 ** (more / 100),
            f"10^({decimal(more, 1)} / 10)",
            tolerance=0.06,
        ),
    ]


CHAPTERS: dict[int, tuple[str, Callable[[Draw], list[Question]]]] = {
    1: ("Patches and positions", patches),
    2: ("Masking", masks),
    3: ("The encoder", encoder),
    4: ("The decoder", decoder),
    5: ("The loss", losses),
    6: ("The trainer", training),
    7: ("Train on Kaggle", sessions),
    8: ("Measuring", measuring),
}


def questions(seed: int, chapters: Sequence[int]) -> dict[str, Question]:
    """The questions of a seed by their numbers, such as "2.3"; a chapter's do not depend on which others are asked.

    Raises
    ------
    ValueError
        A seed outside [0, 2**31), or a chapter that has no questions.
    """
    if not 0 <= seed < 2**31:
        raise ValueError(f"seed must be in [0, 2**31), got {seed}")
    for chapter in chapters:
        if chapter not in CHAPTERS:
            raise ValueError(f"a sheet asks about chapters 1 to {max(CHAPTERS)}, got {chapter}")
    return {
        f"{chapter}.{number}": question
        for chapter in sorted(set(chapters))
        for number, question in enumerate(CHAPTERS[chapter][1](Draw(seed, chapter)), 1)
    }
