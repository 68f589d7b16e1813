"""How the process asks the system for memory."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # glibc's <malloc.h>


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory for the next tensor instead of giving it back to the system.

    Training frees and asks for the same hundreds of megabytes at every step; beyond 32 MB glibc
    maps and unmaps each tensor, and the kernel zeroes every page anew. Measured 2026-11-22 on two
    cores, `dense` forward and backward on 64 frames of 256x256: 4.3 s a step before, 0.55 s after.

    Returns:
        whether the system's C library understood.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all(
        (mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, -1), mallopt(M_TOP_PAD, 256 << 20))
    )
