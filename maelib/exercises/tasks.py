"""What the build exercises ask of a reader's function: small inputs, properties, and values worked out in another way.

A test holds no line that would solve its exercise: it counts on examples small enough for a pencil, on what must not
change, and on PyTorch's own functions. Shapes as in the book: B images, N patches, K visible, M hidden, D width, P values.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .asking import Asked, Wrong


class Task(NamedTuple):
    """An exercise: how the function is called, what holds once it is right, and the test."""

    call: str
    praise: str
    test: Callable[[Asked], None]


TASKS: dict[str, Task] = {}


def task(name: str, call: str, praise: str) -> Callable[[Callable[[Asked], None]], Callable[[Asked], None]]:
    """Enter a test into the table."""

    def enter(test: Callable[[Asked], None]) -> Callable[[Asked], None]:
        TASKS[name] = Task(call, praise, test)
        return test

    return enter


def noisy(*shape: int, seed: int = 0) -> Tensor:
    """Normally distributed numbers, the same at every call."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@task("00.neighbours", "fill(picture, hidden, reach)", "hidden pixels are the mean of what is seen near them")
def neighbours(ask: Asked) -> None:
    picture = np.array([[0.1, 0.2, 0.3], [0.4, 9.0, 0.6], [0.7, 0.8, 0.9]])
    centre = np.zeros((3, 3), bool)
    centre[1, 1] = True
    filled = picture.copy()
    filled[1, 1] = 0.5
    ask.expect(ask(picture=picture, hidden=centre, reach=1), filled)
    row = np.array(
        [[0.2, 9.0, 0.4, 0.6, 9.0]]
    )  # at the border there is one neighbour less, and none from the other side
    ask.expect(ask(picture=row, hidden=row == 9, reach=1), [[0.2, 0.3, 0.4, 0.6, 0.6]])
    hole = np.array([[0.0, 9.0, 9.0, 9.0, 0.8]])  # nobody near the middle is seen: the mean of all that is
    ask.expect(ask(picture=hole, hidden=hole == 9, reach=1), [[0.0, 0.0, 0.4, 0.8, 0.8]])
    ask.expect(ask(picture=hole, hidden=hole == 9, reach=2), [[0.0, 0.0, 0.4, 0.8, 0.8]])


@task("01.patchify", "cut(images, patch_size)", "its patches, times a convolution's kernel, are that convolution")
def patchify(ask: Asked) -> None:
    small = torch.arange(16.0).reshape(1, 1, 4, 4)
    ask.expect(ask(images=small, patch_size=2), [[[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]])
    colour = torch.arange(8.0).reshape(1, 2, 2, 2)  # one patch: all of channel 0, then all of channel 1
    ask.expect(ask(images=colour, patch_size=2), [[[0, 1, 2, 3, 4, 5, 6, 7]]])
    images, kernel = noisy(2, 3, 6, 4), noisy(5, 3, 2, 2, seed=1)
    patches = ask.array(ask(images=images, patch_size=2), (2, 6, 12))
    by_convolution = F.conv2d(images, kernel, stride=2).flatten(2).transpose(1, 2)
    ask.expect(patches @ kernel.double().flatten(1).T, by_convolution, "the product with the kernel of a convolution")


@task("02.ratio", "hide(noise, ratio)", "the count is exact, the lowest noise stays, and `restore` brings patches home")
def ratio(ask: Asked) -> None:
    noise = torch.tensor([[0.7, 0.2, 0.9, 0.4], [0.1, 0.8, 0.3, 0.6]])
    for share, shown_to in ((0.5, [[1, 3], [0, 2]]), (0.75, [[1], [0]]), (0.9, [[1], [0]]), (0.3, [[1, 3], [0, 2]])):
        visible, hidden, restore = ask.parts(ask(noise=noise, ratio=share), "visible", "hidden", "restore")
        ask.expect(visible, shown_to, "`visible`")
        order = [row + sorted({0, 1, 2, 3} - set(row)) for row in shown_to]
        ask.expect(hidden, [row[len(shown_to[0]) :] for row in order], "`hidden`")
        ask.expect(restore, [[row.index(i) for i in range(4)] for row in order], "`restore`")
    many = torch.rand(3, 100, generator=torch.Generator().manual_seed(0))
    visible, hidden, restore = ask.parts(ask(noise=many, ratio=0.75), "visible", "hidden", "restore")
    together = torch.cat([ask.array(visible, (3, 25), "`visible`"), ask.array(hidden, (3, 75), "`hidden`")], dim=1)
    home = together.gather(1, ask.array(restore, (3, 100), "`restore`").long().clamp(0, 99))
    ask.expect(home, torch.arange(100).expand(3, -1), "[visible, hidden] taken in the order of `restore`")


@task("03.attention", "attention(q, k, v, known)", "a soft lookup in which an unknown key has no say")
def attention(ask: Asked) -> None:
    everybody = torch.ones(2, dtype=torch.bool)
    q, k, v = torch.tensor([[2.0, 0, 0, 0]]), torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0]]), torch.tensor([[3.0], [1.0]])
    one = math.e / (math.e + 1)  # scores 1 and 0 once they are divided by the root of 4
    ask.expect(ask(q=q, k=k, v=v, known=everybody), [[3 * one + 1 - one]])
    ask.expect(ask(q=q, k=k, v=v, known=torch.tensor([False, True])), [[1.0]])
    ask.expect(ask(q=1000 * q, k=k, v=v, known=everybody), [[3.0]])
    q, k, v, known = (
        noisy(3, 8),
        noisy(5, 8, seed=1),
        noisy(5, 2, seed=2),
        torch.tensor([True, True, False, True, False]),
    )
    answer = ask(q=q, k=k, v=v, known=known)
    ask.expect(answer, F.scaled_dot_product_attention(q, k[known], v[known]))
    k[~known], v[~known] = 50.0, -50.0
    ask.expect(ask(q=q, k=k, v=v, known=known), answer, "the result, where only unknown keys and values have changed,")


