"""Results as plain files: the mask where the image is, numbers that a spreadsheet reads, a picture that shows."""

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from BDD.lesion_rows import lesion_row as database_row
from BDD.models import Job
from imaging.volume import Series, read_series
from rano.lesion import Lesion
from rano.measuring import measure
from results import files
from results.files import _montage, lesion_row, write_files, write_mask
from results.palette import rgb
from routes.job_json import lesion_to_json
from tests import factory, results_cases

LESIONS = factory.LESIONS


def case(plane: str = "axial"):
    """Return a series of a phantom, its label map, and its lesions as they are measured."""
    source = factory.volume(plane)
    series = factory.series(source)
    label_map = factory.label_map(series.volume).astype(np.int32)
    measured = measure(label_map, series.volume.affine)
    lesions = [Lesion(f"GTV_MetIA_{m.label}", f"2.25.{m.label}", m, m.label) for m in measured]
    return series, label_map, lesions


@pytest.fixture(scope="module")
def axial():
    return case()


@pytest.mark.parametrize("plane", factory.PLANES)
def test_the_mask_lies_where_the_lesions_are(tmp_path, plane):
    series, label_map, _ = case(plane)
    write_mask(tmp_path / "mask.nii.gz", series, label_map, results_cases.CONTEXT)
    image = nib.Nifti1Image.from_filename(tmp_path / "mask.nii.gz")
    assert image.shape == label_map.shape[::-1]
    mask = np.asarray(image.dataobj)
    for number, lesion in enumerate(LESIONS, start=1):
        ras = np.array(lesion.centre_lps) * (-1, -1, 1)
        i, j, k = np.rint(np.linalg.inv(image.affine) @ [*ras, 1])[:3].astype(int)
        assert mask[i, j, k] == number
    assert int((mask > 0).sum()) == int((label_map > 0).sum())
    assert np.linalg.det(image.affine[:3, :3]) != 0
    for form, code in (image.get_sform(coded=True), image.get_qform(coded=True)):  # programs read one or the other
        assert code == 1
        np.testing.assert_allclose(form, image.affine, atol=1e-4)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert image.header["descrip"].item() == b"Not a medical device. UNETR small 1.2.0"


@pytest.mark.parametrize("frames", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("plane", factory.PLANES)
def test_the_mask_fits_voxel_by_voxel_on_the_series_as_itk_reads_it(tmp_path, plane, reverse, frames):
    """ITK-SNAP lays one on the other whatever the mask's header says."""
    source = factory.volume(plane, reverse=reverse)
    datasets = [factory.multi_frame(source)] if frames else factory.series_datasets(source)
    for number, dataset in enumerate(datasets):
        dataset.save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path))
    image = SimpleITK.ReadImage(names[0] if frames else names)
    series = read_series(datasets)
    write_mask(tmp_path / "mask.nii.gz", series, factory.label_map(series.volume), results_cases.CONTEXT)
    mask = SimpleITK.ReadImage(tmp_path / "mask.nii.gz")
    assert mask.GetSize() == image.GetSize()
    for where in ("GetOrigin", "GetSpacing", "GetDirection"):
        np.testing.assert_allclose(getattr(mask, where)(), getattr(image, where)(), atol=1e-3)
    bright = SimpleITK.GetArrayFromImage(image) > 700
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(mask) > 0, bright)


def test_many_lesions_keep_their_numbers(tmp_path):
    series = results_cases.series()
    label_map = np.zeros(series.volume.spatial_shape, np.int32)
    label_map[3, 4, 5] = 300
    write_mask(tmp_path / "mask.nii.gz", series, label_map, results_cases.CONTEXT)
    assert np.asarray(nib.Nifti1Image.from_filename(tmp_path / "mask.nii.gz").dataobj)[5, 4, -1 - 3] == 300


def test_a_row_is_plain_json_in_millimetres(axial):
    series, label_map, lesions = axial
    row = json.loads(json.dumps(lesion_row(lesions[0], series)))
    m = lesions[0].measurement
    assert row["name"] == "GTV_MetIA_1"
    assert row["tracking_uid"] == "2.25.1"
    assert row["volume_mm3"] == pytest.approx((label_map == 1).sum() * 2.0 * 1.5 * 1.75)
    assert row["longest_diameter_mm"] == round(m.longest.length_mm, 3)
    assert row["measured_plane"] == "acquired"
    assert row["measurable"] is True
    assert "mm" in row["measurable_reason"]
    touched = np.flatnonzero((label_map == 1).any((1, 2)))
    assert row["first_slice_sop_instance_uid"] == series.datasets[touched[0]].SOPInstanceUID
    assert row["last_slice_sop_instance_uid"] == series.datasets[touched[-1]].SOPInstanceUID


@pytest.mark.parametrize("series", [results_cases.series(), results_cases.enhanced()], ids=["slices", "frames"])
def test_the_files_and_the_api_say_the_same_of_a_lesion(series):
    label_map = results_cases.awkward_label_map()
    (measurement, *_) = measure(label_map, series.volume.affine)
    lesion = Lesion("GTV_MetIA_1", "2.25.1", measurement, 1)
    written = lesion_row(lesion, series)
    answered = lesion_to_json(database_row(Job(), lesion, series.slices))
    assert list(written) == list(answered)
    for ends in ("longest_diameter_lps_mm", "perpendicular_diameter_lps_mm"):
        np.testing.assert_allclose(written.pop(ends), answered.pop(ends), atol=0.001)
    assert written == answered


