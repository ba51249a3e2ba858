"""PyTorch as an engine: the reference on the CPU, and CUDA. The same code on any device but for the recorded graph."""

import logging
from collections.abc import Callable

import torch
from torch import nn

from unetr.engines.memory import is_out_of_memory
from unetr.engines.rewriting import rewritten
from unetr.errors import told

_CUDA_BATCH = 4
_WARM_UPS = 3
"""Runs before the recording: libraries set themselves up in the first, TorchScript compiles in the second."""
_HALF_WEIGHTS = (nn.Conv3d, nn.ConvTranspose3d, nn.Linear)
"""Layers that autocast computes in half precision: their weights are kept in it."""
_NATIVE_BF16 = ("avx512_bf16", "amx_bf16", "bf16")

log = logging.getLogger(__name__)


class TorchEngine:
    """A network run by PyTorch, in half precision where the device computes in it.

    Parameters
    ----------
    network
        In evaluation mode; becomes the engine's own: its weights are moved and rounded.
    precision
        ``bfloat16``, ``float16`` or ``float32``; by default :func:`fastest_precision`. Float32 on a GPU turns TF32 off
        for the whole process.
    recorded
        Whether a GPU replays the recorded forward pass, where it can be recorded.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device,
        *,
        precision: torch.dtype | None = None,
        batch: int | None = None,
        recorded: bool = True,
    ) -> None:
        self.name = f"torch-{device.type}"
        self.device = device
        self.batch = batch or (_CUDA_BATCH if device.type == "cuda" else 1)
        self.precision = precision or fastest_precision(device)
        self._network = rewritten(network).to(device)
        if self.precision != torch.float32:
            for layer in self._network.modules():
                if isinstance(layer, _HALF_WEIGHTS):
                    layer.to(self.precision)
        elif device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = False  # else PyTorch rounds what goes into a convolution
        self._graph: _Graph | None = None
        self._recordable = recorded and device.type == "cuda"

    @torch.inference_mode()
    def run(self, windows: torch.Tensor) -> torch.Tensor:
        """See :class:`unetr.engines.engine.Engine`."""
        if self._recordable and (self._graph is None or self._graph.shape != windows.shape):
            self._record(windows)
        return self._graph(windows) if self._graph else self._forward(windows)

    def _record(self, windows: torch.Tensor) -> None:
        self._graph = None  # gives its memory back before the next is recorded
        try:
            self._graph = _Graph(self._forward, windows)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            # It does what cannot be recorded, waits for the GPU perhaps: step by step it may run all the same.
            self._recordable = False
            cause = error.__context__ or error  # ending the recording is an error of its own
            log.warning("the network runs unrecorded on the GPU, more slowly: %s", told(cause))

    def _forward(self, windows: torch.Tensor) -> torch.Tensor:
        half = self.precision != torch.float32
        with torch.autocast(self.device.type, self.precision if half else None, enabled=half, cache_enabled=False):
            return self._network(windows).float()


class _Graph:
    """A forward pass recorded once as a CUDA graph and replayed: no time between its hundreds of small steps."""

    def __init__(self, forward: Callable[[torch.Tensor], torch.Tensor], example: torch.Tensor) -> None:
        self.shape = example.shape
        self._windows = example.clone()
        here, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(here)
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                forward(self._windows)
        here.wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(self._graph):
                self._logits = forward(self._windows)
        finally:
            torch.cuda.set_stream(here)  # a recording that fails leaves its own stream behind

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        self._windows.copy_(windows)
        self._graph.replay()
        return self._logits


def fastest_precision(device: torch.device) -> torch.dtype:
    """The precision that a device computes fastest in: half where its arithmetic units know it, not emulated."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    capabilities = torch.cpu.get_capabilities()
    return torch.bfloat16 if any(capabilities.get(name) for name in _NATIVE_BF16) else torch.float32
