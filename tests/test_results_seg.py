"""Segmentations: the same voxels back, in every plane, with what viewers need."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from pydicom import config
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from imaging.volume import read_series
from results.common import ResultError
from results.context import is_ours
from results.seg import build_seg, read_seg
from tests import results_cases as cases
from tests.factory import PLANES

LABELS = cases.awkward_label_map()


def build(series: Any, labels: np.ndarray = LABELS) -> hd.seg.Segmentation:
    seg = build_seg(series, labels, cases.lesions(labels), cases.CONTEXT)
    assert seg is not None
    return seg


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("plane", PLANES)
def test_the_same_voxels_come_back(plane: str, reverse: bool) -> None:
    series = cases.series(plane, reverse=reverse)
    seg = cases.read_back(build(series))
    assert np.array_equal(read_seg(seg, series), LABELS)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("plane", PLANES)
def test_highdicom_finds_them_in_the_same_place(plane: str, reverse: bool) -> None:
    series = cases.series(plane, reverse=reverse)
    seg = hd.seg.Segmentation.from_dataset(cases.read_back(build(series)))
    volume = seg.get_volume(combine_segments=True).match_geometry(series.volume, tol=1e-3)
    assert np.array_equal(volume.array, LABELS)


def test_a_multi_frame_source_in_any_order_of_frames() -> None:
    series = cases.enhanced()
    numbers = [slice_.frame_number for slice_ in series.slices]
    assert numbers == list(range(cases.SHAPE[0], 0, -1))
    seg = cases.read_back(build(series))
    assert np.array_equal(read_seg(seg, series), LABELS)
    for groups in seg.PerFrameFunctionalGroupsSequence:
        reference = groups.DerivationImageSequence[0].SourceImageSequence[0]
        frame = series.header.PerFrameFunctionalGroupsSequence[reference.ReferencedFrameNumber - 1]
        assert (
            frame.PlanePositionSequence[0].ImagePositionPatient == groups.PlanePositionSequence[0].ImagePositionPatient
        )


def test_geometry_is_copied_word_for_word() -> None:
    instances = cases.datasets(plane="oblique25")
    series = read_series([cases.read_back(dataset) for dataset in instances])
    seg = cases.read_back(build(series))
    shared = seg.SharedFunctionalGroupsSequence[0]
    assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == series.header.ImageOrientationPatient
    assert shared.PixelMeasuresSequence[0].PixelSpacing == series.header.PixelSpacing
    by_uid = {dataset.SOPInstanceUID: dataset for dataset in series.datasets}
    for groups in seg.PerFrameFunctionalGroupsSequence:
        source = by_uid[groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]
        assert groups.PlanePositionSequence[0].ImagePositionPatient == source.ImagePositionPatient
    assert seg.FrameOfReferenceUID == series.header.FrameOfReferenceUID
    referenced = seg.ReferencedSeriesSequence[0]
    assert referenced.SeriesInstanceUID == series.series_instance_uid
    assert len(referenced.ReferencedInstanceSequence) == len(series.datasets)


def test_segments_are_described() -> None:
    lesions = cases.lesions(LABELS)
    lesions[1] = replace(lesions[1], number=3)
    seg = build_seg(cases.series(), LABELS, lesions[::-1], cases.CONTEXT)
    assert seg is not None
    assert [item.SegmentNumber for item in seg.SegmentSequence] == list(range(1, 10))
    second = cases.read_back(seg).SegmentSequence[1]
    assert second.SegmentLabel == second.TrackingID == "GTV_MetIA_2"
    assert second.TrackingUID == lesions[1].tracking_uid
    assert second.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
    assert second.SegmentedPropertyTypeCodeSequence[0].CodeValue == "14799000"
    assert second.AnatomicRegionSequence[0].CodeValue == "12738006"
    assert second.SegmentAlgorithmType == "AUTOMATIC"
    algorithm = second.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("UNETR small", "1.2.0")
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeMeaning == "Artificial Intelligence"
    colour = hd.color.CIELabColor.from_dicom_value(list(second.RecommendedDisplayCIELabValue))
    assert colour.to_rgb(clip=True) == pytest.approx((0, 0, 255), abs=1)


def test_the_object_says_where_it_belongs_and_what_it_is() -> None:
    series = cases.series(patient_name="Test^Synthetic")
    seg = cases.read_back(build(series))
    assert is_ours(seg)
    assert is_ours(Dataset.from_json(seg.to_json()))
    assert seg.StudyInstanceUID == series.study_instance_uid
    assert seg.SeriesInstanceUID != series.series_instance_uid
    assert (seg.PatientID, seg.PatientName) == ("TEST-001", "Test^Synthetic")
    assert "UNETR small 1.2.0" in seg.SeriesDescription
    assert "Not a medical device" in seg.ContentDescription
    assert seg.SegmentationType == "BINARY"


def test_a_retry_writes_the_same_bytes_and_another_job_another_object() -> None:
    series, lesions = cases.series(), cases.lesions(LABELS)
    first, second = build(series), build(cases.series())
    assert cases.written(first) == cases.written(second)
    other = build_seg(series, LABELS, lesions, replace(cases.CONTEXT, job_id="another"))
    assert other is not None
    assert other.SOPInstanceUID != first.SOPInstanceUID
    assert other.SeriesInstanceUID != first.SeriesInstanceUID


def test_the_source_is_left_as_it_was() -> None:
    series = cases.series()
    before = [dataset.to_json() for dataset in series.datasets]
    build(series)
    assert [dataset.to_json() for dataset in series.datasets] == before


def test_no_lesion_no_object() -> None:
    empty = np.zeros(cases.SHAPE, np.int32)
    assert build_seg(cases.series(), empty, [], cases.CONTEXT) is None


@pytest.mark.parametrize("count", [255, 256, 300])
def test_more_lesions_than_a_byte_can_count(count: int) -> None:
    labels = np.zeros(cases.SHAPE, np.int32)
    labels[::2, ::2, ::2].flat[:count] = np.arange(1, count + 1)
    series = cases.series()
    assert np.array_equal(read_seg(cases.read_back(build(series, labels)), series), labels)


def test_label_map_and_lesions_must_fit() -> None:
    series, lesions = cases.series(), cases.lesions(LABELS)
    with pytest.raises(ResultError, match="the lesions have"):
        build_seg(series, LABELS, lesions[:-1], cases.CONTEXT)
    with pytest.raises(ResultError, match="the lesions have"):
        build_seg(series, np.where(LABELS == 4, 0, LABELS), lesions, cases.CONTEXT)
    with pytest.raises(ResultError, match="must be 1 to n"):
        build_seg(series, np.where(LABELS == 4, 0, LABELS), [*lesions[:3], *lesions[4:]], cases.CONTEXT)
    with pytest.raises(ResultError, match="shape"):
        build_seg(series, LABELS[1:], lesions, cases.CONTEXT)


def _shifted(series: Any, mm: float) -> Any:
    """Move a series along its slices' normal."""
    affine = series.volume.affine.copy()
    affine[:3, 3] += mm * series.volume.unit_vectors()[0]
    return replace(series, volume=hd.Volume(series.volume.array, affine, coordinate_system="PATIENT"))


