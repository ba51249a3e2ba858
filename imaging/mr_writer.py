"""Write a volume as a series of MR Image Storage instances: for the demo, the benchmarks and the tests.

Geometry comes from the volume's affine alone; every UID not given is derived from what is given, so that writing
the same volume twice makes the same instances.
"""

from collections.abc import Sequence
from datetime import datetime

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pydicom.valuerep import DSfloat

from imaging.uids import uid_of

Array = np.ndarray


def write_mr_series(
    volume: hd.Volume | tuple[Array, Array],
    *,
    patient_id: str,
    patient_name: str = "",
    patient_sex: str = "",
    study_instance_uid: str | None = None,
    series_instance_uid: str | None = None,
    frame_of_reference_uid: str | None = None,
    study_date: str = "20200101",
    study_time: str = "120000",
    study_description: str = "MR brain",
    series_number: int = 1,
    series_description: str = "T1 3D",
    contrast_agent: str | None = None,
    image_type: Sequence[str] = ("ORIGINAL", "PRIMARY", "OTHER"),
) -> list[Dataset]:
    """Make one MR Image Storage instance per slice of a volume.

    Parameters
    ----------
    volume
        A volume, or its array of shape (slice, row, column) and its 4 x 4 affine: 0-based index (slice, row, column)
        to patient LPS in mm. Values are stored as they are (floats rounded), as uint16, or as int16 when any is
        negative, without any rescaling.
    study_date, study_time
        YYYYMMDD, HHMMSS.
    study_instance_uid, series_instance_uid, frame_of_reference_uid
        Derived from the patient, the study's date and time, and the series number where not given; a volume's own
        frame of reference goes before a derived one.
    contrast_agent
        Name of the agent, or None for a series without contrast.

    Returns
    -------
    list of Dataset
        ``[k]`` is slice k of the volume, with InstanceNumber k + 1.

    Raises
    ------
    ValueError
        When the array is not three-dimensional, or holds values that 16 bits cannot.
    """
    if not isinstance(volume, hd.Volume):
        array, affine = volume
        volume = hd.Volume(np.asarray(array), affine, coordinate_system="PATIENT")
    pixels = _stored_values(volume.array)
    study_uid = study_instance_uid or uid_of(patient_id, study_date, study_time)
    series_uid = series_instance_uid or uid_of(study_uid, series_number)
    frame_uid = frame_of_reference_uid or volume.frame_of_reference_uid or uid_of(study_uid, "frame of reference")
    datetime.strptime(study_date + study_time[:6], "%Y%m%d%H%M%S")  # a wrong date shall fail here, not in an archive

    slice_step, row_step, column_step = volume.spacing
    _, down, right = volume.unit_vectors()
    orientation = [_decimal(value) for value in (*right, *down)]
    signed = pixels.dtype == np.int16
    low, high = float(pixels.min()), float(np.percentile(pixels, 99.5))

    instances = []
    for k, plane in enumerate(pixels):
        position = volume.affine[:3, 3] + k * volume.affine[:3, 0]
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.MediaStorageSOPClassUID = MRImageStorage
        ds.file_meta.MediaStorageSOPInstanceUID = uid_of(series_uid, k + 1)
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.ImplementationClassUID = uid_of("MetIA server")
        ds.SOPClassUID = MRImageStorage
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID
        ds.SpecificCharacterSet = "ISO_IR 192"

        ds.PatientName, ds.PatientID = patient_name, patient_id
        ds.PatientBirthDate, ds.PatientSex = "", patient_sex
        ds.StudyInstanceUID, ds.StudyID, ds.StudyDescription = study_uid, "1", study_description
        ds.StudyDate, ds.StudyTime = study_date, study_time
        ds.AccessionNumber, ds.ReferringPhysicianName = "", ""
        ds.Modality, ds.SeriesInstanceUID = "MR", series_uid
        ds.SeriesNumber, ds.SeriesDescription, ds.ProtocolName = series_number, series_description, series_description
        ds.SeriesDate, ds.SeriesTime = study_date, study_time
        ds.BodyPartExamined, ds.PatientPosition = "BRAIN", "HFS"
        ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = frame_uid, ""
        ds.Manufacturer, ds.ManufacturerModelName = "MetIA", "Synthetic MR"
        ds.DeviceSerialNumber, ds.SoftwareVersions = "0", "1"

        ds.ImageType = list(image_type)
        ds.InstanceNumber, ds.AcquisitionNumber = k + 1, 1
        ds.AcquisitionDate, ds.AcquisitionTime = study_date, study_time
        ds.ContentDate, ds.ContentTime = study_date, study_time
        ds.ImagePositionPatient = [_decimal(value) for value in position]
        ds.ImageOrientationPatient = orientation
        ds.PixelSpacing = [_decimal(row_step), _decimal(column_step)]
        ds.SliceThickness, ds.SpacingBetweenSlices = _decimal(slice_step), _decimal(slice_step)
        if contrast_agent is not None:
            ds.ContrastBolusAgent, ds.ContrastBolusRoute = contrast_agent, "IV"

        ds.ScanningSequence, ds.SequenceVariant = "GR", "SP"
        ds.ScanOptions, ds.MRAcquisitionType = "", "3D"
        ds.RepetitionTime, ds.EchoTime, ds.EchoTrainLength = 7.2, 2.9, 1
        ds.FlipAngle, ds.MagneticFieldStrength = 12.0, 3.0

        ds.Rows, ds.Columns = plane.shape
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, int(signed)
        ds.WindowCenter, ds.WindowWidth = _decimal((low + high) / 2), _decimal(max(high - low, 1.0))
        ds.PixelData = plane.astype("<i2" if signed else "<u2").tobytes()
        instances.append(ds)
    return instances


def _decimal(value: float) -> DSfloat:
    """Return a number as a decimal string of at most 16 characters."""
    return DSfloat(float(value) + 0.0, auto_format=True)  # + 0.0: no "-0.0"


def _stored_values(array: Array) -> Array:
    """Return the array as uint16, or as int16 where it holds negative values."""
    if array.ndim != 3:
        raise ValueError(f"An array of 3 axes (slice, row, column) is needed, this one has {array.ndim}.")
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all():
            raise ValueError("The array holds values that are not finite; replace them before writing.")
        array = np.rint(array)
    low, high = int(array.min()), int(array.max())
    kind = np.int16 if low < 0 else np.uint16
    limits = np.iinfo(kind)
    if low < limits.min or high > limits.max:
        raise ValueError(f"Values from {low} to {high} do not fit into 16 bits; rescale them before writing.")
    return array.astype(kind)
