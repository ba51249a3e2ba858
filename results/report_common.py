"""What both measurement reports (DICOM SR, TID 1500) have in common: the document around the groups, and reading it."""

from collections.abc import Sequence

import highdicom as hd
from highdicom.sr import CodedConcept, RelationshipTypeValues
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage

from imaging.volume import Series
from rano.lesion import Lesion
from results import codes
from results.common import ResultError, inherit, source_images
from results.context import MANUFACTURER, ResultContext, derive_uid, identification, make_repeatable, mark

Group = hd.sr.MeasurementsAndQualitativeEvaluations | hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations
Report = hd.sr.ComprehensiveSR | hd.sr.Comprehensive3DSR

_CONTAINS = RelationshipTypeValues.CONTAINS
_UNITS = (codes.MILLIMETRE, codes.CUBIC_MILLIMETRE)
_DECIMALS = 3  # of mm and mm3, as in the tables and files


def build_report(
    series: Series,
    lesions: Sequence[Lesion],
    groups: Sequence[Group],
    context: ResultContext,
    *,
    role: str,
    series_number: int,
    subject: str,
    in_space: bool = False,
    evaluations: Sequence[hd.sr.ContentItem] = (),
    other_evidence: Sequence[Dataset] = (),
) -> Report:
    """Write groups of measurements as a report on a series.

    Parameters
    ----------
    series
        The source: all of it is listed as evidence, the slices where lesions were measured in the image library.
    lesions, groups
        The lesions, and what is reported of them.
    role
        What the UIDs of the report are derived from, besides the job.
    subject
        What the report is about; begins the series' description.
    in_space
        Whether there are coordinates in space among the groups.
    evaluations
        What there is to say of the visit as a whole. That this is no medical device, and what is known of the
        model, is added.
    other_evidence
        Instances besides the source that the groups refer to.

    Returns
    -------
    Comprehensive3DSR or ComprehensiveSR
        The former for coordinates in space, the latter, which more viewers know, when there are none.
    """
    sources = source_images(series)
    content = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=_observer(context)),
        procedure_reported=codes.BRAIN_MRI,
        imaging_measurements=groups,
        referenced_images=_library(series, sources, lesions),
    )
    statement = hd.sr.ContainerContentItem(codes.QUALITATIVE_EVALUATIONS, relationship_type=_CONTAINS)
    statement.ContentSequence = hd.sr.ContentSequence([*evaluations, comment(context.statement)])
    content[0].ContentSequence.append(statement)
    # highdicom would copy the whole and go through it five times, which takes longer than to make it.
    whole = content[0].ContentSequence
    content[0].ContentSequence = hd.sr.ContentSequence(whole[:1])
    document = hd.sr.Comprehensive3DSR if in_space else hd.sr.ComprehensiveSR
    time = context.local_time
    report = document(
        evidence=[*sources, *other_evidence],
        content=content,
        series_description=f"{subject}, {context.model}"[:64].strip(),
        is_complete=True,
        contributing_equipment=[mark(context, role)],
        content_date=time.date(),
        content_time=time.time(),
        **identification(context, role, series_number),
    )
    report.ContentSequence = whole
    inherit(report, series)
    make_repeatable(report, context)
    return report


def read_sr(sr: Dataset) -> dict[str, dict[str, float]]:
    """Return the numbers of a report: tracking UID of the lesion -> name of the measurement -> value in mm or mm3.

    Raises
    ------
    ResultError
        When it is not a measurement report (TID 1500), or a lesion comes twice.
    """
    document = hd.sr.Comprehensive3DSR if sr.SOPClassUID == Comprehensive3DSRStorage else hd.sr.ComprehensiveSR
    content = document.from_dataset(sr).content
    if not isinstance(content, hd.sr.MeasurementReport):
        raise ResultError(f"{sr.ConceptNameCodeSequence[0].CodeMeaning!r} is not a measurement report (TID 1500).")
    numbers: dict[str, dict[str, float]] = {}
    for group in [*content.get_image_measurement_groups(), *content.get_volumetric_roi_measurement_groups()]:
        if group.tracking_uid in numbers:
            raise ResultError(f"The report measures the lesion {group.tracking_uid} twice.")
        # The order of the visit is a number as well, but none that was measured.
        numbers[str(group.tracking_uid)] = {
            m.name.meaning: m.value for m in group.get_measurements() if m.unit in _UNITS
        }
    return numbers


def measurement(
    name: CodedConcept,
    value: float,
    unit: CodedConcept = codes.MILLIMETRE,
    *,
    method: CodedConcept | None = None,
    coordinates: hd.sr.CoordinatesForMeasurement | hd.sr.CoordinatesForMeasurement3D | None = None,
) -> hd.sr.Measurement:
    """Return a number with its name and unit, to a thousandth, and where it was measured."""
    return hd.sr.Measurement(
        name,
        round(value, _DECIMALS),
        unit,
        method=method,
        referenced_coordinates=None if coordinates is None else [coordinates],
    )


def comment(text: str) -> hd.sr.TextContentItem:
    """Return a remark."""
    return hd.sr.TextContentItem(codes.COMMENT, text, relationship_type=_CONTAINS)


def _observer(context: ResultContext) -> hd.sr.ObserverContext:
    """Return who has observed: the model. No person has."""
    return hd.sr.ObserverContext(
        codes.DEVICE,
        hd.sr.DeviceObserverIdentifyingAttributes(
            uid=derive_uid(context.model_sha256, "device"),
            name=context.model,
            manufacturer_name=MANUFACTURER,
            model_name=context.model_name,
            serial_number=context.model_sha256,
        ),
    )


def _library(series: Series, sources: Sequence[Dataset], lesions: Sequence[Lesion]) -> list[Dataset]:
    """Return the images to list in the image library: where lesions were measured, in the volume's order."""
    if series.slices[0].frame_number is None:
        sources = [sources[k] for k in sorted({lesion.measurement.measured_slice for lesion in lesions})]
    images = []
    for source in sources:
        image = Dataset()
        image.update(source)
        # Without a modality highdicom does not repeat the image's geometry here: half of the report otherwise, and
        # for the frames of a multi-frame image there is no one position.
        image.Modality = None
        images.append(image)
    return images
