"""Sentences of the book that compare or predict, held by what the cells above them computed.

In a chapter such cells carry the tag `claim`, and the page leaves them out. `benchmarks/claims.py` runs all of them over several
seeds, and on models that have learned nothing, where they must fail.
"""

import json
import math
import os

RECORD = "MAELIB_CLAIMS"  # names a file that gets a line of JSON for every claim


def claim(sentence: str, value: float, *, above: float = -math.inf, below: float = math.inf) -> None:
    """Hold a sentence of the book to a number, such as the lead in dB or the ratio that it speaks of.

    Where the environment variable MAELIB_CLAIMS names a file, a line about it is written there, and nothing is raised.

    Raises
    ------
    AssertionError
        The value does not lie strictly between the two bounds; NaN never does.
    ValueError
        Neither bound is given.
    """
    if above == -math.inf and below == math.inf:
        raise ValueError(f"a claim needs a bound: give above= or below= for {sentence!r}")
    value = float(value)
    holds = above < value < below
    if path := os.environ.get(RECORD):
        bounds = {name: bound for name, bound in (("above", above), ("below", below)) if math.isfinite(bound)}
        line = {"claim": sentence, "value": value if math.isfinite(value) else None, "holds": holds, **bounds}
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
    elif not holds:
        wanted = " and ".join(
            f"{word} {bound:g}" for word, bound in (("above", above), ("below", below)) if math.isfinite(bound)
        )
        raise AssertionError(f"this does not hold here: {sentence!r}; the value is {value:g}, it must be {wanted}")
