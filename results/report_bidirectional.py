"""Lesions -> DICOM SR with the two diameters of each, drawn: what OHIF loads as bidirectional measurements.

The numbers are always those of the RANO-BM measurement, and the lines always lie where it was measured:

- In an axial series the diameters lie in one acquired slice, and are written in its pixel coordinates (SCOORD).
- In a sagittal, coronal or oblique series they lie in the patient's axial plane, across the acquired slices, so they
  have no pixel coordinates. Diameters of an acquired slice would be other diameters, in conflict with every table, the
  other report and the response. The lines are written in space (SCOORD3D) instead, and the label says so: OHIF 3.13
  turns to the axial plane when it is asked to show one, and measures the same numbers there.
- Where pixels are not square, OHIF 3.13 takes the spacing of rows for that of columns and the other way round: it draws
  pixel coordinates in the wrong place and measures wrong lengths. There, too, the lines are written in space.
"""

from collections.abc import Sequence

import highdicom as hd
import numpy as np
from highdicom.sr import CodedConcept
from numpy.typing import NDArray

from imaging.planes import Plane
from imaging.volume import Series
from rano.lesion import Chord, Lesion
from results import codes
from results.common import LabelMap, lesion_boxes, planes_of_volume
from results.context import ResultContext
from results.report_common import Report, build_report, comment, measurement

ROLE = "SR_BIDIRECTIONAL"
SERIES_NUMBER = 9003

TRACKING_IDENTIFIER = "Cornerstone3DTools@^0.1.0:Bidirectional"
"""By this text, and nothing else, OHIF knows which tool a group belongs to; the lesion's name stands in a comment."""

_LABELS = {"acquired": "", "reformatted": " (axial reformat)"}
"""What is added to a lesion's name, by the plane that its diameters lie in."""

_TOLERANCE_MM = 0.05
"""How far the ends of a line drawn in pixel coordinates may lie from where they were measured."""


def build_bidirectional_sr(
    series: Series, label_map: LabelMap, lesions: Sequence[Lesion], context: ResultContext
) -> Report | None:
    """Write the longest diameter of each lesion and its perpendicular, drawn in the images.

    Parameters
    ----------
    series, label_map, lesions, context
        As for ``results.seg.build_seg``.

    Returns
    -------
    ComprehensiveSR, Comprehensive3DSR or None
        None when the label map is empty: there is nothing to report.

    Raises
    ------
    ResultError
        When label map, lesions and series do not fit together.
    """
    if not lesion_boxes(series, label_map, lesions):
        return None
    planes = planes_of_volume(series)
    ordered = sorted(lesions, key=lambda lesion: lesion.measurement.label)
    in_pixels = all(_fits_pixels(lesion, planes[lesion.measurement.measured_slice]) for lesion in ordered)
    groups = [_group(lesion, planes[lesion.measurement.measured_slice], in_pixels=in_pixels) for lesion in ordered]
    return build_report(
        series,
        ordered,
        groups,
        context,
        role=ROLE,
        series_number=SERIES_NUMBER,
        subject="Metastases, diameters",
        in_space=not in_pixels,
    )


def _group(lesion: Lesion, plane: Plane, *, in_pixels: bool) -> hd.sr.MeasurementsAndQualitativeEvaluations:
    """Report one lesion."""
    m = lesion.measurement
    group = hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=lesion.tracking_uid, identifier=TRACKING_IDENTIFIER),
        finding_type=codes.NEOPLASM_SECONDARY,
        finding_sites=[hd.sr.FindingSite(codes.BRAIN)],
        measurements=[
            _line(codes.LONG_AXIS, m.longest, plane, in_pixels=in_pixels),
            _line(codes.SHORT_AXIS, m.perpendicular, plane, in_pixels=in_pixels),
        ],
    )
    # OHIF shows the comment as the measurement's label.
    group[0].ContentSequence.append(comment(lesion.name + _LABELS[m.plane]))
    return group


def _line(name: CodedConcept, chord: Chord, plane: Plane, *, in_pixels: bool) -> hd.sr.Measurement:
    """Return a diameter with its line: in the pixels of a slice, or in space."""
    coordinates: hd.sr.CoordinatesForMeasurement | hd.sr.CoordinatesForMeasurement3D
    if in_pixels:
        frame = plane.slice.frame_number
        image = hd.sr.SourceImageForRegion(
            plane.slice.sop_class_uid, plane.slice.sop_instance_uid, None if frame is None else [frame]
        )
        # SCOORD counts columns and rows from the upper left corner of the first pixel, whose centre is 0.5, 0.5.
        pixels = _columns_rows(chord, plane)[:, :2] + 0.5
        coordinates = hd.sr.CoordinatesForMeasurement(hd.sr.GraphicTypeValues.POLYLINE, pixels, image)
    else:
        coordinates = hd.sr.CoordinatesForMeasurement3D(
            hd.sr.GraphicTypeValues3D.POLYLINE, _ends(chord), str(plane.dataset.FrameOfReferenceUID)
        )
    return measurement(name, chord.length_mm, coordinates=coordinates)


def _ends(chord: Chord) -> NDArray[np.float64]:
    return np.array([chord.start_lps_mm, chord.end_lps_mm])


def _fits_pixels(lesion: Lesion, plane: Plane) -> bool:
    """Tell whether a lesion's diameters, given in the pixel coordinates of a plane, are drawn where they are."""
    for chord in (lesion.measurement.longest, lesion.measurement.perpendicular):
        placed = _columns_rows(chord, plane)
        swapped = abs(plane.pixel_spacing[0] - plane.pixel_spacing[1]) * np.abs(placed[:, :2]).max()
        if max(np.abs(placed[:, 2]).max(), swapped) > _TOLERANCE_MM:
            return False
    return True


def _columns_rows(chord: Chord, plane: Plane) -> NDArray[np.float64]:
    """Return both ends of a chord as (column, row, mm off the plane), 0-based, pixel centres at whole numbers."""
    right, down = plane.orientation[:3], plane.orientation[3:]
    axes = np.column_stack([right * plane.pixel_spacing[1], down * plane.pixel_spacing[0], np.cross(right, down)])
    return np.asarray(np.linalg.solve(axes, (_ends(chord) - plane.position).T).T)
