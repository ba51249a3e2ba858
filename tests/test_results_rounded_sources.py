"""Sources whose direction cosines were rounded: every result lies where the mask lies, whatever the rounding."""

import highdicom as hd
import numpy as np
import pytest
from pydicom.dataset import Dataset

from imaging.mr_writer import write_mr_series
from imaging.volume import read_series
from results.report import build_bidirectional_sr
from results.rtstruct import build_rtstruct, rasterise_rtstruct
from results.seg import read_seg
from tests import results_cases as cases
from tests import results_report_cases as reports

SHAPE, SPACING = (16, 160, 160), np.array([2.0, 1.5, 1.5])
CENTRE_MM, RADIUS_MM = np.array([14.0, 210.0, 205.0]), 8.0
"""A lesion far from the first voxel, where a wrong length of the directions shows: in mm from there."""
TOLERANCE = 0.01
"""In voxels: the positions of the slices keep the angle from before the rounding."""


def case(tilt: float, decimals: int) -> reports.Case:
    """Return a head turned about the left-right axis by so many degrees, its cosines written to so many decimals."""
    angle = np.deg2rad(tilt)
    right, down = np.array([1.0, 0.0, 0.0]), np.array([0.0, np.cos(angle), np.sin(angle)])
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([np.cross(down, right), down, right]) * SPACING
    affine[:3, 3] = [-120.0, -120.0, 60.0]
    places = np.moveaxis(np.indices(SHAPE), 0, -1) * SPACING
    lesion = (np.linalg.norm(places - CENTRE_MM, axis=-1) <= RADIUS_MM).astype(np.int32)
    datasets = write_mr_series((np.where(lesion, 900, 100).astype(np.uint16), affine), patient_id="P")
    for dataset in datasets:
        dataset.ImageOrientationPatient = [round(float(value), decimals) for value in dataset.ImageOrientationPatient]
    series = read_series(datasets)
    np.testing.assert_array_equal(series.volume.array > 500, lesion > 0)
    np.testing.assert_allclose(series.volume.affine[:3, :3], affine[:3, :3], atol=0.003 * SPACING.max())
    return reports.measured(series, lesion)


def indices(case: reports.Case, points: np.ndarray) -> np.ndarray:
    """Return LPS points in mm as (slice, row, column) of the volume."""
    return np.asarray(hd.VolumeGeometry.map_reference_to_indices(case.series.volume, points))


@pytest.fixture(params=[(tilt, decimals) for tilt in (0, 4, 15) for decimals in (2, 3)], ids=str)
def rounded(request: pytest.FixtureRequest) -> reports.Case:
    return case(*request.param)


def test_contours_lie_on_the_edges_of_the_voxels(rounded: reports.Case) -> None:
    made = build_rtstruct(*rounded.arguments(), cases.CONTEXT)
    assert made is not None
    rtstruct = cases.read_back(made)
    np.testing.assert_array_equal(rasterise_rtstruct(rtstruct, rounded.series), rounded.label_map)
    for contour in rtstruct.ROIContourSequence[0].ContourSequence:
        found = indices(rounded, np.reshape(np.asarray(contour.ContourData, float), (-1, 3)))
        np.testing.assert_allclose(found[:, 0], np.round(found[0, 0]), atol=TOLERANCE)
        np.testing.assert_allclose(found[:, 1:], np.floor(found[:, 1:]) + 0.5, atol=TOLERANCE)


def lines(report: Dataset) -> dict[str, Dataset]:
    (group,) = reports.groups(report)
    return {axis: reports.item(group, axis).ContentSequence[0] for axis in (reports.LONG, reports.SHORT)}


def test_diameters_are_drawn_where_they_were_measured(rounded: reports.Case) -> None:
    made = build_bidirectional_sr(*rounded.arguments(), cases.CONTEXT)
    assert made is not None
    for axis, line in lines(cases.read_back(made)).items():
        expected = reports.ends(rounded.lesions[0].measurement, axis)
        if line.ValueType == "SCOORD3D":
            np.testing.assert_allclose(np.reshape(line.GraphicData, (2, 3)), expected, atol=TOLERANCE)
        else:
            columns_rows = indices(rounded, expected)[:, :0:-1] + 0.5
            np.testing.assert_allclose(np.reshape(line.GraphicData, (2, 2)), columns_rows, atol=TOLERANCE)


def test_the_segmentation_repeats_the_sources_words_and_is_read_again(rounded: reports.Case) -> None:
    seg = cases.read_back(rounded.seg())
    (orientation,) = seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    assert orientation.ImageOrientationPatient == rounded.series.header.ImageOrientationPatient
    np.testing.assert_array_equal(read_seg(seg, rounded.series), rounded.label_map)
