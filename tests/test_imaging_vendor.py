"""Real series of several vendors give the voxels and the affine of the NIfTI conversion that comes with them.

The data are no part of the project; they are looked for in ``../shared/data`` beside the checkout.
"""

import tarfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom import dcmread

from imaging import errors
from imaging.volume import read_series

ARCHIVE = Path(__file__).resolve().parents[2] / "shared" / "data" / "vendor-dicom.tar.xz"

pytestmark = pytest.mark.skipif(not ARCHIVE.exists(), reason=f"the vendors' series are not here: {ARCHIVE}")

READABLE = [
    "anatomical/001",
    "anatomical/001_implicit",
    "ge/anatomical/001",
    "ge/anatomical/001_implicit",
    "generic/anatomical/001",
    "generic/anatomical/001_implicit",
    "generic/anatomical/002_non_isotropic",
    "generic/compressed/001",
    "generic/compressed_j2k/001",
    "generic/compressed_jpeg/001",
    "generic/compressed_jpegls/001",
    "generic/compressed_rle/001",
    "hitachi/anatomical/001",
    "hitachi/anatomical/001_implicit",
    "hyperfine/anatomical/001",
    "philips/anatomical/001",
    "philips/anatomical/001_implicit",
    "philips_enhanced/anatomical/001",
    "philips_enhanced/anatomical/001_implicit",
    "siemens/anatomical/001",
    "siemens/anatomical/001_implicit",
    "siemens_multiframe/anatomical/001",
]

REFUSED = [
    ("failing/gantrytilting/001", errors.GantryTiltError, "3.63 mm over 14.55 mm"),
    ("failing/notavolume/001", errors.DuplicateSliceError, "4 slices lie at only 1 positions"),
    ("failing/slicecount/001", errors.TooFewSlicesError, "2 slice"),
    ("failing/sliceincrement/001", errors.MissingSliceError, "10.00 mm"),
    ("failing/sliceincrement/002", errors.MissingSliceError, "1.50 mm"),
    ("failing/sliceorientation/001", errors.InconsistentOrientationError, "degrees"),
    ("generic/rgb/001", errors.UnreadablePixelsError, "RGB"),
    ("ge/anatomical/001_single_slice", errors.TooFewSlicesError, "1 slice"),
    ("philips/anatomical/002", errors.DuplicateSliceError, "magnitude and phase"),
]


@pytest.fixture(scope="module")
def vendor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vendor")
    with tarfile.open(ARCHIVE) as archive:
        wanted = [member for member in archive if "reoriented" not in member.name and "pydicom/" not in member.name]
        archive.extractall(folder, wanted, filter="data")
    return folder


@pytest.fixture(scope="module")
def converted(vendor):
    return next(vendor.rglob("dicom2nifti"))


def instances(folder):
    return [dcmread(path) for path in folder.iterdir()]


@pytest.mark.parametrize("name", READABLE)
def test_voxels_and_affine_are_those_of_the_conversion(converted, name):
    volume = read_series(instances(converted / name)).volume
    truth = nibabel.Nifti1Image.from_filename(converted / f"{name}_ground_truth.nii.gz")
    values = np.asanyarray(truth.dataobj).reshape(truth.shape[:3])
    indices = np.moveaxis(np.indices(volume.spatial_shape), 0, -1).reshape(-1, 3)
    lps = volume.map_indices_to_reference(indices)
    theirs = nibabel.affines.apply_affine(np.linalg.inv(truth.affine), lps * [-1, -1, 1])
    np.testing.assert_allclose(theirs, np.rint(theirs), atol=1e-3)
    assert sorted(values.shape) == sorted(volume.spatial_shape)
    np.testing.assert_allclose(values[tuple(np.rint(theirs).astype(int).T)], volume.array.ravel(), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(("name", "error", "words"), REFUSED)
def test_series_that_are_no_volume_are_refused(converted, name, error, words):
    datasets = instances(converted / name)
    for ds in datasets:
        ds.Modality = "MR"  # some of them are CT, which would be refused as such
    with pytest.raises(error, match=words):
        read_series(datasets)


def test_computed_tomography_is_refused_as_such(converted):
    with pytest.raises(errors.NotMRError, match="CT"):
        read_series(instances(converted / "failing/gantrytilting/001"))


def test_one_image_is_the_same_in_every_transfer_syntax(vendor):
    files = sorted(next(vendor.rglob("transfer-syntaxes")).glob("In/*.dcm"))
    assert len(files) == 9
    values = []
    for path in files:
        stack = [dcmread(path) for _ in range(3)]
        for k, ds in enumerate(stack):
            ds.SOPInstanceUID = f"1.2.{k + 1}"
            normal = np.cross(ds.ImageOrientationPatient[3:], ds.ImageOrientationPatient[:3])
            ds.ImagePositionPatient = list(np.array(ds.ImagePositionPatient, float) + 2.0 * k * normal)
        values.append(read_series(stack).volume.array)
    assert np.ptp(values[0]) > 0
    for other in values[1:]:
        np.testing.assert_array_equal(other, values[0])
