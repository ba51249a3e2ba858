"""Label map -> DICOM Segmentation, one segment per lesion, and back."""

from collections.abc import Sequence

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from imaging.planes import unit_vectors
from imaging.volume import Series
from rano.lesion import Lesion
from results import codes
from results.common import LabelMap, ResultError, inherit, lesion_boxes, source_images
from results.context import ResultContext, derive_uid, identification, make_repeatable, mark
from results.palette import cielab

ROLE = "SEG"
SERIES_NUMBER = 9001
_GRID_TOLERANCE = 0.01  # voxels


def build_seg(
    series: Series, label_map: LabelMap, lesions: Sequence[Lesion], context: ResultContext
) -> hd.seg.Segmentation | None:
    """Write a label map as a binary segmentation.

    Parameters
    ----------
    series
        The source, as read.
    label_map
        Shape (slice, row, column) of the series' volume; 0 background, n = lesion n.
    lesions
        One for each label, in any order; segment number = label.
    context
        The job and the model.

    Returns
    -------
    Segmentation or None
        None when the label map is empty: a segmentation has at least one segment, so there is nothing to write.

    Raises
    ------
    ResultError
        When label map, lesions and series do not fit together.
    """
    count = len(lesion_boxes(series, label_map, lesions))
    if not count:
        return None
    sources = source_images(series)
    time = context.local_time
    seg = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=label_map.astype(np.uint8 if count < 256 else np.uint16),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=_segments(lesions, context),
        content_label="METASTASES",
        content_description=context.content_description,
        content_creator_name=None,
        omit_empty_frames=True,
        contributing_equipment=[mark(context, ROLE)],
        series_description=context.series_description,
        content_date=time.date(),
        content_time=time.time(),
        **identification(context, ROLE, SERIES_NUMBER),
    )
    inherit(seg, series)
    make_repeatable(seg, context)
    _derive_dimensions(seg, context)
    _restore_frame_numbers(seg, series)
    return seg


def read_seg(seg: Dataset, series: Series) -> LabelMap:
    """Return the label map of a binary segmentation, on the voxels of the series it was made from.

    Parameters
    ----------
    seg
        With pixel data; its frames are placed by their positions, in whatever order they come.
    series
        The source.

    Returns
    -------
    ndarray
        int32, shape (slice, row, column) of the series' volume, n = segment number n; where segments overlap, the
        highest number.

    Raises
    ------
    ResultError
        When it is not binary, or not on the grid of the series.
    NoGeometryError
        When a frame's orientation is none.
    """
    if seg.get("SegmentationType") != "BINARY":
        raise ResultError(f"SegmentationType is {seg.get('SegmentationType')!r}; only BINARY is read.")
    shape = series.volume.spatial_shape
    if (seg.Rows, seg.Columns) != shape[1:]:
        raise ResultError(f"The segmentation has frames of {seg.Rows} x {seg.Columns}, the series {shape[1:]}.")
    frames = seg.pixel_array.reshape(-1, *shape[1:]).astype(bool)
    shared = seg.SharedFunctionalGroupsSequence[0]
    to_index = np.linalg.inv(series.volume.affine)
    label_map = np.zeros(shape, np.int32)
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        k = _slice_of(groups, shared, series, to_index)
        number = int(_item(groups, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber)
        np.maximum(label_map[k], number, out=label_map[k], where=frame)
    return label_map


def _segments(lesions: Sequence[Lesion], context: ResultContext) -> list[hd.seg.SegmentDescription]:
    """Describe each lesion as a segment, in the order of the labels."""
    algorithm = hd.AlgorithmIdentificationSequence(
        name=context.model_name,
        family=codes.ARTIFICIAL_INTELLIGENCE,
        version=context.model_version,
        parameters={"sha256": context.model_sha256},
    )
    segments = []
    for lesion in sorted(lesions, key=lambda lesion: lesion.measurement.label):
        segment = hd.seg.SegmentDescription(
            segment_number=lesion.measurement.label,
            segment_label=lesion.name,
            segmented_property_category=codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE,
            segmented_property_type=codes.NEOPLASM_SECONDARY,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            tracking_uid=lesion.tracking_uid,
            tracking_id=lesion.name,
            anatomic_regions=[codes.BRAIN],
            display_color=cielab(lesion.number),
        )
        segment.SegmentDescription = context.statement
        segments.append(segment)
    return segments


def _derive_dimensions(seg: hd.seg.Segmentation, context: ResultContext) -> None:
    """Put a UID derived from the job where highdicom takes a random one."""
    uid = derive_uid(context.job_id, f"{ROLE} dimension organization")
    for item in [*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence]:
        item.DimensionOrganizationUID = uid


def _restore_frame_numbers(seg: hd.seg.Segmentation, series: Series) -> None:
    """Refer to the source's own frame numbers where the volume is made of some of its frames, or in another order."""
    numbers = [slice_.frame_number for slice_ in series.slices]
    if numbers[0] is None or numbers == list(range(1, len(numbers) + 1)):
        return
    references = [
        reference
        for groups in seg.PerFrameFunctionalGroupsSequence
        for derivation in groups.DerivationImageSequence
        for reference in derivation.SourceImageSequence
    ]
    for reference in {id(reference): reference for reference in references}.values():  # segments share these items
        reference.ReferencedFrameNumber = numbers[reference.ReferencedFrameNumber - 1]


def _slice_of(groups: Dataset, shared: Dataset, series: Series, to_index: NDArray[np.floating]) -> int:
    """Return the slice of the series on which a frame lies, voxel on voxel."""
    position = np.asarray(_item(groups, shared, "PlanePositionSequence").ImagePositionPatient, float)
    written = _item(groups, shared, "PlaneOrientationSequence").ImageOrientationPatient
    orientation = unit_vectors(np.asarray(written, float))
    row_spacing, column_spacing = _item(groups, shared, "PixelMeasuresSequence").PixelSpacing
    # In voxels of the series: the frame's first voxel, and its furthest along both of its axes.
    corners = position + np.array(
        [
            np.zeros(3),
            orientation[3:] * row_spacing * (series.volume.shape[1] - 1),
            orientation[:3] * column_spacing * (series.volume.shape[2] - 1),
        ]
    )
    found = corners @ to_index[:3, :3].T + to_index[:3, 3]
    k = round(float(found[0, 0]))
    last_row, last_column = series.volume.shape[1] - 1, series.volume.shape[2] - 1
    expected = np.array([[k, 0, 0], [k, last_row, 0], [k, 0, last_column]])
    off = float(np.abs(found - expected).max())
    if off > _GRID_TOLERANCE or not 0 <= k < series.volume.shape[0]:
        raise ResultError(
            f"A frame at {position.round(2).tolist()} mm is not a slice of the series: {off:.2f} voxels off slice {k}."
        )
    return k


def _item(groups: Dataset, shared: Dataset, keyword: str) -> Dataset:
    """Return the item of a functional group of a frame, its own or the shared one."""
    item: Dataset = (groups if keyword in groups else shared)[keyword].value[0]
    return item