def test_a_segmentation_of_another_grid_is_refused() -> None:
    series = cases.series()
    seg = build(series)
    for shift in (0.7, *(slices * series.volume.spacing[0] for slices in (0.03, -2, 2))):
        with pytest.raises(ResultError, match="not a slice of the series"):
            read_seg(seg, _shifted(series, shift))
    assert np.array_equal(read_seg(seg, _shifted(series, 0.005 * series.volume.spacing[0])), LABELS)  # rounding
    with pytest.raises(ResultError, match="BINARY"):
        read_seg(Dataset(), series)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_segmentation_of_other_pixels_is_refused_though_it_starts_at_the_same_place(axis: int) -> None:
    series = cases.series()
    seg = build(series)
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.PixelSpacing[axis] = float(measures.PixelSpacing[axis]) * 1.01
    with pytest.raises(ResultError, match="not a slice of the series"):
        read_seg(seg, series)


@pytest.mark.parametrize("numbers", [(1, 2), (2, 1)])
def test_where_segments_overlap_the_highest_number_stays_whichever_comes_last(numbers: tuple[int, int]) -> None:
    labels = np.zeros(cases.SHAPE, np.int32)
    labels[3, 5:8, 5:8], labels[4, 6:9, 6:9] = 1, 2
    series = cases.series()
    seg = cases.read_back(build(series, labels))
    one, two = seg.PerFrameFunctionalGroupsSequence
    one.PlanePositionSequence = two.PlanePositionSequence
    for frame, number in zip((one, two), numbers, strict=True):
        frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber = number
    first, last = labels[3] == 1, labels[4] == 2
    read = read_seg(seg, series)[4]
    assert (read[first & last] == 2).all()
    assert (read[first & ~last] == numbers[0]).all()
    assert (read[last & ~first] == numbers[1]).all()


def test_the_thickness_of_a_slice_is_not_the_distance_to_the_next() -> None:
    instances = cases.datasets()
    for dataset in instances:
        dataset.SliceThickness = 1.0
    measures = build(read_series(instances)).SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert (measures.SliceThickness, measures.SpacingBetweenSlices) == (1.0, 2.0)


