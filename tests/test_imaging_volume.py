"""Series are read into volumes: sorted, rescaled, from every kind of instance; what is no MR volume is refused."""

import copy
import io
import struct

import gdcm
import highdicom as hd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import pixel_array
from pydicom.tag import Tag
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless
from scipy.spatial.transform import Rotation

from imaging import errors, volume
from imaging.codestream import sizes
from imaging.mr_writer import write_mr_series
from imaging.volume import read_series
from tests import factory
from tests.present import present


def small(plane: str = "axial", *, reverse: bool = False) -> hd.Volume:
    """A head of few voxels."""
    return factory.volume(plane, reverse=reverse, shape=(24, 40, 36), spacing=(4.0, 2.4, 2.75))


def through_a_file(dataset: Dataset) -> Dataset:
    """Return the dataset as it is after having been a file."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return dcmread(io.BytesIO(buffer.getvalue()))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("plane", factory.PLANES)
def test_lesions_lie_where_they_are_in_every_plane_and_slice_direction(plane, reverse):
    source = small(plane, reverse=reverse)
    series = factory.series(source)
    expected = source.flip_spatial(0) if reverse else source
    np.testing.assert_array_equal(series.volume.array, expected.array)
    np.testing.assert_allclose(series.volume.affine, expected.affine, atol=1e-6)
    for lesion in factory.LESIONS[:2]:
        inside = factory.sphere_mask(series.volume, lesion.centre_lps, lesion.radius_mm)
        assert inside.sum() > 10
        assert series.volume.array[inside].min() > 800
    outside = factory.label_map(series.volume) == 0
    assert series.volume.array[outside].max() < 600


@pytest.mark.parametrize("plane", factory.PLANES)
def test_the_geometry_is_that_of_highdicom(plane):
    datasets = factory.series_datasets(small(plane, reverse=True))
    expected = hd.get_volume_from_series(datasets)
    series = read_series(datasets)
    np.testing.assert_allclose(series.volume.affine, expected.affine, atol=1e-6)
    np.testing.assert_array_equal(series.volume.array, expected.array)
    assert series.volume.frame_of_reference_uid == expected.frame_of_reference_uid


def test_datasets_and_slices_follow_the_volume_whatever_the_instance_numbers():
    datasets = factory.series_datasets(small(reverse=True))
    for number, ds in enumerate(datasets):
        ds.InstanceNumber = number
    series = read_series(datasets)
    assert len(series.datasets) == len(series.slices) == 24
    for k, (ds, where) in enumerate(zip(series.datasets, series.slices, strict=True)):
        np.testing.assert_array_equal(ds.pixel_array, series.volume.array[k])
        np.testing.assert_allclose(ds.ImagePositionPatient, (series.volume.affine @ [k, 0, 0, 1])[:3], atol=1e-6)
        assert (where.sop_instance_uid, where.sop_class_uid) == (ds.SOPInstanceUID, ds.SOPClassUID)
        assert where.frame_number is None
    assert series.header is series.datasets[0]
    assert series.series_instance_uid == datasets[0].SeriesInstanceUID
    assert series.study_instance_uid == datasets[0].StudyInstanceUID


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("plane", ["axial", "oblique25"])
def test_a_multi_frame_instance_gives_the_same_volume_as_its_slices(plane, reverse):
    source = small(plane, reverse=reverse)
    single, instance = factory.series(source), factory.multi_frame(source)
    multi = read_series([through_a_file(instance)])
    np.testing.assert_array_equal(multi.volume.array, single.volume.array)
    np.testing.assert_allclose(multi.volume.affine, single.volume.affine, atol=1e-6)
    assert len(multi.datasets) == 1
    assert {where.sop_instance_uid for where in multi.slices} == {instance.SOPInstanceUID}
    stored = instance.pixel_array
    for k, where in enumerate(multi.slices):
        np.testing.assert_array_equal(stored[present(where.frame_number) - 1], multi.volume.array[k])


def test_the_rescale_of_each_slice_is_applied():
    source = small()
    datasets = factory.series_datasets(source, shuffle=False)
    slopes = {k: 1.0 if k == 7 else 0.5 + k for k in range(len(datasets))}
    for k, ds in enumerate(datasets):
        ds.RescaleSlope, ds.RescaleIntercept = slopes[k], -10 * k
    values = read_series(datasets).volume.array
    assert values.dtype == np.float32
    for k in (0, 7, 23):
        np.testing.assert_allclose(values[k], source.array[k] * slopes[k] - 10 * k, rtol=1e-6)


def test_the_frames_of_an_instance_may_come_in_any_order():
    source = small()
    instance = factory.multi_frame(source)
    order = np.random.default_rng(0).permutation(len(source.array))
    instance.PixelData = instance.pixel_array[order].tobytes()
    instance.PerFrameFunctionalGroupsSequence = [instance.PerFrameFunctionalGroupsSequence[k] for k in order]
    series = read_series([through_a_file(instance)])
    np.testing.assert_array_equal(series.volume.array, source.array)
    assert [order[present(where.frame_number) - 1] for where in series.slices] == list(range(len(source.array)))


@pytest.mark.filterwarnings("ignore:7 frames have been found")
@pytest.mark.parametrize(("copies", "words"), [(2, r"frames of shape \(7, 40, 48\)"), (0, r"decoded: \w+\. Send")])
def test_more_or_fewer_frames_than_are_announced_are_refused(copies, words):
    instance = factory.multi_frame(factory.volume(shape=(6, 40, 48), spacing=(8.0, 3.0, 2.5)))
    instance.compress(RLELossless)
    *frames, last = generate_frames(instance.PixelData, number_of_frames=6)
    instance.PixelData = encapsulate([*frames, *[last] * copies])
    with pytest.raises(errors.UnreadablePixelsError, match=words):
        read_series([instance])


@pytest.mark.parametrize("before", [b"", b"\0\0\0\x0cjP  \r\n\x87\n"], ids=["codestream", "JP2"])
def test_the_size_of_a_jpeg_2000_begins_where_its_image_does(before):
    """The grid's size, and where the image begins on it, in columns and rows; some put a whole JP2 file there."""
    head = b"\xff\x4f\xff\x51" + struct.pack(">HH4I", 41, 0, 48, 40, 8, 4)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID, ds.PixelData = JPEG2000Lossless, encapsulate([before + head])
    assert list(sizes(ds)) == [(36, 40)]


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
@pytest.mark.parametrize("value", ["abc", "1\\2", "nan"])
def test_a_rescale_that_is_no_number_is_told(keyword, value):
    datasets = factory.series_datasets(small())
    tag = Tag(keyword)
    datasets[1][tag] = RawDataElement(tag, "DS", len(value), value.encode(), 0, False, True)
    with pytest.raises(errors.UnreadablePixelsError, match=f"{keyword} of an instance is "):
        read_series(datasets)


