"""Structure sets: the same voxels and the same volume back, in every plane, with what planning systems need."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom.dataset import Dataset

from imaging.volume import read_series
from results.common import ResultError
from results.context import is_ours
from results.rtstruct import build_rtstruct, rasterise_rtstruct
from tests import results_cases as cases
from tests.factory import PLANES
from tests.test_results_seg import sparse_datasets

LABELS = cases.awkward_label_map()


def build(series: Any, labels: np.ndarray = LABELS) -> Dataset:
    rtstruct = build_rtstruct(series, labels, cases.lesions(labels), cases.CONTEXT)
    assert rtstruct is not None
    return rtstruct


def contours(rtstruct: Dataset, roi: int | None = None) -> list[Dataset]:
    regions = rtstruct.ROIContourSequence
    return [item for region in regions if roi in (None, region.ReferencedROINumber) for item in region.ContourSequence]


def points_of(contour: Dataset) -> np.ndarray:
    return np.asarray(contour.ContourData, float).reshape(-1, 3)


def area_mm2(points: np.ndarray) -> float:
    """Return the area of a planar polygon in space, whatever its plane."""
    relative = points - points[0]
    return float(np.linalg.norm(np.cross(relative, np.roll(relative, -1, axis=0)).sum(axis=0)) / 2.0)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("plane", PLANES)
def test_the_same_voxels_come_back(plane: str, reverse: bool) -> None:
    series = cases.series(plane, reverse=reverse)
    rtstruct = cases.read_back(build(series))
    assert np.array_equal(rasterise_rtstruct(rtstruct, series), LABELS)


@pytest.mark.parametrize("plane", PLANES)
def test_the_contours_enclose_the_volume_of_the_voxels(plane: str) -> None:
    series = cases.series(plane)
    rtstruct = cases.read_back(build(series))
    voxel_mm3 = float(np.prod(cases.SPACING))
    for label in range(1, LABELS.max() + 1):
        enclosed = sum(area_mm2(points_of(contour)) for contour in contours(rtstruct, label)) * cases.SPACING[0]
        voxels = np.count_nonzero(label == LABELS)
        assert enclosed == pytest.approx(voxels * voxel_mm3, rel=1e-6)


series_of_the_property = cases.series("oblique25")


@settings(max_examples=60, deadline=None)
@given(arrays(np.int32, (4, 7, 6), elements=st.integers(0, 3)))
def test_any_label_map_comes_back(part: np.ndarray) -> None:
    labels = np.zeros(cases.SHAPE, np.int32)
    values, numbers = np.unique(part, return_inverse=True)  # 1 to n without gaps
    labels[4:8, -7:, :6] = numbers.reshape(part.shape) + int(values[0] != 0)
    rtstruct = build_rtstruct(series_of_the_property, labels, cases.lesions(labels), cases.CONTEXT)
    if rtstruct is None:
        assert not labels.any()
    else:
        assert np.array_equal(rasterise_rtstruct(rtstruct, series_of_the_property), labels)


@pytest.mark.parametrize("plane", PLANES)
def test_contours_lie_exactly_in_the_slice_they_refer_to(plane: str) -> None:
    series = cases.series(plane)
    by_uid = {dataset.SOPInstanceUID: dataset for dataset in series.datasets}
    for contour in contours(cases.read_back(build(series))):
        source = by_uid[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
        orientation = np.asarray(source.ImageOrientationPatient, float)
        normal = np.cross(orientation[:3], orientation[3:])
        heights = (points_of(contour) - np.asarray(source.ImagePositionPatient, float)) @ normal
        assert np.abs(heights).max() < 1e-5
        if plane == "axial":
            assert set(points_of(contour)[:, 2]) == {float(source.ImagePositionPatient[2])}


def test_contours_are_what_viewers_take() -> None:
    rtstruct = cases.read_back(build(cases.series("oblique25")))
    for contour in contours(rtstruct):
        raw = contour.get_item("ContourData").value.decode()
        assert len(raw) % 2 == 0
        assert max(map(len, raw.split("\\"))) <= 16
        assert contour.ContourGeometricType == "CLOSED_PLANAR"
        assert contour.NumberOfContourPoints == len(points_of(contour)) >= 4


def test_regions_are_described() -> None:
    series, lesions = cases.series(), cases.lesions(LABELS)
    lesions[1] = replace(lesions[1], number=3)
    rtstruct = build_rtstruct(series, LABELS, lesions[::-1], cases.CONTEXT)
    assert rtstruct is not None
    rtstruct = cases.read_back(rtstruct)
    numbers = list(range(1, 10))
    assert [item.ROINumber for item in rtstruct.StructureSetROISequence] == numbers
    assert [item.ReferencedROINumber for item in rtstruct.ROIContourSequence] == numbers
    assert [item.ReferencedROINumber for item in rtstruct.RTROIObservationsSequence] == numbers
    second = rtstruct.StructureSetROISequence[1]
    assert second.ROIName == "GTV_MetIA_2"
    assert lesions[1].tracking_uid in second.ROIDescription
    assert second.ROIGenerationAlgorithm == "AUTOMATIC"
    assert second.ROIVolume == pytest.approx(lesions[1].measurement.volume_mm3 / 1000.0, rel=1e-5)
    assert second.ReferencedFrameOfReferenceUID == series.header.FrameOfReferenceUID
    assert rtstruct.ROIContourSequence[1].ROIDisplayColor == [0, 0, 255]
    assert {item.RTROIInterpretedType for item in rtstruct.RTROIObservationsSequence} == {"GTV"}


def test_the_chain_of_references_is_complete() -> None:
    series = cases.series()
    rtstruct = cases.read_back(build(series))
    frame = rtstruct.ReferencedFrameOfReferenceSequence[0]
    study = frame.RTReferencedStudySequence[0]
    source = study.RTReferencedSeriesSequence[0]
    assert frame.FrameOfReferenceUID == rtstruct.FrameOfReferenceUID == series.header.FrameOfReferenceUID
    assert study.ReferencedSOPInstanceUID == rtstruct.StudyInstanceUID == series.study_instance_uid
    assert source.SeriesInstanceUID == series.series_instance_uid != rtstruct.SeriesInstanceUID
    referenced = [item.ReferencedSOPInstanceUID for item in source.ContourImageSequence]
    assert referenced == [dataset.SOPInstanceUID for dataset in series.datasets]


def test_the_object_says_what_it_is() -> None:
    rtstruct = cases.read_back(build(cases.series()))
    assert "UNETR small 1.2.0" in rtstruct.SeriesDescription
    assert "not a medical device" in rtstruct.StructureSetDescription.lower()
    assert rtstruct.ApprovalStatus == "UNAPPROVED"
    assert is_ours(rtstruct)


def test_a_multi_frame_source_in_any_order_of_frames() -> None:
    series = cases.enhanced()
    rtstruct = cases.read_back(build(series))
    assert np.array_equal(rasterise_rtstruct(rtstruct, series), LABELS)
    for contour in contours(rtstruct):
        number = contour.ContourImageSequence[0].ReferencedFrameNumber
        frame = series.header.PerFrameFunctionalGroupsSequence[number - 1]
        assert points_of(contour)[0, 2] == frame.PlanePositionSequence[0].ImagePositionPatient[2]
    study = rtstruct.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    assert len(study.RTReferencedSeriesSequence[0].ContourImageSequence) == 1


def test_a_retry_writes_the_same_bytes_and_another_job_another_object() -> None:
    first = build(cases.series())
    assert cases.written(first) == cases.written(build(cases.series()))
    context = replace(cases.CONTEXT, job_id="another")
    other = build_rtstruct(cases.series(), LABELS, cases.lesions(LABELS), context)
    assert other is not None
    assert other.SOPInstanceUID != first.SOPInstanceUID


def test_no_lesion_no_object() -> None:
    assert build_rtstruct(cases.series(), np.zeros(cases.SHAPE, np.int32), [], cases.CONTEXT) is None


def test_holes_drawn_as_contours_of_their_own_are_read() -> None:
    series = cases.series()
    labels = np.zeros(cases.SHAPE, np.int32)
    labels[3, 2:9, 2:9] = 1
    rtstruct = build(series, labels)
    hole = np.where(labels == 1, 0, labels)
    hole[3, 4:6, 4:6] = 1
    (extra,) = contours(build(series, hole))
    rtstruct.ROIContourSequence[0].ContourSequence.append(extra)
    labels[3, 4:6, 4:6] = 0
    assert np.array_equal(rasterise_rtstruct(rtstruct, series), labels)


def test_points_are_passed_over() -> None:
    series = cases.series()
    rtstruct = build(series)
    rtstruct.ROIContourSequence[3].ContourSequence[0].ContourGeometricType = "POINT"
    assert not (rasterise_rtstruct(rtstruct, series) == 4).any()


def test_contours_off_the_slices_are_refused_with_the_distance() -> None:
    series = cases.series()
    rtstruct = build(series)
    contour = contours(rtstruct)[0]
    contour.ContourData = (points_of(contour) + np.array([0.0, 0.0, 0.9])).ravel().tolist()
    with pytest.raises(ResultError, match=r"0\.90 mm off slice"):
        rasterise_rtstruct(rtstruct, series)


def test_contours_beyond_the_series_are_refused() -> None:
    series = cases.series()
    rtstruct = build(series)
    first, second = (np.asarray(one.ImagePositionPatient, float) for one in series.datasets[:2])
    contour = contours(rtstruct, 5)[0]  # in the first slice
    contour.ContourData = (points_of(contour) + first - second).ravel().tolist()
    with pytest.raises(ResultError, match="off slice -1 of 12"):
        rasterise_rtstruct(rtstruct, series)


def test_label_map_and_lesions_must_fit() -> None:
    with pytest.raises(ResultError, match="the lesions have"):
        build_rtstruct(cases.series(), LABELS, cases.lesions(LABELS)[:-1], cases.CONTEXT)


def test_names_in_any_character_set_survive() -> None:
    instances = cases.datasets(patient_name="Müller^Zoë")
    for dataset in instances:
        dataset.SpecificCharacterSet = "ISO_IR 100"
    series = read_series([cases.read_back(dataset) for dataset in instances])
    assert cases.read_back(build(series)).PatientName == "Müller^Zoë"


@cases.needs_validator
@pytest.mark.parametrize("plane", ["axial", "oblique25"])
def test_the_validator_finds_no_error(plane: str, tmp_path: Path) -> None:
    assert cases.validator_errors(build(cases.series(plane)), tmp_path) == []


@cases.needs_validator
def test_the_validator_finds_no_error_with_a_sparse_or_multi_frame_source(tmp_path: Path) -> None:
    assert cases.validator_errors(build(read_series(sparse_datasets())), tmp_path) == []
    assert cases.validator_errors(build(cases.enhanced()), tmp_path) == []


@cases.needs_validator
def test_the_validator_would_find_an_error(tmp_path: Path) -> None:
    rtstruct = build(cases.series())
    del rtstruct.StructureSetLabel
    assert cases.validator_errors(rtstruct, tmp_path) != []
