"""Label map -> RT Structure Set, one region per lesion outlined along its voxel edges, and back."""

from collections.abc import Sequence

import highdicom as hd
import numpy as np
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage

from imaging.planes import Plane
from imaging.volume import Series
from rano.lesion import Lesion
from results import codes
from results.common import LabelMap, ResultError, inherit, lesion_boxes, planes_of_volume
from results.context import ResultContext, identification, make_repeatable, mark
from results.contours import Polygon, edge_polygons, fill
from results.palette import rgb

ROLE = "RTSTRUCT"
SERIES_NUMBER = 9002
_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management: retired, but what RT references to a study use
_OFF_PLANE = 0.25  # of the distance between slices: how far a contour may lie from its slice
_AREAS = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


def build_rtstruct(
    series: Series, label_map: LabelMap, lesions: Sequence[Lesion], context: ResultContext
) -> Dataset | None:
    """Write a label map as a structure set of closed contours in the acquired slices.

    The contours run along voxel edges, so their areas times the distance between slices are the volume of the lesion's
    voxels, and filling them returns these. ROIVolume is the volume that was measured, in which voxels at the surface
    count in part: of a ball of 3 mm it is a third more. Holes are cut in by keyholes.

    Parameters
    ----------
    series, label_map, lesions, context
        As for ``results.seg.build_seg``; ROI number = label.

    Returns
    -------
    Dataset or None
        None when the label map is empty: there is nothing to write.

    Raises
    ------
    ResultError
        When label map, lesions and series do not fit together.
    """
    boxes = lesion_boxes(series, label_map, lesions)
    if not boxes:
        return None
    planes, references = planes_of_volume(series), _references(series)
    rtstruct = _header(series, context)
    rtstruct.ReferencedFrameOfReferenceSequence = [_referenced_frame(series, references)]
    ordered = sorted(lesions, key=lambda lesion: lesion.measurement.label)
    rtstruct.StructureSetROISequence = [_region(lesion, rtstruct.FrameOfReferenceUID, context) for lesion in ordered]
    rtstruct.ROIContourSequence = [
        _roi_contour(lesion, label_map, box, planes, references) for lesion, box in zip(ordered, boxes, strict=True)
    ]
    rtstruct.RTROIObservationsSequence = [_observation(lesion) for lesion in ordered]
    return rtstruct


def rasterise_rtstruct(rtstruct: Dataset, series: Series) -> LabelMap:
    """Fill the closed contours of a structure set on the voxels of a series.

    A voxel belongs to a region when its centre lies inside, by the even-odd rule over all contours of the region in
    that slice: so keyholes are read right, and so are holes drawn as contours of their own. Contours that enclose
    no area (points, open lines) are passed over.

    Parameters
    ----------
    rtstruct
        Ours or any other, its contours in the slices of the series.
    series
        The source.

    Returns
    -------
    ndarray
        int32, shape (slice, row, column) of the series' volume, n = ROI number n; where regions overlap, the one
        that comes last in the structure set.

    Raises
    ------
    ResultError
        When a contour does not lie in a slice of the series.
    """
    shape = series.volume.spatial_shape
    to_index = np.linalg.inv(series.volume.affine)
    label_map = np.zeros(shape, np.int32)
    for region in rtstruct.get("ROIContourSequence") or []:
        number = int(region.ReferencedROINumber)
        masks: dict[int, np.ndarray] = {}
        for contour in region.get("ContourSequence") or []:
            if contour.ContourGeometricType not in _AREAS:
                continue
            points = np.asarray(contour.ContourData, float).reshape(-1, 3) @ to_index[:3, :3].T + to_index[:3, 3]
            k = round(float(points[:, 0].mean()))
            off = float(np.abs(points[:, 0] - k).max())
            if off > _OFF_PLANE or not 0 <= k < shape[0]:
                raise ResultError(
                    f"A contour of ROI {number} lies {off * series.volume.spacing[0]:.2f} mm off slice {k} of "
                    f"{shape[0]}; contours must lie in the slices of the series."
                )
            inside = fill(points[:, 1:], (shape[1], shape[2]))
            masks[k] = masks[k] ^ inside if k in masks else inside
        for k, mask in masks.items():
            label_map[k][mask] = number
    return label_map


def _header(series: Series, context: ResultContext) -> hd.SOPClass:
    """Return the structure set's patient, study, series, equipment and description."""
    rtstruct = hd.SOPClass(
        study_instance_uid=series.study_instance_uid,
        sop_class_uid=RTStructureSetStorage,
        modality="RTSTRUCT",
        series_description=context.series_description,
        # With explicit VR a contour of more than 64 KiB could not be written as what it is.
        transfer_syntax_uid=ImplicitVRLittleEndian,
        **identification(context, ROLE, SERIES_NUMBER),
    )
    inherit(rtstruct, series)
    rtstruct.OperatorsName = ""
    rtstruct.ContributingEquipmentSequence = [mark(context, ROLE)]
    make_repeatable(rtstruct, context)
    rtstruct.FrameOfReferenceUID = series.header.FrameOfReferenceUID
    rtstruct.PositionReferenceIndicator = series.header.get("PositionReferenceIndicator", "")
    rtstruct.StructureSetLabel = "METASTASES"
    rtstruct.StructureSetName = context.content_description
    rtstruct.StructureSetDescription = context.statement
    rtstruct.StructureSetDate, rtstruct.StructureSetTime = rtstruct.SeriesDate, rtstruct.SeriesTime
    rtstruct.ApprovalStatus = "UNAPPROVED"
    return rtstruct


