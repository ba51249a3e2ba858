"""What runs out of memory is told apart, and done again where there is more of it."""

import logging

import pytest
import torch

from unetr.engines.memory import NotEnoughMemoryError, is_out_of_memory, with_room

CPU, GPU = torch.device("cpu"), torch.device("meta")  # a device that every PyTorch has stands in for the GPU
FULL = torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize(
    "error",
    [
        FULL,
        MemoryError(),
        RuntimeError("std::bad_alloc"),
        RuntimeError("bad allocation"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
    ],
)
def test_out_of_memory_in_the_words_of_each_library(error):
    assert is_out_of_memory(error)


def test_a_recording_that_ends_in_an_error_ends_in_what_was_before_it():
    def while_handling(
        first: Exception, words: str = "CUDA error: operation failed due to a previous error during capture"
    ) -> Exception:
        try:
            try:
                raise first
            finally:
                raise RuntimeError(words)
        except RuntimeError as error:
            return error

    assert is_out_of_memory(while_handling(FULL))
    assert not is_out_of_memory(while_handling(RuntimeError("operation not permitted when stream is capturing")))
    assert not is_out_of_memory(while_handling(FULL, "shape mismatch")), "a fault, whatever came before it"
    assert not is_out_of_memory(ValueError("out of memory"))


def test_without_room_on_the_gpu_the_cpu_does_it(caplog):
    tried: list[torch.device] = []

    def do(where: torch.device) -> str:
        tried.append(where)
        if where == GPU:
            raise FULL
        return "done"

    with caplog.at_level(logging.WARNING):
        assert with_room(do, GPU, "preparing 2 x 3 x 4 voxels") == "done"
    assert tried == [GPU, CPU]
    assert "out of memory: preparing 2 x 3 x 4 voxels is done on the CPU" in caplog.text


@pytest.mark.parametrize("device", [CPU, GPU])
def test_without_room_anywhere_a_sentence_says_so(device):
    def do(_: torch.device) -> None:
        raise FULL

    with pytest.raises(NotEnoughMemoryError, match="preparing 2 x 3 x 4 voxels does not fit into memory") as caught:
        with_room(do, device, "preparing 2 x 3 x 4 voxels")
    assert caught.value.__cause__ is FULL


def test_any_other_error_passes_at_once():
    tried: list[torch.device] = []

    def do(where: torch.device) -> None:
        tried.append(where)
        raise ValueError("shape mismatch")

    with pytest.raises(ValueError, match="shape mismatch"):
        with_room(do, GPU, "preparing")
    assert tried == [GPU]
