"""Trying an engine: windows as bright as a head, as many at a time as there is memory for, and how far off it is."""

import logging
import math
from collections.abc import Sequence

import torch

from unetr.engines.engine import Engine
from unetr.engines.memory import is_out_of_memory

TOLERANCE = 0.05
"""Relative error of the logits, root mean square, above which an engine is taken for broken."""

log = logging.getLogger(__name__)


def example(shape: Sequence[int], count: int, seed: int = 0) -> torch.Tensor:
    """So many windows ``(count, *shape[1:])`` as bright as a head, on the CPU, the same every time.

    Those that are more begin with those that are fewer.
    """
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.stack([torch.rand(tuple(shape[1:]), generator=generator) for _ in range(count)])


def deviation(logits: torch.Tensor, reference: torch.Tensor) -> float:
    """Relative error of logits, root mean square; infinite where they hold what is no number."""
    off = (logits - reference).norm()
    return float((off / reference.norm()).nan_to_num(nan=math.inf)) if off != 0 else 0.0


def warmed_up(engine: Engine, shape: Sequence[int]) -> Engine:
    """Run an engine once, with as many windows at a time as there is memory for."""
    while True:
        try:
            engine.run(example(shape, engine.batch).to(engine.device))
        except Exception as error:
            if engine.batch == 1 or not is_out_of_memory(error):
                raise
        else:
            return engine
        engine.batch //= 2
        log.warning("out of memory: %s runs %d windows at a time", engine.name, engine.batch)
