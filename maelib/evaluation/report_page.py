"""A report on a data set as text for a terminal and as one self-contained HTML page: the same sections in both."""

import base64
import html
import io
from typing import Any

from ..datasets.sources import listed
from ..drawing import contact_sheet
from .report import NAMED, Report

Section = tuple[str, list[tuple[str, ...]]]  # a title, and rows of cells, the first of which is a label
COLUMNS = 6  # of the contact sheet
STYLE = """
:root { color-scheme: light dark; --ink: #1c1f23; --paper: #fff; --line: #d5d9de; --mark: #8a4b00; --soft: #f3f5f7 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7eb; --paper: #15181c; --line: #3a4048; --mark: #ffb95c; --soft: #20242a }
}
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--paper); color: var(--ink) }
body { font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin: 1.6rem 0 .4rem }
ul.findings { color: var(--mark); padding-left: 1.2rem }
.table { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line) }
th, .wide td { font-weight: normal; white-space: nowrap } td { min-width: 3.5rem }
code { display: block; background: var(--soft); padding: .6rem } img { max-width: 100%; height: auto; background: #fff }
"""


def sections(data: dict[str, Any]) -> list[Section]:
    """What a report says, but for findings, suggestion and pictures."""
    split, sizes, twins = data["split"], data["sizes"], data["duplicates"]
    pictures: list[tuple[str, ...]] = [
        ("number", f"{data['pictures']:,}"),
        (
            "train, val",
            f"{split['train']:,}, {split['val']:,}" + (", without the damaged ones" if data["damaged"] else ""),
        ),
    ]
    pictures += [("split", split["note"])] if split["note"] else []
    pictures += [("files", _listed(data["files"])), ("bands x dtype", _listed(data["kinds"]))]
    for i, side in enumerate(("height", "width")):
        each = (f"{name} {sizes[name][i]:,}" for name in ("smallest", "median", "largest"))
        pictures.append((side, ", ".join(each)))
    pictures += [("different sizes", f"{sizes['different']:,}")]
    missing = data["missing"]
    pictures += [("missing pixels", f"{missing['share']:.2%}, in {missing['pictures']:,} pictures")]
    pictures += [("constant", _names(data["constant"])), ("damaged", f"{len(data['damaged']):,}")]
    found: list[Section] = [("Pictures", pictures)]
    if data["damaged"]:
        found.append(("Damaged", _first(list(data["damaged"].items()))))
    if data["other_kind"]:
        found.append(("Of another kind", _first([(name,) for name in data["other_kind"]])))
    of, bands = data["quantiles"]["of"], data["quantiles"]["bands"]
    head = ("quantile", *("lowest" if q == 0 else "highest" if q == 1 else f"{100 * q:g} %" for q in of))
    rows = [(f"band {i}", *(f"{value:.5g}" for value in row)) for i, row in enumerate(bands, 1)]
    found.append(("Values of known pixels, evenly taken", [head, *rows]))
    for title, kind in (("Exact copies", "copies"), ("Near duplicates", "near")):
        rows = _parted(twins[kind], twins)
        counts = [f"{sum(mark in row[0] for row in rows):,} across {mark}" for mark in ("the split", "groups")]
        least = "" if twins["complete"] else "at least "
        counts = counts if data["groups"] else counts[:1]
        found.append((title, [("pairs", ", ".join([f"{least}{len(rows):,}", *counts])), *_first(rows)]))
    if groups := data["groups"]:
        each = groups["pictures"]
        found.append(
            (
                f"Groups of '{groups['expression']}'",
                [
                    ("number", f"{groups['groups']:,}, {groups['val']:,} in val, {groups['both']:,} on both sides"),
                    ("pictures in one", f"{each['fewest']:,} to {each['most']:,}, median {each['median']:,}"),
                ],
            )
        )
    scores = data["baselines"]
    if not scores:  # too little is known of any picture
        return found
    protocols = next(iter(scores.values()))
    one = next(iter(protocols.values()))
    title = f"What learns nothing scores: {one['n']} pictures, {one['mask_ratio']:.0%} hidden, seed {one['seed']}"
    table = [
        (fill, *(f"{m['psnr']:.2f} dB" + (f" / {m['ssim']:.3f}" if "ssim" in m else "") for m in by.values()))
        for fill, by in scores.items()
    ]
    found.append((title, [("PSNR / SSIM", *protocols), *table]))
    return found


