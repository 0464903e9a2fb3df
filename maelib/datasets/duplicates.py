"""Near duplicates: difference hashes that are nearly equal, and small copies that are too."""

import numpy as np
from tqdm import tqdm

DISTANCE = 12  # of 128 bits
ALIKE = 0.03  # mean difference of the small copies, as a share of the range
REACH = 500  # pictures that one is compared with, of those that share a word
_ONES = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


def difference_hash(small: np.ndarray) -> np.ndarray:
    """Whether each pixel of small pictures (n, 9, 9) is darker than the next in its row, and in its column: (n, 16) uint8."""
    rows, columns = small[:, :-1, :-1] < small[:, :-1, 1:], small[:, :-1, :-1] < small[:, 1:, :-1]
    return np.packbits(np.concatenate([rows.reshape(-1, 64), columns.reshape(-1, 64)], axis=1), axis=1)


def near_duplicates(small: np.ndarray, value_range: float, progress: bool = True) -> tuple[np.ndarray, bool]:
    """Pairs (m, 2) of the small pictures (n, 9, 9) that are nearly the same, and whether all pairs were looked at.

    Exact copies are paired with the first of them alone. Two others are compared where one of the 8 words of their hashes is
    the same; sorted by a word, they stand side by side. No pair that differs in 7 bits or less can be missed (pigeonhole),
    few that differ in up to 12 are. Memory grows with n, time with n log n and the number of pairs that share a word, of
    which each picture has at most 500.
    """
    _, first, copy_of = np.unique(small.reshape(len(small), -1), axis=0, return_index=True, return_inverse=True)
    copies = np.stack([first[copy_of.reshape(-1)], np.arange(len(small))], axis=1)
    found, every, small = [copies[copies[:, 0] < copies[:, 1]]], True, small[first]
    hashes = difference_hash(small)
    for word in tqdm(hashes.view(np.uint16).T, "comparing", leave=False, disable=None if progress else True):
        order = np.argsort(word, kind="stable")
        ranked, at = word[order], np.arange(len(order) - 1)
        for step in range(1, REACH + 1):
            at = at[at < len(order) - step]
            at = at[ranked[at] == ranked[at + step]]
            if not len(at):
                break
            pairs = np.stack([order[at], order[at + step]], axis=1)
            pairs = pairs[_ONES[hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]].sum(axis=1) <= DISTANCE]
            apart = np.abs(small[pairs[:, 0]] - small[pairs[:, 1]]).mean(axis=(1, 2))
            found.append(np.sort(first[pairs[apart <= ALIKE * value_range]], axis=1))
        else:
            every = False
    return np.unique(np.concatenate(found), axis=0), every
