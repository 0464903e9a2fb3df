"""Runs with a limit: they stop in time, go on from a folder that cannot be written, and never choose between two runs."""

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import SMALL
from processes import finished, torchrun

from maelib import MaskedAutoencoder
from maelib.cli import main
from maelib.training import Stopped, TimeLimitReached, TrainConfig, Trainer, interrupts
from maelib.training.distributed import World
from maelib.training.interrupts import AGREE_EVERY, Interrupts
from maelib.training.run_folder import earlier_run

RECIPE = TrainConfig(epochs=4, batch_size=16, base_lr=0.02, log_every=1, precision="fp32", sample_epochs=0)
CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets, in seconds."""
    time = [0.0]
    monkeypatch.setattr(interrupts.time, "monotonic", lambda: time[0])
    return time


def trainer(pictures, folder, recipe=RECIPE, **options) -> Trainer:
    torch.manual_seed(0)
    return Trainer(MaskedAutoencoder(SMALL), pictures, recipe, folder, resume=True, **options)


def session(pictures, folder, steps=None, **options) -> None:
    """Train to the end, or until the time is up after so many steps."""
    run = trainer(pictures, folder, **options)
    if steps is None:
        run.train()
        return
    run.max_minutes = 1
    step = run.train_step

    def slow() -> float:
        if run.step == steps - 1:
            interrupts.time.monotonic = lambda: 1e9
        return step()

    run.train_step = slow
    with pytest.raises(TimeLimitReached, match=f"stopped after step {steps} of 12"):
        run.train()


def protect(folder: Path) -> None:
    """Nobody may write there, as in Kaggle's inputs (root may all the same, hence the copies' modes are checked too)."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.chmod(0o444 if path.is_file() else 0o555)
    folder.chmod(0o555)


