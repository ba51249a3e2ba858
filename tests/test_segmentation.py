"""The pipeline, and ``python segmentation.py FOLDER -o OUT``: from any folder of files to results that lie right."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from pydicom import Dataset, dcmread, dcmwrite

import segmentation
from BDD.models import RUNNING_STATES
from imaging.errors import MissingSliceError
from imaging.selection import AmbiguousSeriesError
from imaging.uids import uid_of
from imaging.volume import read_series
from Orthanc.archive import SeriesNotFoundError, StoreRejectedError, StudyNotFoundError
from rano.components import label_lesions
from results.context import derive_uid, is_ours
from results.objects import OUTPUTS
from results.rtstruct import rasterise_rtstruct
from results.seg import read_seg
from segmentation import Cancelled, segment_study
from services.segment_folder import main
from settings import ROOT
from tests import factory
from tests.jobs_factory import MemoryArchive, PredictorStub
from unetr.predictor import load_predictor

KEYS = [
    "name",
    "label",
    "tracking_uid",
    "volume_mm3",
    "longest_diameter_mm",
    "longest_diameter_lps_mm",
    "perpendicular_diameter_mm",
    "perpendicular_diameter_lps_mm",
    "diameter_3d_mm",
    "centroid_lps_mm",
    "first_slice_sop_instance_uid",
    "first_slice_frame_number",
    "last_slice_sop_instance_uid",
    "last_slice_frame_number",
    "measured_slice_sop_instance_uid",
    "measured_slice_frame_number",
    "measured_plane",
    "measurable",
    "measurable_reason",
    "mean_probability",
    "entropy_bits",
]
FILES = {"SEG.dcm", "RTSTRUCT.dcm", "prediction_mask.nii.gz", "lesions.json", "lesions.csv", "lesions.png"}
SMALL: dict[str, Any] = {"shape": (40, 44, 42), "spacing": (2.0, 2.0, 2.0)}
MR = factory.series_datasets(factory.volume(**SMALL))
STUDY, SERIES = str(MR[0].StudyInstanceUID), str(MR[0].SeriesInstanceUID)
JOB = "6f1c0e9e-2f0b-4a52-8b44-0f5f5b1f8a10"


def save(folder: Path, datasets: list[Dataset], ending: str = ".dcm") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, dataset in enumerate(datasets):
        dcmwrite(folder / f"{number}{ending}", dataset, enforce_file_format=True)


def mixed_folder(folder: Path, datasets: list[Dataset]) -> Path:
    """Write a series where people have it: nested, beside other series, between files that are no DICOM."""
    save(folder / "disc 1" / "A" / "B", datasets[::2], ending="")
    save(folder / "disc 1" / "C", datasets[1::2])
    small = factory.volume(shape=(4, 12, 10))
    save(folder / "plain", factory.series_datasets(small, series_number=2, series_description="t2_tse_tra"))
    localizer = factory.series_datasets(small, series_number=1, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"))
    save(folder / "disc 1" / "C" / "loc", localizer)
    (folder / "disc 1" / "readme.txt").write_text("Insert the disc and run viewer.exe", encoding="utf-8")
    (folder / "disc 1" / "A" / ".DS_Store").write_bytes(bytes(range(256)))
    (folder / "disc 1" / "A" / "broken.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 40)
    (folder / "empty.dcm").touch()
    return folder


def hashes(folder: Path) -> dict[Path, str]:
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def lesions_of(folder: Path) -> list[dict]:
    return json.loads((folder / "lesions.json").read_text("utf-8"))


@pytest.fixture
def run(tiny_model: Path) -> Callable[..., int]:
    return lambda *arguments: main([*map(str, arguments), "--model", str(tiny_model)])


@pytest.mark.parametrize("plane", factory.PLANES)
def test_a_folder_becomes_results_that_lie_on_the_lesions(tmp_path, run, capsys, plane):
    datasets = factory.series_datasets(factory.volume(plane, reverse=plane == "coronal"))
    source = mixed_folder(tmp_path / "study", datasets)
    before = hashes(source)
    out = tmp_path / "out"
    assert run(source, "-o", out) == 0
    assert hashes(source) == before
    assert {path.name for path in out.iterdir()} == FILES

    series = read_series(datasets)
    written = nib.Nifti1Image.from_filename(out / "prediction_mask.nii.gz")
    nifti = written.as_reoriented([[0, 1], [1, 1], [2, -1]])  # slices in the series' order, which is not ITK's
    mask = np.asarray(nifti.dataobj)
    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0])
    for index in [(0, 0, 0), (5, 7, 11), (47, 63, 55)]:  # slice, row, column; NIfTI has them the other way round
        expected = to_ras @ series.volume.affine @ [*index, 1]
        np.testing.assert_allclose(nifti.affine @ [*index[::-1], 1], expected, atol=1e-3)
    np.testing.assert_array_equal(written.get_sform(coded=True)[1], 1)
    np.testing.assert_allclose(written.get_qform(), written.affine, atol=1e-4)

    rows = lesions_of(out)
    assert [list(row) for row in rows] == [KEYS] * 3
    for lesion, row in zip(factory.LESIONS, rows, strict=True):  # both by size
        voxels = np.argwhere(mask == row["label"])
        ras = (nifti.affine @ np.c_[voxels, np.ones(len(voxels))].T)[:3].T
        np.testing.assert_allclose(ras.mean(0) * (-1, -1, 1), lesion.centre_lps, atol=0.7)
        np.testing.assert_allclose(row["centroid_lps_mm"], lesion.centre_lps, atol=0.7)
        assert np.linalg.norm(ras.mean(0) - ras, axis=1).max() < lesion.radius_mm + 2
        assert row["volume_mm3"] == pytest.approx(4 / 3 * np.pi * lesion.radius_mm**3, rel=0.15)
        assert row["longest_diameter_mm"] == pytest.approx(2 * lesion.radius_mm, abs=2.1)
        assert row["perpendicular_diameter_mm"] <= row["longest_diameter_mm"] <= row["diameter_3d_mm"] + 1e-3
        slices = sorted(set(voxels[:, 2]))
        ends = [row["first_slice_sop_instance_uid"], row["last_slice_sop_instance_uid"]]
        assert ends == [series.slices[k].sop_instance_uid for k in (slices[0], slices[-1])]
        inside = {series.slices[k].sop_instance_uid for k in slices}
        assert row["measured_slice_sop_instance_uid"] in inside
    assert [row["name"] for row in rows] == ["GTV_MetIA_1", "GTV_MetIA_2", "GTV_MetIA_3"]
    assert len({row["tracking_uid"] for row in rows}) == 3
    assert {row["measured_plane"] for row in rows} == {"acquired" if plane == "axial" else "reformatted"}

    seg, rtstruct = dcmread(out / "SEG.dcm"), dcmread(out / "RTSTRUCT.dcm")
    np.testing.assert_array_equal(read_seg(seg, series).transpose(2, 1, 0), mask)
    np.testing.assert_array_equal(rasterise_rtstruct(rtstruct, series).transpose(2, 1, 0), mask)
    assert [segment.TrackingUID for segment in seg.SegmentSequence] == [row["tracking_uid"] for row in rows]
    assert [roi.ROIName for roi in rtstruct.StructureSetROISequence] == [row["name"] for row in rows]
    assert seg.StudyInstanceUID == rtstruct.StudyInstanceUID == STUDY

    shown = capsys.readouterr().out
    assert series.series_instance_uid in shown
    assert "not a medical device" in shown
    for row in rows:
        assert f"{row['longest_diameter_mm']:5.1f} x {row['perpendicular_diameter_mm']:4.1f} mm" in shown


def test_again_finds_the_same_and_writes_it_as_new_objects_in_place_of_the_old(tmp_path, run):
    source = tmp_path / "study"
    save(source, MR)
    out = source / "results"  # a second run sees the first one's results
    uids, rows = [], []
    for _ in range(2):
        assert run(source, "-o", out) == 0
        assert {path.name for path in out.iterdir()} == FILES
        results = [dcmread(out / name) for name in ("SEG.dcm", "RTSTRUCT.dcm")]
        uids += [uid for one in results for uid in (one.SOPInstanceUID, one.SeriesInstanceUID)]
        rows.append(lesions_of(out))
    assert len(set(uids)) == 8, "whatever has changed in between: no UID stands for two objects"
    tracking = [row.pop("tracking_uid") for found in rows for row in found]
    assert len(set(tracking)) == 6, "nor for two lesions"
    assert rows[0] == rows[1]


@pytest.mark.parametrize("what", ["Orthanc.folder.dcmwrite", "results.files.write_mask", "Orthanc.folder.Path.replace"])
def test_what_stops_half_way_leaves_the_earlier_results(tmp_path, run, capsys, monkeypatch, what):
    save(tmp_path / "study", MR)
    out = tmp_path / "out"
    assert run(tmp_path / "study", "-o", out) == 0
    before = hashes(out)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(what, refuse)
    assert run(tmp_path / "study", "-o", out) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert hashes(out) == before
    assert {path.name for path in out.iterdir()} == FILES


def test_a_healthy_head_gets_empty_lists_and_no_objects(tmp_path, run, capsys):
    save(tmp_path / "study", factory.series_datasets(factory.volume(lesions=(), **SMALL)))
    out = tmp_path / "out"
    assert run(tmp_path / "study", "-o", out) == 0
    assert {path.name for path in out.iterdir()} == FILES - {"SEG.dcm", "RTSTRUCT.dcm"}
    assert lesions_of(out) == []
    assert not np.asarray(nib.Nifti1Image.from_filename(out / "prediction_mask.nii.gz").dataobj).any()
    assert "no lesion found" in capsys.readouterr().out


def test_one_of_several_studies_and_series_by_name(tmp_path, run):
    other = uid_of("tests", "another study")
    save(tmp_path / "a", MR)
    save(tmp_path / "b", factory.series_datasets(factory.volume(**SMALL), study_instance_uid=other))
    plain = factory.series_datasets(
        factory.volume(**SMALL),
        study_instance_uid=other,
        series_number=8,
        series_description="t1_mprage",
        contrast_agent=None,
    )
    save(tmp_path / "c", plain)
    series = str(plain[0].SeriesInstanceUID)
    assert run(tmp_path, "-o", tmp_path / "out", "--study", other, "--series", series) == 0
    seg = dcmread(tmp_path / "out" / "SEG.dcm")
    assert seg.StudyInstanceUID == other
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == series


def two_studies(folder: Path) -> None:
    save(folder, MR)
    save(folder / "b", factory.series_datasets(factory.volume(shape=(3, 8, 8)), study_instance_uid="2.25.7"))


def gap(folder: Path) -> None:
    save(folder, factory.series_datasets(factory.volume(**SMALL), shuffle=False)[:20] + MR[:0])
    (folder / "9.dcm").unlink()


def all_zero(folder: Path) -> None:
    volume = factory.volume(**SMALL)
    save(folder, factory.series_datasets(volume.with_array(np.zeros_like(volume.array))))


def only_a_localizer(folder: Path) -> None:
    image_type = ("ORIGINAL", "PRIMARY", "LOCALIZER")
    save(folder, factory.series_datasets(factory.volume(shape=(3, 8, 8)), image_type=image_type))


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (lambda folder: None, [], "is not a folder"),
        (lambda folder: folder.mkdir(), [], "holds 0 studies"),
        (two_studies, [], "holds 2 studies; name one with --study"),
        (lambda folder: save(folder, MR), ["--study", "1.2.3"], "no study 1.2.3"),
        (lambda folder: save(folder, MR), ["--series", "1.2.3"], "no series 1.2.3"),
        (only_a_localizer, [], "None of the 1 series"),
        (gap, [], "gap of 4.00 mm"),
        (all_zero, [], "no positive intensity"),
    ],
    ids=["no folder", "empty", "two studies", "study", "series", "no candidate", "gap", "zero"],
)
def test_what_cannot_be_segmented_is_refused_in_a_sentence(tmp_path, run, capsys, make, options, words):
    make(tmp_path / "study")
    out = tmp_path / "out"
    assert run(tmp_path / "study", "-o", out, *options) == 1
    caught = capsys.readouterr()
    assert caught.out == ""
    last = caught.err.replace("\r", "\n").strip().splitlines()[-1]
    assert last.startswith("segmentation.py: ")
    assert words in caught.err
    assert "Traceback" not in caught.err
    assert not out.exists() or not list(out.iterdir())


def test_a_model_that_is_not_there_is_named(tmp_path, capsys):
    save(tmp_path / "study", MR)
    arguments = [str(tmp_path / "study"), "-o", str(tmp_path / "out"), "--model", str(tmp_path / "none")]
    assert main(arguments) == 1
    assert f"segmentation.py: There is no model folder {tmp_path / 'none'}" in capsys.readouterr().err


COPIES = """
from pydicom import Dataset
from services import segment_folder
segment_folder._segment_folder = lambda _: setattr(Dataset(), "PatientBirthDate", "Mueller 1960")
segment_folder.main(["study", "-o", "out"])
"""


def test_a_value_that_no_standard_knows_is_not_quoted():
    done = subprocess.run([sys.executable, "-c", COPIES], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_needs_no_torch():
    command = [sys.executable, "segmentation.py", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "not a medical device" in done.stdout
    assert "examples:" in done.stdout


class Diary:
    """A Reporter that writes everything down, beside the archive's calls, and may raise."""

    def __init__(self, calls: list[str], cancel_at: str = "") -> None:
        self.calls = calls
        self.fractions: dict[str, list[float]] = {}
        self._cancel_at = cancel_at

    def stage(self, state: str) -> None:
        self.calls.append(state)
        self.fractions[state] = []
        if state == self._cancel_at:
            raise Cancelled

    def progress(self, fraction: float) -> None:
        state = next(state for state in reversed(self.calls) if state in RUNNING_STATES)
        self.fractions[state].append(fraction)
        if self._cancel_at == f"{state} progress":
            raise Cancelled


