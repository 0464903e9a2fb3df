"""benchmarks/gpu.py at its tiny scale: every step leaves its result, nothing is done twice, and it does not start without a GPU."""

import json
import subprocess
import sys

import pytest
import torch
from conftest import ROOT


def gpu(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "benchmarks/gpu.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def test_the_help_teaches():
    text = gpu("--help").stdout
    for word in ("waits", "speed", "article", "embedded", "evaluate", "MAELIB_DATA", "--dry-run"):
        assert word in text


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(tmp_path):
    done = gpu("--out", tmp_path)
    assert done.returncode == 1
    assert "no accelerator" in done.stderr
    assert "--dry-run" in done.stderr


@pytest.mark.audit  # two minutes and more: it times everybody else's code too
def test_a_dry_run_goes_through_all_steps_once_and_on_after_a_failure(tmp_path):
    pytest.importorskip("timm")
    out = tmp_path / "gpu"
    early = gpu("--dry-run", "--out", out, "--steps", "evaluate")
    assert early.returncode == 1
    assert "nothing to evaluate" in early.stdout
    done = gpu("--dry-run", "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    records = {path.stem: json.loads(path.read_text()) for path in out.glob("*.json")}
    assert records["speed"]["table"]
    assert records["mae_base_patch16_224"]["metrics"].keys() == {"article", "pasted", "masked"}
    assert records["mae_tiny_patch4_64"]["metrics"].keys() == {"pasted", "masked"}
    assert records["mae_base_patch16_224"]["baselines"].keys() >= {"gaussian", "diffusion"}
    assert records["article"]["epochs"] == 2
    assert records["embedded-epochs"]["epochs"] >= 1
    (out / "evaluate.json").unlink()
    again = gpu("--dry-run", "--out", out)
    assert again.stdout.count("done before") == 4
    assert "evaluate: done in" in again.stdout
