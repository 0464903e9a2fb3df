"""Numbers of the book, taken from the result files in data/results at build time.

Directives, for MyST pages:

- `{result-summary}` with the names of runs, one a line: their metrics beside baselines; a run without a file is "not measured yet".
- `{result-run} NAME`: everything about one run, with its curve.
- `{result-table} NAME`: the table of a benchmark, of trials, or of published scores.
- `{result-curves}`: the losses of all recorded and published runs against pictures seen.

and the role `` {result}`NAME metrics.masked.psnr` ``: one number, in two decimals.
"""

import json
import math
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

Record = dict[str, Any]


def load_record(root: Path, name: str) -> Record | None:
    """The result file of a name, or None where nothing was measured."""
    path = root / "data" / "results" / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def markdown_table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, the first column left, the others right."""
    rule = ["---"] + ["--:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])


def show_score(score: Record | None) -> str:
    """`17.02 dB`, or `18.27 dB / 0.526` with the SSIM."""
    if score is None:
        return ""
    return f"{score['psnr']:.2f} dB" + (f" / {score['ssim']:.3f}" if "ssim" in score else "")


def show_value(value: Any) -> str:
    """A cell of a table: numbers readable, the rest as it is."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ""}[value]
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def sentence(text: str) -> str:
    """With a full stop, and only one."""
    return text.rstrip(".") + "."


def by_model(rows: list[Record]) -> list[list[Record]]:
    """The rows of each model, in their order; all in one where no model is named."""
    return [[row for row in rows if row.get("model") == model] for model in dict.fromkeys(r.get("model") for r in rows)]


def table_of(rows: list[Record]) -> str:
    """Rows as a table; what all of them share stands above it, so that the table fits a telephone."""
    head = list(dict.fromkeys(key for row in rows for key in row))
    shared = [key for key in head if len(rows) > 2 and all(row.get(key) == rows[0].get(key) for row in rows)]
    head = [key for key in head if key not in shared]
    title = ", ".join(f"`{rows[0][key]}`" if key == "model" else said(key, rows[0][key]) for key in shared)
    table = markdown_table([label(key) for key in head], [[show_value(row.get(key)) for key in head] for row in rows])
    return f"{title}:\n\n{table}" if title else table


def said(key: str, value: Any) -> str:
    """A shared value in words: `batch 128`, `not compiled`."""
    if isinstance(value, bool):
        return label(key) if value else f"not {label(key)}"
    return f"{label(key)} {show_value(value)}"


UNITS = {"_mb": " (MB)", "_db": " (dB)", "_tflops": " (TFLOP/s)"}


def label(key: str) -> str:
    """The heading of a column, with its unit."""
    for ending, unit in UNITS.items():
        if key.endswith(ending):
            key = key.removesuffix(ending) + unit
    return key.replace("_", " ").replace("psnr", "PSNR").replace("gflop", "GFLOP")


def summary(records: dict[str, Record | None]) -> str:
    """Runs and their metrics by protocol; what has no record says so."""
    protocols = [p for p in ("masked", "pasted", "article") if any(r and p in r["metrics"] for r in records.values())]
    rows = []
    for name, record in records.items():
        if record is None:
            rows.append([f"`{name}`", "not measured yet"] + [""] * len(protocols))
        else:
            seen = f"{record['images_seen']:,}"
            rows.append([f"`{name}`", seen, *(show_score(record["metrics"].get(p)) for p in protocols)])
    return markdown_table(["run", "pictures seen", *(f"`{p}`" for p in protocols)], rows)


def scores(record: Record) -> str:
    """The metrics of a run beside those of the fills that learn nothing."""
    protocols = list(record["metrics"])
    rows = [["**the model**", *(f"**{show_score(record['metrics'][p])}**" for p in protocols)]]
    for fill, found in record["baselines"].items():
        rows.append([fill.replace("_", " "), *(show_score(found.get(p)) for p in protocols)])
    return markdown_table(["fill of the hidden patches", *(f"`{p}`" for p in protocols)], rows)


def about(record: Record) -> str:
    """What a reader needs to judge, or to repeat, a run."""
    first = next(iter(record["metrics"].values()))
    stages = record.get("stages", [record])
    trained = "; then from these weights again, with a warm-up and a cosine of its own: ".join(map(stage, stages))
    return (
        f"Trained on {record['dataset']} for {record['epochs']:g} epochs ({record['images_seen']:,} pictures seen), "
        f"{record['seconds'] / 60:,.0f} minutes on {record['hardware']}: {trained}. {record['software']}. Measured on "
        f"{first['n']:,} validation pictures with {first['mask_ratio']:.0%} of the patches hidden, masks of seed "
        f"{first['seed']}."
    )


def stage(run: Record) -> str:
    """One stretch of training, from a warm-up to the end of a cosine."""
    recipe = run["recipe"]
    peak = recipe["base_lr"] * recipe["batch_size"] / 256
    return (
        f"{recipe['epochs']:g} epochs of batch {recipe['batch_size']}, peak learning rate {peak:.2g}, augmentation "
        f"{recipe['augment']}, seed {run['seed']}, commit `{run['commit'][:7]}`"
    )


