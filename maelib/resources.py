"""Where the files that ship with the project are: sample pictures, trained weights, results."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data_path(name: str = "") -> Path:
    """Path of a shipped file, in a checkout (`data/`) and in an installed wheel (`maelib/_data/`).

    Parameters
    ----------
    name
        Relative path below the data folder, such as `"samples/chelsea.jpg"`; empty for the folder itself.

    Raises
    ------
    FileNotFoundError
        The project ships no such file; the message lists what is beside it.
    """
    root = _PACKAGE / "_data"
    if not root.is_dir():
        root = _PACKAGE.parent / "data"
    path = root / name
    if not path.exists():
        siblings = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
        raise FileNotFoundError(f"no shipped file {name!r}; there are: {', '.join(siblings) or 'none'}")
    return path
