"""The book's build exercises: `check("02.ratio", hide)` tries your function and says in one sentence what is wrong."""

import textwrap
from collections.abc import Callable

from .asking import Asked, Unwritten, Wrong
from .tasks import TASKS

__all__ = ["check", "judge", "names"]
COLUMNS = 74  # what a page of the book shows


def names() -> list[str]:
    """The names of all exercises, in the order of the chapters."""
    return list(TASKS)


def check(name: str, function: Callable | None = None) -> None:
    """Try a function of yours and print one sentence: that it is right, or for which input it is not, with both values.

    Parameters
    ----------
    name
        Of the exercise, such as `"02.ratio"`; `"?"` lists all.
    function
        Your function. It is called with copies of a few small inputs.

    Raises
    ------
    ValueError
        There is no such exercise; the message lists all names.
    """
    if name == "?":
        print("\n".join(f"{key:14}{task.call}" for key, task in TASKS.items()))
    else:
        print(textwrap.fill(judge(name, function)[1], COLUMNS, break_long_words=False))


def judge(name: str, function: Callable | None) -> tuple[bool, str]:
    """Whether a function solves an exercise, and the sentence that says so; errors as for `check`."""
    if name not in TASKS:
        raise ValueError(f"no exercise {name!r}; there are: {', '.join(TASKS)}")
    task = TASKS[name]
    if not callable(function):
        what = f"check({name!r}, {task.call.partition('(')[0]})"
        return False, f"{name}: hand over your function itself, as in {what}, not {function!r}."
    try:
        task.test(Asked(function, task.call))
    except Unwritten:
        return False, f"{name} is not written yet: put your lines where NotImplementedError is, and run this again."
    except Wrong as wrong:
        return False, f"{name} is not right yet: {wrong}."
    except Exception as error:  # an answer so odd that comparing it fails
        return False, f"{name} is not right yet: what it returned cannot be compared ({type(error).__name__}: {error})."
    return True, f"{name} is right: {task.praise}."
