"""The command line: `maelib COMMAND`, a module for each command.

A module has the name of its command, a one-line `HELP`, `EXAMPLES` (shown below its help), `add_arguments(parser)` and
`run(args)`; `COMMANDS` lists them in the order in which the help does. An error that `run` raises becomes one line.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress

from .. import __version__
from . import app, data, evaluate, export, info, reconstruct, sheet, train
from .common import HelpFormatter, Parser, UsageError, error_line, said_elsewhere

__all__ = ["COMMANDS", "UsageError", "build_parser", "main"]

COMMANDS = (data, train, evaluate, reconstruct, export, app, sheet, info)
EPILOG = """examples:
  maelib data                                    find or download Tiny ImageNet and pack it
  maelib train --out runs/mine --epochs 5        train the small model on it
  maelib train --out runs/mine --resume auto     go on after an interruption
  maelib train --data ~/photos --out runs/ours   train on your own pictures
  maelib evaluate runs/mine --n 1000 --baselines measure it, beside fills that learn nothing
  maelib reconstruct photo.jpg --model runs/mine hide three quarters of a photograph and bring it back
  maelib export onnx                             the shipped model for other programs
  maelib app                                     play with all of it in a browser
  maelib sheet --seed 4711                       a lab sheet with numbers of its own, for one student
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, 1 (failed) or 2 (bad usage). Of several processes the one that knows the reason says it."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if "run" not in args:
        parser.print_help()
        return 2
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: tell(message)
            args.run(args)
        if sys.stdout:  # None where the caller has closed it
            sys.stdout.flush()  # a full disk or a reader that has left shows here, not at exit
    except KeyboardInterrupt:
        tell("interrupted")
        return 1
    except BrokenPipeError:  # `maelib ... | head`: nobody reads on, and nobody wants to hear of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # one line for people; --debug shows where it came from
        if args.debug:
            raise
        status = 2 if isinstance(error, UsageError) else 1
        if not said_elsewhere(getattr(error, "said_by", None)):
            tell(f"{'usage: ' if isinstance(error, UsageError) else ''}{error_line(error)}")
        return status
    return 0


def tell(message: object) -> None:
    """A line on standard error, which may be closed."""
    with suppress(OSError, ValueError):
        print(f"maelib: {message}", file=sys.stderr)


def build_parser() -> argparse.ArgumentParser:
    """The parser with all commands."""
    parser = Parser(
        prog="maelib",
        description="Masked autoencoders from scratch: train, measure, reconstruct.",
        epilog=EPILOG,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"maelib {__version__}")
    common = Parser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for module in COMMANDS:
        sub = commands.add_parser(
            module.__name__.rpartition(".")[2],
            help=module.HELP,
            description=f"{module.HELP[0].upper()}{module.HELP[1:]}.",
            epilog=f"examples:\n{module.EXAMPLES}",
            parents=[common],
            formatter_class=HelpFormatter,
        )
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return parser
