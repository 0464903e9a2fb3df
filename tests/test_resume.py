"""A run that is killed at any moment and resumed ends as one that never was: the same bits, the same lines."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from processes import finished, started

from maelib.training.checkpoint import list_checkpoints, load_checkpoint, newest_checkpoint, save_checkpoint

sys.path.insert(0, str(ROOT / "benchmarks"))
import kills

DRIVER = Path(__file__).with_name("training_driver.py")
STEPS = 64  # 16 epochs of 4


def drive(folder: Path, *kill: object) -> subprocess.CompletedProcess:
    return finished([sys.executable, DRIVER, folder, *kill])


def outcome(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "model.safetensors").read_bytes(), (folder / "metrics.jsonl").read_bytes()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> tuple[bytes, bytes]:
    folder = tmp_path_factory.mktemp("whole") / "run"
    done = drive(folder)
    assert done.returncode == 0, done.stderr
    assert "from scratch" in done.stdout
    return outcome(folder)


def test_killed_and_resumed_is_bit_identical(uninterrupted, tmp_path, record_property):
    """Eleven kills of one run: at five random steps, in six places of writing; resumed each time."""
    folder, chance = tmp_path / "run", random.Random(0)
    places = ["before-write", "during-write", "after-write", "after-rename", "metrics"]
    kills = [kill for place in places for kill in ("step", place)]
    for kill in [*kills, "before-write"]:
        saved = list_checkpoints(folder / "checkpoints") if folder.exists() else []
        at = load_checkpoint(saved[0])["step"] if saved else 0
        done = drive(folder, kill, at + chance.randint(1, 7) if kill == "step" else 2)
        assert done.returncode == -signal.SIGKILL, f"{kill} at {at}: {done.stdout}{done.stderr}"
        record_property("killed", f"{kill}, last checkpoint at step {at}")
    done = drive(folder)
    assert done.returncode == 0, done.stderr
    assert "resumes at epoch" in done.stdout
    assert outcome(folder) == uninterrupted
    assert not list((folder / "checkpoints").glob(".*")), "a temporary file was left behind"


@pytest.mark.parametrize("place", ["before-write", "during-write", "after-write", "after-rename"])
def test_killed_while_writing_the_first_checkpoints(uninterrupted, tmp_path, place):
    """The very first checkpoint has no older one to fall back on."""
    folder = tmp_path / "run"
    assert drive(folder, place, 1).returncode == -signal.SIGKILL
    done = drive(folder)
    assert done.returncode == 0, done.stderr
    assert ("resumes at epoch 1.00" if place == "after-rename" else "from scratch: no checkpoint") in done.stdout
    assert outcome(folder) == uninterrupted


@pytest.mark.parametrize("moment", [0, *(pytest.param(i, marks=pytest.mark.audit) for i in range(1, 6))])
def test_killed_from_outside_at_a_random_moment(uninterrupted, tmp_path, moment):
    folder = tmp_path / "run"
    with started([sys.executable, DRIVER, folder], stdout=subprocess.DEVNULL) as process:
        while not list((folder / "checkpoints").glob("step-*.pt")):
            assert process.poll() is None
            time.sleep(0.002)
        time.sleep(random.uniform(0, 0.1))
        process.kill()
        process.wait()
    assert drive(folder).returncode == 0
    assert outcome(folder) == uninterrupted


def test_ctrl_c_saves_and_exits(uninterrupted, tmp_path):
    folder = tmp_path / "run"
    with started([sys.executable, DRIVER, folder], stdout=subprocess.PIPE) as process:
        while not list((folder / "checkpoints").glob("step-*.pt")):
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        text, _ = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("the run ended before the signal came")
    assert process.returncode == 1
    stopped_at = int(text.split("stopped after step ")[1].split()[0])
    assert load_checkpoint(list_checkpoints(folder / "checkpoints")[0])["step"] == stopped_at
    assert drive(folder).returncode == 0
    assert outcome(folder) == uninterrupted


def test_a_damaged_checkpoint_is_reported_and_the_one_before_is_used(tmp_path):
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, {"step": step, "weights": torch.rand(1000)}, keep=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000003.pt", "step-00000002.pt"]
    newest = tmp_path / "step-00000003.pt"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1  # one bit of a tensor, which torch.load alone would not notice
    newest.write_bytes(content)
    assert torch.load(newest, weights_only=True)["step"] == 3
    said: list[str] = []
    path, state = newest_checkpoint(tmp_path, said.append)
    assert (path.name, state["step"]) == ("step-00000002.pt", 2)
    assert "step-00000003.pt cannot be read" in said[0]
    (tmp_path / "step-00000002.pt").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(ValueError, match=r"no checkpoint in .* can be read"):
        newest_checkpoint(tmp_path, said.append)


def test_a_checkpoint_cannot_run_code(tmp_path):
    class Malicious:
        def __reduce__(self):
            return os.system, ("touch pwned",)

    torch.save({"step": Malicious()}, tmp_path / "step-00000001.pt")
    with pytest.raises(ValueError, match="cannot be read"):
        load_checkpoint(tmp_path / "step-00000001.pt")


# -- the table of the book -------------------------------------------------------------------------------------------------


def test_the_table_of_kills_is_complete_and_says_what_it_found():
    table = json.loads((ROOT / "data/results/kills.json").read_text())["table"]
    assert [row["configuration"] for row in table] == list(kills.CONFIGURATIONS)
    for row in table:
        assert row["kills"] == kills.KILLS
        assert "(during-write)" in row["last_checkpoint_before_each"]
        assert row["weights_identical"] is row["metrics_identical"] is True


@pytest.mark.audit
@pytest.mark.parametrize("name", ["bf16", "two processes"])
def test_a_row_of_the_table(name, tmp_path):
    row = kills.survive(name, tmp_path)
    assert (row["kills"], row["weights_identical"], row["metrics_identical"]) == (kills.KILLS, True, True)
    for file in ("model.safetensors", "metrics.jsonl"):
        assert (tmp_path / "run" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
