"""Run what the chapters claim: over several seeds, and on models that have learned nothing.

    python benchmarks/claims.py --json data/results/claims.json      # every chapter with seeds 0, 1, 2: half an hour on two cores
    python benchmarks/claims.py --chapters 02 08 --seeds 0           # two chapters as they stand
    python benchmarks/claims.py --untrained --seeds 0     # random weights instead of the shipped ones: claims must fail
    python benchmarks/claims.py --list                    # sentences that compare, with the claims near them or their source

A seed is added to every seed that a chapter, or the package below it, asks for: masks, crops, weights, order. What a chapter
reads from a result file stays as it is. `above` and `below` are the bounds that the chapter's own cell is held to.
"""

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from harness import parser_of, write_result
from nbclient import NotebookClient
from tqdm import tqdm

from maelib.claims import RECORD

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
# Run before a chapter's first cell. Functions that take a seed are wrapped where they live, before a chapter imports them.
SHIFTED = """
import numpy, torch, maelib, maelib.strategies, maelib.training.batches

def shifted(function, place):
    def with_seed(*args, **kwargs):
        args = list(args)
        if len(args) > place and isinstance(args[place], int):
            args[place] += {seed}
        elif "seed" in kwargs or place:
            kwargs["seed"] = kwargs.get("seed", 0) + {seed}
        return function(*args, **kwargs)
    return with_seed

torch.manual_seed = shifted(torch.manual_seed, 0)
numpy.random.default_rng = shifted(numpy.random.default_rng, 0)
maelib.strategies.seeded = shifted(maelib.strategies.seeded, 2)
maelib.training.batches.generator = shifted(maelib.training.batches.generator, 0)

class Shifted(torch.Generator):
    def manual_seed(self, seed):
        return super().manual_seed(seed + {seed})

torch.Generator = Shifted
"""
UNTRAINED = """
import maelib, maelib.loading, torch

def load(source, device="cpu", load=maelib.loading.load):
    torch.manual_seed(0)
    return maelib.MaskedAutoencoder(load(source).config).eval().to(device)

maelib.load = maelib.loading.load = load
"""


def claims_of(notebook: Path, seed: int = 0, untrained: bool = False, timeout: int = 900) -> list[dict[str, Any]]:
    """What the claims of a chapter found with a seed, in their order; cells after one that fails are not reached."""
    chapter = nbformat.read(notebook, as_version=4)
    before = (SHIFTED.format(seed=seed) if seed else "") + (UNTRAINED if untrained else "")
    chapter.cells.insert(0, nbformat.v4.new_code_cell(before))
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "claims.jsonl"
        client = NotebookClient(
            chapter, timeout=timeout, allow_errors=untrained, resources={"metadata": {"path": NOTEBOOKS}}
        )
        client.execute(env=os.environ | {RECORD: str(record)})
        return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


COMPARES = re.compile(
    r"\b(more|less|fewer|better|worse|best|worst|most|least|larger|largest|smaller|smallest|higher|highest|lower|lowest|"
    r"faster|fastest|slower|ahead|behind|beats?|loses?|wins?|gains?|helps?|costs?|twice|half|times as|than|equal|because|grows?|"
    r"falls?|always|never)\b",
    re.IGNORECASE,
)


def sentences(notebook: Path) -> list[tuple[str, str, str]]:
    """(cell, sentence, what holds it) for each sentence outside questions and code that compares, predicts or gives a cause."""
    cells, found = nbformat.read(notebook, as_version=4).cells, []
    for index, cell in enumerate(cells):
        if cell.cell_type != "markdown":
            continue
        near = []
        for step in (-1, 1):  # up to the next text on either side
            place = index + step
            while 0 <= place < len(cells) and cells[place].cell_type == "code":
                near += re.findall(r'claim\(\s*f?"([^"]+)"', cells[place].source)
                place += step
        text = re.sub(r"```.*?```|<[^>]+>|^[|#].*$", " ", cell.source, flags=re.DOTALL | re.MULTILINE)
        for sentence in re.split(r"(?<=[.!?:])\s+", " ".join(text.split())):
            if COMPARES.search(sentence) and not sentence.rstrip("*").endswith("?"):
                source = "cited" if re.search(r"\]\(http|et al", sentence) else "; ".join(near) or "-"
                found.append((cell.id, sentence, source))
    return found


def main() -> None:
    parser = parser_of(__doc__, "json")
    parser.add_argument("--list", action="store_true", help="list the sentences and run nothing")
    parser.add_argument("--chapters", nargs="+", help="numbers such as 02 08; all if left out")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="(default: 0 1 2)")
    parser.add_argument("--untrained", action="store_true", help="on random weights instead of the shipped ones")
    args = parser.parse_args()
    chapters = [p for p in sorted(NOTEBOOKS.glob("*.ipynb")) if args.chapters is None or p.name[:2] in args.chapters]
    if args.list:
        for notebook in chapters:
            for cell, sentence, held in sentences(notebook):
                print(f"{notebook.name[:2]} {cell}: {sentence}\n    {held}")
        return
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for notebook, seed in tqdm([(notebook, seed) for notebook in chapters for seed in args.seeds], unit="run"):
        for found in claims_of(notebook, seed, args.untrained):
            row: dict[str, Any] = {"chapter": notebook.name[:2], "claim": found["claim"]}
            row |= {name: found[name] for name in ("above", "below") if name in found}
            row |= {"seeds": [], "values": [], "holds": 0}
            row = rows.setdefault((notebook.name, found["claim"]), row)
            row["seeds"].append(seed)
            row["values"].append(None if found["value"] is None else float(f"{found['value']:.4g}"))
            row["holds"] += found["holds"]
    table = list(rows.values())
    for row in table:
        print(f"{row['chapter']} {row['holds']} of {len(row['seeds'])}  {row['claim']}: {row['values']}")
    whole = sum(row["holds"] == len(row["seeds"]) for row in table)
    print(f"{whole} of {len(table)} claims hold with every seed")
    if args.json:
        write_result(args.json, table, kind="claims", about=" ".join((__doc__ or "").split("\n\n")[2].split()))


if __name__ == "__main__":
    main()
