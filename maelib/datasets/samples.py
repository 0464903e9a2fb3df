"""The sample pictures that ship with the project."""

from pathlib import Path

from ..resources import data_path


def samples() -> list[str]:
    """Names of the shipped pictures, in alphabetical order."""
    return sorted(path.stem for path in data_path("samples").iterdir() if path.suffix in (".jpg", ".png"))


def sample_path(name: str) -> Path:
    """File of a shipped picture; FileNotFoundError lists the names where there is none of that name."""
    for suffix in (".jpg", ".png"):
        path = data_path("samples") / f"{name}{suffix}"
        if path.exists():
            return path
    raise FileNotFoundError(f"no sample picture {name!r}; there are: {', '.join(samples())}")
