"""Lesions and their segmentation -> DICOM SR with volumes and diameters per segment (TID 1411), the visit and response.

Which lesions are targets, and how the disease responds, is decided elsewhere and comes in as words; here they become
codes. DICOM has codes for the response of target lesions (112041-112044), but none for the whole patient's: those are
taken from the NCI thesaurus.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import highdicom as hd
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset

from imaging.volume import Series
from rano.lesion import Lesion
from results import codes
from results.common import LabelMap, ResultError, lesion_boxes
from results.context import ResultContext
from results.report_common import Report, build_report, comment, measurement

ROLE = "SR_VOLUMETRIC"
SERIES_NUMBER = 9004

_KINDS = {"baseline": codes.BASELINE, "nadir": codes.NADIR}
_ROLES = {"target": codes.TARGET_LESION, "non_target": codes.NON_TARGET_LESION}
_PLANES = {"acquired": "Diameters in an acquired slice.", "reformatted": "Diameters in the patient's axial plane."}
_PARTIAL_VOLUME = "In the volume voxels at the surface count in part: it is not the sum of the segment's whole voxels."


@dataclass(frozen=True)
class TimePoint:
    """Where a visit stands in the course of a patient's visits (TID 1502).

    Attributes
    ----------
    label
        What people call it, such as ``"Visit 2"``.
    order
        1 for the first visit.
    subject_id
        Names the visit among those of this patient; never the patient.
    protocol_id
        Names the visit in a protocol followed by many patients.
    kind
        ``"baseline"``, ``"nadir"``, or None.
    """

    label: str
    order: int
    subject_id: str
    protocol_id: str | None = None
    kind: str | None = None

    def __post_init__(self) -> None:
        """Refuse a kind of visit that has no code."""
        _check("kind of visit", self.kind, _KINDS)


@dataclass(frozen=True)
class Assessment:
    """What a visit says of the course of the disease.

    Attributes
    ----------
    roles
        Tracking UID -> ``"target"`` or ``"non_target"``: what the lesion was chosen to be at the baseline; a part
        has the role of what it is a part of. Lesions that appeared later have none.
    target_response
        Of the target lesions: ``"CR"``, ``"PR"``, ``"SD"``, ``"PD"``, ``"NE"``, or None when there is nothing to say.
    current_response, best_overall_response
        Of the patient at this visit, and the best so far: the same, ``"non-CR/non-PD"``, or
        ``"no evidence of disease"``.
    reason
        Why, in words; may be empty.
    """

    roles: Mapping[str, str] = field(default_factory=dict)
    target_response: str | None = None
    current_response: str | None = None
    best_overall_response: str | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        """Refuse words that have no code."""
        for role in self.roles.values():
            _check("role of a lesion", role, _ROLES)
        _check("response of target lesions", self.target_response, codes.TARGET_RESPONSES)
        _check("response", self.current_response, codes.OVERALL_RESPONSES)
        _check("response", self.best_overall_response, codes.OVERALL_RESPONSES)


def build_volumetric_sr(
    series: Series,
    label_map: LabelMap,
    lesions: Sequence[Lesion],
    seg: Dataset,
    context: ResultContext,
    *,
    time_point: TimePoint | None = None,
    assessment: Assessment | None = None,
) -> Report | None:
    """Write volume and diameters of each lesion, referring to its segment.

    Parameters
    ----------
    series, label_map, lesions, context
        As for ``results.seg.build_seg``.
    seg
        What ``build_seg`` has made of the same; segment number = label.
    time_point, assessment
        Where the visit stands and what it says, where that is known.

    Returns
    -------
    ComprehensiveSR or None
        None when the label map is empty: a report has at least one measurement.

    Raises
    ------
    ResultError
        When label map, lesions, segmentation and series do not fit together.
    """
    if not lesion_boxes(series, label_map, lesions):
        return None
    ordered = sorted(lesions, key=lambda lesion: lesion.measurement.label)
    _check_segments(seg, ordered)
    roles = assessment.roles if assessment else {}
    # By its series, not by each image: the segmentation itself says for each of its frames which image it lies on.
    source = hd.sr.SourceSeriesForSegmentation(series.series_instance_uid)
    groups = []
    for lesion in ordered:
        segment = hd.sr.ReferencedSegment(
            seg.SOPClassUID, seg.SOPInstanceUID, lesion.measurement.label, source_series=source
        )
        groups.append(_group(lesion, segment, roles.get(lesion.tracking_uid), time_point))
    return build_report(
        series,
        ordered,
        groups,
        context,
        role=ROLE,
        series_number=SERIES_NUMBER,
        subject="Metastases, volumes" if assessment is None else "Metastases, volumes and response",
        evaluations=_evaluations(assessment),
        other_evidence=[seg],
    )


def _check(what: str, word: str | None, known: Mapping[str, CodedConcept]) -> None:
    if word is not None and word not in known:
        raise ResultError(f"There is no code for the {what} {word!r}; known are {', '.join(known)}.")


def _check_segments(seg: Dataset, lesions: Sequence[Lesion]) -> None:
    """Refuse a segmentation of other lesions."""
    segments = {int(item.SegmentNumber): str(item.get("TrackingUID")) for item in seg.SegmentSequence}
    if segments != {lesion.measurement.label: lesion.tracking_uid for lesion in lesions}:
        raise ResultError(f"The segmentation's {len(segments)} segments are not the {len(lesions)} lesions reported.")


def _group(
    lesion: Lesion,
    segment: hd.sr.ReferencedSegment,
    role: str | None,
    time_point: TimePoint | None,
) -> hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations:
    """Report one lesion."""
    m = lesion.measurement
    group = hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=lesion.tracking_uid, identifier=lesion.name),
        referenced_segment=segment,
        finding_type=codes.NEOPLASM_SECONDARY,
        finding_sites=[hd.sr.FindingSite(codes.BRAIN)],
        time_point_context=_context(time_point),
        measurements=[
            # No method: those of CID 7474 sum whole voxels or areas, or take the lesion for an ellipsoid.
            measurement(codes.VOLUME, m.volume_mm3, codes.CUBIC_MILLIMETRE),
            measurement(codes.DIAMETER_3D, m.diameter_3d_mm),
            measurement(codes.LONG_AXIS, m.longest.length_mm, method=codes.RANO),
            measurement(codes.SHORT_AXIS, m.perpendicular.length_mm, method=codes.RANO),
        ],
        qualitative_evaluations=[hd.sr.QualitativeEvaluation(codes.RESPONSE_EVALUATION, _ROLES[role])]
        if role
        else None,
    )
    said = [m.reason, _PARTIAL_VOLUME if m.confidence else "", _PLANES[m.plane]]
    group[0].ContentSequence.append(comment(" ".join(filter(None, said))))
    return group


def _context(time_point: TimePoint | None) -> hd.sr.TimePointContext | None:
    if time_point is None:
        return None
    return hd.sr.TimePointContext(
        time_point=time_point.label,
        time_point_type=_KINDS[time_point.kind] if time_point.kind else None,
        time_point_order=time_point.order,
        subject_time_point_identifier=time_point.subject_id,
        protocol_time_point_identifier=time_point.protocol_id,
    )


def _evaluations(assessment: Assessment | None) -> list[hd.sr.ContentItem]:
    """Return the responses as coded answers, and the reason."""
    if assessment is None:
        return []
    answers = [
        (codes.RESPONSE_EVALUATION, assessment.target_response, codes.TARGET_RESPONSES),
        (codes.CURRENT_RESPONSE, assessment.current_response, codes.OVERALL_RESPONSES),
        (codes.BEST_OVERALL_RESPONSE, assessment.best_overall_response, codes.OVERALL_RESPONSES),
    ]
    items: list[hd.sr.ContentItem] = [
        hd.sr.CodeContentItem(name, values[word], relationship_type=hd.sr.RelationshipTypeValues.CONTAINS)
        for name, word, values in answers
        if word is not None
    ]
    return [*items, comment(assessment.reason)] if assessment.reason else items
