"""Everything that needs a GPU, within half an hour, in steps that may be interrupted.

    python benchmarks/gpu.py                       # all steps, into runs/gpu; call it again and it goes on
    python benchmarks/gpu.py --steps article       # one of them
    python benchmarks/gpu.py --minutes 60          # a longer run of the embedded model
    python benchmarks/gpu.py --dry-run             # the whole path at a tiny scale, on the processor, in two minutes

The steps, in this order; each writes FOLDER/NAME.json when it is complete, and is left out once that file is there:

waits      the tests of `test_training_waits.py`: CUDA itself raises an error where a training step makes the host wait
speed      `training_step.py`: ours and other people's code, images/s and share of the peak
article    `maelib train --preset-article`: 25 epochs of Tiny ImageNet on every card, as chapter 07 does
embedded   `mae_tiny_patch4_64` for as many epochs as the time left brings; the number is fixed by a trial of a minute,
           kept in FOLDER/embedded-epochs.json, so that an interrupted run goes on with the same schedule
evaluate   both models under every protocol that applies on all 10,000 validation pictures, beside the fills on 1,000;
           the records that data/results/ takes

The data set is found as `maelib data` finds it (MAELIB_DATA, ./data, the cache), or downloaded. Remove a step's JSON to
repeat the step; a step that failed says why and leaves none. Exit status 1 where a step is not complete.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TINY = ["width=16", "heads=1", "depth=1", "decoder_width=16", "decoder_depth=1", "decoder_heads=1"]
EMBEDDED = ["--model=mae_tiny_patch4_64", "--batch-size=1024", "--base-lr=3.75e-4", "--augment=flip"]  # peak 1.5e-3
SHARES = {"speed": 0.15, "article": 0.4, "embedded": 0.3}  # of the minutes; the rest measures


class Session:
    """Where the results lie, how much time there is, and whether it is a rehearsal."""

    def __init__(self, folder: Path, minutes: float, dry: bool):
        self.folder, self.minutes, self.dry = folder, minutes, dry
        folder.mkdir(parents=True, exist_ok=True)

    def launch(self, *command: str) -> None:
        """Run a Python program; its output goes to ours. RuntimeError where it fails."""
        environment = os.environ | {"OMP_NUM_THREADS": "1" if self.dry else os.environ.get("OMP_NUM_THREADS", "8")}
        status = subprocess.run([sys.executable, *command], env=environment).returncode
        if status:
            raise RuntimeError(f"{' '.join(command[:4])} ... ended with status {status}")

    def train(self, name: str, *options: str, minutes: float) -> bool:
        """Train on every card until done or the time is up; returns whether it is done."""
        run, cards = self.folder / "runs" / name, 1 if self.dry else _cards()
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={cards}"] if cards > 1 else []
        command = [*launcher, "-m", "maelib", "train", f"--out={run}", "--resume=auto", "--no-final-evaluation"]
        if self.dry:
            options = (*options, "--data=samples", "--size=64", "--device=cpu", *(f"--set={field}" for field in TINY))
            options += ("--batch-size=20", "--accumulate=1", "--warmup-epochs=0", "--epochs=2", "--sample-epochs=0")
        self.launch(*command, *options, f"--max-minutes={minutes:.3f}")
        return (run / "model.safetensors").exists()

    def write(self, name: str, record: dict[str, Any]) -> None:
        """A step's result."""
        (self.folder / f"{name}.json").write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")

    def run_record(self, name: str, **scores: Any) -> dict[str, Any]:
        """The record of a run; without scores until the step `evaluate` has measured them."""
        from maelib.evaluation.record import run_record

        return run_record(self.folder / "runs" / name, scores.get("metrics", {}), scores.get("baselines", {}))


def waits(session: Session) -> None:
    """That no step of the trainer synchronises host and device."""
    session.launch("-m", "pytest", "-q", str(HERE.parent / "tests/test_training_waits.py"))
    session.write(
        "waits",
        {"kind": "benchmark", "table": [{"synchronisations inside a training step": None if session.dry else 0}]},
    )


def speed(session: Session) -> None:
    """Images per second against other people's code."""
    small = ["--models", "tiny", "--rounds", "1", "--batch-size", "4", "--device", "cpu"] if session.dry else []
    target = session.folder / "speed.part"
    session.launch(str(HERE / "training_step.py"), *small, "--json", str(target))
    target.rename(session.folder / "speed.json")


