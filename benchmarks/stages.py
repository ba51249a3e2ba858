"""What a prediction spends its time on, stage by stage, in a run of its own: each stage is waited for."""

import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

from benchmarks.clock import wait

if TYPE_CHECKING:
    from unetr.predictor import Predictor

STAGES = ("prepare", "windows", "blend", "peak", "back")


def by_stage(predictor: "Predictor", image: np.ndarray, affine: np.ndarray) -> dict[str, float]:
    """Return the seconds of each stage of one prediction.

    ``windows`` is the network alone, ``blend`` cutting them out and adding them up, ``peak`` taking out what does not
    reach it, ``back`` the smoothing, the way to the acquired grid and into main memory.
    """
    from unetr import predictor as module

    taken: Counter[str] = Counter()

    def timed(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            wait(predictor.device)
            start = time.perf_counter()
            answer = step(*arguments, **options)
            wait(predictor.device)
            taken[name] += time.perf_counter() - start  # type: ignore[assignment]
            return answer

        return run

    preset = predictor.info.preprocessing
    with (
        patch.dict(module.PRESETS, {preset: timed("prepare", module.PRESETS[preset])}),
        patch.object(module, "slide", timed("slide", module.slide)),
        patch.object(predictor.engine, "run", timed("windows", predictor.engine.run)),
        patch.object(module, "_without_faint", timed("peak", module._without_faint)),
    ):
        timed("all", predictor.predict)(image, affine)
    rest = {"blend": taken["slide"] - taken["windows"]}
    rest["back"] = taken["all"] - taken["prepare"] - taken["slide"] - taken["peak"]
    return {name: rest.get(name, taken[name]) for name in STAGES}
