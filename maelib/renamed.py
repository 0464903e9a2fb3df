"""Arguments that had another name: whoever writes the old one is told the new one in a sentence."""

from collections.abc import Callable
from functools import wraps
from typing import Any

RENAMED = {
    "mask_ratio": "masking=RATIO",
    "noise": "masking=Masking.from_noise(noise, RATIO)",
    "mask": "masking=Masking.from_mask(mask.flatten())",
}


def names_the_new(function: Callable) -> Callable:
    """The function, with a TypeError that names the new argument where an old one is given."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        for old, new in RENAMED.items():
            if old in kwargs:
                raise TypeError(f"{function.__name__}() takes masking, not {old}: write {new}")
        return function(*args, **kwargs)

    return call
