"""Mixed precision by what the hardware does well."""

import torch

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
