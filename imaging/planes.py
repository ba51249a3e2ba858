"""The planes of a series: one per single-frame instance, one per frame of a multi-frame instance.

A plane says where it lies and how its stored values become real ones, wherever DICOM put that: in the instance
itself, or in the functional groups of its frame or of all frames.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from imaging.errors import NoGeometryError, UnreadablePixelsError

# How far direction cosines may be from unit length and from a right angle: about what two decimals make of them.
_ROUNDING = 0.01
# Numbers, one or several, that are the same in all slices of a volume.
_CONTRASTS = (
    "EchoTime",
    "EffectiveEchoTime",
    "InversionTime",
    "InversionTimes",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "DiffusionBValue",
)
# What tells volumes apart that share their positions, in the order in which it is worth telling people.
_MARKS = (
    *_CONTRASTS,
    "DiffusionGradientOrientation",
    "TriggerTime",
    "FlipAngle",
    "ImageType",
    "FrameType",
    "AcquisitionNumber",
    "FrameAcquisitionNumber",
    "AcquisitionTime",
    "StackID",
)
# Magnitude, phase, real and imaginary part, as ImageType has them.
_KINDS = ("M", "P", "R", "I")


@dataclass(frozen=True)
class Slice:
    """Where a plane of the volume came from: an instance, and a frame of it (1-based; None for single-frame)."""

    sop_instance_uid: str
    sop_class_uid: str
    frame_number: int | None


@dataclass(frozen=True, eq=False)
class Plane:
    """One plane of a series.

    Attributes
    ----------
    position, pixel_spacing
        ImagePositionPatient (mm), PixelSpacing (distance between rows, between columns; mm).
    orientation
        ImageOrientationPatient without its rounding, see ``unit_vectors``.
    slope, intercept
        Modality rescale: value = stored * slope + intercept.
    padding
        The first and the last stored value that stands for no signal at all (PixelPaddingValue); None without one.
    groups
        The datasets that describe the plane, nearest first.
    """

    slice: Slice
    dataset: Dataset
    position: np.ndarray
    orientation: np.ndarray
    pixel_spacing: np.ndarray
    slope: float
    intercept: float
    padding: tuple[int, int] | None
    groups: tuple[Dataset, ...]

    @property
    def name(self) -> str:
        """How to call this plane in a message."""
        instance = f"instance {self.dataset.get('InstanceNumber') or '?'}"
        return instance if self.slice.frame_number is None else f"frame {self.slice.frame_number} of {instance}"

    def marks(self) -> dict[str, str]:
        """Return the attributes that may tell this plane from another one at the same position."""
        return {key: str(value) for key in _MARKS if (value := find_value(self.groups, key)) is not None}

    def contrast(self) -> dict[str, float | str]:
        """Return, as far as it is told, what may not differ within a volume: echo, phase, weighting, kind of signal."""
        contrast: dict[str, float | str] = {}
        for key in _CONTRASTS:
            value = find_value(self.groups, key)
            if isinstance(value, int | float):
                contrast[key] = float(value)
            elif isinstance(value, MultiValue):
                contrast[key] = " and ".join(format(number, "g") for number in value)
        types = find_value(self.groups, "FrameType") or find_value(self.groups, "ImageType") or ()
        kinds = [kind for kind in types if kind in _KINDS]
        return contrast | ({"ImageType": kinds[0]} if kinds else {})


def is_multi_frame(dataset: Dataset) -> bool:
    """Return whether an instance holds frames described by functional groups."""
    return "PerFrameFunctionalGroupsSequence" in dataset


def planes_of(datasets: Sequence[Dataset]) -> list[Plane]:
    """Return the planes of the instances, frames in their order.

    Raises
    ------
    NoGeometryError
        When a plane has no finite position, orientation or pixel spacing, or an orientation that is none.
    """
    return list(chain.from_iterable(_frames(ds) if is_multi_frame(ds) else _single(ds) for ds in datasets))


def _single(dataset: Dataset) -> Iterator[Plane]:
    yield _plane(dataset, None, (dataset,))


def groups_of_first_plane(dataset: Dataset) -> tuple[Dataset, ...]:
    """Return the datasets that describe the first plane of an instance, nearest first, for ``find_value``."""
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    return (*frames[:1], *(dataset.get("SharedFunctionalGroupsSequence") or ()), dataset)


def _frames(dataset: Dataset) -> Iterator[Plane]:
    shared = tuple(dataset.get("SharedFunctionalGroupsSequence") or ())
    for number, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence, start=1):
        yield _plane(dataset, number, (frame, *shared, dataset))


def _plane(dataset: Dataset, frame_number: int | None, groups: tuple[Dataset, ...]) -> Plane:
    where = Slice(str(dataset.SOPInstanceUID), str(dataset.SOPClassUID), frame_number)
    numbers = {
        keyword: _numbers(groups, keyword, length)
        for keyword, length in (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6), ("PixelSpacing", 2))
    }
    return Plane(
        slice=where,
        dataset=dataset,
        position=numbers["ImagePositionPatient"],
        orientation=unit_vectors(numbers["ImageOrientationPatient"]),
        pixel_spacing=numbers["PixelSpacing"],
        slope=_rescale(groups, "RescaleSlope", 1.0),
        intercept=_rescale(groups, "RescaleIntercept", 0.0),
        padding=_padding(dataset),
        groups=groups,
    )


def unit_vectors(orientation: np.ndarray) -> np.ndarray:
    """Take the rounding of direction cosines away.

    Parameters
    ----------
    orientation
        ImageOrientationPatient, shape (6,): where the column index grows, and where the row index grows.

    Returns
    -------
    ndarray
        Shape (6,): the first direction as it is, the second at a right angle to it, both of length 1.

    Raises
    ------
    NoGeometryError
        When the two are further from that than two decimals explain.
    """
    right, down = orientation[:3], orientation[3:]
    lengths = np.linalg.norm(right), np.linalg.norm(down)
    if max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(right @ down)) > _ROUNDING:
        raise NoGeometryError(
            f"ImageOrientationPatient {orientation.tolist()} is not two unit vectors at right angles."
        )
    right = right / lengths[0]
    down = down - (down @ right) * right
    return np.concatenate([right, down / np.linalg.norm(down)])


def _padding(dataset: Dataset) -> tuple[int, int] | None:
    value, limit = dataset.get("PixelPaddingValue"), dataset.get("PixelPaddingRangeLimit")
    if value in (None, ""):
        return None
    return int(value), int(value if limit in (None, "") else limit)


def _rescale(groups: Sequence[Dataset], keyword: str, unless_said: float) -> float:
    value = find_value(groups, keyword)
    if value in (None, ""):
        return unless_said
    number = find_number(groups, keyword)
    if not math.isfinite(number):
        raise UnreadablePixelsError(
            f"{keyword} of an instance is {value!s} where one number is needed: nobody knows what its pixels mean. "
            "Choose another series, or send it again."
        )
    return number


def _numbers(groups: Sequence[Dataset], keyword: str, length: int) -> np.ndarray:
    found = find_value(groups, keyword)
    try:
        numbers = np.array(found, dtype=float)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape != (length,) or not np.isfinite(numbers).all():
        raise NoGeometryError(
            f"{keyword} of an instance is {found!s} where {length} numbers are needed: it is no slice of a volume. "
            "Choose a series of slices."
        )
    return numbers


# The functional group that holds each attribute, for the multi-frame instances.
_MACROS = {
    "RepetitionTime": "MRTimingAndRelatedParametersSequence",
    "InversionTimes": "MRModifierSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "FrameAcquisitionDateTime": "FrameContentSequence",
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "EffectiveEchoTime": "MREchoSequence",
    "FlipAngle": "MRTimingAndRelatedParametersSequence",
    "DiffusionBValue": "MRDiffusionSequence",
    "TemporalPositionIndex": "FrameContentSequence",
    "FrameAcquisitionNumber": "FrameContentSequence",
    "StackID": "FrameContentSequence",
    "AcquisitionContrast": "MRImageFrameTypeSequence",
    "FrameType": "MRImageFrameTypeSequence",
}


def find_value(groups: Sequence[Dataset], keyword: str) -> Any:
    """Return the nearest value of an attribute: the frame's, then that of all frames, then the instance's."""
    macro = _MACROS.get(keyword)
    for group in groups:
        if macro is not None and (items := group.get(macro)) and keyword in items[0]:
            return items[0][keyword].value
        if keyword in group:
            return group[keyword].value
    return None


def find_number(groups: Sequence[Dataset], keyword: str) -> float:
    """Return the nearest value of an attribute as one number; nan where it is missing, several, or none."""
    try:
        return float(find_value(groups, keyword))
    except (TypeError, ValueError):
        return math.nan