def segment(archive: MemoryArchive, **changes: Any) -> segmentation.Outcome:
    options = {"job_id": JOB, "study_instance_uid": STUDY} | changes
    predictor: Any = PredictorStub()
    return segment_study(archive, predictor, **options)


def stored(archive: MemoryArchive) -> set[str]:
    return archive.series() - {SERIES}


def test_the_pipeline_runs_in_order():
    archive = MemoryArchive(*MR)
    diary = Diary(archive.calls)
    outcome = segment(archive, reporter=diary)
    assert archive.calls == [
        "fetching",
        "list_series",
        "fetch_series",
        "reading",
        "segmenting",
        "measuring",
        "writing",
        "store",
    ]
    assert diary.fractions["fetching"] == [0.5]
    assert diary.fractions["segmenting"] == [0.25, 1.0]
    assert list(outcome.timings) == ["fetching", "reading", "segmenting", "measuring", "writing"]
    assert all(seconds >= 0 for seconds in outcome.timings.values())


def test_the_outcome_tells_what_was_found_and_written():
    archive = MemoryArchive(*MR)
    created = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
    outcome = segment(archive, created=created)
    assert outcome.series.series_instance_uid == SERIES
    assert outcome.selection is not None
    assert outcome.selection.chosen.series_instance_uid == SERIES
    assert outcome.label_map.max() == len(outcome.lesions) == 3
    volume = outcome.series.volume
    expected = label_lesions(volume.array > 600, volume.affine, 5.0)  # as the stub marks them
    np.testing.assert_array_equal(outcome.label_map, expected)
    assert outcome.written == {kind: derive_uid(JOB, f"{kind} series") for kind in ("SEG", "RTSTRUCT")}
    assert stored(archive) == set(outcome.written.values())
    assert all(is_ours(dataset) for dataset in outcome.objects.values())
    assert outcome.context.created == created
    assert outcome.context.model_name == "stub"
    assert outcome.context.job_id == JOB


