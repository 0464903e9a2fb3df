"""Runs in the world: two at once, none that leaves rubbish, terminals that close, outputs and disks that are full."""

import json
import os
import pty
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL
from processes import finished, started

from maelib import MaskedAutoencoder
from maelib.cli import main
from maelib.explorers.frames import FrameRecorder
from maelib.files import write_atomically
from maelib.training import Stopped, TrainConfig, Trainer
from maelib.training.checkpoint import list_checkpoints
from maelib.training.distributed import World
from maelib.training.interrupts import Interrupts, say

DRIVER = Path(__file__).with_name("training_driver.py")
RECIPE = TrainConfig(epochs=2, batch_size=16, base_lr=0.02, log_every=1, precision="fp32")
SHAPE = ("patch_size=16", "width=16", "heads=1", "depth=1", "decoder_width=16", "decoder_depth=1", "decoder_heads=1")
QUICK = ["train", "--data=samples", "--batch-size=10", "--epochs=1", "--no-final-evaluation", "--device=cpu"]
QUICK += [f"--set={field}" for field in SHAPE]


def new_trainer(folder: Path, pictures: np.ndarray, recipe: TrainConfig = RECIPE, **options) -> Trainer:
    torch.manual_seed(0)
    return Trainer(MaskedAutoencoder(SMALL), pictures, recipe, folder, **options)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def until_saved(folder: Path, process: subprocess.Popen) -> None:
    while not list_checkpoints(folder / "checkpoints"):
        assert process.poll() is None, "it ended before it saved"
        time.sleep(0.002)


# -- one run at a time -----------------------------------------------------------------------------------------------------


def test_a_second_run_in_the_folder_is_refused_while_the_first_lives(tmp_path):
    run = tmp_path / "run"
    with started([sys.executable, DRIVER, run], stdout=subprocess.DEVNULL) as first:
        until_saved(run, first)
        first.send_signal(signal.SIGSTOP)  # it lives, but does not go on
        before = contents(run)
        second = finished([sys.executable, DRIVER, run])
        assert second.returncode == 1
        assert second.stderr.endswith(
            f"ValueError: another process is training in {run}: wait until it ends, or choose another --out\n"
        )
        assert contents(run) == before
        first.kill()
        first.wait()
    third = finished([sys.executable, DRIVER, run])
    assert third.returncode == 0, third.stderr
    assert "resumes at epoch" in third.stdout
    assert not (run / ".lock").exists()


def test_the_command_refuses_it_before_it_removes_anything(tmp_path, pictures, capsys):
    run = tmp_path / "run"
    assert main([*QUICK, f"--out={run}"]) == 0
    holds = f"from maelib.training.run_folder import RunFolder, Path; f = RunFolder(Path({str(run)!r})); f.claim(); "
    with started([sys.executable, "-c", holds + "print('holds', flush=True); input()"], stdin=-1, stdout=-1) as holder:
        assert holder.stdout.readline() == "holds\n"
        before = contents(run)
        capsys.readouterr()
        for option in ("--overwrite", "--resume=auto"):
            assert main([*QUICK, f"--out={run}", option]) == 1
            assert capsys.readouterr().err == (
                f"maelib: another process is training in {run}: wait until it ends, or choose another --out\n"
            )
        assert contents(run) == before


def test_in_one_process_a_new_trainer_takes_the_folder_over(tmp_path, pictures):
    """A cell of a notebook that is run again: the earlier trainer is still there, and holds the folder."""
    earlier = new_trainer(tmp_path / "run", pictures)
    later = new_trainer(tmp_path / "run", pictures)
    later.train()
    with pytest.raises(FileExistsError):
        new_trainer(tmp_path / "run", pictures)
    assert earlier.step == 0


# -- nothing before the first step -----------------------------------------------------------------------------------------


def fails(trainer: Trainer) -> None:
    def broken() -> float:
        raise RuntimeError("no memory for this")

    trainer.train_step = broken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="no memory for this"):
        trainer.train()


