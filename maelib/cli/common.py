"""What several commands share: arguments, data, models, tables."""

import argparse
import json
import os
import re
import time
from pathlib import Path
from typing import Any, NoReturn

from ..config import MAEConfig

PATIENCE = 10  # seconds
NAMED = ("tiny-imagenet", "samples")  # data that is found wherever it lies
OPTIONS = ("size", "group", "tiles", "overlap")  # of pictures, which a run keeps


class UsageError(Exception):
    """The command was called in a way that cannot work."""

    said_by = "main"


def said_elsewhere(said_by: str | None) -> bool:
    """Whether another of several processes says what went wrong; it has the time to, for torchrun ends all with the first."""
    main = os.environ.get("RANK", "0") == "0"
    if said_by == "other" or (said_by == "main" and not main):
        time.sleep(PATIENCE)
        return not main
    return False


class Parser(argparse.ArgumentParser):
    """One line for a wrong argument, where argparse shows the whole usage above it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, "" if said_elsewhere("main") else f"{self.prog}: {message} ({self.prog} --help shows how)\n")


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Examples as they are written, and the default of every option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if not action.option_strings or any(action.default is nothing for nothing in (None, False, argparse.SUPPRESS)):
            return action.help
        return action.help if action.default == [] else f"{action.help} (default: %(default)s)"


def add_data(parser: argparse.ArgumentParser, of_run: bool = False) -> None:
    """The options that say which pictures, tiny-imagenet if left out, or with `of_run` those of the run."""
    parser.add_argument(
        "--data",
        default=None if of_run else "tiny-imagenet",
        help="tiny-imagenet, samples, or a path: a Tiny ImageNet zip or folder, any folder of pictures, "
        "also TIFF of 1 to 16 bands and .npy"
        + "; of a run what it was trained on, else tiny-imagenet, if left out"
        * of_run,
    )
    parser.add_argument(
        "--size",
        type=size,
        default=None,
        metavar="PIXELS",
        help="pack pictures at this size, 128 or 120x200 (height x width); the model's own if left out. Pictures are "
        "scaled to cover it and their middle is cut out, never distorted",
    )
    add_range(
        parser,
        "if left out, the model's own, or of the training pictures: 0 255 for 8 bits, else their 0.1 and "
        "99.9 %% quantiles",
    )
    add_nodata(parser)
    parser.add_argument(
        "--group",
        type=expression,
        default=None,
        metavar="EXPRESSION",
        help="keep pictures together on one side of the split: a regular expression over their names, whose first group, or "
        r"whole match, is what those of one scene or patient share, such as 'scene(\d+)'; for folders without train/ and val/",
    )
    parser.add_argument(
        "--tiles",
        type=size,
        default=None,
        metavar="PIXELS",
        help="cut pictures into tiles of 224 or 120x200 (height x width) instead of scaling them, the last of a row or column "
        "shifted inward; tiles of one picture stay on one side of the split",
    )
    parser.add_argument(
        "--overlap", type=positive, default=None, metavar="PIXELS", help="that neighbouring tiles share; 0 if left out"
    )
    parser.add_argument(
        "--cache", type=Path, default=None, help="folder of packed data; MAELIB_CACHE or ~/.cache/maelib if left out"
    )


def add_range(parser: argparse.ArgumentParser, otherwise: str) -> None:
    """The option that says which values become 0 and 1."""
    text = f"the values that become 0 and 1, those beyond are clipped; {otherwise}"
    parser.add_argument("--range", type=float, nargs=2, default=None, metavar=("LOW", "HIGH"), help=text)


def add_nodata(parser: argparse.ArgumentParser) -> None:
    """The option that says which value stands for "not known"."""
    parser.add_argument(
        "--nodata",
        type=nodata,
        default=None,
        metavar="VALUE",
        help='the value that means "not known", as NaN and the alpha 0 of a TIFF do: patches that have it are neither shown nor '
        "scored; if left out, the model's own, or each file's (GDAL_NODATA). A negative one is written --nodata=-1e30",
    )


def nodata(text: str) -> float | str:
    """A value of --nodata, as an option's type."""
    from ..datasets.missing import stated_nodata

    try:
        found = stated_nodata(text)
    except ValueError:
        found = None
    if found is None:
        raise argparse.ArgumentTypeError(f"must be a number or nan, got {text}")
    return found


def given_range(args: argparse.Namespace) -> Any:
    """What --range says, as `Values` of any dtype; None where it is left out."""
    from ..datasets.bands import stated

    try:
        return stated(args.range) if args.range else None
    except ValueError as error:
        raise UsageError(f"--range: {error}") from error


def say_other_range(given: Any, own: Any) -> None:
    """A line where --range is not that of the model; None for one that is not given, or not known: that of 8 bits."""
    from ..datasets.bands import EIGHT_BIT
    from ..training.interrupts import say

    own = own or EIGHT_BIT
    if given and given[:2] != own[:2]:
        say(f"--range {given[0]:g} {given[1]:g} is not the range of the model ({own[0]:g} to {own[1]:g})")


