"""Stacks that are not one regular volume are refused with their numbers; what scanners round is accepted."""

import copy

import numpy as np
import pytest
from pydicom.dataset import Dataset

from imaging import errors
from imaging.geometry import arrange
from imaging.planes import planes_of, unit_vectors
from imaging.volume import read_series
from tests import factory

SHAPE, SPACING = (20, 12, 14), (1.5, 4.0, 3.5)


def slices(plane: str = "oblique25", count: int = SHAPE[0], apart: float = SPACING[0]) -> list[Dataset]:
    """Return 20 slices, 1.5 mm apart, in order of position; or so many, so far apart."""
    with np.errstate(over="ignore"):  # metres away from the head
        source = factory.volume(plane, shape=(count, *SHAPE[1:]), spacing=(apart, *SPACING[1:]))
    return factory.series_datasets(source, shuffle=False)


def move(ds: Dataset, *, along: float = 0.0, right: float = 0.0) -> None:
    """Shift a slice, in mm: along its normal, and along its rows."""
    row, column = np.array(ds.ImageOrientationPatient[:3]), np.array(ds.ImageOrientationPatient[3:])
    ds.ImagePositionPatient = list(np.array(ds.ImagePositionPatient) + np.cross(column, row) * along + row * right)


def refusal(datasets: list[Dataset], error: type[errors.GeometryError]) -> str:
    """Return the message of the refusal, in whatever order the slices come."""
    messages = set()
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(datasets))
        with pytest.raises(errors.GeometryError) as caught:
            read_series([datasets[k] for k in order])
        assert type(caught.value) is error
        messages.add(str(caught.value))
    return messages.pop()


@pytest.mark.parametrize("plane", factory.PLANES)
@pytest.mark.parametrize("lost", [1, 9, 18])
def test_a_missing_slice(plane, lost):
    datasets = slices(plane)
    del datasets[lost]
    message = refusal(datasets, errors.MissingSliceError)
    assert "gap of 3.00 mm" in message
    assert "expected 1.50 mm" in message
    assert "1 slice(s) missing" in message
    assert f"between instance {lost} and instance {lost + 2}" in message


def test_several_missing_slices_are_counted():
    datasets = slices()
    del datasets[4:7], datasets[10]
    message = refusal(datasets, errors.MissingSliceError)
    assert "gap of 6.00 mm" in message
    assert "4 slice(s) missing" in message


def test_a_missing_slice_of_four():
    datasets = slices()[:4]
    del datasets[1]
    assert "gap of 3.00 mm" in refusal(datasets, errors.MissingSliceError)


def test_a_slice_off_its_place():
    datasets = slices()
    move(datasets[7], along=0.4)
    message = refusal(datasets, errors.InconsistentSpacingError)
    assert "expected 1.50 mm" in message
    assert "from 1.10 to 1.90 mm" in message


@pytest.mark.parametrize("end", [0, -1])
def test_an_end_slice_too_near_to_its_neighbour(end):
    datasets = slices()
    move(datasets[end], along=-0.4 if end else 0.4)
    message = refusal(datasets, errors.InconsistentSpacingError)
    assert "gap of 1.10 mm" in message
    assert "expected 1.50 mm" in message


def test_a_gap_that_no_number_of_slices_fills_is_not_one_of_missing_slices():
    datasets = slices()
    for ds in datasets[9:]:
        move(ds, along=2.1)
    assert "gap of 3.60 mm" in refusal(datasets, errors.InconsistentSpacingError)


def test_gaps_that_drift():
    datasets = slices()
    for k, ds in enumerate(datasets):
        move(ds, along=0.03 * max(k - 10, 0))
    assert "mm off an even spacing" in refusal(datasets, errors.InconsistentSpacingError)


def test_of_thick_slices_a_gap_may_be_off_by_up_to_1_percent():
    datasets = slices(apart=5.0)
    move(datasets[7], along=0.04)
    assert len(read_series(datasets).slices) == 20
    move(datasets[7], along=0.02)
    assert "gaps from 4.94 to 5.06 mm" in refusal(datasets, errors.InconsistentSpacingError)


@pytest.mark.parametrize(("longer", "off"), [(0.03, None), (0.04, "0.29 mm off an even spacing of 5.019 mm")])
def test_of_thick_slices_gaps_may_drift_by_up_to_5_percent_of_one(longer, off):
    datasets = slices(count=30, apart=5.0)
    for k, ds in enumerate(datasets):
        move(ds, along=longer * max(k - 15, 0))
    if off is None:
        assert len(read_series(datasets).slices) == 30
    else:
        assert off in refusal(datasets, errors.InconsistentSpacingError)


