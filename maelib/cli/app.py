"""`maelib app`."""

import argparse
import os
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from .common import UsageError

HELP = "the reconstruction explorer as a web application: pictures, masks, scores, downloads"
EXAMPLES = """  maelib app                                    at http://127.0.0.1:8501, for this machine only
  maelib app --model runs/mine                  offer a run of yours beside the embedded model
  maelib app --host 0.0.0.0 --port 8080         for everyone who reaches this machine; put a proxy before it
  maelib app --max-mb 5 --max-megapixels 12     smaller uploads, where memory is short

Uploads stay in memory and never reach a disk, and the page speaks to this server only. A visitor may name a checkpoint
on the server where --host is this machine, or with --paths on. All visitors share one loaded model. The book's page
"The web application" has set-ups for Streamlit Community Cloud, a Hugging Face Space, and nginx with systemd.
"""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# A model as small as ours gains little from more threads, and threads that wait in a loop slow down everything beside them.
THREADS = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 for every network")
    parser.add_argument("--port", type=_port, default=8501, help="port to listen at")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="MODEL",
        help="a run folder or file of weights to offer as well; may be repeated",
    )
    parser.add_argument("--max-mb", type=float, default=40.0, help="largest upload, in millions of bytes")
    parser.add_argument("--max-megapixels", type=float, default=64.0, help="largest upload, in millions of pixels")
    parser.add_argument(
        "--paths",
        choices=["on", "off"],
        default=None,
        help="whether visitors may name a checkpoint on this machine; on where --host is this machine",
    )
    parser.add_argument(
        "--base-path", default="", metavar="PATH", help="path below which a proxy serves it, such as mae"
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")


def run(args: argparse.Namespace) -> None:
    from ..app.settings import Settings, open_model

    if find_spec("streamlit") is None:
        raise RuntimeError("the application needs streamlit: pip install 'maelib[app]', or pip install streamlit")
    paths = args.paths == "on" if args.paths else args.host in LOOPBACK
    models = tuple(os.path.abspath(m) if os.path.exists(m) else m for m in args.model)
    try:
        settings = Settings(models, args.max_mb, args.max_megapixels, paths)
    except ValueError as error:
        raise UsageError(str(error)) from error
    for model in models:
        open_model(model)  # a sentence now, and not in a visitor's page
    _check_address(args.host, args.port)
    script = Path(__file__).resolve().parent.parent / "app" / "page.py"
    options = {
        "server.address": args.host,
        "server.port": args.port,
        "server.baseUrlPath": args.base_path,
        "server.maxUploadSize": max(1, int(args.max_mb)),
        "browser.gatherUsageStats": "false",
    } | ({"server.headless": "true"} if args.no_browser else {})
    flags = [f"--{name}={value}" for name, value in options.items() if value != ""]
    command = [sys.executable, "-m", "streamlit", "run", str(script), *flags]
    os.environ.update(settings.to_environment())
    for name, value in THREADS.items():
        os.environ.setdefault(name, value)
    sys.stdout.flush()
    if os.name == "nt":  # exec detaches from the console there
        raise SystemExit(subprocess.call(command))
    os.execv(command[0], command)  # signals and exit status are the server's own


def _check_address(host: str, port: int) -> None:
    """OSError with a sentence where nothing can listen; Streamlit would show a traceback."""
    try:
        kind = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(*kind[:3]) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(kind[4])
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise RuntimeError(
            f"cannot listen at {host}, port {port}: {reason}; choose another --host or --port"
        ) from error


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"must be in 1 to 65535, got {text}")
    return int(text)
