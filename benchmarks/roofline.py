"""What a network asks of a machine, and the most that the machine can give, measured on the spot."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.clock import mark, seconds_between
from unetr.engines.torch_engine import fastest_precision

_ROUNDS = 4


@dataclass(frozen=True)
class Work:
    """Of one window: floating point operations, and bytes if each step reads and writes half precision once."""

    flops: float
    bytes: float


@dataclass(frozen=True)
class Peak:
    """Of a device: floating point operations a second in half precision, bytes a second read and written."""

    flops: float
    bytes: float


def work_of(network: nn.Module, window: Sequence[int], batch: int) -> Work:
    """Count a network's work on a batch of windows, without doing it; gives the share of one window."""
    weightless, windows = network.to("meta"), torch.zeros(batch, 1, *window, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter, _Traffic() as traffic:
        weightless(windows)
    return Work(counter.get_total_flops() / batch, traffic.bytes / 2 / batch)  # counted in float32


class _Traffic(TorchDispatchMode):
    """Counts the bytes of what goes into each step and comes out of it; a view moves nothing."""

    bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        if not getattr(func, "is_view", False):
            moved = (one for one in tree_leaves((args, kwargs, answer)) if isinstance(one, torch.Tensor))
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in moved)
        return answer


def half(device: torch.device) -> torch.dtype:
    """The half precision of a device: bfloat16, on a GPU that knows none float16."""
    return fastest_precision(device) if device.type == "cuda" else torch.bfloat16


def peak_of(device: torch.device, *, edge: int | None = None, size: int | None = None) -> Peak:
    """Measure a large matrix product in half precision and a large copy.

    Parameters
    ----------
    edge
        Of the square matrices; by default 8192 on a GPU, 4096 on a CPU.
    size
        Bytes copied; by default 1 GiB on a GPU, 256 MiB on a CPU.
    """
    gpu = device.type == "cuda"
    edge, size = edge or (8192 if gpu else 4096), size or (1 << 30 if gpu else 1 << 28)
    a = torch.randn(edge, edge, device=device).to(half(device))
    product, source = torch.empty_like(a), torch.ones(size, dtype=torch.uint8, device=device)
    copy = torch.empty_like(source)
    many = 20 if gpu else 1  # one alone is over before the GPU has heard of it
    seconds = _shortest(lambda: torch.mm(a, a, out=product), device, many)
    return Peak(2 * edge**3 / seconds, 2 * size / _shortest(lambda: copy.copy_(source), device, many))


def _shortest(step: Callable[[], object], device: torch.device, many: int) -> float:
    """Seconds of a step when nothing disturbs it, the first time left out."""
    step()
    times = []
    for _ in range(_ROUNDS):
        start = mark(device)
        for _ in range(many):
            step()
        times.append(seconds_between(start, mark(device)) / many)
    return min(times)
