"""Files: those that ship with the project, and writing one so that nobody ever finds half of it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that at any moment, crash, kill or full disk, the old or the new content is there, never a part.

    Raises
    ------
    OSError
        It cannot be written; the error names this file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path):
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Errors of the operating system within it name this file: that of a full disk names none."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:  # else it is a sentence of somebody's own, which a name would replace
            error.filename, error.filename2 = str(path), None
        raise
