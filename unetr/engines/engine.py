"""What an engine is: one network, made ready for one device and one window shape."""

import hashlib
from typing import Protocol

import torch

from unetr.errors import ModelError

ENGINES = ("torch-cuda", "openvino-cpu", "torch-cpu")
"""By name; ``torch-cpu`` is the reference and runs everywhere."""


class EngineError(ModelError):
    """The engine that was asked for cannot run here."""


def key_of(*what: object) -> str:
    """Name a file by everything that its content depends on."""
    return hashlib.sha256(repr(what).encode()).hexdigest()[:24]


class Engine(Protocol):
    """A network that is ready to run; not to be shared between threads.

    Attributes
    ----------
    name
        One of :data:`ENGINES`.
    device
        Where windows are to be, and logits come back.
    batch
        How many windows to give at once; fewer are run too, but not at full speed.
    """

    name: str
    device: torch.device
    batch: int

    def run(self, windows: torch.Tensor) -> torch.Tensor:
        """Run float32 windows ``(n, channels, a, b, c)``; gives float32 logits ``(n, outputs, a, b, c)``.

        The logits may lie in memory that the next run writes to.
        """
        ...