def suggestions(data: dict[str, Any]) -> list[tuple[str, str]]:
    """Sentences on where to begin, each with its command or ""."""
    s, found = data["suggestion"], []
    if s["first"].startswith("mkdir"):
        found.append(("First move the files away that training cannot use:", s["first"]))
    elif s["first"]:
        found.append((f"First {s['first']}.", ""))
    start = ", beginning with the shipped weights" if s["begins_with_shipped_weights"] else ""
    text = f"A place to begin, not a measured optimum: {s['model']}{start}, {_recipe(s)} on this machine ({s['hardware']})."
    found.append((text, s["command"]))
    if "smaller" in s:
        found.append((f"For a first look, a much smaller model: {_recipe(s['smaller'])}.", s["smaller"]["command"]))
    return found


def _recipe(s: dict[str, Any]) -> str:
    minutes = f"{s['minutes']:.0f} minutes" if s["minutes"] >= 1 else "less than a minute"
    steps = f"An estimate from a few real steps of {s['seconds_a_step']:.2g} s: {minutes}"
    return f"{s['epochs']} epochs of batches of {s['batch_size']}. {steps}"


def as_text(data: dict[str, Any]) -> str:
    """The report for a terminal."""
    lines = [f"{data['data']}: a report before training", ""]
    lines += [f"! {line}" for line in data["findings"]] or ["nothing stands against training"]
    for title, rows in sections(data):
        lines += ["", title]
        widths = [max(len(row[i]) for row in rows if i < len(row) - 1) for i in range(max(map(len, rows)) - 1)]
        lines += ["  " + "  ".join([*map(str.ljust, row[:-1], widths), row[-1]]).rstrip() for row in rows]
    return "\n".join(
        [*lines, "", "Where to begin", *(f"  {line}" for pair in suggestions(data) for line in pair if line)]
    )


def as_page(report: Report) -> str:
    """The report as an HTML page with its pictures in it."""
    data = report.data
    listed = "".join(f"<li>{html.escape(line)}</li>" for line in data["findings"])
    parts = [f'<ul class="findings">{listed}</ul>' if listed else "<p>Nothing stands against training.</p>"]
    for title, rows in sections(data):
        body = "".join(
            f'<tr><th scope="row">{html.escape(row[0])}</th>{"".join(f"<td>{html.escape(c)}</td>" for c in row[1:])}</tr>'
            for row in rows
        )
        wide = " wide" if len(rows[0]) > 3 else ""  # numbers, which scroll rather than break
        parts.append(f'<h2>{html.escape(title)}</h2><div class="table{wide}" tabindex="0"><table>{body}</table></div>')
    parts.append("<h2>Where to begin</h2>")
    for text, command in suggestions(data):
        parts.append(f"<p>{html.escape(text)}</p>" + (f"<code>{html.escape(command)}</code>" if command else ""))
    n = len(report.pictures)
    columns = [list(report.pictures[start : n - n % COLUMNS or n : COLUMNS]) for start in range(min(COLUMNS, n))]
    file = io.BytesIO()
    contact_sheet(columns).save(file, "JPEG", quality=88)
    image = base64.b64encode(file.getvalue()).decode()
    about = f"{sum(map(len, columns))} of the pictures, evenly taken, as the model would see them"
    about += f": {report.shown}" if report.shown else ""
    about += "; hatched is what nobody knows" if report.data["missing"]["pictures"] else ""
    parts.append(f'<h2>Some of them</h2><p>{about}.</p><img alt="{about}" src="data:image/jpeg;base64,{image}">')
    name = html.escape(data["data"])
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{name}: a report before training</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>\n'
        f"<body><main><h1>{name}: a report before training</h1>\n{chr(10).join(parts)}</main></body></html>\n"
    )


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in counts.items())


def _names(names: list[str]) -> str:
    return f"{len(names):,}" + (f": {listed(names, 3)}" if names else "")


def _parted(pairs: list[list[str]], twins: dict[str, Any]) -> list[tuple[str, ...]]:
    """A row for each pair, those that the split or groups part first, marked so."""
    marks = {"the split": twins["across"], "groups": twins["across_groups"]}
    parted = {mark: {tuple(pair) for pair in by} for mark, by in marks.items()}
    rows = []
    for pair in map(tuple, pairs):
        across = " and ".join(mark for mark, by in parted.items() if pair in by)
        rows.append((f"across {across}" if across else "", *pair))
    return sorted(rows, key=lambda row: -len(row[0]))


def _first(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The first few, and how many more there are."""
    return rows[:NAMED] + (
        [("", f"and {len(rows) - NAMED:,} more, all of them in the JSON file")] if len(rows) > NAMED else []
    )
