"""What this machine is, in words, for results and for readers."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch


def describe_hardware() -> str:
    """The accelerators, or the processor and how many of its cores torch uses."""
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return f"{len(names)} x {names[0]}" if len(set(names)) == 1 else ", ".join(names)
    return f"{_processor()}, {torch.get_num_threads()} of {os.cpu_count()} cores"


def describe_software() -> str:
    """Versions of Python and of the packages that results depend on."""
    return ", ".join([f"Python {platform.python_version()}", *(f"{name} {_version(name)}" for name in
                      ("torch", "torchvision", "numpy", "scikit-image"))])  # fmt: skip


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
