"""The window loop: MONAI's windows and MONAI's result, without the windows that hold only air, and short of memory."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data.utils import dense_patch_slices
from monai.inferers import sliding_window_inference
from monai.inferers.utils import _get_scan_interval

from unetr.engines import windows as module
from unetr.engines.memory import NotEnoughMemoryError, is_out_of_memory, with_room
from unetr.engines.windows import place, slide

EDGES = st.tuples(*[st.integers(1, 40)] * 3)


def soften(windows: torch.Tensor) -> torch.Tensor:
    """Stands in for a network: knows of each window where its voxels lie, so that a window misplaced shows."""
    ramp = torch.linspace(0, 1, windows.shape[-1])
    return torch.sigmoid(windows - 1 + ramp)


def monai(volume: torch.Tensor, window: tuple[int, ...], overlap: float) -> torch.Tensor:
    result = sliding_window_inference(volume[None, None], window, 1, soften, overlap=overlap, mode="gaussian")
    assert isinstance(result, torch.Tensor)
    return result[0, 0]


@given(EDGES, EDGES, st.floats(0, 0.95))
def test_windows_lie_where_monai_puts_them(size, window, overlap):
    shape = tuple(max(pair) for pair in zip(size, window, strict=True))
    slices = dense_patch_slices(shape, window, _get_scan_interval(shape, window, 3, (overlap,) * 3))
    assert place(shape, window, overlap) == [tuple(int(s.start) for s in box) for box in slices]


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(*[st.integers(5, 40)] * 3),
    st.tuples(*[st.integers(8, 20)] * 3),
    st.sampled_from([0.0, 0.25, 0.5, 0.7]),
    st.integers(1, 5),
)
def test_the_result_is_monais_whatever_the_batch(size, window, overlap, batch):
    volume = 2 * torch.rand(size, generator=torch.Generator().manual_seed(sum(size)))
    ours = slide(volume, soften, window=window, overlap=overlap, batch=batch)
    torch.testing.assert_close(ours, monai(volume, window, overlap), atol=1e-6, rtol=1e-5)


def ball_in_air(noise: float = 0.0) -> torch.Tensor:
    """A small bright ball in one corner of a large volume."""
    rng = np.random.default_rng(0)
    index = np.indices((64, 64, 64)) - 12
    ball = ((index**2).sum(0) < 81).astype(np.float32)
    return torch.from_numpy(ball + noise * np.abs(rng.normal(size=ball.shape)).astype(np.float32))


def test_windows_of_nothing_but_air_are_not_run_and_say_zero():
    volume, runs = ball_in_air(noise=0.08), []

    def run(windows: torch.Tensor) -> torch.Tensor:
        runs.append(windows)
        return soften(windows)

    result = slide(volume, run, window=(32, 32, 32), overlap=0.5, air=0.2)
    assert (volume > 0.2).float().mean() > 0.005  # noise alone does not make a window worth running
    assert 1 <= len(runs) <= 8 < len(place(volume.shape, (32, 32, 32), 0.5)) == 27
    assert (result[48:] == 0).all()

    def zero_in_air(windows: torch.Tensor) -> torch.Tensor:
        return soften(windows) * bool((windows > 0.8).any())

    expected = sliding_window_inference(volume[None, None], (32, 32, 32), 1, zero_in_air, overlap=0.5, mode="gaussian")
    assert isinstance(expected, torch.Tensor)
    torch.testing.assert_close(result, expected[0, 0], atol=1e-6, rtol=1e-5)


def test_no_voxel_of_tissue_is_left_out():
    """A speck somewhere: every window that holds a part of it is run."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        volume = torch.zeros(40, 50, 45)
        low = [int(rng.integers(0, size - 7)) for size in volume.shape]
        volume[tuple(slice(a, a + 7) for a in low)] = 1.0
        result = slide(volume, torch.ones_like, window=(16, 16, 16), overlap=0.5, air=0.2)
        assert (result[volume > 0] == 1).all()


def test_a_window_that_ends_within_a_block_is_run_for_the_one_beside_it():
    """A speck whose corner alone lies in the first window: too little to make that corner's block bright."""
    volume = torch.zeros(40, 40, 40)
    volume[18:25, 18:25, 18:25] = 1.0
    result = slide(volume, torch.ones_like, window=(19, 19, 19), overlap=0.5, air=0.2)
    assert (result[volume > 0] == 1).all()


@pytest.mark.parametrize("axis", range(3))
def test_tissue_in_the_last_voxels_is_seen_though_they_fill_no_block(axis):
    volume = torch.zeros(41, 41, 41)
    volume.narrow(axis, 40, 1).fill_(1)
    result = slide(volume, torch.ones_like, window=(16, 16, 16), overlap=0.5, air=0.2)
    assert (result[volume > 0] == 1).all()


def test_progress_counts_the_windows_that_are_run():
    seen: list[float] = []
    slide(ball_in_air(), soften, window=(32, 32, 32), overlap=0.5, batch=3, air=0.2, on_progress=seen.append)
    assert seen == [3 / 8, 6 / 8, 1.0]