def test_a_run_that_fails_before_its_first_step_leaves_nothing(tmp_path, pictures):
    fails(new_trainer(tmp_path / "runs/new", pictures))
    assert not (tmp_path / "runs/new").exists()
    new_trainer(tmp_path / "runs/new", pictures).train()
    assert (tmp_path / "runs/new/model.safetensors").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--limit=9"], "the data has 9 pictures, fewer than batch_size 10: lower it"),
        (["--precision=fp16"], "fp16 needs a GPU"),
        (["--resume=auto", "--resume-from=OTHER"], "only other runs below"),
    ],
)
def test_so_does_the_command(tmp_path, capsys, options, message):
    if "OTHER" in options[-1]:
        assert main([*QUICK, f"--out={tmp_path / 'other'}", "--seed=1"]) == 0
        options = [options[0], f"--resume-from={tmp_path / 'other'}"]
    capsys.readouterr()
    assert main([*QUICK, f"--out={tmp_path / 'new'}", *options]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_a_run_that_was_there_stays_whole_where_the_new_one_fails(tmp_path, pictures):
    run = tmp_path / "run"
    new_trainer(run, pictures).train()
    before = contents(run)
    fails(new_trainer(run, pictures, replace(RECIPE, epochs=3), overwrite=True))
    assert contents(run) == before
    (run / "notes.txt").touch()
    new_trainer(run, pictures, replace(RECIPE, epochs=1), overwrite=True).train()
    assert [path.name for path in list_checkpoints(run / "checkpoints")] == ["step-00000003.pt"]
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 3
    assert json.loads((run / "config.json").read_text())["train"]["epochs"] == 1
    assert (run / "notes.txt").exists(), "what is no run's own stays"


def test_a_resumed_run_that_fails_before_its_first_step_keeps_its_lines(tmp_path, pictures):
    run = new_trainer(tmp_path / "run", pictures)
    for _ in range(2):
        run.train_step()
    run.save()
    run.run.write({"step": 3, "epoch": 1, "loss": 1.0, "lr": 1.0, "grad_norm": 1.0})
    run.run.close()
    before = contents(tmp_path / "run")
    fails(new_trainer(tmp_path / "run", pictures, resume=True))
    assert contents(tmp_path / "run") == before


# -- terminals and outputs ---------------------------------------------------------------------------------------------------


def test_a_hangup_is_a_stop_and_a_second_one_no_interrupt():
    with Interrupts(0, None, World(), torch.device("cpu")) as asked:
        for _ in range(2):  # the terminal's and the shell's
            try:
                os.kill(os.getpid(), signal.SIGHUP)
            except KeyboardInterrupt:
                pytest.fail("the second one interrupts")
        assert asked.after_step(1, False) == (True, Stopped)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


def test_nohup_is_honoured():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts(0, None, World(), torch.device("cpu")) as asked:
            os.kill(os.getpid(), signal.SIGHUP)
            assert asked.after_step(1, False) == (False, None)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> tuple[bytes, bytes]:
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert finished([sys.executable, DRIVER, folder]).returncode == 0
    return outcome(folder)


def outcome(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "model.safetensors").read_bytes(), (folder / "metrics.jsonl").read_bytes()


def test_a_terminal_that_closes_stops_the_run_and_loses_nothing(uninterrupted, tmp_path):
    """The kernel's SIGHUP, and every write to the terminal an error from then on."""
    run = tmp_path / "run"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, DRIVER, run], stdin=theirs, stdout=theirs, stderr=theirs,
        preexec_fn=lambda: os.login_tty(theirs),
    )  # fmt: skip
    try:
        os.close(theirs)
        until_saved(run, process)
        os.close(ours)
        status = process.wait(60)
    finally:
        process.kill()
    if status == 0:
        pytest.skip("the run ended before the terminal closed")
    assert status == 1, "stopped, not killed"
    assert finished([sys.executable, DRIVER, run]).returncode == 0
    assert outcome(run) == uninterrupted


@pytest.mark.parametrize("output", [">/dev/full", ">&-", "| true"])
def test_an_output_that_is_full_or_closed_stops_no_training(uninterrupted, tmp_path, output):
    command = f"set -o pipefail; {sys.executable} {DRIVER} {tmp_path / 'run'} {output}"
    done = finished(["bash", "-c", command])
    assert done.returncode == 0, done.stderr
    assert outcome(tmp_path / "run") == uninterrupted
    assert done.stderr.count("\n") == (0 if output == ">&-" else 1), "said once"


@pytest.mark.audit
@pytest.mark.parametrize("output", [">/dev/full", ">&-", "| true", ">/dev/full 2>&1"])
def test_nor_the_command(tmp_path, output):
    command = f"set -o pipefail; {sys.executable} -m maelib {' '.join(QUICK)} --out {tmp_path / 'run'} {output}"
    assert finished(["bash", "-c", command.replace("--no-final-evaluation", "")]).returncode == 0
    assert (tmp_path / "run/model.safetensors").exists()
    assert (tmp_path / "run/reconstruction.png").exists()


def test_a_line_reaches_whoever_listens(capsys):
    say("epoch 1")
    assert capsys.readouterr().out == "epoch 1\n"


