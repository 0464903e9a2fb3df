"""How fast the explorers answer and what they cost on the wire, in a real browser and in Python.

    python benchmarks/explorers.py --json data/results/explorers.json      # two minutes on two cores

Builds a small book with the reconstruction explorer, serves it, and moves its ratio slider in headless Chromium by the
keyboard: `first result` is the time from the first key to the first picture by the model, with everything still to be
loaded; `slider move` from a move to its picture
by the page's own clock, once the model is there. `kernel` is the time that
the same move takes in Python. Bytes are those that came over the wire, without headers.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "book" / "_ext")]

import torch  # noqa: E402
from book_site import FLAGS, chromium, serve  # noqa: E402
from harness import parser_of, print_machine, write_result  # noqa: E402
from live_site import Watched, build_site, wire_bytes  # noqa: E402
from playwright.sync_api import Browser, sync_playwright  # noqa: E402

from maelib.explorers.reconstruction import ReconstructionExplorer  # noqa: E402


def in_the_page(browser: Browser, url: str, moves: int) -> dict[str, float]:
    """Seconds and bytes of one fresh visit."""
    plain = browser.new_page()
    plain.goto(url + "index.html", wait_until="networkidle")
    without = wire_bytes(plain)
    plain.close()
    watched = Watched(browser, url + "one.html", viewport={"width": 1300, "height": 900})
    watched.page.wait_for_load_state("networkidle")
    untouched = wire_bytes(watched.page)
    handle = watched.place(0).locator("input[type=range]")
    handle.focus()
    seconds = []
    for i in range(moves + 1):
        start = time.perf_counter()
        watched.after(0, "model", lambda i=i: watched.page.keyboard.press("ArrowLeft" if i % 2 else "ArrowRight"))
        painted = float(watched.place(0).get_attribute("data-latency")) / 1000  # as the page itself has it
        seconds.append(painted if i else time.perf_counter() - start)
    files = watched.page.evaluate("document.querySelector('.maelib-pair').driver.engine.files")
    by_worker = sum(files[name]["size"] for name in ("runtime", "model"))
    used = wire_bytes(watched.page) + by_worker - without
    watched.context.close()
    return {
        "first_result": seconds[0], "slider_move": statistics.median(seconds[1:]), "more_untouched": untouched - without,
        "first_use": used,
    }  # fmt: skip


def in_python(moves: int) -> float:
    """Median seconds of a slider move in a kernel."""
    explorer, seconds = ReconstructionExplorer(), []
    for i in range(moves):
        start = time.perf_counter()
        explorer.controls["ratio"].value = 70 + i % 7
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def main() -> None:
    parser = parser_of(__doc__, "json")
    parser.add_argument("--visits", type=int, default=5)
    parser.add_argument("--moves", type=int, default=30)
    args = parser.parse_args()
    print_machine()
    torch.set_num_threads(2)
    with (
        tempfile.TemporaryDirectory() as folder,
        serve(build_site(Path(folder))) as url,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        version = browser.version
        visits = [in_the_page(browser, url, args.moves) for _ in range(args.visits)]
        browser.close()
    found = {key: statistics.median(visit[key] for visit in visits) for key in visits[0]}
    rows: list[dict[str, Any]] = [
        {"what": "first result, nothing loaded before", "unit": "ms", "measured": 1000 * found["first_result"], "limit": 2500},
        {"what": "slider move in the page", "unit": "ms", "measured": 1000 * found["slider_move"], "limit": 100},
        {"what": "slider move in a kernel", "unit": "ms", "measured": 1000 * in_python(args.moves), "limit": 100},
        {"what": "page with an untouched explorer, more than without", "unit": "MB", "measured": found["more_untouched"] / 1e6,
         "limit": 0.3},
        {"what": "first use, more than the page without", "unit": "MB", "measured": found["first_use"] / 1e6, "limit": 8},
    ]  # fmt: skip
    for row in rows:
        print(f"{row['what']:55}{row['measured']:10.2f} {row['unit']}   at most {row['limit']}")
    if args.json:
        often = f"{args.visits} visits with {args.moves} slider moves each"
        write_result(args.json, rows, kind="latency", about=f"Medians of {often}, Chromium {version}, one wasm thread")


if __name__ == "__main__":
    main()