@task(
    "04.order", "in_order(latents, token, visible, hidden)", "every token stands where its patch stands in the picture"
)
def order(ask: Asked) -> None:
    visible, hidden = torch.tensor([[1, 2], [0, 3]]), torch.tensor([[0, 3], [1, 2]])
    latents, token = torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]]), torch.tensor([9.0])
    answer = ask(latents=latents, token=token, visible=visible, hidden=hidden)
    ask.expect(answer, [[[9.0], [1.0], [2.0], [9.0]], [[3.0], [9.0], [9.0], [4.0]]])
    noise = torch.rand(2, 7, generator=torch.Generator().manual_seed(0)).argsort(dim=1)
    latents, token = noisy(2, 3, 5), noisy(5, seed=1)
    answer = ask(latents=latents, token=token, visible=noise[:, :3], hidden=noise[:, 3:])  # in no order at all
    wanted = [
        [latents[b][noise[b, :3].tolist().index(i)] if i in noise[b, :3] else token for i in range(7)] for b in range(2)
    ]
    ask.expect(answer, torch.stack([torch.stack(row) for row in wanted]))


@task(
    "05.loss",
    "loss(pred, target, mask)",
    "only hidden patches count, each normalised by itself, and a flat one is safe",
)
def loss(ask: Asked) -> None:
    target = torch.tensor([[[1.0, 3.0], [0.0, 4.0], [5.0, 1.0]]])
    root = math.sqrt(0.5)  # two numbers, less their mean, by their standard deviation (that of a sample)
    exact = torch.tensor([[[-root, root], [-root, root], [root, -root]]])
    for hidden in ([[True, True, False]], [[False, False, True]]):
        ask.expect(ask(pred=exact, target=target, mask=torch.tensor(hidden)), 0.0)
        ask.expect(ask(pred=exact + 1, target=target, mask=torch.tensor(hidden)), 1.0)
    unseen, mask = exact.clone(), torch.tensor([[True, True, False]])
    unseen[0, 2] = 7.0
    ask.expect(ask(pred=unseen, target=target, mask=mask), 0.0)
    flat = torch.full((1, 3, 2), 0.5)
    ask.expect(ask(pred=torch.ones(1, 3, 2), target=flat, mask=mask), 1.0)
    pred, target, mask = noisy(2, 4, 6), noisy(2, 4, 6, seed=1), torch.tensor([[True, True, False, True]] * 2)
    answer = ask(pred=pred, target=target, mask=mask)
    ask.expect(
        ask(pred=pred, target=3 * target + 2, mask=mask), answer, "the result, for brighter and stronger patches,"
    )


@task(
    "06.schedule",
    "rate(step, steps, warmup, peak, final)",
    "it rises in a line, falls along a cosine, and ends where it should",
)
def schedule(ask: Asked) -> None:
    for step, wanted in ((0, 0.25), (1, 0.5), (3, 1.0), (4, 1.0), (8, 0.55), (6, 0.1 + 0.9 * (2 + math.sqrt(2)) / 4)):
        ask.expect(ask(step=step, steps=12, warmup=4, peak=1.0, final=0.1), wanted)
    ask.expect(ask(step=0, steps=10, warmup=0, peak=3.0, final=0.0), 3.0)
    ask.expect(ask(step=99_999, steps=100_000, warmup=100, peak=1.0, final=0.2), 0.2)