def test_a_rescale_that_is_left_blank_is_none():
    datasets = factory.series_datasets(small())
    expected = read_series(datasets).volume.array
    for ds in datasets:
        ds.RescaleSlope = ds.RescaleIntercept = ""
    np.testing.assert_array_equal(read_series(datasets).volume.array, expected)


@pytest.mark.parametrize(
    ("signed", "padding", "limit"),
    [(False, 65535, None), (False, 0, None), (False, 60000, 65535), (True, -32768, None)],
)
def test_padding_is_no_signal(signed, padding, limit):
    source = small()
    pixels = source.array.astype(int) - (40 if signed else 0)
    outside = np.zeros(pixels.shape, bool)
    outside[:, :5] = True
    pixels[outside] = np.linspace(padding, limit or padding, outside.sum()).astype(int)
    datasets = factory.series_datasets(source, shuffle=False)
    for ds, stored in zip(datasets, pixels, strict=True):
        ds.PixelRepresentation, ds.PixelPaddingValue = int(signed), padding
        if limit is not None:
            ds.PixelPaddingRangeLimit = limit
        ds.RescaleSlope, ds.RescaleIntercept = 2, 0
        ds.PixelData = stored.astype("<i2" if signed else "<u2").tobytes()
    values = read_series([through_a_file(ds) for ds in datasets]).volume.array
    np.testing.assert_array_equal(values[~outside], 2 * pixels[~outside])
    assert np.unique(values[outside]).tolist() == [2 * pixels[~outside].min() if signed else 0]


def test_padding_whose_sign_was_lost_is_padding_too():
    datasets = factory.series_datasets(small(), shuffle=False)
    for ds in datasets:
        stored = ds.pixel_array.astype("<i2")
        stored[:5] = -2000
        ds.PixelRepresentation, ds.PixelPaddingValue = 1, 65536 - 2000
        ds.PixelData = stored.tobytes()
    assert read_series(datasets).volume.array[:, :5].max() == 0


def test_nothing_but_padding_is_refused():
    datasets = factory.series_datasets(small())
    for ds in datasets:
        ds.PixelPaddingValue, ds.PixelData = 7, np.full((ds.Rows, ds.Columns), 7, "<u2").tobytes()
    with pytest.raises(errors.UnreadablePixelsError, match="PixelPaddingValue"):
        read_series(datasets)


