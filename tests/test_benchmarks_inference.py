"""What ``benchmarks inference`` measures and judges on a GPU, on a CPU: nothing of it runs for the first time there."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import clock, inference, roofline, stages, ways
from benchmarks.report import GIB
from benchmarks.ways import MONAI_FLOAT32, MONAI_HALF, SERVER, Run
from tests import factory
from unetr.predictor import load_predictor

CPU = torch.device("cpu")
H100 = "NVIDIA H100 80GB HBM3"


def runs(seconds: float = 0.15, half: float = 0.45, peak: float = 4.0, engine: str = "torch-cuda") -> dict[str, Run]:
    return {
        MONAI_FLOAT32: Run(MONAI_FLOAT32, 36, 0.5),
        MONAI_HALF: Run(MONAI_HALF, 36, half),
        SERVER: Run(engine, 36, seconds, peak_bytes=int(peak * GIB)),
    }


def test_a_gpu_is_judged_by_what_is_asked_of_it(capsys):
    assert inference.judge(runs(), H100)
    printed = capsys.readouterr().out
    assert printed.count("met     ") == 4
    assert "3.0 times as fast as MONAI, torch autocast, at least 3" in printed
    assert "4.00 GiB reserved, at most 4 GiB" in printed
    assert f"0.150 s a volume on {H100}, at most 0.15 s" in printed


@pytest.mark.parametrize(
    "missed", [{"half": 0.44}, {"seconds": 0.151, "half": 0.5}, {"peak": 4.01}, {"engine": "openvino-cpu"}]
)
def test_each_target_of_a_gpu_can_be_missed(capsys, missed):
    assert not inference.judge(runs(**missed), H100)
    assert capsys.readouterr().out.count("MISSED  ") == 1


def test_the_time_on_another_card_is_told_and_not_judged(capsys):
    assert inference.judge(runs(seconds=0.9, half=2.7), "NVIDIA T4")
    assert "0.900 s a volume on NVIDIA T4: judged on an H100 only" in capsys.readouterr().out


def test_a_cpu_is_judged_as_ever(capsys):
    assert not inference.judge(runs(), None)
    assert "3.3 times as fast as MONAI, torch float32, at least 8" in capsys.readouterr().out
    assert inference.judge({}, None)


class Event:
    """Stands in for a CUDA event: the GPU's clock ticks at each."""

    clock = 0.0

    def __init__(self, *, enable_timing: bool) -> None:
        assert enable_timing
        self.waited = False

    def record(self) -> None:
        Event.clock += 25.0
        self.at = Event.clock

    def synchronize(self) -> None:
        self.waited = True

    def elapsed_time(self, end: "Event") -> float:
        assert end.waited
        return end.at - self.at


def test_marks_on_a_gpu_are_its_own_and_waited_for_at_the_end(monkeypatch):
    monkeypatch.setattr(torch.cuda, "Event", Event)
    start, end = (clock.mark(torch.device("cuda")) for _ in range(2))
    assert not end.waited
    assert clock.seconds_between(start, end) == pytest.approx(0.025)
    assert 0 <= clock.seconds_between(clock.mark(CPU), clock.mark(CPU)) < 1


def test_a_short_volume_is_run_in_rounds_and_a_long_one_once(monkeypatch):
    for long, times in ((2.0, 1 + ways._ROUNDS), (0.0, 1)):
        monkeypatch.setattr(ways, "_LONG_S", long)
        run = Run("x")
        calls: list[int] = []

        def whole(timed, calls=calls):
            calls.append(1)
            for _ in range(3):
                timed(torch.zeros(4, 1, 2, 2, 2))

        ways._time(whole, lambda windows: windows, CPU, run)
        assert len(calls) == times
        assert run.windows == len(run.by_window) == 12


def test_the_work_of_a_network_is_counted_without_doing_it():
    window, batch = (8, 8, 8), 4
    work = roofline.work_of(nn.Sequential(nn.Conv3d(1, 2, 1, bias=False), nn.Flatten()), window, batch)
    assert work.flops == 2 * 2 * 8**3
    assert work.bytes == pytest.approx(2 * (8**3 + 2 * 8**3) + 2 * 2 / batch)  # in, out, and the weights once a batch


def test_what_the_machine_reaches_is_measured():
    peak = roofline.peak_of(CPU, edge=64, size=1 << 16)
    assert peak.flops > 1e6
    assert peak.bytes > 1e6


def test_the_stages_make_up_a_prediction_and_leave_it_as_it_was(tiny_model):
    predictor, volume = load_predictor(tiny_model, "cpu"), factory.volume()
    before = predictor.predict(volume.array, volume.affine)
    taken = stages.by_stage(predictor, volume.array, volume.affine)
    assert tuple(taken) == stages.STAGES
    assert all(seconds > 0 for seconds in taken.values())
    assert "run" not in vars(predictor.engine)
    np.testing.assert_array_equal(predictor.predict(volume.array, volume.affine).mask, before.mask)


def test_the_full_unetr_is_described_as_a_bundle_would_be():
    info = ways.find_network(ways.FULL).info
    assert info.window == ways.WINDOW
    assert (info.outputs.sigmoid, info.outputs.lesion) == (False, (1,))


def test_a_bundle_is_measured_as_it_is_but_not_mirrored(tiny_model: Path):
    network = ways.find_network(str(tiny_model))
    assert network.window == (64, 64, 64)
    assert not network.info.postprocessing.mirror
