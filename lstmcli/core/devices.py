"""Resolves device names. Torch is loaded only where there may be another one than the CPU."""

from __future__ import annotations

import ctypes.util
import os
import sys
from pathlib import Path

from lstmcli.core.errors import ConfigError


def has_fast_bf16() -> bool:
    """Say whether this CPU multiplies bf16 matrices in hardware."""
    import torch

    capability = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return bool(capability())


def choose_device(device: str, *, count: int = 1) -> str:
    """Return the torch device of `auto`, `cpu`, `cuda` or `cuda:N`.

    Args:
        device: the value of `--device`.
        count: how many devices will be used; `auto` takes the CPU where there are fewer.

    Raises:
        ConfigError: no such device in this machine.
    """
    if device in ("auto", "cpu") and not _may_have_cuda():
        return "cpu"
    import torch

    # asks the driver's library; asking CUDA itself would forbid it to processes forked later
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    if device == "auto":
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return "cuda" if found >= max(1, count) else "cpu"
    try:
        wanted = torch.device(device)
    except RuntimeError:
        raise ConfigError(
            f"there is no device named {device!r}", hint="use auto, cpu, cuda or cuda:N"
        ) from None
    if wanted.type == "cuda":
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if max((wanted.index or 0) + 1, count) > found:
            raise ConfigError(
                f"--device {device}: torch finds {found} CUDA devices in this machine",
                hint="use --device cpu, or install a torch that fits the driver",
            )
    elif wanted.type != "cpu":
        raise ConfigError(f"--device {device} is not supported", hint="use auto, cpu or cuda")
    return device


def _may_have_cuda() -> bool:
    """Say whether a driver for CUDA is here; torch knows more, but takes seconds to be loaded."""
    if sys.platform == "linux":  # a driver's node, or that of Windows' Linux
        return any(Path(node).exists() for node in ("/dev/nvidiactl", "/dev/dxg", "/dev/nvidia0"))
    return sys.platform == "win32" and ctypes.util.find_library("nvcuda") is not None