def test_two_slices_at_one_position():
    datasets = slices()
    twin = copy.deepcopy(datasets[4])
    twin.SOPInstanceUID, twin.InstanceNumber = "1.2.3", 21
    message = refusal([*datasets, twin], errors.DuplicateSliceError)
    assert "21 slices lie at only 20 positions" in message
    x, y, z = datasets[4].ImagePositionPatient
    assert f"({x:.1f}, {y:.1f}, {z:.1f}) mm" in message


@pytest.mark.parametrize(
    ("keyword", "values", "words"),
    [
        ("EchoTime", (2.9, 5.8), "EchoTime"),
        ("TemporalPositionIdentifier", (1, 2), "TemporalPositionIdentifier"),
        ("DiffusionBValue", (0, 1000), "DiffusionBValue"),
        ("ImageType", (["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]), "ImageType"),
    ],
)
def test_two_volumes_in_one_series_are_named_as_such(keyword, values, words):
    datasets = slices() + slices()
    for k, ds in enumerate(datasets):
        ds.SOPInstanceUID = f"1.2.{k + 1}"
        setattr(ds, keyword, values[k // 20])
    message = refusal(datasets, errors.DuplicateSliceError)
    assert "40 slices lie at only 20 positions" in message
    assert f"differ in {words}" in message
    assert "several volumes" in message


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("EchoTime", (2.9, 80.0)),
        ("InversionTime", (900, 2500)),
        ("TemporalPositionIdentifier", (1, 2)),
        ("DiffusionBValue", (0, 1000)),
        ("ImageType", (["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"])),
    ],
)
def test_two_volumes_whose_slices_lie_between_each_other(keyword, values):
    datasets = slices()
    for k, ds in enumerate(datasets):
        setattr(ds, keyword, values[k % 2])
    message = refusal(datasets, errors.MixedSeriesError)
    assert keyword in message
    assert "in 10 slices" in message
    assert "several volumes" in message


def test_echo_times_that_are_rounded_or_missing_are_those_of_one_volume():
    datasets = slices()
    for k, ds in enumerate(datasets):
        ds.EchoTime = 2.98 + 0.01 * (k % 3) if k >= 5 else None
    assert len(read_series(datasets).slices) == len(datasets)


@pytest.mark.parametrize(
    ("macro", "keyword", "values"),
    [
        ("MREchoSequence", "EffectiveEchoTime", (2.9, 80.0)),
        ("MRModifierSequence", "InversionTimes", (900.0, 2500.0)),
        ("MRModifierSequence", "InversionTimes", ([700.0, 900.0], [700.0, 2500.0])),
        ("FrameContentSequence", "TemporalPositionIndex", (1, 2)),
        ("MRImageFrameTypeSequence", "FrameType", (["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"])),
    ],
)
def test_frames_of_two_volumes_between_each_other(macro, keyword, values):
    instance = factory.multi_frame(factory.volume(shape=SHAPE, spacing=SPACING))
    for k, frame in enumerate(instance.PerFrameFunctionalGroupsSequence):
        item = Dataset()
        setattr(item, keyword, values[k % 2])
        setattr(frame, macro, [item])
    name = "ImageType" if keyword == "FrameType" else keyword
    assert f"{name} is" in refusal([instance], errors.MixedSeriesError)


@pytest.mark.parametrize("kinds", ["MP", "MI", "RI"])
def test_two_kinds_of_signal_between_each_other(kinds):
    datasets = slices()
    for k, ds in enumerate(datasets):
        ds.ImageType = ["ORIGINAL", "PRIMARY", kinds[k % 2]]
    assert "ImageType is" in refusal(datasets, errors.MixedSeriesError)


def test_frames_at_one_position():
    instance = factory.multi_frame(factory.volume(shape=SHAPE, spacing=SPACING))
    frames = instance.PerFrameFunctionalGroupsSequence
    for k, frame in enumerate(frames):
        frame.PlanePositionSequence = copy.deepcopy(frames[k % 10].PlanePositionSequence)
        diffusion = Dataset()
        diffusion.DiffusionBValue = float(1000 * (k // 10))
        frame.MRDiffusionSequence = [diffusion]
    message = refusal([instance], errors.DuplicateSliceError)
    assert "20 slices lie at only 10 positions" in message
    assert "frame 11 of instance 1" in message
    assert "DiffusionBValue (0.0 and 1000.0)" in message


def test_a_frame_left_out():
    instance = factory.multi_frame(factory.volume(shape=SHAPE, spacing=SPACING))
    del instance.PerFrameFunctionalGroupsSequence[8]
    assert "gap of 3.00 mm" in refusal([instance], errors.MissingSliceError)


@pytest.mark.parametrize("degrees", [0.5, 5.0, 20.0])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_gantry_tilt(degrees, sign):
    datasets = slices()
    for k, ds in enumerate(datasets):
        move(ds, right=sign * 1.5 * k * np.tan(np.deg2rad(degrees)))
    message = refusal(datasets, errors.GantryTiltError)
    assert f"tilt of {degrees:.1f} degrees" in message
    assert f"{19 * 1.5 * np.tan(np.deg2rad(degrees)):.2f} mm over 28.50 mm" in message


def test_one_slice_shifted_sideways():
    datasets = slices()
    move(datasets[10], right=2.0)
    assert "2.00 mm" in refusal(datasets, errors.GantryTiltError)


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_slices(count):
    message = refusal(slices()[:count], errors.TooFewSlicesError)
    assert f"{count} slice(s) of 48 x 49 mm" in message


def test_a_slice_turned():
    datasets = slices("axial")
    datasets[3].ImageOrientationPatient = [np.cos(0.05), np.sin(0.05), 0, -np.sin(0.05), np.cos(0.05), 0]
    message = refusal(datasets, errors.InconsistentOrientationError)
    assert f"{np.rad2deg(0.05):.2f} degrees" in message
    edge_mm = max(datasets[3].Rows * datasets[3].PixelSpacing[0], datasets[3].Columns * datasets[3].PixelSpacing[1]) / 2
    assert f" {2 * edge_mm * np.sin(0.05 / 2):.1f} mm at the edge" in message


def test_a_localizer_of_three_planes():
    datasets = [slices(plane)[10] for plane in ("axial", "sagittal", "coronal")]
    for k, ds in enumerate(datasets):
        ds.SOPInstanceUID = f"1.2.{k + 1}"
    assert "90.00 degrees" in refusal(datasets, errors.InconsistentOrientationError)


def test_mixed_frames_of_reference():
    datasets = slices()
    for ds in datasets[12:]:
        ds.FrameOfReferenceUID = "1.2.3"
    message = refusal(datasets, errors.MixedFrameOfReferenceError)
    assert "2 frames of reference" in message
    assert "28.5 mm" in message


def test_a_frame_of_reference_that_some_slices_lack():
    datasets = slices()
    del datasets[3].FrameOfReferenceUID
    refusal(datasets, errors.MixedFrameOfReferenceError)


def test_mixed_sizes():
    datasets = slices()
    datasets[3].Rows, datasets[3].Columns = 14, 12
    assert "12 x 14, 14 x 12 pixels" in refusal(datasets, errors.MixedMatrixError)


def test_mixed_pixel_spacings():
    datasets = slices()
    datasets[3].PixelSpacing = [4.0, 3.6]
    assert "4.000 x 3.500 mm to 4.000 x 3.600 mm" in refusal(datasets, errors.MixedMatrixError)


def test_pixel_spacings_may_be_rounded_but_not_differ():
    datasets = slices()
    datasets[3].PixelSpacing = [4.0, 3.503]
    assert len(read_series(datasets).slices) == 20
    datasets[3].PixelSpacing = [4.0, 3.51]
    refusal(datasets, errors.MixedMatrixError)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("ImageOrientationPatient", [1, 0, 0, 0, 1]),
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]),
        ("ImageOrientationPatient", [0, 0, 0, 0, 0, 0]),
        ("PixelSpacing", [1, 0]),
        ("PixelSpacing", None),
        ("ImagePositionPatient", ["1", "2"]),
    ],
)
def test_impossible_geometry(keyword, value):
    datasets = slices()
    for ds in datasets:
        setattr(ds, keyword, value)
    refusal(datasets, errors.NoGeometryError)


@pytest.mark.parametrize("plane", factory.PLANES)
@pytest.mark.parametrize("spacing", [0.9, 2 / 3, 1.2345678])
def test_positions_rounded_by_a_scanner_are_accepted(plane, spacing):
    source = factory.volume(plane, shape=(60, 12, 14), spacing=(spacing, 4.0, 3.5))
    datasets = factory.series_datasets(source)
    for ds in datasets:
        ds.ImagePositionPatient = [round(float(x), 2) for x in ds.ImagePositionPatient]
        ds.ImageOrientationPatient = [round(float(x), 4) for x in ds.ImageOrientationPatient]
    volume = read_series(datasets).volume
    assert volume.spacing[0] == pytest.approx(spacing, abs=1e-3)
    np.testing.assert_allclose(volume.affine @ [59, 11, 13, 1], source.affine @ [59, 11, 13, 1], atol=0.03)


def test_direction_cosines_of_two_decimals_become_unit_vectors_at_a_right_angle():
    written = np.round(np.concatenate(factory.orientation("oblique25")), 2)
    assert abs(written[:3] @ written[3:]) > 1e-3
    right, down = np.split(unit_vectors(written), 2)
    np.testing.assert_allclose([right @ right, down @ down, right @ down], [1, 1, 0], atol=1e-12)


def test_the_orientation_of_one_slice_may_be_rounded_differently():
    datasets = slices()
    datasets[0].ImageOrientationPatient = [round(float(x), 4) for x in datasets[0].ImageOrientationPatient]
    assert read_series(datasets).volume.spatial_shape == SHAPE


def judge(datasets, error):
    if error is None:
        assert len(read_series(datasets).slices) == len(datasets)
    else:
        refusal(datasets, error)


# How far slices may be off, from both sides: a wider limit lays lesions where they are not, a narrower one refuses what
# scanners write.


@pytest.mark.parametrize(("turn", "error"), [(0.0008, None), (0.0015, errors.InconsistentOrientationError)])
def test_how_far_a_slice_may_be_turned(turn, error):
    datasets = slices("axial")
    datasets[3].ImageOrientationPatient = [np.cos(turn), np.sin(turn), 0, -np.sin(turn), np.cos(turn), 0]
    judge(datasets, error)


@pytest.mark.parametrize(("length", "error"), [(1.008, None), (1.02, errors.NoGeometryError)])
@pytest.mark.parametrize("axis", [0, 4])
def test_how_far_direction_cosines_may_be_from_unit_length(length, error, axis):
    datasets = slices("axial")
    cosines = [1.0, 0, 0, 0, 1.0, 0]
    cosines[axis] = length
    for ds in datasets:
        ds.ImageOrientationPatient = cosines
    judge(datasets, error)


@pytest.mark.parametrize(
    ("apart_mm", "error"), [(0.015, errors.DuplicateSliceError), (0.025, errors.InconsistentSpacingError)]
)
def test_how_near_each_other_slices_are_the_same(apart_mm, error):
    datasets = slices()
    twin = copy.deepcopy(datasets[4])
    twin.SOPInstanceUID, twin.InstanceNumber = "1.2.3", 21
    move(twin, along=apart_mm)
    judge([*datasets, twin], error)


@pytest.mark.parametrize(("shift_mm", "error"), [(0.07, None), (0.09, errors.GantryTiltError)])
def test_how_far_a_slice_may_be_shifted_in_its_plane(shift_mm, error):
    datasets = slices()
    move(datasets[10], right=shift_mm)
    judge(datasets, error)


def test_slices_a_tenth_of_a_millimetre_off_an_even_grid():
    datasets = slices()
    for k, ds in enumerate(datasets):
        move(ds, along=0.019 * max(k - 10, 0))
    judge(datasets, None)


@pytest.mark.parametrize(("other", "error"), [(3.02, None), (3.06, errors.MixedSeriesError)])
def test_how_far_echo_times_may_differ(other, error):
    datasets = slices()
    for k, ds in enumerate(datasets):
        ds.EchoTime = 3.0 if k % 2 else other
    judge(datasets, error)


def test_a_whole_body_is_not_too_large():
    """2 m of it in slices of 5 mm, the pixels left out."""
    datasets = slices("axial", count=400, apart=5.0)
    for ds in datasets:
        ds.Rows, ds.Columns, ds.PixelSpacing = 512, 512, [0.97, 0.97]
    stack, geometry = arrange(planes_of(datasets))
    assert len(stack) == 400
    assert geometry.spatial_shape == (400, 512, 512)


def test_what_no_worker_could_hold():
    """Distances cost nothing, and voxels that are all alike next to nothing."""
    many, wide, long = slices(), slices(apart=100.0), slices(count=3, apart=900.0)
    for ds in many:
        ds.Rows = ds.Columns = 6000
    for ds in wide:
        ds.PixelSpacing = [50.0, 50.0]
    assert "20 slices of 6000 x 6000 pixels, 30 x 24000 x 21000 mm" in refusal(many, errors.TooLargeError)
    assert "20 slices of 12 x 14 pixels, 2000 x 600 x 700 mm" in refusal(wide, errors.TooLargeError)
    assert "2700 x 48 x 49 mm" in refusal(long, errors.TooLargeError)