def test_the_same_job_again_writes_the_same_objects():
    archive = MemoryArchive(*MR)
    created = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
    first = segment(archive, created=created)
    held = dict(archive.instances)
    second = segment(archive, created=created)
    assert set(archive.instances) == set(held)
    assert [lesion.tracking_uid for lesion in second.lesions] == [lesion.tracking_uid for lesion in first.lesions]
    for before, after in zip(first.objects.values(), second.objects.values(), strict=True):
        assert before == after


@pytest.mark.parametrize("outputs", [("SEG",), ("RTSTRUCT",), ("RTSTRUCT", "SEG"), ()])
def test_only_what_was_asked_for_is_written(outputs):
    archive = MemoryArchive(*MR)
    outcome = segment(archive, outputs=outputs)
    assert set(outcome.written) == set(outputs)
    assert len(stored(archive)) == len(outputs)
    assert len(outcome.lesions) == 3
    assert ("store" in archive.calls) == bool(outputs)


def test_nothing_is_stored_when_no_lesion_is_found():
    archive = MemoryArchive(*factory.series_datasets(factory.volume(lesions=(), **SMALL)))
    outcome = segment(archive)
    assert outcome.lesions == []
    assert outcome.written == {}
    assert outcome.objects == {}
    assert "store" not in archive.calls
    assert list(outcome.timings) == ["fetching", "reading", "segmenting", "measuring", "writing"]