def add_bands(parser: argparse.ArgumentParser) -> None:
    """The option that says which bands pictures show."""
    text = (
        "which bands pictures show as red, green and blue, or one as gray, such as 4 3 2; 1 2 3 if left out, 1 of two"
    )
    parser.add_argument("--bands", type=positive, nargs="+", default=[], metavar="BAND", help=text)


def given_bands(args: argparse.Namespace, config: MAEConfig, run: dict[str, Any] | None = None) -> tuple[int, ...]:
    """What --bands says, else those of a run, else (); UsageError for bands that the model does not have."""
    from ..drawing import bands_shown

    if not args.bands and run:
        return tuple(run.get("bands", ()))
    try:
        return bands_shown(config.channels, args.bands) if args.bands else ()
    except ValueError as error:
        raise UsageError(f"--bands: {error}") from error


def load_data(args: argparse.Namespace, split: str, config: MAEConfig, values: Any = None) -> Any:
    """The data set that the options of `add_data` name, for a model: with its bands, at --size, else at its own size.

    Tiny ImageNet is packed no larger than it is, 64 x 64, and enlarged batch by batch. `values` are those of the model's own
    data, unless --range overrules them; data of another dtype is then refused.
    """
    from ..datasets import load_dataset

    own = 64 if args.data == "tiny-imagenet" and max(config.hw) > 64 else config.hw
    given = given_range(args)
    known = given or values
    pair = known[:2] if known else None
    if args.overlap and (not args.tiles or args.overlap >= min(args.tiles)):
        raise UsageError(f"--overlap {args.overlap} needs --tiles of more pixels on either side")
    packed = load_dataset(
        args.data,
        split,
        size=args.size or own,
        channels=config.channels,
        value_range=pair,
        group=args.group,
        tiles=args.tiles,
        overlap=args.overlap or 0,
        nodata=args.nodata,
        cache=args.cache,
    )
    if values and not given:
        values.check(packed.images.dtype, packed.name)
    return packed


def data_name(args: argparse.Namespace) -> str:
    """What a run calls its data, wherever that lies."""
    return args.data if args.data in NAMED else Path(args.data).name or data_path(args).name


def data_path(args: argparse.Namespace) -> Path:
    """Where data that is no shipped or downloaded one lies."""
    return Path(args.data).expanduser().resolve()


def run_of(model: Path) -> Path:
    """The folder of the run to which a model belongs that may be a file of weights or a checkpoint in it."""
    if not model.is_file():
        return model
    return model.parents[model.parent.name == "checkpoints"]


def pictures_of(run: Path) -> dict[str, Any]:
    """What a run says of its pictures: `data`, its `path`, `range`, `pictures` by split, and `bands`; {} without one."""
    try:
        found = json.loads((run / "config.json").read_text())
        return {key: found[key] for key in ("data", "path", "range", "pictures", "bands") if key in found}
    except (OSError, ValueError, TypeError):
        return {}


def is_of_run(args: argparse.Namespace, run: dict[str, Any]) -> bool:
    """Whether --data names the data of a run."""
    return bool(run.get("data") == data_name(args))


def data_of(run: dict[str, Any], model: str) -> str:
    """The data that `pictures_of` a model's run name, where it is left out; UsageError where it is no longer there."""
    name, path = run.get("data", "tiny-imagenet"), run.get("path")
    if name in NAMED:
        return name
    if path and Path(path).exists():
        return path
    raise UsageError(f"{model} was trained on '{name}': say where it is with --data")


def apply_options(args: argparse.Namespace, run: dict[str, Any]) -> dict[str, Any]:
    """Options of the pictures that are left out, set to those of a run; returns the ones that were, but for --nodata."""
    if args.nodata is None:
        args.nodata = next(iter(run.get("range", [])[3:]), None)  # behind low, high and dtype
    of_run = run.get("pictures", {}).get("train", {})
    options = {name: of_run[name] for name in OPTIONS if of_run.get(name) and getattr(args, name) is None}
    for name, value in options.items():
        setattr(args, name, tuple(value) if isinstance(value, list) else value)
    return options


def load_as_run(args: argparse.Namespace, split: str, run: dict[str, Any], config: MAEConfig, values: Any) -> Any:
    """The pictures, cut and split as those of the run were, where they can be; lines say where they cannot, or are others."""
    from ..datasets import DatasetError
    from ..datasets.fingerprint import changes
    from ..training.interrupts import say

    same = is_of_run(args, run)
    options = apply_options(args, run) if same else {}
    try:
        packed = load_data(args, split, config, values)
    except DatasetError as error:
        if not options:
            raise
        for name in options:
            setattr(args, name, None)
        packed = load_data(args, split, config, values)
        say(f"{', '.join(f'--{name}' for name in options)} of the run cannot be applied here: {error}")
        return packed
    before = run.get("pictures", {}).get(split)
    if same and before and (found := changes({split: before}, {split: packed.made_of})):
        say(f"not the pictures of the run: {'; '.join(found)}")
        if split == "val" and (seen := _trained_on(args, run["pictures"].get("train", {}))):
            say(f"{seen[0]:,} of these {seen[1]:,} pictures were trained on: their scores say nothing of new ones")
    return packed


