"""Memory: kept where asking for it anew costs more than the arithmetic, and told apart when there is not enough."""

import ctypes
import sys
from functools import cache

import torch

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""glibc's malloc.h."""
_LARGEST, _KEEP = 1 << 28, 1 << 30
"""Bytes of a block, and of all together. Windows' tensors are smaller; a large volume's are not, and are used once."""
_WORDS = ("not enough memory", "can't allocate memory", "bad_alloc", "out of memory")
"""In the messages of PyTorch's and OpenVINO's plain RuntimeErrors."""


class NotEnoughMemoryError(MemoryError):
    """One window at a time is still too much for this machine's memory."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error of torch, OpenVINO or Python means that memory ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)


@cache
def keep_freed_memory() -> bool:
    """Have glibc keep freed blocks of up to 256 MiB for the next tensor; tell whether it does.

    By itself it maps each large tensor anew and gives it back at once, and the kernel zeroes its pages every time: a
    third to half of a window's time on a CPU. Other C libraries are left alone.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST) and mallopt(_M_TRIM_THRESHOLD, _KEEP))