# -- full disks ----------------------------------------------------------------------------------------------------------------


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes: half of it is written, then the system refuses."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(
    "command",
    [
        ["reconstruct", "chelsea", "--out=PATH.png"],
        ["reconstruct", "chelsea", "--out=PATH.jpg"],
        ["evaluate", "mae_tiny_patch4_64", "--data=samples", "--n=1", "--sheet=PATH.png"],
        ["evaluate", "mae_tiny_patch4_64", "--data=samples", "--n=1", "--json=PATH.json"],
    ],
    ids=lambda command: command[0] + command[-1],
)
def test_a_full_disk_is_named_and_nothing_is_half_written(tmp_path, capsys, command, there):
    path = (tmp_path / command[-1].split("=")[1]).with_stem("made")
    command = [*command[:-1], f"{command[-1].split('=')[0]}={path}"]
    assert main(command) == 0  # and the pictures are packed
    path.unlink()
    if there:
        path.write_bytes(b"earlier")
    capsys.readouterr()
    with room(100):
        assert main(command) == 1
    said = capsys.readouterr().err
    assert said == f"maelib: cannot use '{path}': file too large\n"
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [(path.name, b"earlier")] * there


@pytest.mark.parametrize(
    ("size", "name"), [(100, "config.json"), (3000, "samples/epoch-0001.png"), (40_000, "checkpoints/")]
)
def test_a_run_names_the_file_that_found_no_room(tmp_path, pictures, size, name):
    from PIL import Image

    picture = Image.effect_noise((100, 100), 80)
    trainer = new_trainer(tmp_path / "run", pictures, sample=lambda model: picture)
    with room(size), pytest.raises(OSError, match="File too large") as error:
        trainer.train()
    assert error.value.filename.startswith(str(tmp_path / "run" / name))
    assert not [path for path in (tmp_path / "run").rglob("*") if path.name.startswith(".")]
    if name == "config.json":
        assert not (tmp_path / "run").exists()


def test_so_do_metrics_and_frames(tmp_path, pictures):
    trainer = new_trainer(tmp_path / "run", pictures)
    trainer.run.begin(0)
    line = {"step": 1, "epoch": 0.1, "loss": 1.0, "lr": 1.0, "grad_norm": 1.0}
    trainer.run.write(line)
    with room(100), pytest.raises(OSError) as error:  # noqa: PT011 (its file is what counts)
        trainer.run.write(line)
    assert error.value.filename == str(tmp_path / "run/metrics.jsonl")
    trainer.run.close()
    with room(1000), pytest.raises(OSError) as error:  # noqa: PT011
        FrameRecorder(tmp_path / "frames")(MaskedAutoencoder(replace(SMALL, image_size=64)))
    assert error.value.filename == str(tmp_path / "frames/frames/000000000.png")
    assert not list((tmp_path / "frames/frames").iterdir())


def test_a_file_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError) as error:  # noqa: PT011
        write_atomically(tmp_path / "folder", b"content")
    assert error.value.filename == str(tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]


# -- numbers -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--limit", "0"], "limit must be a whole number of at least 1, got 0"),
        (["--seed", "-1"], "seed must be a whole number of at least 0, got -1"),
        (["--max-minutes", "nan"], "--max-minutes must be positive and finite, got nan"),
        (["--max-minutes", "inf"], "--max-minutes must be positive and finite, got inf"),
        (["--max-minutes", "-1"], "--max-minutes must be positive and finite, got -1.0"),
        (["--base-lr", "nan"], "base_lr must be positive and finite, got nan"),
        (["--mask-ratio", "nan"], "mask_ratio must be in (0, 1) for training, got nan"),
        (["--betas", "nan", "0.9"], "betas must be two numbers in [0, 1), got (nan, 0.9)"),
        (["--crop-scale", "nan", "1"], "crop_scale must be 0 < low <= high <= 1, got (nan, 1.0)"),
        (["--warmup-epochs", "nan"], "warmup_epochs must be finite and not negative, got nan"),
        (["--checkpoint-minutes", "nan"], "checkpoint_minutes must be finite and not negative, got nan"),
        (["--set", "image_size=[64,64,64]"], "image_size"),
        (["--overwrite", "--resume", "auto"], "--overwrite removes the run that --resume auto goes on with"),
    ],
)
def test_numbers_that_cannot_work_are_one_sentence(tmp_path, capsys, arguments, message):
    assert main(["train", "--data=samples", f"--out={tmp_path / 'run'}", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf")])
def test_a_trainer_refuses_a_limit_that_is_none(tmp_path, pictures, minutes):
    with pytest.raises(ValueError, match="max_minutes must be positive and finite"):
        new_trainer(tmp_path / "run", pictures, max_minutes=minutes)
    assert not (tmp_path / "run").exists()


def test_batches_of_one_picture_train(tmp_path, pictures):
    new_trainer(tmp_path / "run", pictures[:3], replace(RECIPE, batch_size=1)).train()
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 6
    assert all(np.isfinite([line["loss"], line["grad_norm"]]).all() for line in lines)


def test_what_is_no_number_is_never_written_as_json(tmp_path, pictures):
    with pytest.raises(ValueError, match="JSON"):
        new_trainer(tmp_path / "run", pictures, about={"scale": float("nan")})
    assert not (tmp_path / "run").exists()
