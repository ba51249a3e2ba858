"""DICOM instances of one MR series -> one checked volume with its real values."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import pixel_array

from imaging.charset import declare_character_sets
from imaging.codestream import sizes
from imaging.errors import DuplicateSliceError, MixedSeriesError, NotMRError, TooFewSlicesError, UnreadablePixelsError
from imaging.geometry import arrange
from imaging.planes import Plane, Slice, is_multi_frame, planes_of
from imaging.uids import uid_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Series:
    """A series as one volume.

    Attributes
    ----------
    volume
        float32, axes (slice, row, column), modality rescale applied, padding as the least signal; affine: 0-based index
        to patient LPS in mm.
    datasets
        Single-frame: ``datasets[k]`` is ``volume.array[k]``. Enhanced multi-frame: the one instance.
    slices
        ``slices[k]`` says which instance and frame ``volume.array[k]`` came from.
    """

    volume: hd.Volume
    datasets: tuple[Dataset, ...]
    slices: tuple[Slice, ...]

    @property
    def header(self) -> Dataset:
        """The first instance."""
        return self.datasets[0]

    @property
    def series_instance_uid(self) -> str:
        """SeriesInstanceUID."""
        return str(self.header.SeriesInstanceUID)

    @property
    def study_instance_uid(self) -> str:
        """StudyInstanceUID."""
        return str(self.header.StudyInstanceUID)


def read_series(datasets: Sequence[Dataset]) -> Series:
    """Read the instances of a series as one volume.

    Parameters
    ----------
    datasets
        MR instances with pixel data, in any order: single-frame slices, or one enhanced multi-frame. An instance
        given twice counts once. Two things are mended in place, so that results can refer to the series and to its
        patient: instances without a frame of reference (anonymisers drop it) are given one derived from the series,
        and those with text beyond ASCII but no character set are given that too (``charset``).

    Returns
    -------
    Series
        Sorted by position along the normal, never by InstanceNumber.

    Raises
    ------
    NotMRError, UnreadablePixelsError, GeometryError
        Or one of the kinds of GeometryError; the message names the numbers in mm.
    """
    instances = _once(datasets)
    declare_character_sets(instances)
    _check_kind(instances)
    if not any(ds.get("FrameOfReferenceUID") for ds in instances):
        for ds in instances:
            ds.FrameOfReferenceUID = uid_of(str(ds.SeriesInstanceUID), "frame of reference")
    planes, geometry = arrange(planes_of(instances))
    array = np.empty(geometry.spatial_shape, np.float32)
    if is_multi_frame(instances[0]):
        _fill_from_frames(array, planes)
    else:
        for out, plane in zip(array, planes, strict=True):
            _fill(out, _decode(plane.dataset), plane)
        instances = [plane.dataset for plane in planes]
    if any(plane.padding is not None for plane in planes):
        _empty_padding(array)
    return Series(geometry.with_array(array), tuple(instances), tuple(plane.slice for plane in planes))


def _once(datasets: Sequence[Dataset]) -> list[Dataset]:
    """Return the datasets without the copies of an instance that was given more than once."""
    instances: dict[str, Dataset] = {}
    for ds in datasets:
        first = instances.setdefault(str(ds.SOPInstanceUID), ds)
        if first is not ds and first.get("ImagePositionPatient") != ds.get("ImagePositionPatient"):
            raise DuplicateSliceError(
                f"Two slices at {first.get('ImagePositionPatient')} and {ds.get('ImagePositionPatient')} mm share one "
                "SOPInstanceUID: results could not refer to them. Send the series again with UIDs of their own."
            )
    if len(instances) < len(datasets):
        logger.info("%d of %d instances were given more than once", len(datasets) - len(instances), len(datasets))
    return list(instances.values())


def _check_kind(instances: Sequence[Dataset]) -> None:
    if not instances:
        raise TooFewSlicesError("The series holds no instance.")
    for ds in instances:
        if (modality := ds.get("Modality")) != "MR":
            raise NotMRError(f"The series holds {modality or 'unknown'} instances, not MR. Choose an MR series.")
    series = {str(ds.get("SeriesInstanceUID")) for ds in instances}
    if len(series) > 1:
        raise MixedSeriesError(f"Instances of {len(series)} series were given; read one series at a time.")
    for keyword, name in (("PatientID", "patient IDs"), ("StudyInstanceUID", "studies")):
        # How many there are, not which: the message ends in logs.
        if (count := len({str(ds.get(keyword) or "").strip() for ds in instances})) > 1:
            raise MixedSeriesError(
                f"The series holds instances of {count} {name}: nobody can tell whose volume that is. Take out those "
                "that do not belong to it, or send the series again under one."
            )
    if len(instances) > 1 and any(is_multi_frame(ds) for ds in instances):
        raise MixedSeriesError(f"The series holds {len(instances)} instances, {_tell_multi_frame(instances)}")
    for ds in instances:
        if not all(keyword in ds for keyword in ("PixelData", "Rows", "Columns")):
            raise UnreadablePixelsError(
                f"An instance of the series ({_syntax(ds)}) holds no image. Choose an MR image series."
            )
        if ds.get("PhotometricInterpretation") != "MONOCHROME2":
            raise UnreadablePixelsError(
                f"The series holds {ds.get('PhotometricInterpretation')} pictures, not grey values that grow with the "
                "signal (MONOCHROME2). Choose the series it was made from."
            )


def _tell_multi_frame(instances: Sequence[Dataset]) -> str:
    if any(ds.get("ConcatenationUID") or int(ds.get("NumberOfFrames") or 1) == 1 for ds in instances):
        return (
            "each of them a part of one multi-frame volume, which can't be read in parts. Send the series as one "
            "multi-frame instance, or as slices (classic MR)."
        )
    return "multi-frame ones among them: each is a volume of its own. Send each one as its own series."


def _decode(dataset: Dataset) -> np.ndarray:
    """Return the stored values of an instance: (row, column), or (frame, row, column)."""
    announced = dataset.Rows, dataset.Columns
    try:
        larger = next((size for size in sizes(dataset) if size != announced), announced)
        if larger != announced:
            raise ValueError(f"they are {larger[0]} x {larger[1]} pixels")  # noqa: TRY301 - told as all else is
        return pixel_array(dataset)
    except Exception as error:  # every decoder has its own kinds of failure
        raise UnreadablePixelsError(
            f"The pixels of an instance ({_syntax(dataset)}, {dataset.Rows} x {dataset.Columns}) cannot be decoded: "
            f"{str(error) or type(error).__name__}. Send the series again, uncompressed if need be."
        ) from error


def _fill(out: np.ndarray, stored: np.ndarray, plane: Plane) -> None:
    if stored.shape != out.shape:
        raise UnreadablePixelsError(
            f"{plane.name} holds pixels of shape {stored.shape} where {out.shape} was announced."
        )
    out[...] = stored
    if (plane.slope, plane.intercept) != (1.0, 0.0):
        out *= plane.slope
        out += plane.intercept
    if plane.padding is not None:
        # As the pixels have them: some writers give the value of signed pixels without its sign.
        low, high = sorted(int(np.array(value).astype(stored.dtype)) for value in plane.padding)
        out[(stored >= low) & (stored <= high)] = np.nan


def _empty_padding(array: np.ndarray) -> None:
    """Put the least signal where ``_fill`` has left nan: 0, or the smallest value where some are negative."""
    padded = np.isnan(array)
    if padded.all():
        raise UnreadablePixelsError("All pixels of the series have its PixelPaddingValue: it holds no image.")
    if padded.any():
        array[padded] = min(0.0, float(np.nanmin(array)))


def _fill_from_frames(array: np.ndarray, planes: Sequence[Plane]) -> None:
    announced = int(planes[0].dataset.get("NumberOfFrames") or 1)
    if announced != len(planes):
        raise UnreadablePixelsError(f"The instance holds {announced} frames, but describes {len(planes)}.")
    frames = _decode(planes[0].dataset)
    if frames.shape != array.shape:
        raise UnreadablePixelsError(f"The instance holds frames of shape {frames.shape}, but describes {array.shape}.")
    for out, plane in zip(array, planes, strict=True):
        assert plane.slice.frame_number is not None
        _fill(out, frames[plane.slice.frame_number - 1], plane)


def _syntax(dataset: Dataset) -> str:
    meta = getattr(dataset, "file_meta", None)
    return (
        str(meta.TransferSyntaxUID.name) if meta is not None and "TransferSyntaxUID" in meta else "no transfer syntax"
    )
