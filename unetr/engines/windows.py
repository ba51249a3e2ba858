"""A network's window slid over a volume: the same windows, weights and result as MONAI's sliding window inference.

What differs is what need not be done: a window without tissue is not run, its probability is 0.
"""

import logging
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import product

import torch
import torch.nn.functional as F  # noqa: N812
from monai.data.utils import compute_importance_map

from unetr.engines.memory import NotEnoughMemoryError, give_back, is_out_of_memory, with_room

_BLOCK = 4
"""Edge of the blocks whose mean brightness tells tissue from air: noise does not make a block bright."""

Corner = tuple[int, ...]
"""Lowest index of a window along each axis."""

log = logging.getLogger(__name__)


def place(shape: Sequence[int], window: Sequence[int], overlap: float) -> list[Corner]:
    """Where windows lie in a volume at least as large, in MONAI's order; the last along an axis ends at its end."""
    axes = []
    for size, edge in zip(shape, window, strict=True):
        step = max(1, int(edge * (1 - overlap)))
        axes.append([min(k * step, size - edge) for k in range(math.ceil((size - edge) / step) + 1)])
    return list(product(*axes))


def slide(
    volume: torch.Tensor,
    run: Callable[[torch.Tensor], torch.Tensor],
    *,
    window: Sequence[int],
    overlap: float,
    batch: int = 1,
    air: float = -math.inf,
    on_progress: Callable[[float], None] | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> torch.Tensor:
    """Blend a network's answers to all windows of a volume, with Gaussian weights.

    Parameters
    ----------
    volume
        float32 ``(a, b, c)``, on any device. Where it is smaller than the window, zeros are put around it.
    run
        Windows ``(batch, 1, ...)`` to probabilities ``(batch, 1, ...)``, on any device; the last batch is filled up by
        repetition.
    overlap
        Share of a window that the next one covers again.
    air
        Windows in which nothing is brighter than this are not run.
    on_progress
        Called with the share of the windows done, 0-1, after each batch.
    on_batch
        Called with how many windows there is memory for at a time, each time that it turns out to be fewer.

    Returns
    -------
    Tensor
        float32 of the volume's shape; on the CPU where its device had no room for it.

    Raises
    ------
    NotEnoughMemoryError
        When not even single windows, blended in main memory, can be run.
    """
    what = f"blending {' x '.join(map(str, volume.shape))} voxels"
    padded, inside = with_room(lambda where: _padded(volume.to(where), window), volume.device, what)
    corners = place(padded.shape, window, overlap)
    todo = with_room(
        lambda where: _touching_tissue(padded.to(where), corners, window, air), padded.device, "looking for tissue"
    )
    blend = with_room(lambda where: torch.zeros(padded.shape, device=where), padded.device, what)
    weight = _importance(tuple(window), blend.device)
    done = 0
    while done < len(todo):
        chosen = todo[done : done + batch]
        filled = [*chosen, *[chosen[-1]] * (batch - len(chosen))]
        answer: torch.Tensor | None = None
        try:
            cut = torch.stack([padded[_box(corner, window)] for corner in filled])
            answer = run(cut[:, None])[: len(chosen), 0].to(blend.device) * weight
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if batch == 1 and _in_main_memory(blend):
                raise NotEnoughMemoryError(f"a window of {list(window)} voxels does not fit into memory") from error
        if answer is None:  # outside of the handler: its traceback holds what filled the memory
            give_back()
            if batch > 1:
                batch //= 2
                log.warning("out of memory: %d windows at a time from here on", batch)
                if on_batch:
                    on_batch(batch)
            else:
                blend, weight = blend.cpu(), weight.cpu()
                log.warning("out of memory: windows are blended in main memory from here on")
            continue
        for corner, part in zip(chosen, answer, strict=True):
            blend[_box(corner, window)].add_(part)
        done += len(chosen)
        if on_progress:
            on_progress(done / len(todo))
    return with_room(
        lambda where: _over_weights(blend.to(where), corners, weight.to(where), window), blend.device, what
    )[inside]


def _over_weights(
    blend: torch.Tensor, corners: Sequence[Corner], weight: torch.Tensor, window: Sequence[int]
) -> torch.Tensor:
    """Divide by the sum of all windows' weights, those not run among them: they say 0."""
    total = torch.zeros_like(blend)
    for corner in corners:
        total[_box(corner, window)].add_(weight)
    return blend.div_(total)


def _padded(volume: torch.Tensor, window: Sequence[int]) -> tuple[torch.Tensor, tuple[slice, ...]]:
    """The volume with zeros around it up to the window's size, and where it lies in there."""
    missing = [max(0, edge - size) for size, edge in zip(volume.shape, window, strict=True)]
    inside = tuple(slice(m // 2, m // 2 + size) for m, size in zip(missing, volume.shape, strict=True))
    if not any(missing):
        return volume, inside
    sides = [side for m in reversed(missing) for side in (m // 2, m - m // 2)]
    return F.pad(volume, sides), inside


def _touching_tissue(
    volume: torch.Tensor, corners: Sequence[Corner], window: Sequence[int], air: float
) -> list[Corner]:
    """The windows that reach a block of voxels brighter than air on average, or one beside it."""
    edges = [min(_BLOCK, size) for size in volume.shape]
    means = F.avg_pool3d(volume[None, None], edges, ceil_mode=True, count_include_pad=False)[0, 0]
    tissue = F.max_pool3d((means > air).float()[None], 3, stride=1, padding=1)[0].cpu()

    def touches(corner: Corner) -> bool:
        blocks = (
            slice(low // edge, -(-(low + size) // edge)) for low, size, edge in zip(corner, window, edges, strict=True)
        )
        return bool(tissue[tuple(blocks)].any())

    return [corner for corner in corners if touches(corner)]


def _box(corner: Corner, window: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(low, low + edge) for low, edge in zip(corner, window, strict=True))


@lru_cache(maxsize=4)
def _importance(window: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """MONAI's Gaussian weights of one window, kept on the device."""
    return compute_importance_map(window, mode="gaussian", sigma_scale=0.125, device=device)


def _in_main_memory(tensor: torch.Tensor) -> bool:
    return tensor.device.type == "cpu"
