"""Shared by the tests of the results: series, label maps with every awkward shape, lesions, the validator."""

import shutil
import subprocess
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from imaging.volume import Series, read_series
from rano.lesion import Chord, Lesion, Measurement
from results.context import ResultContext
from tests import factory

CONTEXT = ResultContext(
    job_id="0d8ce8a6-6a1b-4b6c-9b0b-3f1f2f0f7e11",
    model_name="UNETR small",
    model_version="1.2.0",
    model_sha256="ab" * 32,
    model_statement="Dice 0.81 on 100 synthetic visits; not a medical device.",
    created=datetime(2026, 3, 4, 22, 33, 44, 123456, tzinfo=UTC),
)
SHAPE = (12, 24, 20)
SPACING = (2.0, 1.25, 0.75)
OPTIONAL_IN_SOURCE = (
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PatientBirthDate",
    "PatientSex",
    "PositionReferenceIndicator",
    "SliceThickness",
    "SpacingBetweenSlices",
    "Manufacturer",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
    "SpecificCharacterSet",
    "SeriesNumber",
    "PatientPosition",
    "StudyDescription",
)


def has_validator() -> bool:
    """Return whether dciodvfy is installed."""
    return shutil.which("dciodvfy") is not None


needs_validator = pytest.mark.skipif(not has_validator(), reason="dciodvfy (dicom3tools) is not installed")


def series(plane: str = "axial", *, reverse: bool = False, **attributes: Any) -> Series:
    """Return a small series; ``reverse``: with its slices in the order opposite to the one ``read_series`` gives."""
    source = factory.series(factory.volume(plane, shape=SHAPE, spacing=SPACING), **attributes)
    if not reverse:
        return source
    return Series(source.volume[::-1], source.datasets[::-1], source.slices[::-1])


def datasets(plane: str = "axial", **attributes: Any) -> list[Dataset]:
    """Return the instances of ``series()``, shuffled."""
    return factory.series_datasets(factory.volume(plane, shape=SHAPE, spacing=SPACING), **attributes)


def enhanced() -> Series:
    """Return the same as one multi-frame instance, its frames in the order opposite to the volume's."""
    instance = hd.legacy.LegacyConvertedEnhancedMRImage(
        legacy_datasets=datasets(),
        series_instance_uid=hd.UID(),
        series_number=1,
        sop_instance_uid=hd.UID(),
        instance_number=1,
    )
    instance.PixelData = instance.pixel_array[::-1].tobytes()
    instance.PerFrameFunctionalGroupsSequence = list(instance.PerFrameFunctionalGroupsSequence)[::-1]
    return read_series([read_back(instance)])


def awkward_label_map() -> np.ndarray:
    """Return a label map, int32, of lesions 1 to 9 such as a network makes at its worst."""
    labels = np.zeros(SHAPE, np.int32)
    labels[2:6, 3:8, 3:8] = 1  # a box with a hole in it ...
    labels[3:5, 4:7, 4:7] = 0
    labels[3, 5, 5] = 2  # ... and a lesion of one voxel in the hole
    labels[2:6, 8:11, 3:8] = 3  # touches the box
    labels[7, 12, 12] = 4  # a single voxel
    labels[0:3, 0:3, 17:20] = 5  # in the corner of the first slice
    labels[-2:, -4:, :3] = 6  # in the corner of the last
    labels[8, 3:9, 9:15] = 7  # two holes that meet in a corner, and one above the other
    labels[8, 4, 10] = labels[8, 5, 11] = labels[8, 7, 11] = labels[8, 4, 13] = 0
    for step in range(4):
        labels[6 + step, 14 + step, 14 + step] = labels[6, 15 + step, 13 - step] = 8  # joined by corners only
    labels[9, 16:21, 4:9] = 9  # an open ring whose ends meet in a corner
    labels[9, 17:20, 5:8] = labels[9, 16, 8] = labels[9, 17, 7] = 0
    return labels


def lesions(label_map: np.ndarray) -> list[Lesion]:
    """Return one lesion for each label; only what the results use of it is true."""
    chord = Chord(5.0, (0.0, 0.0, 0.0), (5.0, 0.0, 0.0))
    return [
        Lesion(
            name=f"GTV_MetIA_{label}",
            tracking_uid=f"2.25.{4000 + label}",
            number=label,
            measurement=Measurement(
                label=label,
                volume_mm3=1234.5678 * label,
                longest=chord,
                perpendicular=chord,
                diameter_3d_mm=5.0,
                centroid_lps_mm=(0.0, 0.0, 0.0),
                first_slice=0,
                last_slice=0,
                measured_slice=0,
                plane="acquired",
                measurable=False,
                reason="made up",
            ),
        )
        for label in range(1, int(label_map.max()) + 1)
    ]


def written(dataset: Dataset) -> bytes:
    """Return the file that a dataset makes."""
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def read_back(dataset: Dataset) -> Dataset:
    """Return a dataset after being written and read."""
    return dcmread(BytesIO(written(dataset)))


def validator_errors(dataset: Dataset, folder: Path) -> list[str]:
    """Return the lines in which dciodvfy finds an Error in a dataset."""
    path = folder / "object.dcm"
    path.write_bytes(written(dataset))
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    assert lines, "dciodvfy says at least what kind of object it has read"
    return [line for line in lines if line.startswith("Error")]
