"""Memory: kept where asking for it anew costs more than the arithmetic, and told apart when there is not enough."""

import ctypes
import logging
import sys
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import torch

T = TypeVar("T")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""glibc's malloc.h."""
_LARGEST, _KEEP = 1 << 28, 1 << 30
"""Bytes of a block, and of all together. Windows' tensors are smaller; a large volume's are not, and are used once."""
_WORDS = (
    "not enough memory",
    "can't allocate memory",
    "bad_alloc",
    "bad allocation",  # as Windows has it
    "out of memory",
    "status_alloc_failed",  # cuBLAS and cuDNN, for their own needs
    "_allocation_failed",  # cuDNN from 9 on, of the device or the host
    "cublas_status_not_initialized when calling `cublascreate",  # no room for cuBLAS's own workspace
    "unable to find an engine to execute",  # cuDNN, when no way to compute a convolution finds room for its workspace
)
"""In the messages of PyTorch's and OpenVINO's plain RuntimeErrors."""
_RECORDING = "captur"
"""In CUDA's messages about a stream that is, or was, being recorded."""

log = logging.getLogger(__name__)


class NotEnoughMemoryError(MemoryError):
    """A volume, or one window at a time, is too much for this machine's memory."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error of torch, OpenVINO or Python means that memory ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    if any(word in str(error).lower() for word in _WORDS):
        return True
    # Ending the recording that memory ran out in is an error of its own; any other is what it says.
    ended = _RECORDING in str(error).lower()
    return ended and error.__context__ is not None and is_out_of_memory(error.__context__)


def with_room(do: Callable[[torch.device], T], device: torch.device, what: str) -> T:
    """Do something on a device; where that has no room for it, on the CPU.

    Parameters
    ----------
    do
        Called with the device. Where memory runs out, it must have left what it works on as it was.
    what
        That is done, for the log and the error: ``preparing 160 x 200 x 180 voxels``.

    Raises
    ------
    NotEnoughMemoryError
        When the CPU has no room for it either.
    """
    try:
        return do(device)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        if device.type == "cpu":
            raise NotEnoughMemoryError(f"{what} does not fit into memory") from error
    give_back()  # outside of the handler: its traceback holds what filled the memory
    log.warning("out of memory: %s is done on the CPU", what)
    return with_room(do, torch.device("cpu"), what)


def give_back() -> None:
    """Give back to the GPU what PyTorch keeps of its memory for the next tensors: it may be needed in one piece.

    Whatever device the tensors at hand are on: a network runs on the GPU also when a volume is blended in main memory.
    """
    torch.cuda.empty_cache()  # does nothing where CUDA was never used


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