def test_the_last_batch_is_filled_up():
    sizes: list[int] = []

    def run(windows: torch.Tensor) -> torch.Tensor:
        sizes.append(len(windows))
        return soften(windows)

    slide(torch.rand(40, 40, 40), run, window=(32, 32, 32), overlap=0.5, batch=3)
    assert sizes == [3, 3, 3]


class SmallMemory:
    """A device on which more than ``most`` windows do not fit."""

    def __init__(self, most: int, error: Exception) -> None:
        self.most, self.error = most, error
        self.sizes: list[int] = []

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(windows))
        if len(windows) > self.most:
            raise self.error
        return soften(windows)


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried ..."),
    RuntimeError("Exception from src/inference/src/cpp/infer_request.cpp:224: std::bad_alloc"),
]


@pytest.mark.parametrize("error", ERRORS)
def test_short_of_memory_fewer_windows_are_run_at_a_time(error):
    volume, run = torch.rand(40, 40, 40), SmallMemory(1, error)
    seen: list[float] = []
    fitting: list[int] = []
    result = slide(
        volume,
        run,
        window=(32, 32, 32),
        overlap=0.5,
        batch=4,
        on_progress=seen.append,
        on_batch=fitting.append,
    )
    assert run.sizes == [4, 2, *[1] * 8]
    assert fitting == [2, 1]
    torch.testing.assert_close(result, monai(volume, (32, 32, 32), 0.5), atol=1e-6, rtol=1e-5)
    assert seen == [k / 8 for k in range(1, 9)]


def test_a_gpu_that_runs_windows_gives_back_its_memory_wherever_the_volume_is(monkeypatch):
    given_back: list[bool] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: given_back.append(True))
    slide(torch.rand(40, 40, 40), SmallMemory(1, ERRORS[0]), window=(32, 32, 32), overlap=0.5, batch=4)
    assert given_back == [True, True]


def test_with_no_memory_for_one_window_a_sentence_says_so():
    with pytest.raises(NotEnoughMemoryError, match=r"a window of \[32, 32, 32\] voxels does not fit into memory"):
        slide(torch.rand(40, 40, 40), SmallMemory(0, ERRORS[0]), window=(32, 32, 32), overlap=0.5, batch=4)


def test_short_of_memory_for_the_blend_it_goes_on_in_main_memory(monkeypatch):
    """Stands in for a GPU: to blend there fails, whatever the batch, until the blend has been moved."""
    moved: list[bool] = []
    whole = torch.Tensor.cpu

    def cpu(self: torch.Tensor) -> torch.Tensor:
        if self.shape == (40, 40, 40):
            moved.append(True)
        return whole(self)

    def run(windows: torch.Tensor) -> torch.Tensor:
        if not moved:
            raise ERRORS[0]
        return soften(windows)

    monkeypatch.setattr(torch.Tensor, "cpu", cpu)
    monkeypatch.setattr(module, "_in_main_memory", lambda _: bool(moved))
    volume = torch.rand(40, 40, 40)
    result = slide(volume, run, window=(32, 32, 32), overlap=0.5, batch=2)
    assert moved == [True]
    torch.testing.assert_close(result, monai(volume, (32, 32, 32), 0.5), atol=1e-6, rtol=1e-5)


def test_any_other_error_passes():
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        slide(torch.rand(8, 8, 8), SmallMemory(0, RuntimeError("shape mismatch")), window=(8, 8, 8), overlap=0.5)


def test_what_progress_raises_passes_even_when_it_is_about_memory():
    def stop(_: float) -> None:
        raise MemoryError("of the caller")

    with pytest.raises(MemoryError, match="of the caller"):
        slide(torch.rand(8, 8, 8), soften, window=(8, 8, 8), overlap=0.5, batch=2, on_progress=stop)


@pytest.mark.parametrize("name", ["_padded", "_touching_tissue", "_over_weights"])
def test_before_and_after_the_windows_too_it_goes_on_in_main_memory(monkeypatch, name, caplog):
    """Stands in for a GPU: the first time there is no room for it."""
    volume, whole, tried = torch.rand(40, 40, 40), getattr(module, name), []

    def short(*arguments: object) -> object:
        tried.append(name)
        if len(tried) == 1:
            raise ERRORS[0]
        return whole(*arguments)

    def with_gpu(do, _device, what):
        return with_room(lambda _: do(torch.device("cpu")), torch.device("meta"), what)

    monkeypatch.setattr(module, name, short)
    monkeypatch.setattr(module, "with_room", with_gpu)
    result = slide(volume, soften, window=(32, 32, 32), overlap=0.5, batch=2)
    assert tried == [name] * 2
    assert "out of memory: " in caplog.text
    torch.testing.assert_close(result, monai(volume, (32, 32, 32), 0.5), atol=1e-6, rtol=1e-5)
