"""Hardware: which precision a machine gets, and what counts as an accelerator."""

import pytest
import torch

from maelib import hardware
from maelib.hardware import choose_precision


def test_precision_by_hardware():
    cpu = torch.device("cpu")
    assert choose_precision("fp32", cpu) == "fp32"
    assert choose_precision("auto", cpu) in ("fp32", "bf16")
    with pytest.raises(ValueError, match="fp16 needs a GPU"):
        choose_precision("fp16", cpu)


def test_an_accelerator_counts_when_it_computes():
    assert hardware.usable_accelerators("print('Tesla T4'); print('Tesla T4')") == ["Tesla T4", "Tesla T4"]
    with pytest.raises(RuntimeError, match=r"no accelerator: on Kaggle choose .* GPU T4 x2"):
        hardware.usable_accelerators("pass")
    broken = "print('Tesla P100'); raise RuntimeError('no kernel image is available for execution on the device')"
    with pytest.raises(RuntimeError, match=r"Tesla P100 is there but unusable \(RuntimeError: no kernel image"):
        hardware.usable_accelerators(broken)
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="no accelerator"):
            hardware.usable_accelerators()
