"""The drawn diameters: the same numbers and places back, and to the letter what OHIF looks for."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage

from imaging.volume import read_series
from rano.lesion import Chord
from results.common import ResultError
from results.context import is_ours
from results.report import build_bidirectional_sr, read_sr
from results.report_bidirectional import SERIES_NUMBER
from tests import results_cases as cases
from tests import results_report_cases as reports
from tests.factory import PLANES
from tests.results_report_cases import LONG, SHORT, Case


def build(case: Case) -> Dataset:
    report = build_bidirectional_sr(*case.arguments(), cases.CONTEXT)
    assert report is not None
    return cases.read_back(report)


def drawn(node: Dataset, case: Case) -> np.ndarray:
    """Return where a viewer draws the line of a diameter, in LPS mm, by the geometry of the image it refers to."""
    (line,) = [child for child in node.ContentSequence if child.ValueType in ("SCOORD", "SCOORD3D")]
    assert line.GraphicType == "POLYLINE"
    if line.ValueType == "SCOORD3D":
        assert line.ReferencedFrameOfReferenceUID == case.series.header.FrameOfReferenceUID
        return np.reshape(line.GraphicData, (2, 3))
    reference = line.ContentSequence[0].ReferencedSOPSequence[0]
    (instance,) = [d for d in case.series.datasets if d.SOPInstanceUID == reference.ReferencedSOPInstanceUID]
    groups = [instance]
    if "PerFrameFunctionalGroupsSequence" in instance:
        frame = instance.PerFrameFunctionalGroupsSequence[reference.ReferencedFrameNumber - 1]
        shared = instance.SharedFunctionalGroupsSequence[0]
        groups = [
            frame.PlanePositionSequence[0],
            (frame if "PlaneOrientationSequence" in frame else shared).PlaneOrientationSequence[0],
            (frame if "PixelMeasuresSequence" in frame else shared).PixelMeasuresSequence[0],
        ]
    place: dict[str, Any] = {
        keyword: next(group[keyword].value for group in groups if keyword in group)
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    }
    transform = hd.spatial.ImageToReferenceTransformer(
        place["ImagePositionPatient"], place["ImageOrientationPatient"], place["PixelSpacing"]
    )
    return transform(np.reshape(line.GraphicData, (2, 2)))


def check(case: Case, value_type: str) -> Dataset:
    """Numbers, lines and their places are those of the measurements."""
    report = build(case)
    assert read_sr(report) == {
        lesion.tracking_uid: {
            LONG: round(lesion.measurement.longest.length_mm, 3),
            SHORT: round(lesion.measurement.perpendicular.length_mm, 3),
        }
        for lesion in case.lesions
    }
    for group in reports.groups(report):
        measurement = case.measurement(reports.item(group, "Tracking Unique Identifier").UID)
        for axis in (LONG, SHORT):
            node = reports.item(group, axis)
            assert [child.ValueType for child in node.ContentSequence] == [value_type]
            line = drawn(node, case)
            assert line == pytest.approx(reports.ends(measurement, axis), abs=0.01)
            length = float(node.MeasuredValueSequence[0].NumericValue)
            assert np.linalg.norm(line[1] - line[0]) == pytest.approx(length, abs=0.01)
    return report


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("plane", ["axial", "oblique4"])
def test_axial_slices_are_drawn_in_their_pixels(plane: str, reverse: bool) -> None:
    case = reports.case(plane, reverse=reverse)
    report = check(case, "SCOORD")
    assert report.SOPClassUID == ComprehensiveSRStorage
    for group, lesion in zip(reports.groups(report), case.lesions, strict=True):
        image = reports.item(group, LONG).ContentSequence[0].ContentSequence[0]
        measured = case.series.slices[lesion.measurement.measured_slice]
        assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == measured.sop_instance_uid
        assert reports.item(group, "Comment").TextValue == lesion.name


@pytest.mark.parametrize("spacing", [reports.SQUARE, reports.NOT_SQUARE])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("plane", sorted(set(PLANES) - {"axial"}))
def test_other_planes_are_drawn_in_space_and_say_so(plane: str, reverse: bool, spacing: Any) -> None:
    report = check(reports.case(plane, spacing, reverse=reverse), "SCOORD3D")
    assert report.SOPClassUID == Comprehensive3DSRStorage
    for group in reports.groups(report):
        assert reports.item(group, "Comment").TextValue.endswith(" (axial reformat)")


@pytest.mark.parametrize("reverse", [False, True])
def test_pixels_that_are_not_square_are_left_to_no_viewer_to_interpret(reverse: bool) -> None:
    report = check(reports.case(spacing=reports.NOT_SQUARE, reverse=reverse), "SCOORD3D")
    assert reports.item(reports.groups(report)[0], "Comment").TextValue == "GTV_MetIA_1"


def test_of_pixels_hardly_off_square_the_lesion_that_shows_it_most_decides_for_all() -> None:
    check(reports.case(spacing=(2.0, 1.5, 1.50113)), "SCOORD3D")


def test_a_multi_frame_source_is_referred_to_by_frame() -> None:
    case = reports.multi_frame()
    report = check(case, "SCOORD")
    for group, lesion in zip(reports.groups(report), case.lesions, strict=True):
        reference = reports.item(group, SHORT).ContentSequence[0].ContentSequence[0].ReferencedSOPSequence[0]
        assert reference.ReferencedFrameNumber == len(case.series.slices) - lesion.measurement.measured_slice


def test_pixel_coordinates_count_from_the_corner_of_the_first_pixel() -> None:
    case = reports.case()
    position = case.series.volume.affine[:3, 3]
    k = case.lesions[0].measurement.measured_slice
    at_first_pixel = tuple(position + case.series.volume.affine[:3, 0] * k)
    chord = Chord(0.0, at_first_pixel, at_first_pixel)
    lesion = replace(case.lesions[0], measurement=replace(case.lesions[0].measurement, perpendicular=chord))
    report = build(replace(case, lesions=[lesion, *case.lesions[1:]]))
    line = reports.item(reports.groups(report)[0], SHORT).ContentSequence[0]
    assert line.GraphicData == pytest.approx([0.5, 0.5, 0.5, 0.5])


def test_everything_ohif_looks_for() -> None:
    """As its adapters read it: by meanings, by code values, and by these texts to the letter."""
    case = reports.case()
    report = build(case)
    assert (report.Modality, report.ConceptNameCodeSequence[0].CodeValue) == ("SR", "126000")
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    by_code = {child.ConceptNameCodeSequence[0].CodeValue: child for child in report.ContentSequence}
    library = by_code["111028"].ContentSequence[0]
    assert library.ConceptNameCodeSequence[0].CodeValue == "126200"
    listed = [
        child.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for child in library.ContentSequence
        if "ReferencedSOPSequence" in child
    ]
    indices = sorted({lesion.measurement.measured_slice for lesion in case.lesions})
    assert listed == [case.series.slices[k].sop_instance_uid for k in indices]
    measurements = by_code["126010"]
    assert measurements.ConceptNameCodeSequence[0].CodeMeaning == "Imaging Measurements"
    assert len(measurements.ContentSequence) == len(case.lesions)
    for group in measurements.ContentSequence:
        assert group.ConceptNameCodeSequence[0].CodeMeaning == "Measurement Group"
        assert all("ConceptNameCodeSequence" in child for child in group.ContentSequence)
        assert reports.item(group, "Tracking Identifier").TextValue == "Cornerstone3DTools@^0.1.0:Bidirectional"
        assert [child.ValueType for child in group.ContentSequence].count("UIDREF") == 1  # it takes the first
        numbers = [child for child in group.ContentSequence if child.ValueType == "NUM"]
        names = [child.ConceptNameCodeSequence[0] for child in numbers]
        assert [(name.CodeValue, name.CodeMeaning) for name in names] == [
            ("103339001", "Long Axis"),
            ("103340004", "Short Axis"),
        ]
        for number in numbers:
            assert number.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue == "mm"
            (line,) = number.ContentSequence
            assert (line.ValueType, line.GraphicType, line.VM if hasattr(line, "VM") else 4) == (
                "SCOORD",
                "POLYLINE",
                4,
            )
            (image,) = line.ContentSequence
            assert (image.ValueType, image.RelationshipType) == ("IMAGE", "SELECTED FROM")
        finding = reports.item(group, "Finding")
        assert (finding.ConceptNameCodeSequence[0].CodeValue, *reports.code(finding)) == ("121071", "SCT", "14799000")
        label = reports.item(group, "Comment").ConceptNameCodeSequence[0]
        assert (label.CodingSchemeDesignator, label.CodeValue) == ("DCM", "121106")


def test_it_says_where_it_belongs_and_who_has_observed() -> None:
    case = reports.case(patient_name="Müller^Zoë")
    report = build(case)
    assert is_ours(report)
    assert report.StudyInstanceUID == case.series.study_instance_uid
    assert report.PatientName == "Müller^Zoë"
    assert report.SeriesNumber == SERIES_NUMBER
    assert "UNETR small 1.2.0" in report.SeriesDescription
    assert (report.VerificationFlag, report.CompletionFlag) == ("UNVERIFIED", "COMPLETE")
    assert reports.item(report, "Device Observer Name").TextValue == "UNETR small 1.2.0"
    assert reports.items(report, "Person Observer Name") == []
    assert reports.code(reports.item(report, "Procedure reported")) == ("LN", "24590-2")
    said = reports.item(reports.item(report, "Qualitative Evaluations"), "Comment").TextValue
    assert "not a medical device" in said
    assert reports.evidence(report) == {
        case.series.series_instance_uid: [dataset.SOPInstanceUID for dataset in case.series.datasets]
    }


@pytest.mark.parametrize("plane", ["axial", "sagittal"])
def test_a_retry_writes_the_same_bytes_and_another_job_another_object(plane: str) -> None:
    case = reports.case(plane)
    first = build_bidirectional_sr(*case.arguments(), cases.CONTEXT)
    again = build_bidirectional_sr(*reports.case(plane).arguments(), cases.CONTEXT)
    other = build_bidirectional_sr(*case.arguments(), replace(cases.CONTEXT, job_id="another"))
    assert first is not None
    assert again is not None
    assert other is not None
    assert cases.written(first) == cases.written(again)
    assert other.SOPInstanceUID != first.SOPInstanceUID
    assert other.SeriesInstanceUID != first.SeriesInstanceUID


def test_no_lesion_no_report() -> None:
    case = reports.case()
    assert build_bidirectional_sr(case.series, np.zeros_like(case.label_map), [], cases.CONTEXT) is None


def test_lesions_that_do_not_fit_are_refused() -> None:
    case = reports.case()
    with pytest.raises(ResultError, match="the lesions have"):
        build_bidirectional_sr(case.series, case.label_map, case.lesions[1:], cases.CONTEXT)


def test_many_lesions_in_any_order() -> None:
    case = reports.many_lesions(40)
    report = build(replace(case, lesions=case.lesions[::-1]))
    assert [reports.item(group, "Comment").TextValue for group in reports.groups(report)] == [
        lesion.name for lesion in case.lesions
    ]
    assert len(read_sr(report)) == 40


def test_a_sparse_source_is_enough() -> None:
    instances = list(reports.case().series.datasets)
    for dataset in instances:
        for keyword in cases.OPTIONAL_IN_SOURCE:
            if keyword in dataset:
                delattr(dataset, keyword)
    series = read_series(instances)
    report = build(reports.measured(series, reports.case().label_map))
    assert report.StudyID == report.AccessionNumber == report.PatientSex == ""


def test_a_report_of_another_kind_is_not_read() -> None:
    report = build(reports.case())
    report.ContentTemplateSequence[0].TemplateIdentifier = "2000"
    with pytest.raises(ResultError, match="TID 1500"):
        read_sr(report)


@cases.needs_validator
@pytest.mark.parametrize("spacing", [reports.SQUARE, reports.NOT_SQUARE])
@pytest.mark.parametrize("plane", ["axial", "sagittal", "oblique25"])
def test_the_validator_finds_no_error(plane: str, spacing: Any, tmp_path: Path) -> None:
    assert cases.validator_errors(build(reports.case(plane, spacing)), tmp_path) == []


@cases.needs_validator
def test_the_validator_finds_no_error_with_a_multi_frame_source_but_would_find_one(tmp_path: Path) -> None:
    report = build(reports.multi_frame())
    assert cases.validator_errors(report, tmp_path) == []
    del report.VerificationFlag
    assert cases.validator_errors(report, tmp_path) != []
