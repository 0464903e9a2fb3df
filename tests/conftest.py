"""Shared pieces: small models, random pictures, the real data where it is at hand."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from book_site import FLAGS, build_book, chromium, serve

from maelib import MAEConfig, MaskedAutoencoder

ROOT = Path(__file__).resolve().parent.parent
torch.set_num_threads(1)  # the models of the tests are too small to share
# For what tests start, notebooks above all: threads that spin for work slow everybody on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if hasattr(signal, "SIGHUP"):  # whoever starts the tests under nohup has it ignored, and what they start inherits that
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

SMALL = MAEConfig(
    image_size=32, patch_size=8, width=32, depth=2, heads=2, decoder_width=16, decoder_depth=2, decoder_heads=2
)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory):
    """Packed data goes where the tests can throw it away, unless a cache was chosen."""
    if "MAELIB_CACHE" not in os.environ:
        os.environ["MAELIB_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def small_model() -> MaskedAutoencoder:
    torch.manual_seed(0)
    return MaskedAutoencoder(SMALL)


@pytest.fixture
def pictures() -> np.ndarray:
    """(48, 32, 32, 3) uint8: smooth random pictures, which a model can learn something about."""
    random = np.random.default_rng(0)
    coarse = torch.from_numpy(random.uniform(size=(48, 3, 4, 4)).astype(np.float32))
    smooth = torch.nn.functional.interpolate(coarse, 32, mode="bilinear")
    return (smooth.permute(0, 2, 3, 1) * 255).to(torch.uint8).numpy()


@pytest.fixture(scope="session")
def real_data() -> str:
    """The folder with Tiny ImageNet; the test is skipped without it."""
    folder = os.environ.get("MAELIB_DATA")
    if not folder:
        pytest.skip("MAELIB_DATA is not set: no Tiny ImageNet at hand")
    return folder


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without asking the network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the book's pages, built once and strictly; MAELIB_BOOK names one that is built already."""
    if built := os.environ.get("MAELIB_BOOK"):
        return Path(built)
    return build_book(tmp_path_factory.mktemp("book"))


@pytest.fixture(scope="session")
def book_url(book: Path) -> Iterator[str]:
    """The book's address on this machine, with a slash at the end: `book_url + "notebooks/01_patches.html"`."""
    with serve(book) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """A Chromium. For one module only: Playwright keeps an event loop running, which asyncio.run elsewhere refuses."""
    from playwright.sync_api import sync_playwright

    path = chromium()
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield opened
        opened.close()