def test_the_table_says_what_the_json_says(tmp_path, axial):
    series, label_map, lesions = axial
    write_files(tmp_path / "new" / "folder", series, label_map, lesions, results_cases.CONTEXT)
    folder = tmp_path / "new" / "folder"
    rows = json.loads((folder / "lesions.json").read_text("utf-8"))
    assert (folder / "lesions.csv").read_bytes().startswith(b'\xef\xbb\xbf"name",'), "or Excel garbles names"
    with (folder / "lesions.csv").open(newline="", encoding="utf-8-sig") as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(rows) == 3
    for line, row in zip(table, rows, strict=True):
        assert list(line) == list(row)
        assert float(line["volume_mm3"]) == row["volume_mm3"]
        assert json.loads(line["centroid_lps_mm"]) == row["centroid_lps_mm"]
        assert json.loads(line["longest_diameter_lps_mm"]) == row["longest_diameter_lps_mm"]
        assert line["last_slice_sop_instance_uid"] == row["last_slice_sop_instance_uid"]


def test_nothing_in_the_table_is_a_formula(tmp_path, axial):
    """Excel reckons with what begins with a minus: of a point "-15.0 -7.0 -5.0" it made -27."""
    series, label_map, (first, *others) = axial
    measurement = replace(first.measurement, centroid_lps_mm=(-15.0, -7.0, -5.0))
    lesions = [replace(first, name="=1+1", measurement=measurement), *others]
    write_files(tmp_path, series, label_map, lesions, results_cases.CONTEXT)
    table = (tmp_path / "lesions.csv").read_text("utf-8-sig")
    assert "'=1+1" in table
    assert not re.search(r'"\s*[=+@-]', table)


def picture(folder: Path, series: Series, label_map: np.ndarray, lesions: Sequence[Lesion]) -> np.ndarray:
    write_files(folder, series, label_map, lesions, results_cases.CONTEXT)
    return matplotlib.image.imread(folder / "lesions.png")[..., :3]


def shows(image: np.ndarray, colour: tuple[int, int, int]) -> int:
    """Count the pixels of a colour."""
    return int((np.abs(image - np.array(colour) / 255).max(-1) < 0.15).sum())


def test_the_picture_shows_every_lesion_with_its_outline(tmp_path, axial):
    image = picture(tmp_path, *axial)
    assert image.shape[0] > 200
    assert image.shape[1] > 800  # three panels side by side
    assert image.std() > 0.1
    for label, panel in enumerate(np.array_split(image, 3, axis=1), start=1):
        assert shows(panel, rgb(label)) > 40
        assert all(shows(panel, rgb(other)) == 0 for other in (1, 2, 3) if other != label)


@pytest.mark.parametrize(("volume_mm3", "words"), [(12340.0, "12.34 cm³"), (14.1, "0.014 cm³")])
def test_the_picture_says_how_large_each_lesion_is(axial, volume_mm3, words):
    series, label_map, (first, *others) = axial
    sized = replace(first, measurement=replace(first.measurement, volume_mm3=volume_mm3))
    figure = _montage(series, label_map, [sized, *others], results_cases.CONTEXT)
    title = figure.axes[0].get_title()
    assert title.startswith("GTV_MetIA_1\n")
    assert title.endswith(f"mm, {words}")


def test_of_very_many_lesions_the_first_are_shown(axial, monkeypatch):
    monkeypatch.setattr(files, "_PANELS", 2)
    series, label_map, lesions = axial
    figure = _montage(series, label_map, lesions, results_cases.CONTEXT)
    assert [panel.get_title().partition("\n")[0] for panel in figure.axes] == ["GTV_MetIA_1", "GTV_MetIA_2"]
    assert figure.get_suptitle().endswith("the first 2 of 3 lesions")


def test_the_outline_encloses_the_bright_lesion(tmp_path, axial):
    """What is inside the red line is brighter than what is outside it."""
    series, label_map, lesions = axial
    image = picture(tmp_path, series, label_map, lesions[:1])
    rows, columns = np.nonzero(np.abs(image - [1, 0, 0]).max(-1) < 0.15)
    centre = round(rows.mean()), round(columns.mean())
    radius = (np.ptp(rows) + np.ptp(columns)) / 4
    grey = image.mean(-1)
    distance = np.hypot(*(np.indices(grey.shape) - np.reshape(centre, (2, 1, 1))))
    assert grey[distance < 0.7 * radius].mean() > 0.9
    assert grey[(distance > 1.3 * radius) & (distance < 2 * radius)].mean() < 0.7


def test_a_lesion_at_the_edge_and_an_oblique_series_have_their_picture(tmp_path):
    series, label_map, _ = case("oblique25")
    label_map[:] = 0
    label_map[0:3, 0:4, 0:4] = 1
    (m,) = measure(label_map, series.volume.affine)
    image = picture(tmp_path, series, label_map, [Lesion("GTV_MetIA_1", "2.25.1", m, 1)])
    assert shows(image, rgb(1)) > 10


def test_without_lesions_the_files_say_so(tmp_path, axial):
    series, label_map, _ = axial
    image = picture(tmp_path, series, np.zeros_like(label_map), [])
    assert (tmp_path / "lesions.json").read_text("utf-8").strip() == "[]"
    assert (tmp_path / "lesions.csv").read_text("utf-8-sig").startswith('"name","label","tracking_uid","volume_mm3"')
    assert len((tmp_path / "lesions.csv").read_text("utf-8").splitlines()) == 1
    assert shows(image, (255, 255, 255)) > 50  # "no lesion found"


def test_again_replaces_the_files(tmp_path, axial):
    series, label_map, lesions = axial
    write_files(tmp_path, series, label_map, lesions, results_cases.CONTEXT)
    write_files(tmp_path, series, label_map, lesions[:1], results_cases.CONTEXT)
    assert len(json.loads((tmp_path / "lesions.json").read_text("utf-8"))) == 1
    assert len(list(tmp_path.iterdir())) == 4