@pytest.mark.parametrize("thickness", ["abc", "1\\2", "1e400", "-1"])
def test_a_thickness_that_is_none_is_the_distance_to_the_next_slice(thickness: str) -> None:
    instances = cases.datasets()
    tag = Tag("SliceThickness")
    for dataset in instances:
        dataset[tag] = RawDataElement(tag, "DS", len(thickness), thickness.encode(), 0, False, True)
    measures = build(read_series(instances)).SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert measures.SliceThickness == measures.SpacingBetweenSlices == 2.0


def test_of_a_multi_frame_source_too_the_thickness_is_its_own() -> None:
    series = cases.enhanced()
    (shared,) = series.header.SharedFunctionalGroupsSequence
    shared.PixelMeasuresSequence[0].SliceThickness = 1.0
    measures = build(series).SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert (measures.SliceThickness, measures.SpacingBetweenSlices) == (1.0, 2.0)


def test_two_series_at_a_time_are_not_taken_for_each_other() -> None:
    open_together = [cases.series(), cases.series("sagittal")]
    for series in open_together:
        assert np.array_equal(read_seg(build(series), series), LABELS)


def test_names_in_any_character_set_survive() -> None:
    instances = cases.datasets(patient_name="Müller^Zoë")
    for dataset in instances:
        dataset.SpecificCharacterSet = "ISO_IR 100"
    series = read_series([cases.read_back(dataset) for dataset in instances])
    assert cases.read_back(build(series)).PatientName == "Müller^Zoë"


@pytest.mark.parametrize("undefined_length", [False, True])
def test_text_in_sequences_is_not_written_in_the_character_set_of_the_source(*, undefined_length: bool) -> None:
    instances = cases.datasets()
    for dataset in instances:
        procedure = Dataset()
        procedure.CodeValue, procedure.CodingSchemeDesignator, procedure.CodeMeaning = "1", "99X", "Schädel"
        dataset.ProcedureCodeSequence = [procedure]
        dataset["ProcedureCodeSequence"].is_undefined_length = undefined_length
        dataset.SpecificCharacterSet = "ISO_IR 100"
    series = read_series([cases.read_back(dataset) for dataset in instances])
    assert cases.read_back(build(series)).ProcedureCodeSequence[0].CodeMeaning == "Schädel"


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_names_in_a_character_set_that_nobody_declared_survive(encoding: str) -> None:
    instances = cases.datasets(patient_name="Doe")
    for dataset in instances:
        del dataset.SpecificCharacterSet
    instances = [cases.read_back(dataset) for dataset in instances]
    for dataset in instances:
        name = "Müller^Zoë ".encode(encoding)
        tag = Tag("PatientName")
        dataset[tag] = RawDataElement(tag, "PN", len(name), name, 0, False, True)
    assert cases.read_back(build(read_series(instances))).PatientName == "Müller^Zoë"


def sparse_datasets() -> list[Dataset]:
    instances = cases.datasets()
    for dataset in instances:
        for keyword in cases.OPTIONAL_IN_SOURCE:
            if keyword in dataset:
                delattr(dataset, keyword)
    return instances


def test_a_sparse_source_is_enough() -> None:
    series = read_series(sparse_datasets())
    seg = cases.read_back(build(series))
    assert np.array_equal(read_seg(seg, series), LABELS)
    assert seg.StudyID == seg.AccessionNumber == seg.PatientSex == ""
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert measures.SliceThickness == measures.SpacingBetweenSlices == 2.0


def test_values_that_break_the_standard_are_passed_on_not_fatal() -> None:
    instances = cases.datasets()
    for dataset in instances:
        dataset.PatientSex = "U"
        dataset.PatientWeight, dataset.PregnancyStatus = 71.5, 4
        dataset.add(DataElement("PatientAge", "AS", "42", validation_mode=config.IGNORE))
    seg = build(read_series(instances))
    assert (seg.PatientSex, seg.PatientWeight, seg.PregnancyStatus) == ("U", 71.5, 4)
    assert "PatientAge" not in seg  # optional, so better left out than wrong


@cases.needs_validator
@pytest.mark.parametrize("plane", ["axial", "oblique25"])
def test_the_validator_finds_no_error(plane: str, tmp_path: Path) -> None:
    assert cases.validator_errors(build(cases.series(plane)), tmp_path) == []


@cases.needs_validator
def test_the_validator_finds_no_error_with_a_sparse_or_multi_frame_source(tmp_path: Path) -> None:
    assert cases.validator_errors(build(read_series(sparse_datasets())), tmp_path) == []
    assert cases.validator_errors(build(cases.enhanced()), tmp_path) == []
    one = (LABELS == 1).astype(np.int32)
    assert cases.validator_errors(build(cases.series(), one), tmp_path) == []


@cases.needs_validator
def test_the_validator_would_find_an_error(tmp_path: Path) -> None:
    seg = build(cases.series())
    del seg.ContentLabel
    assert cases.validator_errors(seg, tmp_path) != []