@pytest.mark.parametrize(
    "moment",
    ["fetching", "fetching progress", "reading", "segmenting", "segmenting progress", "measuring", "writing"],
)
def test_cancelled_leaves_nothing(moment):
    archive = MemoryArchive(*MR)
    with pytest.raises(Cancelled):
        segment(archive, reporter=Diary(archive.calls, cancel_at=moment))
    assert "store" not in archive.calls
    assert stored(archive) == set()


def test_a_failure_to_store_reaches_the_caller():
    archive = MemoryArchive(*MR)

    def refuse(method: str) -> None:
        if method == "store":
            raise StoreRejectedError("POST /studies: no room")

    archive.fail = refuse
    with pytest.raises(StoreRejectedError):
        segment(archive)
    assert stored(archive) == set()


def test_the_segmentation_is_stored_first_and_said_to_be():
    archive = MemoryArchive(*MR)
    said: list[tuple[list[str], set[str]]] = []
    segment(
        archive,
        outputs=("SR", "RTSTRUCT", "SEG"),
        on_stored=lambda roles: said.append((list(roles), stored(archive))),
    )
    first = {derive_uid(JOB, "SEG series")}
    assert said == [
        (["SEG"], first),
        (["RTSTRUCT", "SR_BIDIRECTIONAL", "SR_VOLUMETRIC"], stored(archive)),
    ]
    assert len(stored(archive)) == 4