def test_the_rescale_of_each_frame_is_applied():
    source = small()
    instance = factory.multi_frame(source)
    for k, frame in enumerate(instance.PerFrameFunctionalGroupsSequence):
        item = Dataset()
        item.RescaleSlope, item.RescaleIntercept, item.RescaleType = 2.0, k, "US"
        frame.PixelValueTransformationSequence = [item]
    series = read_series([instance])
    frames = np.array([where.frame_number for where in series.slices])
    np.testing.assert_allclose(series.volume.array, source.array * 2.0 + (frames - 1)[:, None, None])


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless], ids=lambda uid: uid.name)
def test_compressed_series_are_read(syntax):
    source = factory.volume(shape=(5, 40, 48), spacing=(8.0, 3.0, 2.5))
    datasets = factory.series_datasets(source)
    for ds in datasets:
        ds.compress(syntax)
    np.testing.assert_array_equal(read_series([through_a_file(ds) for ds in datasets]).volume.array, source.array)


def test_jpeg_lossless_series_are_read(tmp_path):
    source = factory.volume(shape=(5, 40, 48), spacing=(8.0, 3.0, 2.5))
    for k, ds in enumerate(factory.series_datasets(source)):
        ds.save_as(tmp_path / f"{k}.dcm", enforce_file_format=True)
        reader = gdcm.ImageReader()
        reader.SetFileName(str(tmp_path / f"{k}.dcm"))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(tmp_path / f"{k}.dcm"))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
    datasets = [dcmread(path) for path in sorted(tmp_path.iterdir())]
    assert {ds.file_meta.TransferSyntaxUID for ds in datasets} == {JPEGLosslessSV1}
    np.testing.assert_array_equal(read_series(datasets).volume.array, source.array)


def test_an_instance_given_twice_counts_once():
    datasets = factory.series_datasets(small())
    assert len(read_series([*datasets, copy.deepcopy(datasets[3])]).slices) == 24


def test_two_slices_that_share_a_uid_are_refused():
    datasets = factory.series_datasets(small())
    datasets[3].SOPInstanceUID = datasets[4].SOPInstanceUID
    with pytest.raises(errors.DuplicateSliceError, match="share one SOPInstanceUID"):
        read_series(datasets)


def test_a_frame_of_reference_that_an_anonymiser_dropped_is_derived():
    datasets = factory.series_datasets(small())
    for ds in datasets:
        del ds.FrameOfReferenceUID
    again = copy.deepcopy(datasets)
    series = read_series(datasets)
    assert series.volume.frame_of_reference_uid
    assert {ds.FrameOfReferenceUID for ds in series.datasets} == {series.volume.frame_of_reference_uid}
    assert read_series(again).volume.frame_of_reference_uid == series.volume.frame_of_reference_uid


def _computed_tomography(datasets):
    datasets[3].Modality = "CT"


def _colour(datasets):
    for ds in datasets:
        ds.PhotometricInterpretation, ds.SamplesPerPixel = "RGB", 3


def _truncated(datasets):
    datasets[2].PixelData = datasets[2].PixelData[:100]


def _without_pixels(datasets):
    del datasets[0].PixelData


def _without_position(datasets):
    del datasets[5].ImagePositionPatient


def _two_patients(datasets):
    datasets[-1].PatientID = "OTHER"


def _two_studies(datasets):
    datasets[-1].StudyInstanceUID = "1.2.3"


def _two_series(datasets):
    datasets[5].SeriesInstanceUID = "1.2.3"


def _empty(datasets):
    datasets.clear()


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (_computed_tomography, errors.NotMRError, "CT"),
        (_colour, errors.UnreadablePixelsError, "RGB"),
        (_truncated, errors.UnreadablePixelsError, "Explicit VR Little Endian"),
        (_without_pixels, errors.UnreadablePixelsError, "no image"),
        (_without_position, errors.NoGeometryError, "ImagePositionPatient"),
        (_two_series, errors.MixedSeriesError, "2 series"),
        (_two_patients, errors.MixedSeriesError, "2 patient IDs"),
        (_two_studies, errors.MixedSeriesError, "2 studies"),
        (_empty, errors.TooFewSlicesError, "no instance"),
    ],
)
def test_what_is_no_mr_volume_is_refused(spoil, error, words):
    datasets = factory.series_datasets(small())
    spoil(datasets)
    with pytest.raises(error, match=words) as caught:
        read_series(datasets)
    assert isinstance(caught.value, errors.ImagingError)


def test_of_two_patients_in_one_series_none_is_named():
    datasets = factory.series_datasets(small())
    _two_patients(datasets)
    with pytest.raises(errors.MixedSeriesError) as caught:
        read_series(datasets)
    assert "OTHER" not in str(caught.value)
    assert datasets[0].PatientID not in str(caught.value)


