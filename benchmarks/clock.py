"""Marks in time that cost nothing: on a GPU, events in its queue, which nobody waits for before the end."""

import time
from typing import Any


def mark(device: Any) -> Any:
    """Set a mark: now on a CPU, on a GPU (``torch.device``) when all that it was asked for so far is done."""
    if device.type != "cuda":
        return time.perf_counter()
    import torch

    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def seconds_between(start: Any, end: Any) -> float:
    """Return the seconds from one mark to another, waiting for the GPU to get there."""
    if isinstance(end, float):
        return end - start
    end.synchronize()
    return float(start.elapsed_time(end)) / 1000


def wait(device: Any) -> None:
    """Wait until a GPU has done what it was asked for."""
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize()