@pytest.mark.parametrize("moment", ["building", "storing", "telling"])
def test_who_is_told_of_the_segmentation_takes_it_out_when_the_rest_fails(moment, monkeypatch):
    """It may be somebody else's by then: only who asked for it knows."""
    archive = MemoryArchive(*MR)

    def refuse(what: object) -> None:
        if moment == "telling" or (what == "store" and archive.calls.count("store") == 2):
            raise StoreRejectedError("POST /studies: no room")

    if moment == "building":
        monkeypatch.setitem(OUTPUTS, "RTSTRUCT", lambda *_: 1 / 0)
    elif moment == "storing":
        archive.fail = refuse
    with pytest.raises(ZeroDivisionError if moment == "building" else StoreRejectedError):
        segment(archive, on_stored=refuse if moment == "telling" else lambda _: None)
    assert "retire_series" not in archive.calls
    assert stored(archive) == {derive_uid(JOB, "SEG series")}


def test_nothing_is_stored_before_all_is_built_when_nobody_wants_to_be_told(monkeypatch):
    archive = MemoryArchive(*MR)
    monkeypatch.setitem(OUTPUTS, "RTSTRUCT", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        segment(archive)
    assert "store" not in archive.calls


def test_the_caller_may_name_the_series():
    plain = factory.series_datasets(
        factory.volume(**SMALL), series_number=3, series_description="t1_mprage", contrast_agent=None
    )
    archive = MemoryArchive(*MR, *plain)
    uid = str(plain[0].SeriesInstanceUID)
    outcome = segment(archive, series_instance_uid=uid)
    assert outcome.series.series_instance_uid == uid
    assert outcome.selection is None


def test_two_series_that_tie_are_the_callers_choice():
    twin = factory.series_datasets(factory.volume(**SMALL), series_instance_uid=uid_of("tests", "twin"))
    archive = MemoryArchive(*MR, *twin)
    with pytest.raises(AmbiguousSeriesError) as caught:
        segment(archive)
    assert {candidate.series_instance_uid for candidate in caught.value.candidates} >= {
        SERIES,
        str(twin[0].SeriesInstanceUID),
    }
    assert "fetch_series" not in archive.calls


def test_what_is_not_there_or_not_regular_is_refused():
    archive = MemoryArchive(*MR)
    with pytest.raises(StudyNotFoundError):
        segment(archive, study_instance_uid="1.2.3")
    with pytest.raises(SeriesNotFoundError, match=r"no series 1\.2\.3"):
        segment(archive, series_instance_uid="1.2.3")
    by_position = sorted(MR, key=lambda dataset: dataset.InstanceNumber)
    with pytest.raises(MissingSliceError):
        segment(MemoryArchive(*by_position[:9], *by_position[10:]))


def test_lesions_segmented_before_keep_their_identity():
    first = segment(MemoryArchive(*MR))
    asked: list[str] = []

    def earlier(series_instance_uid: str):
        asked.append(series_instance_uid)
        return first.lesions[1:]

    second = segment(MemoryArchive(*MR), job_id="another job", earlier_lesions=earlier)
    assert asked == [SERIES]
    identities = [[(lesion.name, lesion.tracking_uid) for lesion in one.lesions] for one in (first, second)]
    assert identities[1][1:] == identities[0][1:]
    assert identities[1][0][1] != identities[0][0][1]
    segments = second.objects["SEG"].SegmentSequence
    assert [str(one.TrackingUID) for one in segments] == [uid for _, uid in identities[1]]


def test_the_real_network_in_the_pipeline(tiny_model):
    archive = MemoryArchive(*MR)
    predictor = load_predictor(tiny_model, "cpu")
    diary = Diary(archive.calls)
    outcome = segment_study(archive, predictor, job_id=JOB, study_instance_uid=STUDY, reporter=diary)
    assert diary.fractions["segmenting"][-1] == 1.0
    for lesion, found in zip(factory.LESIONS, outcome.lesions, strict=True):
        np.testing.assert_allclose(found.measurement.centroid_lps_mm, lesion.centre_lps, atol=0.8)
    assert outcome.context.model_sha256 == predictor.info.sha256
