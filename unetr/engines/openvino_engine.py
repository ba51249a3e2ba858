"""OpenVINO as an engine: a network compiled for this CPU and one window shape, and kept on disk as such."""

import logging
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import openvino
import torch
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import nn

from unetr.engines import kept, rewriting
from unetr.engines.engine import key_of
from unetr.errors import told

_AT_ONCE = 2
"""Windows, each on its share of the cores: while one computes, the other waits for memory."""

log = logging.getLogger(__name__)


class OpenVinoEngine:
    """A network run by OpenVINO on the CPU, in bfloat16 where the CPU computes in it.

    Parameters
    ----------
    load
        Gives the network; called only when it is not in the folder yet.
    shape
        Of the one input ``(1, channels, a, b, c)``.
    folder
        Where compiled networks are kept.
    identity
        What makes the network another one: hash of its weights, and its definition.
    """

    name = "openvino-cpu"

    def __init__(self, load: Callable[[], nn.Module], shape: Sequence[int], folder: Path, identity: str) -> None:
        self.device = torch.device("cpu")
        self.batch = min(_AT_ONCE, os.cpu_count() or 1)
        core = openvino.Core()
        bfloat16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.precision = torch.bfloat16 if bfloat16 else torch.float32
        options = {
            "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
            "NUM_STREAMS": str(self.batch),
            "ENABLE_CPU_PINNING": "NO",  # other programs want the cores too
        }
        blob = folder / f"{_key(core, identity, shape, options)}.blob"
        compiled = _read(core, blob, options)
        if compiled is None:
            compiled = core.compile_model(_convert(load(), shape), "CPU", options)
            log.info("compiled for this CPU: %s", blob.name)
            kept.remove_unused(folder)
            kept.keep(blob, compiled.export_model().getbuffer())
        self._use = kept.Use(blob)
        self._requests = [compiled.create_infer_request() for _ in range(self.batch)]

    def run(self, windows: torch.Tensor) -> torch.Tensor:
        """See :class:`unetr.engines.engine.Engine`."""
        self._use.note()
        return torch.cat([self._together(part) for part in windows.split(len(self._requests))])

    def _together(self, windows: torch.Tensor) -> torch.Tensor:
        """Run no more windows than there are requests; if one fails, that is told when the others have ended."""
        arrays = [window[None].numpy() for window in windows]
        requests = self._requests[: len(arrays)]
        try:
            for request, array in zip(requests, arrays, strict=True):
                request.start_async({0: array}, share_inputs=True)
        finally:
            failures = [_failure(request) for request in requests]
        for failure in failures:
            if failure:
                raise failure
        return torch.cat([torch.from_numpy(request.get_output_tensor(0).data) for request in requests])


def _failure(request: openvino.InferRequest) -> RuntimeError | None:
    """Wait for a request, and give what ended it."""
    try:
        request.wait()
    except RuntimeError as error:
        return error
    return None


def _convert(network: nn.Module, shape: Sequence[int]) -> openvino.Model:
    """From PyTorch by tracing; OpenVINO's own convert_model does the same, and reports it."""
    with warnings.catch_warnings(action="ignore"), torch.inference_mode():  # the shape is fixed: that is the point
        traced = torch.jit.trace(rewriting.rewritten(network), torch.zeros(*shape), check_trace=False)
    decoder, frontend = TorchScriptPythonDecoder(traced), FrontEndManager().load_by_framework("pytorch")
    model = frontend.convert(frontend.load(decoder))
    model.reshape(list(shape))
    return model


def _key(core: openvino.Core, *what: object) -> str:
    """Name what was compiled by everything that it depends on, the processor among it."""
    cpu = [core.get_property("CPU", name) for name in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")]
    return key_of(openvino.get_version(), rewriting.VERSION, *cpu, *what)


def _read(core: openvino.Core, blob: Path, options: dict[str, str]) -> Any:
    """Load a compiled network; None when there is none, or one that is damaged."""
    if not blob.is_file():
        return None
    try:
        return core.import_model(openvino.utils.data_helpers.tensor_from_file(blob), "CPU", options)
    except (RuntimeError, OSError) as error:  # OSError: another process has just removed it
        log.warning("%s cannot be used and is made anew: %s", blob.name, told(error))
        return None
