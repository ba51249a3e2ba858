"""What every result takes from its source series: patient and study, geometry verbatim, references."""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import TypeVar
from weakref import WeakKeyDictionary

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.config import RAISE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import DSfloat, validate_value
from scipy import ndimage

from imaging.planes import Plane, find_number, find_value, planes_of
from imaging.volume import Series
from rano.lesion import Lesion

LabelMap = NDArray[np.integer]
"""Integers, shape (slice, row, column); 0 background, n = lesion n."""

_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
_FROM_SOURCE = (
    "SOPClassUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "FrameOfReferenceUID",
    "Manufacturer",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
    "StationName",
    "InstitutionName",
    "PositionReferenceIndicator",
    "Rows",
    "Columns",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)


class ResultError(ValueError):
    """What is to be written does not fit together, or what was read does not fit the series."""


_T = TypeVar("_T")


def _once_per_series(function: Callable[[Series], _T]) -> Callable[[Series], _T]:
    """Keep what a function says of a series for as long as there is the series: every result asks for the same."""
    known: WeakKeyDictionary[Series, _T] = WeakKeyDictionary()

    @wraps(function)
    def kept(series: Series) -> _T:
        if series not in known:
            known[series] = function(series)
        return known[series]

    return kept


@_once_per_series
def planes_of_volume(series: Series) -> list[Plane]:
    """Return the planes of a series in the volume's order, as the source itself places them.

    The volume's affine may differ from them by the little that reading tolerates; viewers look for equal numbers.
    """
    planes = {plane.slice: plane for plane in planes_of(series.datasets)}
    return [planes[slice_] for slice_ in series.slices]


@_once_per_series
def source_images(series: Series) -> list[Dataset]:
    """Return stand-ins for the source instances, in the volume's order, with all that highdicom asks of its sources.

    Real sources lack attributes that highdicom needs, or hold values that it refuses. The stand-ins carry the
    references and the geometry; the patient's and the study's attributes stay empty, see ``inherit``.
    For an enhanced multi-frame source: one stand-in, with the volume's frames only.
    """
    planes = planes_of_volume(series)
    common = Dataset()
    for keyword in _TYPE_2:
        setattr(common, keyword, "")
    for keyword in _FROM_SOURCE:
        if series.header.get(keyword) is not None:
            setattr(common, keyword, series.header[keyword].value)
    measures, orientation = Dataset(), Dataset()
    measures.PixelSpacing = _decimals(planes[0].pixel_spacing)
    # Computed from the positions: some scanners write the gap here, others nothing.
    measures.SpacingBetweenSlices = _decimals(series.volume.spacing[:1])[0]
    measures.SliceThickness = _thickness(planes[0]) or measures.SpacingBetweenSlices
    # The source's own words, rounded or not: OHIF shows a segmentation only where they differ by less than 0.001.
    orientation.ImageOrientationPatient = _decimals(find_value(planes[0].groups, "ImageOrientationPatient"))

    if planes[0].slice.frame_number is None:
        common.update(measures)
        common.update(orientation)
        images = []
        for plane in planes:
            image = Dataset()
            image.update(common)
            image.SOPInstanceUID = plane.slice.sop_instance_uid
            image.ImagePositionPatient = _decimals(plane.position)
            images.append(image)
        return images

    shared, frames = Dataset(), []
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    for plane in planes:
        position, frame = Dataset(), Dataset()
        position.ImagePositionPatient = _decimals(plane.position)
        frame.PlanePositionSequence = [position]
        frames.append(frame)
    common.SOPInstanceUID, common.NumberOfFrames = planes[0].slice.sop_instance_uid, len(planes)
    common.SharedFunctionalGroupsSequence, common.PerFrameFunctionalGroupsSequence = [shared], frames
    return [common]


def inherit(result: hd.SOPClass, series: Series) -> None:
    """Give a result the patient and the study of its source, word for word, so that it is filed where its source is.

    What identifies them is copied as it is, and stays empty where the source lacks it. Optional attributes with
    values that DICOM does not allow (a PatientAge of "42") are left out.

    Parameters
    ----------
    result
        Made from ``source_images``: what the standard wants present though maybe empty is there, and empty.
    """
    required = set(result.keys())
    result.copy_patient_and_study_information(series.header)
    for tag in set(result.keys()) - required:
        if not _is_valid(result[tag]):
            del result[tag]
        elif result[tag].VR == "SQ":
            _decode(result[tag].value)


def lesion_boxes(series: Series, label_map: LabelMap, lesions: Sequence[Lesion]) -> list[tuple[slice, slice, slice]]:
    """Return the bounding box of each lesion of a label map, in the order of the labels.

    Raises
    ------
    ResultError
        When the label map is not of the series' shape, or the lesions are not 1 to n, each present in the label map.
    """
    if label_map.shape != series.volume.spatial_shape:
        raise ResultError(f"The label map has the shape {label_map.shape}, its series {series.volume.spatial_shape}.")
    boxes: list[tuple[slice, slice, slice]] = ndimage.find_objects(label_map)
    present = [label for label, box in enumerate(boxes, start=1) if box is not None]
    described = sorted(lesion.measurement.label for lesion in lesions)
    if not present == described == list(range(1, len(described) + 1)):
        raise ResultError(
            f"The label map holds the labels {present}, the lesions have {described}; both must be 1 to n."
        )
    return boxes


def _thickness(plane: Plane) -> float | None:
    """Return the SliceThickness of a plane, where its source gives one that can be."""
    thickness = find_number(plane.groups, "SliceThickness")
    return thickness if 0 < thickness < math.inf else None


def _decode(items: Iterable[Dataset]) -> None:
    """Turn the text in the items of a sequence from bytes into words.

    pydicom leaves bytes that nobody has looked at as they are, and would write those of a source in Latin-1 into a
    result in UTF-8.
    """
    for item in items:
        for _ in item.iterall():
            pass


def _is_valid(element: DataElement) -> bool:
    """Return whether the values of an element are of the form that their value representation asks for."""
    if element.VR == "SQ" or element.is_empty:
        return True
    try:
        for value in element.value if element.VM > 1 else [element.value]:
            validate_value(element.VR, str(value) if element.VR in ("DS", "IS") else value, RAISE)
    except ValueError:
        return False
    return True


def _decimals(values: Iterable[float]) -> list[DSfloat]:
    """Return numbers as decimal strings of at most 16 characters: what was read as one is written the same."""
    return [DSfloat(float(value), auto_format=True) for value in values]
