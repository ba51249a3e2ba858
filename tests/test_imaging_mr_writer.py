"""The instances written are valid MR images, say where they lie, and come out the same every time."""

import shutil
import subprocess

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread

from imaging.mr_writer import write_mr_series
from imaging.uids import uid_of
from tests import factory


def small(plane: str = "axial") -> hd.Volume:
    """A head of few voxels."""
    return factory.volume(plane, shape=(5, 20, 30), spacing=(2.0, 1.5, 0.75))


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian package dicom3tools) is not installed")
@pytest.mark.parametrize("plane", factory.PLANES)
@pytest.mark.parametrize("agent", ["Gadobutrol", None])
def test_dciodvfy_finds_no_error(tmp_path, plane, agent):
    dataset = factory.series_datasets(small(plane), contrast_agent=agent)[0]
    dataset.save_as(tmp_path / "slice.dcm", enforce_file_format=True)
    verdict = subprocess.run(["dciodvfy", tmp_path / "slice.dcm"], capture_output=True, text=True, check=False)
    assert "MRImage" in verdict.stderr
    assert "Error" not in verdict.stderr + verdict.stdout


def test_the_position_and_spacing_of_each_slice_come_from_the_affine():
    volume = small("oblique25")
    for k, ds in enumerate(factory.series_datasets(volume, shuffle=False)):
        assert ds.InstanceNumber == k + 1
        np.testing.assert_allclose(ds.ImagePositionPatient, (volume.affine @ [k, 0, 0, 1])[:3], atol=1e-9)
        one_down = (volume.affine @ [k, 1, 0, 1])[:3] - ds.ImagePositionPatient
        np.testing.assert_allclose(np.array(ds.ImageOrientationPatient[3:]) * ds.PixelSpacing[0], one_down, atol=1e-9)
        one_right = (volume.affine @ [k, 0, 1, 1])[:3] - ds.ImagePositionPatient
        np.testing.assert_allclose(np.array(ds.ImageOrientationPatient[:3]) * ds.PixelSpacing[1], one_right, atol=1e-9)
        assert (ds.PixelSpacing[0], ds.PixelSpacing[1], ds.SpacingBetweenSlices) == pytest.approx((1.5, 0.75, 2.0))
        assert (ds.Rows, ds.Columns) == (20, 30)


def test_writing_twice_gives_the_same_bytes(tmp_path):
    volume = small()
    for name in ("one", "two"):
        factory.series_datasets(volume)[0].save_as(tmp_path / name, enforce_file_format=True)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_every_instance_has_its_own_uid_and_shares_the_series():
    datasets = factory.series_datasets(small())
    assert len({ds.SOPInstanceUID for ds in datasets}) == len(datasets)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert len({ds[keyword].value for ds in datasets}) == 1


def test_two_series_of_a_patients_study_are_told_apart_and_share_its_study():
    one, two = (write_mr_series(small(), patient_id="A", series_number=number)[0] for number in (1, 2))
    assert one.StudyInstanceUID == two.StudyInstanceUID
    assert one.FrameOfReferenceUID == two.FrameOfReferenceUID
    assert one.SeriesInstanceUID != two.SeriesInstanceUID
    assert one.SOPInstanceUID != two.SOPInstanceUID


def test_negative_values_are_stored_signed(tmp_path):
    array = np.arange(3 * 4 * 5).reshape(3, 4, 5) - 20
    datasets = write_mr_series((array, np.diag([2.0, 1.0, 1.0, 1.0])), patient_id="A")
    datasets[1].save_as(tmp_path / "slice.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(dcmread(tmp_path / "slice.dcm").pixel_array, array[1])


def test_floats_are_rounded():
    datasets = write_mr_series((np.full((3, 4, 5), 7.6), np.eye(4)), patient_id="A")
    assert (datasets[0].pixel_array == 8).all()


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((3, 4, 5), 70000), "70000"),
        (np.full((3, 4, 5), np.nan), "not finite"),
        (np.concatenate([np.full((1, 4, 5), -1), np.full((2, 4, 5), 40000)]), "-1 to 40000"),
    ],
)
def test_values_that_16_bits_cannot_hold_are_refused(array, words):
    with pytest.raises(ValueError, match=words):
        write_mr_series((array, np.eye(4)), patient_id="A")


def test_a_wrong_date_is_refused():
    with pytest.raises(ValueError, match="2020"):
        write_mr_series((np.zeros((3, 4, 5)), np.eye(4)), patient_id="A", study_date="2020-01-01")


def test_the_contrast_agent_is_absent_unless_named():
    volume = small()
    assert "ContrastBolusAgent" not in write_mr_series(volume, patient_id="A")[0]
    assert write_mr_series(volume, patient_id="A", contrast_agent="Gadoterate")[0].ContrastBolusAgent == "Gadoterate"


def test_the_volumes_own_frame_of_reference_is_kept():
    volume = hd.Volume(np.zeros((3, 4, 5)), np.eye(4), coordinate_system="PATIENT", frame_of_reference_uid="1.2.3")
    assert write_mr_series(volume, patient_id="A")[0].FrameOfReferenceUID == "1.2.3"


def test_derived_uids_are_valid_and_depend_on_every_part():
    uids = {uid_of("a", 1), uid_of("a", 2), uid_of("b", 1)}
    assert len(uids) == 3
    assert all(uid.is_valid and uid.startswith("2.25.") for uid in uids)
