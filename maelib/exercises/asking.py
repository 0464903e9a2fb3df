"""A reader's function, asked: whatever it does becomes a value to compare or a sentence, never a traceback."""

import copy
import math
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

MOST_SHOWN = 16  # numbers of an array that a sentence can hold


class Wrong(Exception):
    """What is wrong with an answer, as the end of a sentence without its full stop."""


class Unwritten(Exception):
    """The stub is as it was."""


class Asked:
    """Calls a function with copies of its inputs, and compares what it gives back; raises `Wrong` with the input in words."""

    def __init__(self, function: Callable, call: str):
        self.function, self.call = function, call
        self.inputs: dict[str, Any] = {}

    def __call__(self, **inputs: Any) -> Any:
        """What the function returns for these inputs, which it gets in this order."""
        self.inputs = inputs
        copies = copy.deepcopy(list(inputs.values()))
        try:
            answer = self.function(*copies)
        except (Exception, SystemExit) as error:
            if isinstance(error, NotImplementedError) and not error.args:
                raise Unwritten from None
            raise Wrong(f"{self.given}, it raised {in_words(error, self.function)}") from None
        for name, before, after in zip(inputs, inputs.values(), copies, strict=True):
            if not isinstance(before, str) and not torch.equal(numbers(before), numbers(after)):
                raise Wrong(f"it changes its own input {name}: work on a copy, such as {name}.clone() or .copy()")
        if answer is None:
            raise Wrong(f"{self.given}, it returned None: is a `return` missing")
        return answer

    @property
    def given(self) -> str:
        """The input of the last call, in words."""
        return "for " + ", ".join(f"{name} {shown(value)}" for name, value in self.inputs.items())

    def parts(self, answer: Any, *wanted: str) -> list[Any]:
        """An answer of several parts, taken apart."""
        if not isinstance(answer, (tuple, list)) or len(answer) != len(wanted):
            got = f"{len(answer)} values" if isinstance(answer, (tuple, list)) else shown(answer)
            raise Wrong(
                f"it should return {len(wanted)} values, {', '.join(wanted)}, and {self.given}, it returned {got}"
            )
        return list(answer)

    def array(self, got: Any, shape: tuple[int, ...], what: str = "the result") -> Tensor:
        """An answer, or a part of it, as float64, once its shape is right."""
        try:
            theirs = numbers(got)
        except (TypeError, ValueError, RuntimeError):
            raise Wrong(f"{self.given}, {what} should be numbers, got {shown(got)}") from None
        if tuple(theirs.shape) != shape:
            one = f"of shape {shape}" if shape else "a single number"
            raise Wrong(f"{self.given}, {what} should be {one}, got one of shape {tuple(theirs.shape)}")
        return theirs

    def expect(self, got: Any, wanted: Any, what: str = "the result", tolerance: float = 1e-4) -> None:
        """Hold an answer, or a part of it, to what it must be: shape, then values."""
        ours = numbers(wanted)
        theirs = self.array(got, tuple(ours.shape), what)
        far = ~torch.isclose(theirs, ours, rtol=tolerance, atol=tolerance)
        if not far.any():
            return
        place = ""
        if ours.numel() > MOST_SHOWN:
            first = tuple(far.nonzero()[0].tolist())
            place, ours, theirs = f" at {list(first)}", ours[first], theirs[first]
        pair = shown(theirs), shown(ours)
        if pair[0] == pair[1]:
            pair = shown(theirs, 12), shown(ours, 12)
        raise Wrong(f"{self.given}, {what}{place} is {pair[0]}, not {pair[1]}")


def numbers(value: Any) -> Tensor:
    """Anything that holds numbers, as float64."""
    if isinstance(value, (tuple, list)) and any(isinstance(part, Tensor) for part in value):
        return torch.stack([numbers(part) for part in value])
    return torch.as_tensor(value).detach().cpu().to(torch.float64)


def shown(value: Any, digits: int = 4) -> str:
    """A value as a sentence shows it: numbers with few digits, a large array by its shape."""
    if isinstance(value, (Tensor, np.ndarray)):
        if math.prod(value.shape) > MOST_SHOWN:
            return f"of shape {tuple(value.shape)}"
        value = value.tolist()
    if isinstance(value, (tuple, list)):
        if len(value) > MOST_SHOWN:
            return f"of {len(value)} values"
        return f"[{', '.join(shown(part, digits) for part in value)}]"
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    text = repr(value)
    return text if len(text) <= 60 else f"a {type(value).__name__}"


def in_words(error: BaseException, function: Callable) -> str:
    """An error with its first line of text and the line of the reader's function in which it arose."""
    code = getattr(function, "__code__", None)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if code and frame.name == code.co_name]
    place = f" in line {lines[-1] - code.co_firstlineno + 1} of your function" if lines and code else ""
    text = str(error).strip().partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}{place}" + (f": {text[:160]}" if text else "")