def test_blanks_around_a_patient_id_are_no_other_patient():
    datasets = factory.series_datasets(small())
    datasets[-1].PatientID += " "
    read_series(datasets)


def test_several_multi_frame_instances_are_refused():
    one = factory.multi_frame(small())
    two = copy.deepcopy(one)
    two.SOPInstanceUID = "1.2.3"
    with pytest.raises(errors.MixedSeriesError, match="2 instances"):
        read_series([one, two])


def test_the_parts_of_a_multi_frame_volume_are_not_called_volumes_of_their_own():
    one = factory.multi_frame(small())
    two = copy.deepcopy(one)
    two.SOPInstanceUID = "1.2.3"
    one.ConcatenationUID = two.ConcatenationUID = "1.2.4"
    with pytest.raises(errors.MixedSeriesError, match="can't be read in parts"):
        read_series([one, two])


def test_what_is_too_large_is_refused_before_its_pixels_are_decoded(monkeypatch):
    monkeypatch.setattr(volume, "pixel_array", lambda _: pytest.fail("nothing is decoded"))
    datasets = factory.series_datasets(small())
    for ds in datasets:
        ds.Rows = ds.Columns = 30_000
    with pytest.raises(errors.TooLargeError, match="24 slices of 30000 x 30000 pixels"):
        read_series(datasets)


def test_frames_that_nothing_describes_are_refused_before_they_are_decoded(monkeypatch):
    monkeypatch.setattr(volume, "pixel_array", lambda _: pytest.fail("nothing is decoded"))
    dataset = factory.multi_frame(small())
    dataset.NumberOfFrames = 100_000
    with pytest.raises(errors.UnreadablePixelsError, match="100000 frames, but describes 24"):
        read_series([dataset])


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_pixels_that_are_larger_than_announced_are_refused_before_they_are_decoded(monkeypatch, syntax):
    """The decoder goes by what the compressed pixels say of themselves."""
    large, datasets = factory.series_datasets(small())[0], factory.series_datasets(small())
    large.Rows = large.Columns = 2000
    large.PixelData = bytes(2000 * 2000 * 2)
    large.compress(syntax)
    for ds in datasets:
        ds.compress(syntax)
    datasets[3].PixelData = large.PixelData
    decoded = []

    def decode(dataset: Dataset) -> np.ndarray:
        decoded.append(dataset)
        return pixel_array(dataset)

    monkeypatch.setattr(volume, "pixel_array", decode)
    with pytest.raises(errors.UnreadablePixelsError, match=r"40 x 36.* they are 2000 x 2000 pixels"):
        read_series(datasets)
    assert datasets[3] not in decoded


def test_broken_compressed_pixels_are_refused_with_the_name_of_their_syntax():
    datasets = factory.series_datasets(small())
    for ds in datasets:
        ds.compress(JPEG2000Lossless)
        ds.PixelData = ds.PixelData[:40]
    with pytest.raises(errors.UnreadablePixelsError, match="JPEG 2000"):
        read_series(datasets)


@st.composite
def _boxes(draw):
    """Any orientation, voxel size, place, slice direction and shape."""
    axis = draw(st.tuples(*[st.floats(-1, 1)] * 3))
    rotation = Rotation.from_rotvec(np.array(axis) * np.pi).as_matrix()
    spacing = np.array(draw(st.tuples(*[st.floats(0.3, 6.0)] * 3)))
    shape = draw(st.tuples(st.integers(3, 8), st.integers(4, 9), st.integers(4, 9)))
    affine = np.eye(4)
    affine[:3, :3] = rotation * spacing
    if draw(st.booleans()):
        affine[:3, 0] *= -1
    affine[:3, 3] = draw(st.tuples(*[st.floats(-250, 250)] * 3))
    return shape, affine, draw(st.permutations(range(shape[0])))


@settings(max_examples=40, deadline=None)
@given(_boxes(), st.data())
def test_a_voxel_keeps_its_place_in_the_patient(box, data):
    shape, affine, order = box
    index = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    array = np.zeros(shape, np.uint16)
    array[index] = 1000
    datasets = write_mr_series((array, affine), patient_id="A")
    series = read_series([datasets[k] for k in order])
    assert series.volume.spatial_shape == shape
    np.testing.assert_allclose(series.volume.spacing, np.linalg.norm(affine[:3, :3], axis=0), rtol=1e-6)
    found = np.argwhere(series.volume.array == 1000)
    assert len(found) == 1
    np.testing.assert_allclose(
        series.volume.map_indices_to_reference(found)[0], affine[:3, :3] @ index + affine[:3, 3], atol=1e-4
    )
    assert series.slices[found[0][0]].sop_instance_uid == datasets[index[0]].SOPInstanceUID
