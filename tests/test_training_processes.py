"""Several processes: resumed to the bit, refused in one sentence, none left alive."""

import json
import shutil
import signal
import time
from pathlib import Path

import pytest
from processes import finished, started, torchrun

DRIVER = Path(__file__).with_name("ddp_driver.py")
MAELIB = ("-m", "maelib")
TRAIN = ["train", "--data=samples", "--batch-size=12", "--epochs=1", "--no-final-evaluation", "--device=cpu"]
TRAIN += [f"--set={field}" for field in ("patch_size=16", "width=16", "heads=1", "depth=1", "decoder_width=16")]
TRAIN += ["--set=decoder_depth=1", "--set=decoder_heads=1"]


def outcome(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "model.safetensors").read_bytes(), (folder / "metrics.jsonl").read_bytes()


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("count", [2, *(pytest.param(count, marks=pytest.mark.audit) for count in (1, 3))])
def test_killed_between_two_lines_and_resumed_is_bit_identical(tmp_path, count):
    """Each process has sums of its own, of the steps since the last line."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    done = finished(torchrun(count, DRIVER, whole, 0))
    assert done.returncode == 0, done.stderr
    assert finished(torchrun(count, DRIVER, run, 13)).returncode != 0
    newest = max(path.name for path in (run / "checkpoints").glob("*.pt"))
    assert newest == ("step-00000013.pt" if count == 1 else "step-00000008.pt"), "between two lines of metrics"
    shutil.copytree(run, tmp_path / "other")
    done = finished(torchrun(count, DRIVER, run, 0))
    assert done.returncode == 0, done.stderr
    assert "resumes at epoch" in done.stdout
    assert outcome(run) == outcome(whole)
    if count == 1:
        return
    done = finished(torchrun(1, DRIVER, tmp_path / "other", 0))
    assert done.returncode == 0, done.stderr
    for a, b in zip(lines(whole), lines(tmp_path / "other"), strict=True):
        assert b["loss"] == pytest.approx(a["loss"], abs=1e-4), "another number of processes goes on, too"
        assert b["grad_norm"] == pytest.approx(a["grad_norm"], rel=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out=HELD"], "HELD holds a run already: continue it with --resume auto, or choose another --out"),
        (["--batch-size=13"], "batch_size 13 must be a multiple of processes x accumulate = 2"),
        pytest.param(["--data=/nowhere"], "no data at /nowhere", marks=pytest.mark.audit),
        pytest.param(["--init=/nowhere"], "usage: --init /nowhere brings its own shape", marks=pytest.mark.audit),
        pytest.param(["--epochs=one"], "argument --epochs: invalid int value: 'one'", marks=pytest.mark.audit),
        pytest.param(["--max-minutes=nan"], "usage: --max-minutes must be positive", marks=pytest.mark.audit),
    ],
)
def test_under_torchrun_a_refusal_is_one_sentence_the_right_one_and_the_first(tmp_path, options, message):
    held = tmp_path / "held"
    held.mkdir()
    (held / "config.json").write_text("{}")
    options = [option.replace("HELD", str(held)) for option in options]
    done = finished(torchrun(2, *MAELIB, *TRAIN, f"--out={tmp_path / 'new'}", *options))
    assert done.returncode != 0
    ours = [line for line in done.stderr.splitlines() if "maelib:" in line or "maelib train:" in line]
    assert len(ours) == 1, done.stderr
    assert message.replace("HELD", str(held)) in ours[0]
    assert "closed by peer" not in done.stderr
    report = next(
        (i for i, line in enumerate(done.stderr.splitlines()) if "torch.distributed.elastic" in line), 1 << 30
    )
    assert done.stderr.splitlines().index(ours[0]) < report
    assert done.stdout == ""
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("step", [3, pytest.param(-3, marks=pytest.mark.audit)])
def test_a_process_that_fails_alone_is_the_one_that_is_heard(tmp_path, step):
    done = finished(torchrun(2, DRIVER, tmp_path / "run", 0, step))
    assert done.returncode != 0
    assert "OSError: no room" in done.stderr


def test_a_torchrun_that_is_killed_leaves_no_worker_alive(tmp_path):
    """SIGKILL reaches the launcher alone: its processes notice, save and end."""
    run = tmp_path / "run"
    with started(torchrun(2, *MAELIB, *TRAIN, "--epochs=100000", f"--out={run}"), stdout=-1, stderr=-1) as launcher:
        while not (run / "metrics.jsonl").exists():
            assert launcher.poll() is None, launcher.stderr.read()
            time.sleep(0.05)
        workers = [int(pid) for pid in Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()]
        workers = [pid for pid in workers if alive(pid)]
        assert len(workers) >= 2
        launcher.kill()
        launcher.wait()
        end = time.monotonic() + 60
        while any(map(alive, workers)):
            assert time.monotonic() < end, "a worker goes on without its launcher"
            time.sleep(0.1)
    assert list((run / "checkpoints").glob("*.pt"))


@pytest.mark.audit
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_torchrun_that_is_asked_to_stop_saves_and_leaves_no_worker_alive(tmp_path, number):
    run = tmp_path / "run"
    with started(torchrun(2, *MAELIB, *TRAIN, "--epochs=100000", f"--out={run}"), stdout=-1, stderr=-1) as launcher:
        while not (run / "metrics.jsonl").exists():
            time.sleep(0.05)
        workers = [int(pid) for pid in Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()]
        launcher.send_signal(number)
        launcher.communicate(timeout=60)
    assert not any(map(alive, workers))
    assert list((run / "checkpoints").glob("*.pt"))
