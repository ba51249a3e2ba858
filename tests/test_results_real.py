"""Results of real series, where the folder of real data lies beside the checkout."""

import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from imaging.volume import Series, read_series
from results.rtstruct import build_rtstruct, rasterise_rtstruct
from results.seg import build_seg, read_seg
from tests import results_cases as cases

DATA = Path(__file__).parents[2] / "shared" / "data"
ENHANCED = (
    "philips_enhanced/anatomical/001/",
    "siemens_multiframe/anatomical/001/",
    "hyperfine/anatomical/001/",
)


def members(archive: str, wanted: str) -> Iterator[Dataset]:
    """Yield the DICOM files of an archive whose name holds ``wanted``."""
    path = DATA / archive
    if not path.exists():
        pytest.skip(f"{path} is not there")
    with tarfile.open(path) as tar:
        for member in tar:
            if wanted in member.name and member.name.endswith(".dcm"):
                file = tar.extractfile(member)
                assert file is not None
                yield dcmread(BytesIO(file.read()))


def label_map(shape: tuple[int, ...]) -> np.ndarray:
    """Return the awkward label map in the middle of a larger one, cut off where the series is smaller."""
    part = cases.awkward_label_map()
    labels = np.zeros(shape, np.int32)
    count = min(shape[0], len(part))
    start = (shape[0] - count) // 2
    labels[start : start + count, 30 : 30 + part.shape[1], 40 : 40 + part.shape[2]] = part[:count]
    numbers = np.unique(labels)
    return np.searchsorted(numbers, labels).astype(np.int32)


def check(series: Series, folder: Path) -> None:
    """Both results bring the same voxels back and satisfy the validator."""
    labels = label_map(series.volume.spatial_shape)
    lesions = cases.lesions(labels)
    seg = build_seg(series, labels, lesions, cases.CONTEXT)
    rtstruct = build_rtstruct(series, labels, lesions, cases.CONTEXT)
    assert seg is not None
    assert rtstruct is not None
    assert np.array_equal(read_seg(cases.read_back(seg), series), labels)
    assert np.array_equal(rasterise_rtstruct(cases.read_back(rtstruct), series), labels)
    if cases.has_validator():
        assert cases.validator_errors(seg, folder) == []
        assert cases.validator_errors(rtstruct, folder) == []


def test_a_real_oblique_head_that_lacks_attributes(tmp_path: Path) -> None:
    check(read_series(list(members("structural-t1-dicom.tar.xz", "N2D_01"))), tmp_path)


@pytest.mark.parametrize("folder", ENHANCED)
def test_real_multi_frame_series(folder: str, tmp_path: Path) -> None:
    check(read_series(list(members("vendor-dicom.tar.xz", folder))), tmp_path)