@pytest.mark.usefixtures("clock")
def test_a_run_cut_by_its_limit_goes_on_from_a_read_only_copy_and_ends_bit_identical(pictures, tmp_path, capsys):
    session(pictures, tmp_path / "whole")
    session(pictures, tmp_path / "first", steps=5)
    place = tmp_path / "input/notebooks/somebody/kernel"
    shutil.copytree(tmp_path / "first", place / "runs/mine")
    protect(tmp_path / "input")
    capsys.readouterr()
    interrupts.time.monotonic = lambda: 0.0
    session(pictures, tmp_path / "second", resume_from=tmp_path / "input")
    said = capsys.readouterr().out
    assert f"copies the run in {place / 'runs/mine'}" in said
    assert "resumes at epoch 1.67 of 4 (step 5)" in said
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (tmp_path / "second" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert all(os.stat(path).st_mode & 0o200 for path in (tmp_path / "second").rglob("*"))


def test_where_there_is_a_run_already_no_other_is_copied(pictures, tmp_path, capsys):
    session(pictures, tmp_path / "old")
    begun = trainer(pictures, tmp_path / "new", resume_from=tmp_path / "nothing").run
    assert "no earlier run below" in capsys.readouterr().out
    begun.begin(0)
    begun.close()
    trainer(pictures, tmp_path / "new", resume_from=tmp_path)
    said = capsys.readouterr().out
    assert "goes on with the run that is in" in said
    assert "from scratch: no checkpoint in" in said


def test_two_candidates_and_other_runs_are_refused(pictures, tmp_path):
    session(pictures, tmp_path / "input/a/run")
    shutil.copytree(tmp_path / "input/a", tmp_path / "input/b")
    with pytest.raises(ValueError, match=r"2 earlier runs to go on from: .*a/run, .*b/run; remove all inputs but"):
        trainer(pictures, tmp_path / "new", resume_from=tmp_path / "input")
    other = replace(RECIPE, epochs=5)
    with pytest.raises(ValueError, match=r"only other runs below .*train.epochs was 4, now 5"):
        trainer(pictures, tmp_path / "new", other, resume_from=tmp_path / "input/a")
    assert not (tmp_path / "new").exists(), "a refusal leaves nothing behind"
    session(pictures, tmp_path / "input/c/run", recipe=other)
    shutil.rmtree(tmp_path / "input/b")
    description = json.loads((tmp_path / "input/a/run/config.json").read_text())
    assert earlier_run(tmp_path / "input", description) == tmp_path / "input/a/run", "the other run is no candidate"


def test_a_folder_without_checkpoints_and_a_data_set_are_no_runs(pictures, tmp_path):
    session(pictures, tmp_path / "input/run")
    description = json.loads((tmp_path / "input/run/config.json").read_text())
    (tmp_path / "input/wnids.txt").touch()  # looks like Tiny ImageNet: its thousands of folders are not walked
    assert earlier_run(tmp_path / "input", description) is None
    (tmp_path / "input/wnids.txt").unlink()
    assert earlier_run(tmp_path / "input", description) is not None
    shutil.rmtree(tmp_path / "input/run/checkpoints")
    assert earlier_run(tmp_path / "input", description) is None


class Pair(World):
    """One of two processes, the other of which answers what it is told to."""

    other = (0, 0, 0)

    def all_reduce_max(self, value):
        return torch.maximum(value, torch.tensor(self.other, dtype=value.dtype))


def test_processes_save_and_stop_together_or_not_at_all(clock):
    pair = Pair(world_size=2)
    asked = Interrupts(1.0, 10.0, pair, CPU)
    clock[0] = 61
    assert asked.after_step(AGREE_EVERY - 1, False) == (False, None), "due here, but the other has not been asked"
    assert asked.after_step(AGREE_EVERY, False) == (True, None)
    assert asked.after_step(2 * AGREE_EVERY, False) == (False, None)
    Pair.other = (0, 1, 0)
    assert asked.after_step(3 * AGREE_EVERY, False) == (True, TimeLimitReached), "the other's clock is ahead"
    Pair.other = (0, 0, 1)
    assert asked.after_step(4 * AGREE_EVERY, False) == (True, Stopped), "the other got the signal"


def test_alone_a_run_answers_after_every_step(clock):
    with Interrupts(0, None, World(), CPU) as asked:
        clock[0] = 1e9
        assert asked.after_step(1, False) == (False, None), "no limit, and no checkpoints by the clock"
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked.after_step(2, False) == (True, Stopped)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


SHAPE = [f"--set={field}" for field in ("width=16", "heads=1", "depth=1", "decoder_width=16", "decoder_depth=1")]
SHAPE += ["--set=decoder_heads=1"]


def test_two_processes_stop_at_the_limit_with_status_0_and_go_on(tmp_path):
    """The article's recipe, its shape made small: `torchrun ... -m maelib train --preset-article --max-minutes`."""
    command = [
        *torchrun(2, "-m", "maelib"),
        "train",
        "--preset-article",
        "--data=samples",
        "--device=cpu",
        *SHAPE,
        "--resume=auto",
    ]
    command += ["--epochs=500", "--warmup-epochs=0", "--batch-size=8", "--accumulate=2", "--sample-epochs=0"]
    command += ["--max-minutes=0.02", f"--out={tmp_path / 'run'}", "--no-final-evaluation"]
    for start in ("from scratch", "resumes at epoch"):
        done = finished(command)
        assert done.returncode == 0, done.stderr
        assert start in done.stdout
        assert "--resume auto goes on from here" in done.stdout
        assert not (tmp_path / "run/model.safetensors").exists()
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["name"].startswith("mae_base_patch16_224 with ")
    assert "depth=1" in config["name"]
    assert config["model"]["normalize_targets"]
    assert config["model"]["image_size"] == 224
    assert config["train"]["accumulate"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume-from", "x"], "--resume-from x needs --resume auto"),
        (["--max-minutes", "0"], "--max-minutes must be positive and finite, got 0.0"),
    ],
)
def test_options_that_cannot_work_are_bad_usage(arguments, message, capsys):
    assert main(["train", *arguments]) == 2
    assert message in capsys.readouterr().err
