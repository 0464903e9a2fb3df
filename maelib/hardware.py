"""What this machine is, in words for results and for readers, and which precision it is good at."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch


def describe_hardware() -> str:
    """The accelerators, or the processor and how many of its cores torch uses."""
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return f"{len(names)} x {names[0]}" if len(set(names)) == 1 else ", ".join(names)
    return f"{_processor()}, {torch.get_num_threads()} of {os.cpu_count()} cores"


ADVICE = "on Kaggle choose Settings, Accelerator, GPU T4 x2; without a GPU keep the smoke scale"
# A real operation on every card: a P100 is listed as available and fails at its first one.
PROBE = """
import torch
for index in range(torch.cuda.device_count()):
    print(torch.cuda.get_device_name(index), flush=True)
    x = torch.randn(64, 64, device=f"cuda:{index}", dtype=torch.float16, requires_grad=True)
    (x @ x).float().square().mean().backward()
    assert x.grad.isfinite().all()
"""


def usable_accelerators(probe: str = PROBE) -> list[str]:
    """Names of the GPUs, each of which has computed something just now, in a process of its own.

    Raises
    ------
    RuntimeError
        There is none, or one that is listed fails at its first operation; with the remedy.
    """
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    names = done.stdout.splitlines()
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise RuntimeError(f"the accelerator {names[-1] if names else ''} is there but unusable ({reason}): {ADVICE}")
    if not names:
        raise RuntimeError(f"no accelerator: {ADVICE}")
    return names


def describe_software() -> str:
    """Versions of Python and of the packages that results depend on."""
    return ", ".join(
        [
            f"Python {platform.python_version()}",
            *(f"{name} {_version(name)}" for name in ("torch", "torchvision", "numpy", "scikit-image")),
        ]
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _processor() -> str:
    """The processor's name; Linux keeps it in a file."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_precision(requested: str, device: torch.device) -> str:
    """Resolve "auto": bf16 where it is native, fp16 on older GPUs such as the T4, else fp32.

    Raises
    ------
    ValueError
        Fp16 on a CPU, which has no loss scaling worth the name.
    """
    if requested == "fp16" and device.type == "cpu":
        raise ValueError("precision fp16 needs a GPU; on a CPU use bf16 or fp32")
    if requested != "auto":
        return requested
    if device.type == "cuda":
        # A T4 claims bf16 and emulates it, slowly: ask for the native kind.
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return "bf16"
    return "fp32"
