"""`maelib export`."""

import argparse
from pathlib import Path

from .common import UsageError

HELP = "write a model for another program: ONNX"
EXAMPLES = """  maelib export onnx                                      the shipped model, into mae_tiny_patch4_64.onnx
  maelib export onnx --model runs/mine --out mine.onnx    your own
  maelib export onnx --precision int8                     a quarter of the size, for web pages
"""
PRECISIONS = ("fp32", "fp16", "int8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("format", choices=("onnx",), help="pixels in, pixels out, any number of visible patches")
    parser.add_argument(
        "--model", default="mae_tiny_patch4_64", help="a shipped name, a file of weights or a run folder"
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="how the weights are stored")
    parser.add_argument("--out", type=Path, default=None, help="the file to write; the model's name if left out")


def run(args: argparse.Namespace) -> None:
    from ..interop.onnx import export_onnx
    from ..loading import load

    out = args.out or Path(f"{Path(args.model).stem}.onnx")
    if out.suffix != ".onnx":
        raise UsageError(f"--out must end in .onnx, got {out}")
    path = export_onnx(load(args.model), out, args.precision)
    print(f"written: {path}, {path.stat().st_size / 1e6:.1f} MB, {args.precision}")
