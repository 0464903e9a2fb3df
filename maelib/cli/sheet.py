"""`maelib sheet`."""

import argparse
from pathlib import Path

from .common import UsageError

HELP = "lab sheets: a notebook of questions for each student, its key, and the marks of filled ones"
EXAMPLES = """  maelib sheet --seed 4711                             24 questions on chapters 1 to 8, into sheet-4711.ipynb
  maelib sheet --seed 4711 --chapters 1-3,5 --out a.ipynb
  maelib sheet --seed 4711 --key                       the right answers to that sheet, each with the way to it
  maelib sheet --mark a.ipynb                          points for each question, what was given, what is right
  maelib sheet --mark filled/ --out marks.csv          a folder of filled sheets, one table

Each student gets a seed: the number in the class list will do. The same seed gives the same sheet on every machine, another seed
other pictures, masks and numbers. Students write answers as text into the notebook; 0.75, 0,75, 75 % and 3/4 are the same.
Marking reads this text and runs nothing. In the table, 1 is right, 0 wrong, - not answered, ? for you to read.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=None, help="of the sheet, 0 to 2147483647")
    parser.add_argument("--chapters", default="1-8", help="which chapters it asks about, such as 1-5 or 2,4,7")
    parser.add_argument("--key", action="store_true", help="print the marker's answers in place of the sheet")
    parser.add_argument(
        "--mark",
        type=Path,
        nargs="+",
        default=None,
        metavar="FILLED",
        help="filled notebooks, or folders of them, to mark",
    )
    parser.add_argument(
        "--out", type=Path, default=None, help="the file to write: .ipynb for a sheet, .txt for a key, .csv for marks"
    )


def run(args: argparse.Namespace) -> None:
    from ..exercises.marking import parse_chapters
    from ..exercises.sheet import write_key, write_sheet

    if args.mark:
        if args.key or args.seed is not None:
            raise UsageError("--mark takes the seed from each notebook: leave --seed and --key away")
        mark_all(args)
        return
    if args.seed is None:
        raise UsageError("a sheet needs --seed NUMBER, another for each student")
    suffix = ".txt" if args.key else ".ipynb"
    if args.out and args.out.suffix != suffix:
        raise UsageError(f"--out must end in {suffix}, got {args.out}")
    try:
        text = (write_key if args.key else write_sheet)(args.seed, parse_chapters(args.chapters))
    except ValueError as error:
        raise UsageError(str(error)) from error
    if args.key and not args.out:
        print(text, end="")
        return
    write(args.out or Path(f"sheet-{args.seed}.ipynb"), text)


def mark_all(args: argparse.Namespace) -> None:
    """Mark every notebook that --mark names; one that cannot be read is a row with a note, and status 1."""
    from ..exercises.marking import as_csv, as_text, mark

    if args.out and args.out.suffix != ".csv":
        raise UsageError(f"--out must end in .csv, got {args.out}")
    paths: list[Path] = []
    for given in args.mark:
        found = sorted(given.glob("*.ipynb")) if given.is_dir() else [given]
        if not given.exists() or not found:
            raise FileNotFoundError(f"no {'notebook in' if given.is_dir() else 'file'} {given}")
        paths += found
    marked = [mark(path) for path in paths]
    if args.out:
        write(args.out, as_csv(marked))
    else:
        print("\n".join(map(as_text, marked)), end="")
    unread = [one.file for one in marked if not one.marks]
    if unread:
        raise ValueError(f"{len(unread)} of {len(marked)} could not be marked: {', '.join(unread)}")


def write(path: Path, text: str) -> None:
    """Write a new file; one that is there may hold somebody's answers and is left alone."""
    from ..files import write_atomically

    if path.exists() and path.read_bytes() != text.encode():
        raise FileExistsError(f"{path} is there already and is another file: choose another --out, or remove it")
    write_atomically(path, text.encode())
    print(f"written: {path}")
