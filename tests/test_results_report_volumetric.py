"""Volumes, diameters, visit and response: the same numbers back, each code where it belongs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage

from rano.measuring import measure
from results.common import ResultError
from results.context import is_ours
from results.report import Assessment, TimePoint, build_bidirectional_sr, build_volumetric_sr, read_sr
from results.report_volumetric import SERIES_NUMBER
from tests import results_cases as cases
from tests import results_report_cases as reports
from tests.factory import PLANES
from tests.results_report_cases import LONG, SHORT, Case

TIME_POINT = TimePoint("Visit 2", 2, "V2", "week 12", "nadir")
ASSESSMENT = Assessment(
    roles={"2.25.4001": "target", "2.25.4002": "non_target"},
    target_response="PR",
    current_response="NE",
    best_overall_response="SD",
    reason="Sum of longest diameters 31.2 -> 20.1 mm (-35.6 %); corticosteroids unknown.",
)


def build(case: Case, **options: Any) -> Dataset:
    report = build_volumetric_sr(*case.arguments(), case.seg(), cases.CONTEXT, **options)
    assert report is not None
    return cases.read_back(report)


def check(case: Case) -> None:
    """The numbers of the report are those of the measurements."""
    assert read_sr(build(case, time_point=TIME_POINT)) == {
        lesion.tracking_uid: {
            "Volume": round(lesion.measurement.volume_mm3, 3),
            "Maximum 3D Diameter of a Mesh": round(lesion.measurement.diameter_3d_mm, 3),
            LONG: round(lesion.measurement.longest.length_mm, 3),
            SHORT: round(lesion.measurement.perpendicular.length_mm, 3),
        }
        for lesion in case.lesions
    }


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("plane", PLANES)
def test_the_same_numbers_come_back(plane: str, reverse: bool) -> None:
    check(reports.case(plane, reports.NOT_SQUARE, reverse=reverse))


def test_the_same_numbers_come_back_from_a_multi_frame_source() -> None:
    check(reports.multi_frame())


@pytest.mark.parametrize("plane", ["axial", "coronal"])
def test_both_reports_agree(plane: str) -> None:
    case = reports.case(plane)
    other = build_bidirectional_sr(*case.arguments(), cases.CONTEXT)
    assert other is not None
    drawn, volumes = read_sr(cases.read_back(other)), read_sr(build(case))
    assert drawn.keys() == volumes.keys()
    for uid, numbers in drawn.items():
        assert numbers == {axis: volumes[uid][axis] for axis in (LONG, SHORT)}


def test_groups_refer_to_their_segments_and_say_what_was_measured() -> None:
    case = reports.case()
    seg = case.seg()
    report = build(case)
    content = hd.sr.ComprehensiveSR.from_dataset(report).content
    assert isinstance(content, hd.sr.MeasurementReport)
    assert report.SOPClassUID == ComprehensiveSRStorage
    for lesion in case.lesions:
        (group,) = content.get_volumetric_roi_measurement_groups(tracking_uid=lesion.tracking_uid)
        segment = group.referenced_segment
        assert segment is not None
        assert group.finding_type is not None
        assert group.tracking_identifier == lesion.name
        assert segment.referenced_sop_instance_uid == seg.SOPInstanceUID
        assert segment.referenced_segment_numbers == [lesion.measurement.label]
        assert seg.SegmentSequence[lesion.measurement.label - 1].TrackingUID == lesion.tracking_uid
        assert not segment.has_source_images()
        assert segment[1].value == case.series.series_instance_uid
        assert (group.finding_type.value, group.finding_sites[0].value.value) == ("14799000", "12738006")
        volume, diameter, long_axis, short_axis = group.get_measurements()
        assert (volume.name.value, volume.unit.value) == ("118565006", "mm3")
        assert (diameter.name.value, diameter.name.scheme_designator) == ("L0JK", "IBSI")
        assert [axis.name.value for axis in (long_axis, short_axis)] == ["103339001", "103340004"]
        assert {axis.unit.value for axis in (diameter, long_axis, short_axis)} == {"mm"}
    for node, lesion in zip(reports.groups(report), case.lesions, strict=True):
        said = reports.item(node, "Comment").TextValue
        assert said.startswith(lesion.measurement.reason)
        assert said.endswith("Diameters in an acquired slice.")


def test_no_method_is_claimed_that_would_give_another_volume() -> None:
    case = reports.case()
    # Half full around, as a network sees it: a receiver that sums the segment's voxels gets less.
    grown = np.where(case.label_map > 0, 1.0, 0.4)
    partial = measure(case.label_map, case.series.volume.affine, grown)
    case = replace(case, lesions=[replace(one, measurement=m) for one, m in zip(case.lesions, partial, strict=True)])
    voxel = float(np.prod(case.series.volume.spacing))
    report = build(case)
    for lesion, numbers in zip(case.lesions, read_sr(report).values(), strict=True):
        assert numbers["Volume"] > 1.01 * voxel * np.count_nonzero(case.label_map == lesion.measurement.label)
    for group in reports.groups(report):
        (volume,) = reports.items(group, "Volume")
        assert list(reports.walk(volume)) == []
        assert "not the sum of the segment's whole voxels" in reports.item(group, "Comment").TextValue


def test_nothing_is_said_of_partial_voxels_where_only_a_mask_was_measured() -> None:
    for group in reports.groups(build(reports.case())):
        assert "whole voxels" not in reports.item(group, "Comment").TextValue


def test_the_plane_of_the_diameters_is_told() -> None:
    for group in reports.groups(build(reports.case("sagittal"))):
        assert reports.item(group, "Comment").TextValue.endswith("Diameters in the patient's axial plane.")


def test_evidence_is_every_slice_and_the_segmentation() -> None:
    case = reports.case()
    seg = case.seg()
    assert reports.evidence(build(case)) == {
        case.series.series_instance_uid: [dataset.SOPInstanceUID for dataset in case.series.datasets],
        seg.SeriesInstanceUID: [seg.SOPInstanceUID],
    }


def test_the_visit_is_described_in_each_group() -> None:
    for group in reports.groups(build(reports.case(), time_point=TIME_POINT)):
        assert reports.item(group, "Time Point").TextValue == "Visit 2"
        assert reports.item(group, "Subject Time Point Identifier").TextValue == "V2"
        assert reports.item(group, "Protocol Time Point Identifier").TextValue == "week 12"
        assert reports.code(reports.item(group, "Time Point Type")) == ("UMLS", "C1708760")
        assert reports.item(group, "Time Point Order").MeasuredValueSequence[0].NumericValue == 2


def test_a_visit_may_be_the_baseline_or_of_no_kind() -> None:
    baseline = build(reports.case(), time_point=TimePoint("Visit 1", 1, "V1", kind="baseline"))
    assert reports.code(reports.item(reports.groups(baseline)[0], "Time Point Type")) == ("UMLS", "C1442488")
    plain = reports.groups(build(reports.case(), time_point=TimePoint("Visit 3", 3, "V3")))[0]
    assert reports.items(plain, "Time Point Type") == reports.items(plain, "Protocol Time Point Identifier") == []


def test_roles_and_responses_become_codes() -> None:
    report = build(reports.case(), assessment=ASSESSMENT)
    roles = [[reports.code(node) for node in reports.items(g, "Response Evaluation")] for g in reports.groups(report)]
    assert roles == [[("DCM", "112074")], [("DCM", "112075")], []]
    visit = reports.item(report, "Qualitative Evaluations")
    assert reports.code(reports.item(visit, "Response Evaluation")) == ("DCM", "112042")
    assert reports.code(reports.item(visit, "Current Response")) == ("NCIt", "C62222")
    assert reports.code(reports.item(visit, "Best Overall Response")) == ("NCIt", "C18213")
    assert ASSESSMENT.reason in [node.TextValue for node in reports.items(visit, "Comment")]
    assert "response" in report.SeriesDescription


@pytest.mark.parametrize(("word", "value"), [("CR", "112041"), ("PR", "112042"), ("PD", "112043"), ("SD", "112044")])
def test_each_response_of_target_lesions_has_its_code(word: str, value: str) -> None:
    report = build(reports.case(), assessment=Assessment(target_response=word))
    visit = reports.item(report, "Qualitative Evaluations")
    assert reports.code(reports.item(visit, "Response Evaluation")) == ("DCM", value)
    assert reports.items(visit, "Current Response") == reports.items(visit, "Best Overall Response") == []


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("CR", ("NCIt", "C4870")),
        ("PR", ("NCIt", "C18058")),
        ("SD", ("NCIt", "C18213")),
        ("PD", ("NCIt", "C35571")),
        ("non-CR/non-PD", ("DCM", "112046")),
        ("no evidence of disease", ("NCIt", "C40413")),
        ("NE", ("NCIt", "C62222")),
    ],
)
def test_each_response_of_the_patient_has_its_code(word: str, code: tuple[str, str]) -> None:
    report = build(reports.case(), assessment=Assessment(current_response=word))
    visit = reports.item(report, "Qualitative Evaluations")
    assert reports.code(reports.item(visit, "Current Response")) == code


def test_nothing_is_said_of_a_course_that_is_not_known() -> None:
    report = build(reports.case())
    said = {node.ConceptNameCodeSequence[0].CodeMeaning for node in reports.walk(report)}
    assert not said & {"Response Evaluation", "Current Response", "Best Overall Response", "Time Point"}
    assert "response" not in report.SeriesDescription


def test_words_without_a_code_are_refused() -> None:
    with pytest.raises(ResultError, match="'better'"):
        Assessment(current_response="better")
    with pytest.raises(ResultError, match="'no evidence of disease'"):
        Assessment(target_response="no evidence of disease")
    with pytest.raises(ResultError, match="role of a lesion 'index'"):
        Assessment(roles={"2.25.1": "index"})
    with pytest.raises(ResultError, match="kind of visit 'last'"):
        TimePoint("Visit 9", 9, "V9", kind="last")


def test_a_segmentation_of_other_lesions_is_refused() -> None:
    case = reports.case()
    renamed = [replace(lesion, tracking_uid=f"{lesion.tracking_uid}9") for lesion in case.lesions]
    with pytest.raises(ResultError, match="not the 3 lesions reported"):
        build_volumetric_sr(case.series, case.label_map, renamed, case.seg(), cases.CONTEXT)


def test_no_lesion_no_report() -> None:
    case = reports.case()
    empty = np.zeros_like(case.label_map)
    assert build_volumetric_sr(case.series, empty, [], case.seg(), cases.CONTEXT, assessment=ASSESSMENT) is None


def test_many_lesions_in_any_order() -> None:
    case = reports.many_lesions(40)
    report = build(replace(case, lesions=case.lesions[::-1]))
    names = [reports.item(group, "Tracking Identifier").TextValue for group in reports.groups(report)]
    assert names == [lesion.name for lesion in case.lesions]
    assert len(read_sr(report)) == 40


def test_a_retry_writes_the_same_bytes_and_both_reports_are_apart() -> None:
    case = reports.case()
    options: dict[str, Any] = {"time_point": TIME_POINT, "assessment": ASSESSMENT}
    first = build_volumetric_sr(*case.arguments(), case.seg(), cases.CONTEXT, **options)
    again = build_volumetric_sr(*reports.case().arguments(), case.seg(), cases.CONTEXT, **options)
    other = build_bidirectional_sr(*case.arguments(), cases.CONTEXT)
    assert first is not None
    assert again is not None
    assert other is not None
    assert cases.written(first) == cases.written(again)
    assert is_ours(cases.read_back(first))
    assert first.SeriesNumber == SERIES_NUMBER != other.SeriesNumber
    # OHIF shows one report per series.
    assert len({first.SeriesInstanceUID, other.SeriesInstanceUID, case.seg().SeriesInstanceUID}) == 3
    assert len({first.SOPInstanceUID, other.SOPInstanceUID, case.seg().SOPInstanceUID}) == 3


@cases.needs_validator
@pytest.mark.parametrize("options", [{}, {"time_point": TIME_POINT, "assessment": ASSESSMENT}])
def test_the_validator_finds_no_error(options: dict[str, Any], tmp_path: Path) -> None:
    assert cases.validator_errors(build(reports.case("oblique25"), **options), tmp_path) == []
    assert cases.validator_errors(build(reports.multi_frame(), **options), tmp_path) == []