def _trained_on(args: argparse.Namespace, train: dict[str, Any]) -> tuple[int, ...]:
    """How many of the pictures that are held out now a run was trained on, and of how many; () where that cannot be told."""
    from ..datasets.loading import cache_folder, find_source

    place = args.cache or cache_folder()
    before, now = (
        set(find_source(args.data, split, place, group=group).members)
        for split, group in (("train", train.get("group")), ("val", args.group))
    )
    known = len(before) == train.get("count")  # else these are other files
    return (len(before & now), len(now)) if known and before & now else ()


def say_range(packed: Any) -> None:
    """A line on the range of data that is not of 8 bits, with how much of it is clipped, and one on missing pixels."""
    from ..datasets.bands import EIGHT_BIT, count_outside
    from ..training.interrupts import say

    low, high, kind = packed.values
    if packed.values != EIGHT_BIT:
        outside, total = count_outside(packed.images, packed.values, packed.missing), packed.images.size
        say(
            f"{packed.name}: {kind} values {low:g} to {high:g} become 0 to 1; {outside:,} of {total:,} are outside, clipped"
        )
    if packed.missing is not None:
        by_picture = [int(one.sum()) for one in packed.missing]
        share, pictures = sum(by_picture) / packed.missing.size, sum(map(bool, by_picture))
        say(f"{packed.name}: {share:.2%} of the pixels are missing, in {pictures:,} of {len(packed):,} {packed.what}")


def say_mixed(*made: Any) -> None:
    """A line where some files name another nodata value than others, or none; of `made_of` of packed pictures."""
    from ..datasets.missing import said_mixed
    from ..training.interrupts import say

    if mixed := said_mixed(*(one for one in made if one.get("count"))):
        say(mixed)


def how_shown(packed: Any, bands: tuple[int, ...]) -> str:
    """How the pictures of a data set are shown, in brackets behind a name; "" for photographs, which are shown as they are."""
    from ..evaluation.reconstruction import look_of

    look = look_of(packed.images[0], packed.values, bands)
    return f" ({look.words})" if look else ""


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


def size(text: str) -> tuple[int, int]:
    """Height and width in pixels from 128 or 120x200, as an option's type."""
    sides = text.split("x")
    if len(sides) > 2:
        raise argparse.ArgumentTypeError(f"must be one size or HEIGHTxWIDTH, got {text}")
    return positive(sides[0]), positive(sides[-1])


def seed(text: str) -> int:
    """The seed of a mask, as an option's type."""
    if not text.isascii() or not text.isdecimal() or int(text) >= 2**31:
        raise argparse.ArgumentTypeError(f"must be a whole number in [0, 2**31), got {text}")
    return int(text)


def expression(text: str) -> str:
    """A regular expression, as an option's type."""
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"must be a regular expression, got '{text}' ({error})") from error
    return text


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
    """A table of PSNR and SSIM, a row for the model and for each fill, those that know the answer apart from the others, and a
    line where a fill without any answer is better than the model.

    Of gray pictures the mean of a patch and that of its channel are one fill, and one row.
    """
    from ..evaluation.baselines import ORACLES
    from ..evaluation.metrics import PERFECT_PSNR

    oracles = [name for name in scores if name in ORACLES]
    if "patch_mean" in oracles and scores.get("patch_channel_mean") == scores["patch_mean"]:
        oracles.remove("patch_channel_mean")

    protocols = list(next(iter(scores.values())))
    one = next(iter(scores.values()))[protocols[0]]
    print(f"{one['n']:,} pictures, {one['mask_ratio']:.0%} hidden, seed {one['seed']}")
    print(f"{'':20}" + "".join(f"{protocol:>22}" for protocol in protocols))
    for name in [*(name for name in scores if name not in ORACLES), *oracles]:
        if oracles and name == oracles[0]:
            print("these know the answer, the true means of what is hidden:")
        cells = [f"{m['psnr']:.2f} dB" + (f" / {m['ssim']:.3f}" if "ssim" in m else "") for m in scores[name].values()]
        print(f"{name:20}" + "".join(f"{cell:>22}" for cell in cells))
    if any(m["psnr"] >= PERFECT_PSNR for by_protocol in scores.values() for m in by_protocol.values()):
        print(f"{PERFECT_PSNR:.0f} dB stand for no error at all")
    blind = next((protocol for protocol in ("masked", "pasted") if protocol in protocols), None)  # no truth is given
    fills = [name for name in scores if name not in ORACLES | {"model"}]
    if blind and fills and "model" in scores:
        best = max(fills, key=lambda name: scores[name][blind]["psnr"])
        if (less := scores[best][blind]["psnr"] - scores["model"][blind]["psnr"]) > 0:
            knows = "the mean colour" if best == "visible_mean" else "smoothing"
            print(f"below {best} by {less:.1f} dB {blind}: it has learned less than {knows} knows")