def _references(series: Series) -> list[Dataset]:
    """Return a reference to the instance, and the frame of it, that each slice comes from."""
    references = []
    for slice_ in series.slices:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = slice_.sop_class_uid, slice_.sop_instance_uid
        if slice_.frame_number is not None:
            item.ReferencedFrameNumber = slice_.frame_number
        references.append(item)
    return references


def _referenced_frame(series: Series, references: list[Dataset]) -> Dataset:
    """Return the chain frame of reference -> study -> series -> every instance."""
    frame, study, source = Dataset(), Dataset(), Dataset()
    source.SeriesInstanceUID = series.series_instance_uid
    source.ContourImageSequence = references
    if series.slices[0].frame_number is not None:
        instance = Dataset()
        instance.ReferencedSOPClassUID = series.slices[0].sop_class_uid
        instance.ReferencedSOPInstanceUID = series.slices[0].sop_instance_uid
        source.ContourImageSequence = [instance]
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = _STUDY_CLASS, series.study_instance_uid
    study.RTReferencedSeriesSequence = [source]
    frame.FrameOfReferenceUID = series.header.FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    return frame


def _region(lesion: Lesion, frame_of_reference: str, context: ResultContext) -> Dataset:
    """Name a lesion as a region of the structure set."""
    region = Dataset()
    region.ROINumber = lesion.measurement.label
    region.ReferencedFrameOfReferenceUID = frame_of_reference
    region.ROIName = lesion.name
    # The tracking UID is written out here: the module has no attribute of its own for it.
    region.ROIDescription = f"Tracking UID {lesion.tracking_uid}"
    region.ROIVolume = f"{lesion.measurement.volume_mm3 / 1000.0:.6g}"  # cm3
    region.ROIGenerationAlgorithm = "AUTOMATIC"
    region.ROIGenerationDescription = context.content_description
    return region


def _roi_contour(
    lesion: Lesion, label_map: LabelMap, box: tuple[slice, slice, slice], planes: list[Plane], references: list[Dataset]
) -> Dataset:
    """Outline a lesion in each slice of its bounding box."""
    label = lesion.measurement.label
    slices, rows, columns = box
    corner = np.array([rows.start, columns.start])
    contours = []
    for k in range(slices.start, slices.stop):
        for polygon in edge_polygons(label_map[k, rows, columns] == label):
            contour = Dataset()
            contour.ContourImageSequence = [references[k]]
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(polygon)
            _set_contour_data(contour, _to_patient(polygon + corner, planes[k]))
            contours.append(contour)
    region = Dataset()
    region.ROIDisplayColor = list(rgb(lesion.number))
    region.ReferencedROINumber = label
    region.ContourSequence = contours
    return region


def _to_patient(polygon: Polygon, plane: Plane) -> np.ndarray:
    """Return the points (row, column) of a plane in patient LPS mm, shape (n, 3), exactly where the plane says."""
    right, down = plane.orientation[:3], plane.orientation[3:]
    steps = np.array([down * plane.pixel_spacing[0], right * plane.pixel_spacing[1]])
    return np.asarray(plane.position + polygon @ steps)


def _set_contour_data(contour: Dataset, points: np.ndarray) -> None:
    """Write points as decimal strings of at most 16 characters, to the nanometre.

    Given as already encoded, as if just read in the transfer syntax of the structure set: pydicom would make an object
    of every one of a hundred thousand numbers, here or when it writes them.
    """
    text = "\\".join([f"{value:.10g}" for value in (points.round(6) + 0.0).ravel().tolist()])  # + 0.0: no "-0"
    encoded = text.encode("ascii")
    tag = Tag("ContourData")
    contour[tag] = RawDataElement(tag, "DS", len(encoded), encoded, 0, True, True)
    contour.set_original_encoding(is_implicit_vr=True, is_little_endian=True)


def _observation(lesion: Lesion) -> Dataset:
    """Say what a region is: gross tumour volume, a secondary neoplasm of the brain."""
    observation = Dataset()
    observation.ObservationNumber = lesion.measurement.label
    observation.ReferencedROINumber = lesion.measurement.label
    observation.SegmentedPropertyCategoryCodeSequence = [codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE]
    observation.RTROIIdentificationCodeSequence = [codes.NEOPLASM_SECONDARY]
    observation.AnatomicRegionSequence = [codes.BRAIN]
    observation.RTROIInterpretedType = "GTV"
    observation.ROIInterpreter = ""
    return observation
