"""The benchmarks' command line, and those that need neither Orthanc nor a model."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import demo, measuring, roundtrip, subjects
from benchmarks.isolation import peak_bytes
from imaging.volume import read_series
from rano.components import label_lesions
from services.demo_patient import Truth, Visit
from settings import ROOT
from tests import results_cases


def test_help_lists_every_benchmark_without_loading_them() -> None:
    code = "import sys, benchmarks.__main__ as m\ntry: m.main(['-h'])\nfinally: assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    for name in command.BENCHMARKS:
        assert f"  {name} " in done.stdout


@pytest.mark.parametrize("name", command.BENCHMARKS)
def test_each_has_help_with_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        command.main([name, "--help"])
    assert f"python -m benchmarks {name}" in capsys.readouterr().out.split("examples:")[1]


def test_inference_compares_monai_and_the_server(tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["--rows", "MONAI, torch float32", "auto"]
    assert command.main(["inference", "--quick", "--model", str(tiny_model), *rows]) == 0
    printed = capsys.readouterr().out
    lines = {line.split("  ")[0]: line.split() for line in printed.splitlines()}
    monai = lines["MONAI, torch float32"]
    (server,) = (line for name, line in lines.items() if name.startswith("auto = "))
    assert monai[3] == server[3] == "32"  # windows of 64 in a box that is nothing but head
    assert monai[-2] == "x"
    assert "auto once more, each stage waited for, s: prepare " in printed
    assert "quick" in str(lines)


def test_the_cost_of_a_size_is_printed_and_drawn(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "sizes.png"
    options = ["--sizes", "64x64x80", "--plot", str(picture), "--model", str(tiny_model)]
    assert command.main(["inference", *options]) == 0
    printed = capsys.readouterr().out
    assert "64 x 64 x 80" in printed
    assert "less than 4 GiB" in printed
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("size", ["64x64", "64x64xlarge", "8x64x64"])
def test_a_size_that_is_none_is_told(size: str, tiny_model: Path) -> None:
    with pytest.raises(SystemExit, match=f"{size} is no size of a volume"):
        command.main(["inference", "--sizes", size, "--model", str(tiny_model)])


@pytest.mark.parametrize("name", ["job", "memory", "demo"])
def test_without_a_model_they_are_skipped(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([name, "--model", str(tmp_path / "none")]) == 0
    assert f"skipped: There is no model folder {tmp_path / 'none'}" in capsys.readouterr().out


def test_roundtrip_passes_and_names_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["roundtrip", "--planes", "oblique25", "--masks", "1"]) == 0
    printed = capsys.readouterr().out
    assert "cores" in printed
    assert "torch 2." in printed
    assert printed.count("yes") == 2 * 4
    assert "met     0 voxels differ" in printed


def test_roundtrip_notices_a_lost_voxel(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seg = roundtrip.FORMATS[0]

    def one_short(*arguments: object) -> np.ndarray:
        label_map = seg.read(*arguments)  # type: ignore[arg-type]
        label_map[tuple(np.argwhere(label_map)[0])] = 0
        return label_map

    monkeypatch.setattr(roundtrip, "FORMATS", (roundtrip.Format("SEG", seg.build, one_short),))
    assert roundtrip.main(["--planes", "axial", "--masks", "1"]) == 1
    assert "MISSED  4 voxels differ" in capsys.readouterr().out


def test_measuring_tells_errors_by_shape(capsys: pytest.CaptureFixture[str]) -> None:
    assert measuring.main(["--rounds", "1", "--repeats", "0"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("touching spheres") == 2
    assert "20 of 20 diameters within 1 mm or 10%" in printed


def test_subjects_hold_the_lesions_they_promise() -> None:
    subject = subjects.make_subject((50, 64, 64), (4.0, 4.0, 4.0), 12)
    series = read_series(subject.datasets)
    assert np.array_equal(series.volume.array, subject.volume.array)
    assert np.allclose(series.volume.affine, subject.volume.affine)
    assert label_lesions(subject.probability > 0.1, subject.volume.affine, 0).max() <= 12
    bright = series.volume.array > 500
    assert (subject.probability[bright] > 0.2).all()
    assert bright.any()


def test_demo_pairs_true_lesions_with_measured_ones() -> None:
    label_map = np.zeros((3, 3, 3), int)
    label_map[0, 0, 0], label_map[2, 2, 2] = 1, 2
    measured = [lesion.measurement for lesion in results_cases.lesions(label_map)]  # both at the origin
    visit = Visit("20260101", [], [Truth("here", (0.0, 0.0, 4.0), 10.0), Truth("elsewhere", (50.0, 0.0, 0.0), 10.0)])
    pairs = demo.compare(1, visit, measured)
    assert [(pair.truth and pair.truth.name, pair.measured) for pair in pairs] == [
        ("here", measured[0]),
        ("elsewhere", None),
        (None, measured[1]),
    ]


def test_peak_memory_grows_with_what_is_held() -> None:
    before = peak_bytes()
    assert before > 50 << 20
    block = np.ones(before // 8 + (100 << 17))
    assert peak_bytes() > block.nbytes


def test_the_timeline_is_timed(capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["timeline", "--visits", "2", "--lesions", "3", "--repeats", "1"])
    printed = capsys.readouterr().out
    assert "2 visits x 3 lesions" in printed
    assert "timeline in" in printed


def test_links_of_simulated_patients_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["following", "--patients", "2"]) == 0
    assert "met     0 of 0 wrong links not flagged" in capsys.readouterr().out
