"""Lesions -> DICOM Structured Reports (TID 1500): one that viewers draw, one with volumes, the visit and the response.

Two instances in two series, because each has its own reader: OHIF can load the drawn diameters of the one, and would
show the other, which refers to segments, as a black viewport.
"""

from results.report_bidirectional import build_bidirectional_sr
from results.report_common import Report, read_sr
from results.report_volumetric import Assessment, TimePoint, build_volumetric_sr

Standing = tuple[TimePoint, Assessment]
"""Where a visit stands in the patient's course, and what it says of it."""

__all__ = ["Assessment", "Report", "Standing", "TimePoint", "build_bidirectional_sr", "build_volumetric_sr", "read_sr"]
