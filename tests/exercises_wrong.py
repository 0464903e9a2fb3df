"""Answers that readers typically give to the build exercises, three to each: every one runs, or nearly, and is wrong."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

WRONG: dict[str, list[Callable]] = {}


def wrong(name: str) -> Callable[[Callable], Callable]:
    """Enter an answer to an exercise."""

    def enter(answer: Callable) -> Callable:
        WRONG.setdefault(name, []).append(answer)
        return answer

    return enter


def window(array, y, x, reach):
    return array[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]


@wrong("00.neighbours")
def looks_under_the_mask(picture, hidden, reach):
    filled = picture.copy()
    for y, x in np.argwhere(hidden):
        filled[y, x] = window(picture, y, x, reach).mean()
    return filled


@wrong("00.neighbours")
def wraps_around(picture, hidden, reach):
    filled = picture.copy()
    for y, x in np.argwhere(hidden):
        rows, columns = np.ix_(range(y - reach, y + reach + 1), range(x - reach, x + reach + 1))
        rows, columns = rows % picture.shape[0], columns % picture.shape[1]
        seen = picture[rows, columns][~hidden[rows, columns]]
        filled[y, x] = (seen if seen.size else picture[~hidden]).mean()
    return filled


@wrong("00.neighbours")
def has_no_answer_in_a_large_hole(picture, hidden, reach):
    filled = picture.copy()
    for y, x in np.argwhere(hidden):
        seen = window(picture, y, x, reach)[~window(hidden, y, x, reach)]
        filled[y, x] = sum(seen) / len(seen)
    return filled


@wrong("01.patchify")
def reshapes_only(images, patch_size):
    return images.reshape(len(images), -1, images.shape[1] * patch_size**2)


@wrong("01.patchify")
def channels_last(images, patch_size):
    B, C, H, W = images.shape
    p = patch_size
    return images.reshape(B, C, H // p, p, W // p, p).permute(0, 2, 4, 3, 5, 1).reshape(B, -1, p * p * C)


@wrong("01.patchify")
def squares_only(images, patch_size):
    B, C, H, _ = images.shape
    p, side = patch_size, H // patch_size
    return images.reshape(B, C, side, p, side, p).permute(0, 2, 4, 1, 3, 5).reshape(B, -1, p * p * C)


@wrong("02.ratio")
def hides_the_lowest(noise, ratio):
    return kept(noise.argsort(dim=1, descending=True), max(1, int(noise.shape[1] * (1 - ratio))))


@wrong("02.ratio")
def may_hide_everything(noise, ratio):
    return kept(noise.argsort(dim=1), round(noise.shape[1] * (1 - ratio)))


@wrong("02.ratio")
def shuffles_instead_of_restoring(noise, ratio):
    visible, hidden, _ = kept(noise.argsort(dim=1), max(1, int(noise.shape[1] * (1 - ratio))))
    return visible, hidden, torch.cat([visible, hidden], dim=1)


def kept(order, keep):
    visible, hidden = order[:, :keep].sort(dim=1).values, order[:, keep:].sort(dim=1).values
    return visible, hidden, torch.cat([visible, hidden], dim=1).argsort(dim=1)


@wrong("03.attention")
def does_not_scale(q, k, v, known):
    return (q @ k.T).masked_fill(~known, -torch.inf).softmax(dim=1) @ v


@wrong("03.attention")
def masks_after_the_softmax(q, k, v, known):
    return (q @ k.T / q.shape[1] ** 0.5).softmax(dim=1).masked_fill(~known, 0) @ v


@wrong("03.attention")
def overflows(q, k, v, known):
    weights = (q @ k.T / q.shape[1] ** 0.5).exp() * known
    return weights / weights.sum(dim=1, keepdim=True) @ v


@wrong("04.order")
def leaves_them_as_they_stand(latents, token, visible, hidden):
    return torch.cat([latents, token.expand(*hidden.shape, -1)], dim=1)


@wrong("04.order")
def puts_a_wall_of_tokens_first(latents, token, visible, hidden):
    return torch.cat([token.expand(*hidden.shape, -1), latents], dim=1)


@wrong("04.order")
def one_mask_for_all(latents, token, visible, hidden):
    tokens = token.repeat(len(latents), visible.shape[1] + hidden.shape[1], 1)
    tokens[:, visible[0]] = latents
    return tokens


@wrong("05.loss")
def scores_every_patch(pred, target, mask):
    return (pred - normalised(target)).square().mean()


@wrong("05.loss")
def divides_by_every_patch(pred, target, mask):
    return ((pred - normalised(target)).square().mean(dim=2) * mask).mean()


@wrong("05.loss")
def divides_by_zero(pred, target, mask):
    target = (target - target.mean(dim=2, keepdim=True)) / target.std(dim=2, keepdim=True)
    return (pred - target)[mask].square().mean()


def normalised(target):
    return (target - target.mean(dim=2, keepdim=True)) / (target.var(dim=2, keepdim=True) + 1e-6).sqrt()


@wrong("06.schedule")
def first_step_for_nothing(step, steps, warmup, peak, final):
    if step < warmup:
        return peak * step / warmup
    return final + (peak - final) * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


@wrong("06.schedule")
def falls_to_zero(step, steps, warmup, peak, final):
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


@wrong("06.schedule")
def forgets_the_warm_up_in_the_cosine(step, steps, warmup, peak, final):
    if step < warmup:
        return peak * (step + 1) / warmup
    return final + (peak - final) * (1 + math.cos(math.pi * step / steps)) / 2


@wrong("07.epochs")
def rounds(minutes, pictures, per_second, start, save):
    return max(0, round((60 * minutes - start) / (pictures / per_second + save)))


@wrong("07.epochs")
def forgets_what_is_no_training(minutes, pictures, per_second, start, save):
    return math.floor(60 * minutes / (pictures / per_second))


@wrong("07.epochs")
def in_minutes(minutes, pictures, per_second, start, save):
    return max(0, (minutes - start) // (pictures // per_second + save))


@wrong("08.psnr")
def scores_what_was_not_pasted(original, guess, hidden, protocol):
    error = (np.clip(guess, 0, 1) - original) ** 2
    return -10 * np.log10((error[hidden] if protocol == "masked" else error).mean())


@wrong("08.psnr")
def averages_decibels(original, guess, hidden, protocol):
    error = (np.clip(guess, 0, 1) - original) ** 2
    each = error[hidden].mean(axis=0) if protocol == "masked" else (error * hidden[..., None]).mean(axis=(0, 1))
    return (-10 * np.log10(each + 1e-10)).mean()


@wrong("08.psnr")
def does_not_clamp(original, guess, hidden, protocol):
    error = (guess - original) ** 2
    return -10 * np.log10((error[hidden] if protocol == "masked" else error * hidden[..., None]).mean())


@wrong("09.lead")
def not_paired(model, average):
    return model.mean() - average.mean(), math.sqrt((model.var(ddof=1) + average.var(ddof=1)) / len(model))


@wrong("09.lead")
def spread_of_one_picture(model, average):
    return (model - average).mean(), (model - average).std(ddof=1)


@wrong("09.lead")
def divides_by_n(model, average):
    return (model - average).mean(), (model - average).std() / len(model) ** 0.5


@wrong("10.nearest")
def by_length(features, labels, queries, k):
    return labels[(queries @ features.T).topk(k, dim=1).indices].mode(dim=1).values


@wrong("10.nearest")
def the_farthest(features, labels, queries, k):
    near = F.normalize(queries, dim=1) @ F.normalize(features, dim=1).T
    return labels[near.argsort(dim=1)[:, :k]].mode(dim=1).values


@wrong("10.nearest")
def only_the_nearest(features, labels, queries, k):
    near = F.normalize(queries, dim=1) @ F.normalize(features, dim=1).T
    return labels[near.argmax(dim=1)]


@wrong("11.orthogonal")
def only_divides(matrix):
    return matrix / matrix.norm()


@wrong("11.orthogonal")
def grows_without_bound(matrix):
    for _ in range(30):
        matrix = 1.5 * matrix - 0.5 * matrix @ matrix.T @ matrix
    return matrix


@wrong("11.orthogonal")
def too_few_steps(matrix):
    x = matrix / matrix.norm()
    for _ in range(3):
        x = 1.5 * x - 0.5 * x @ x.T @ x
    return x
