"""The README's ladder, what to expect on which hardware, from the records of runs: python book/_ext/ladder.py rewrites it."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"(<!-- ladder: made by book/_ext/ladder.py -->\n).*?(<!-- /ladder -->)", re.S)


def ladder(root: Path) -> str:
    """A Markdown table for each size of pictures, with a row for every run in data/results, the quickest first."""
    records = [json.loads(path.read_text()) for path in (root / "data" / "results").glob("*.json")]
    runs = sorted((record for record in records if record["kind"] == "run"), key=lambda run: run["seconds"])
    sizes = sorted({run["model"]["image_size"] for run in runs})
    return "\n".join(
        f"{heading(size)}\n\n{table(run for run in runs if run['model']['image_size'] == size)}" for size in sizes
    )


def heading(size: int) -> str:
    """What stands above the table of a size."""
    enlarged = ", to which the pictures of 64 were enlarged: easier by some three decibels" if size > 64 else ""
    return f"At {size} pixels{enlarged}:"


def table(runs: Iterable[dict[str, Any]]) -> str:
    """A row for every run, the scores by protocol."""
    head = ["model", "hardware", "minutes", "pictures seen", "loss", "`masked`", "`pasted`", "measured on"]
    rows = ["| " + " | ".join(head) + " |", "|---|---|" + "--:|" * 6]
    for run in runs:
        decibels = [f"{run['metrics'][p]['psnr']:.2f} dB" if p in run["metrics"] else "" for p in ("masked", "pasted")]
        cells = [f"`{run['name']}`", run["hardware"], f"{run['seconds'] / 60:,.0f}", f"{run['images_seen']:,}"]
        cells += [f"{run['curve'][-1]['loss']:.4f}", *decibels, f"{run['metrics']['masked']['n']:,}"]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def with_ladder(text: str, root: Path) -> str:
    """The README's text with its ladder renewed."""
    assert BLOCK.search(text), "README.md has lost the two comments that hold its ladder"
    return BLOCK.sub(lambda found: found[1] + ladder(root) + found[2], text)


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(with_ladder(readme.read_text(), ROOT))