def article(session: Session) -> None:
    """The article's model by its recipe."""
    # Pieces of 128: the recipe's 64 are for cards of 16 GB.
    options = ["--preset-article", *([] if session.dry else [f"--accumulate={max(1, 4 // _cards())}"])]
    if not session.train("article", *options, minutes=session.minutes * SHARES["article"]):
        raise RuntimeError("the time is up before the last epoch; the same command goes on")
    session.write("article", session.run_record("article"))


def embedded(session: Session) -> None:
    """The model that the chapters load, for as long as there is time."""
    minutes = session.minutes * SHARES["embedded"]
    plan = session.folder / "embedded-epochs.json"
    if not plan.exists():
        session.train("trial", *EMBEDDED, "--epochs=100", minutes=0.02 if session.dry else 1.0)
        trial = session.run_record("trial")
        speed = trial["images_seen"] / max(trial["seconds"], 1)
        epochs = max(1, int(speed * minutes * 60 * 0.9 / 100_000))
        plan.write_text(json.dumps({"images_per_second": round(speed, 1), "epochs": epochs}, allow_nan=False) + "\n")
    epochs = json.loads(plan.read_text())["epochs"]
    options = [*EMBEDDED, f"--epochs={epochs}", f"--warmup-epochs={min(5, epochs * 0.05):g}"]
    if not session.train("embedded", *options, minutes=minutes):
        raise RuntimeError("the time is up before the last epoch; the same command goes on")
    session.write("embedded", session.run_record("embedded"))


def evaluate(session: Session) -> None:
    """All protocols on the validation set; needs the runs of `article` and `embedded`, or one of them."""
    import torch

    import maelib
    from maelib.datasets import load_dataset
    from maelib.evaluation import evaluate, evaluate_baselines

    val = load_dataset("samples" if session.dry else "tiny-imagenet", "val")
    names = [name for name in ("article", "embedded") if (session.folder / f"{name}.json").exists()]
    if not names:
        raise RuntimeError("nothing to evaluate: neither article.json nor embedded.json is there")
    device = "cuda" if torch.cuda.is_available() and not session.dry else "cpu"
    done = {}
    for name in names:
        model = maelib.load(session.folder / "runs" / name / "model.safetensors", device)
        c = model.config
        metrics = evaluate(model, val, n=2 if session.dry else None)
        n = 2 if session.dry else 1000
        record = session.run_record(
            name, metrics=metrics, baselines=evaluate_baselines(val, c.hw, c.patch_size, list(metrics), n=n)
        )
        preset = record["name"].split()[0]  # a rehearsal's goes on with what is smaller in it
        session.write(preset, record)
        done[preset] = metrics
    session.write("evaluate", {"kind": "benchmark", "table": [{"model": k, "protocol": p, **s}
                                                              for k, m in done.items() for p, s in m.items()]})  # fmt: skip


STEPS: dict[str, Callable[[Session], None]] = {
    "waits": waits, "speed": speed, "article": article, "embedded": embedded, "evaluate": evaluate,
}  # fmt: skip


def _cards() -> int:
    import torch

    return torch.cuda.device_count()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"), metavar="FOLDER", help="results and runs")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--minutes", type=float, default=30.0, help="for all steps together")
    parser.add_argument("--dry-run", action="store_true", help="tiny scale, shipped pictures, on the processor")
    args = parser.parse_args()
    if not args.dry_run:
        from maelib.hardware import usable_accelerators

        try:
            print("cards:", ", ".join(usable_accelerators()))
        except RuntimeError as error:
            print(f"gpu.py: {error}; or rehearse with --dry-run", file=sys.stderr)
            return 1
    session, failed = Session(args.out, args.minutes, args.dry_run), []
    for name in args.steps:
        if (args.out / f"{name}.json").exists():
            print(f"{name}: done before")
            continue
        start = time.monotonic()
        try:
            STEPS[name](session)
        except (RuntimeError, ValueError, OSError) as error:
            failed.append(name)
            print(f"{name}: not complete: {error}", flush=True)
            continue
        print(f"{name}: done in {(time.monotonic() - start) / 60:.1f} minutes", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