def draw_curve(record: Record, path: Path) -> None:
    """The training loss over epochs, as SVG on white."""
    from maelib.figures import plot, plt

    figure, axes = plot("epoch", "training loss", width=7, height=3)
    points = [(point["epoch"], point["loss"]) for point in record["curve"]]
    axes.plot(*zip(*points, strict=True))
    axes.set_yscale("log")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)


class FromData(SphinxDirective):
    """Parse Markdown made from result files as if it stood in the page."""

    has_content = True
    optional_arguments = 1

    def record(self, name: str) -> Record:
        found = load_record(Path(self.env.srcdir), name)
        if found is None:
            raise self.error(f"data/results/{name}.json does not exist")
        self.env.note_dependency(str(Path(self.env.srcdir) / "data" / "results" / f"{name}.json"))
        return found

    def markdown(self) -> str:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        container = nodes.container()
        source = self.get_source_info()[0]
        self.state.nested_parse(StringList(self.markdown().splitlines(), source), self.content_offset, container)
        return container.children


class ResultSummary(FromData):
    def markdown(self) -> str:
        return summary({name: load_record(Path(self.env.srcdir), name) for name in self.content if name})


class ResultRun(FromData):
    def markdown(self) -> str:
        name = self.arguments[0]
        record = self.record(name)
        root = Path(self.env.srcdir)
        curve = root / "_build" / "results" / f"{name}.svg"
        draw_curve(record, curve)
        last = record["curve"][-1]
        alt = f"Training loss of {name}: falls to {last['loss']:.4f} in epoch {last['epoch']:g}, logarithmic axis."
        figure = f"```{{image}} /{curve.relative_to(root)}\n:alt: {alt}\n:width: 100%\n```"
        return "\n\n".join([scores(record), figure, about(record), *self.examples(root, name, record)])

    def examples(self, root: Path, name: str, record: Record) -> list[str]:
        """The sheet of `maelib evaluate --sheet`, where it is kept."""
        sheet = root / "book" / "images" / f"{name}_examples.png"
        if not sheet.exists():
            return []
        n = record["metrics"]["masked"]["n"]
        caption = (
            f"Of the {n:,} validation pictures the ten nearest to the median and the five worst, by PSNR under `masked`. "
            "In each column from above: original, what the model saw, its raw prediction, pasted."
        )
        alt = (
            "Fifteen columns of four pictures. In the typical ten, shapes, colours and large edges come back, blurred, and "
            "textures do not. The five worst are full of hard contrasts finer than the holes, which come back as gray."
        )
        image = f"```{{image}} /{sheet.relative_to(root)}\n:alt: {alt}\n:width: 680px\n:loading: lazy\n```"
        return [caption, image]


class ResultTable(FromData):
    def markdown(self) -> str:
        record = self.record(self.arguments[0])
        by = " ".join(sentence(record[key]) for key in ("about", "hardware", "software") if key in record)
        return "\n\n".join([*(table_of(rows) for rows in by_model(record["table"])), by])


def draw_curves(path: Path) -> None:
    """Losses against pictures seen, one plot for raw targets and one for normalised ones, as SVG on white."""
    from maelib.evaluation.standing import recorded_curves
    from maelib.figures import STYLE, plt

    plt.rcParams.update(STYLE)
    figure, plots = plt.subplots(2, 1, figsize=(7, 6.4), layout="constrained")
    for axes, targets in zip(plots, ("raw targets", "normalised targets"), strict=True):
        for curve in recorded_curves():
            if curve.kind[0] == targets:
                marks = "o-" if len(curve.seen) < 20 else "-"
                axes.plot(curve.seen, curve.loss, marks, label=curve.name)
        scale = "log" if targets == "raw targets" else "linear"  # a share of the variance
        axes.set(xscale="log", yscale=scale, xlabel="pictures seen", ylabel=f"loss, {targets}")
        axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)


class ResultCurves(FromData):
    def markdown(self) -> str:
        from maelib.evaluation.standing import recorded_curves

        root = Path(self.env.srcdir)
        for path in (root / "data" / "results").glob("*.json"):
            self.env.note_dependency(str(path))
        drawn = root / "_build" / "results" / "curves.svg"
        draw_curves(drawn)
        ends = "; ".join(f"{c.name} from {c.loss[0]:.3g} to {c.loss[-1]:.3g}" for c in recorded_curves())
        alt = f"Training loss against pictures seen, on a logarithmic axis: {ends}."
        return f"```{{image}} /{drawn.relative_to(root)}\n:alt: {alt}\n:width: 100%\n```"


class Result(SphinxRole):
    """One number of a result file."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        name, keys = self.text.split()
        value: Any = load_record(Path(self.env.srcdir), name)
        try:
            for key in keys.split("."):
                value = value[key]
            text = f"{value:.2f}" if isinstance(value, float) and math.isfinite(value) else f"{value:,}"
        except (KeyError, TypeError, ValueError):
            message = self.inliner.reporter.error(f"no number {keys} in data/results/{name}.json", line=self.lineno)
            return [], [message]
        return [nodes.Text(text)], []


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("result-summary", ResultSummary)
    app.add_directive("result-run", ResultRun)
    app.add_directive("result-table", ResultTable)
    app.add_directive("result-curves", ResultCurves)
    app.add_role("result", Result())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