@task("07.epochs", "epochs_that_fit(minutes, pictures, per_second, start, save)", "no epoch is begun that would be cut")
def epochs(ask: Asked) -> None:
    for minutes, start, save, wanted in (
        (60, 0, 0, 6),
        (59, 0, 0, 5),
        (60, 60, 0, 5),
        (60, 0, 30, 5),
        (66, 30, 60, 5),
        (9, 0, 0, 0),
        (1, 90, 0, 0),
    ):
        answer = ask(minutes=minutes, pictures=60_000, per_second=100, start=start, save=save)
        if isinstance(answer, float) and answer % 1 > 0:
            raise Wrong(f"{ask.given}, it returned {answer:g}, which is not a whole number of epochs")
        ask.expect(answer, wanted)


@task("08.psnr", "score(original, guess, hidden, protocol)", "one guess, two protocols, and each scores its own pixels")
def psnr(ask: Asked) -> None:
    original, hidden = np.full((2, 2, 3), 0.5), np.array([[True, False], [False, False]])
    guess = np.full((2, 2, 3), 0.6)
    gift = 10 * math.log10(4)  # one pixel in four is hidden
    ask.expect(ask(original=original, guess=guess, hidden=hidden, protocol="masked"), 20.0)
    ask.expect(ask(original=original, guess=guess, hidden=hidden, protocol="pasted"), 20.0 + gift)
    coloured = original.copy()
    coloured[0, 0] = [0.7, 0.5, 0.4]  # squared errors 0.04, 0 and 0.01 in the three channels
    answer = ask(original=original, guess=coloured, hidden=hidden, protocol="masked")
    ask.expect(answer, -10 * math.log10(0.05 / 3))
    white, wild = np.ones((2, 2, 3)), np.ones((2, 2, 3))
    wild[0, 0] = [0.9, 0.9, 1.4]  # no screen shows 1.4: it is a 1
    answer = ask(original=white, guess=wild, hidden=hidden, protocol="masked")
    ask.expect(answer, -10 * math.log10(0.02 / 3))


@task("09.lead", "lead(model, average)", "the same pictures for both, so the spread of the pictures does not count")
def lead(ask: Asked) -> None:
    average = np.array([20.0, 30.0])
    mean, error = ask.parts(ask(model=np.array([21.0, 33.0]), average=average), "the mean lead", "its standard error")
    ask.expect(mean, 2.0, "the mean lead")
    ask.expect(error, 1.0, "its standard error")  # a spread of 1.414 dB over the root of 2 pictures
    many = np.array([10.0, 14.0, 19.0, 25.0, 32.0])
    mean, error = ask.parts(ask(model=many + 0.5, average=many), "the mean lead", "its standard error")
    ask.expect(mean, 0.5, "the mean lead")
    ask.expect(error, 0.0, "its standard error")
    mean, error = ask.parts(ask(model=many - [1, 1, 1, 1, 6], average=many), "the mean lead", "its standard error")
    ask.expect([mean, error], [-2.0, 1.0], "lead and error")


@task(
    "10.nearest", "vote(features, labels, queries, k)", "the angle decides who is near, and the most frequent name wins"
)
def nearest(ask: Asked) -> None:
    angles = torch.tensor([0, 10, 20, 60, 80, 90]) * math.pi / 180
    directions = torch.stack([angles.cos(), angles.sin()], dim=1)
    labels = torch.tensor([2, 0, 0, 1, 1, 2])
    queries = directions[[0, 5]]
    ask.expect(ask(features=directions, labels=labels, queries=queries, k=1), [2, 2])
    ask.expect(ask(features=directions, labels=labels, queries=queries, k=3), [0, 1])
    lengths = torch.tensor([1.0, 30, 1, 1, 20, 0.1])[:, None]  # a longer vector is no nearer, a shorter no farther
    ask.expect(ask(features=lengths * directions, labels=labels, queries=5 * queries, k=1), [2, 2])
    ask.expect(ask(features=lengths * directions, labels=labels, queries=5 * queries, k=3), [0, 1])


@task("11.orthogonal", "orthogonalise(matrix)", "its singular values are 1, and its directions are those of the matrix")
def orthogonal(ask: Asked) -> None:
    stretched = torch.tensor([[3.0, 0.0], [0.0, 0.5]])
    ask.expect(ask(matrix=stretched), torch.eye(2), tolerance=0.02)
    turned = torch.tensor([[0.0, -200.0], [100.0, 0.0]])
    ask.expect(ask(matrix=turned), [[0.0, -1.0], [1.0, 0.0]], tolerance=0.02)
    for m, n in ((3, 5), (5, 3)):
        matrix = torch.eye(m, n) + 0.2 * noisy(m, n)
        answer = ask.array(ask(matrix=matrix), (m, n))
        ask.expect(torch.linalg.svdvals(answer.nan_to_num()), [1.0] * 3, "the list of singular values", 0.02)
        stretch = answer.T @ matrix.double()  # symmetric and nowhere negative only for the nearest one
        ask.expect(
            stretch - stretch.T,
            torch.zeros(n, n),
            "the result's transpose times the matrix, less its own transpose,",
            0.05,
        )
