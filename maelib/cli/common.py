"""What several commands share: arguments, data, models, tables."""

import argparse
import re
from pathlib import Path
from typing import Any, NoReturn


class UsageError(Exception):
    """The command was called in a way that cannot work."""


class Parser(argparse.ArgumentParser):
    """One line for a wrong argument, where argparse shows the whole usage above it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} ({self.prog} --help shows how)\n")


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Examples as they are written, and the default of every option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if not action.option_strings or any(action.default is nothing for nothing in (None, False, argparse.SUPPRESS)):
            return action.help
        return action.help if action.default == [] else f"{action.help} (default: %(default)s)"


def add_data(parser: argparse.ArgumentParser) -> None:
    """The options that say which pictures."""
    parser.add_argument(
        "--data",
        default="tiny-imagenet",
        help="tiny-imagenet, samples, or a path: a Tiny ImageNet zip or folder, any folder of pictures",
    )
    parser.add_argument(
        "--size", type=positive, default=None, help="pack pictures at this size in pixels; fits the model if left out"
    )
    parser.add_argument(
        "--cache", type=Path, default=None, help="folder of packed data; MAELIB_CACHE or ~/.cache/maelib if left out"
    )


def load_data(args: argparse.Namespace, split: str, size: int) -> Any:
    """The data set that the options of `add_data` name."""
    from ..datasets import load_dataset

    return load_dataset(args.data, split, size=size, cache=args.cache)


def error_line(error: BaseException) -> str:
    """An error in one line, an operating system's with the file first and without its number."""
    if isinstance(error, OSError) and error.strerror:
        place = error.filename2 or error.filename
        reason = "it is a file, and a folder is needed there" if isinstance(error, FileExistsError) else error.strerror
        return f"{f'cannot use {str(place)!r}: ' if place else ''}{reason[0].lower()}{reason[1:]}"
    return " ".join(str(error).split()) or type(error).__name__


def positive(text: str) -> int:
    """A whole number of at least 1, as an option's type."""
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text}")
    return int(text)


def device(text: str) -> str:
    """The name of a device, as an option's type."""
    if not re.fullmatch(r"cpu|(cuda|mps|xpu)(:[0-9]{1,3})?", text):
        raise argparse.ArgumentTypeError(f"must be cpu, cuda or cuda:1 and the like, got {text}")
    return text


def ratio(text: str) -> float:
    """A mask ratio, as an option's type."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be in [0, 1), got {text}")
    return value


def picture_file(text: str) -> Path:
    """A picture to write, as an option's type."""
    path = Path(text)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise argparse.ArgumentTypeError(f"must end in .png, .jpg or .webp, got {text}")
    return path


def print_scores(scores: dict[str, dict[str, dict[str, Any]]]) -> None:
    """A table of PSNR and SSIM, a row for the model and for each fill."""
    protocols = list(next(iter(scores.values())))
    one = next(iter(scores.values()))[protocols[0]]
    print(f"{one['n']:,} pictures, {one['mask_ratio']:.0%} hidden, seed {one['seed']}")
    print(f"{'':20}" + "".join(f"{protocol:>22}" for protocol in protocols))
    for name, by_protocol in scores.items():
        cells = [f"{m['psnr']:.2f} dB" + (f" / {m['ssim']:.3f}" if "ssim" in m else "") for m in by_protocol.values()]
        print(f"{name:20}" + "".join(f"{cell:>22}" for cell in cells))
