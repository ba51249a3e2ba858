"""The slices that are kept are the telling ones, and what is drawn shows both outlines."""

import numpy as np
import pytest
from PIL import Image

from unetr.pictures import draw, view

AFFINE = np.diag([3.0, 2.0, 1.0, 1.0])


def volume() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    image = np.full((10, 40, 60), 100.0, np.float32)
    reference, found = np.zeros(image.shape, bool), np.zeros(image.shape, bool)
    reference[2, 5:30, 5:30] = True
    found[2, 10:35, 10:35] = True
    found[7, 5:35, 30:55] = True
    return image, reference, found


def colours(path) -> np.ndarray:
    """How many pixels are nearly green, and nearly orange."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return np.array(
        [(np.abs(pixels - colour).sum(-1) < 30).sum() for colour in ((0x22, 0xC5, 0x5E), (0xF9, 0x73, 0x16))]
    )


def test_the_slice_with_most_of_the_reference_and_the_one_that_differs_most_are_kept():
    image, reference, found = volume()
    kept = view("a", image, reference, found, AFFINE)
    assert [int(r.sum()) for _, r, _ in kept.slices] == [625, 0]
    assert [int(f.sum()) for _, _, f in kept.slices] == [625, 750]
    assert kept.pixel_mm == (2.0, 1.0)


def test_both_outlines_are_drawn(tmp_path):
    image, reference, found = volume()
    nothing = np.zeros_like(reference)
    seen = {}
    for name, first, second in (("both", reference, found), ("truth", reference, nothing), ("found", nothing, found)):
        draw([view(name, image, first, second, AFFINE)], tmp_path / f"{name}.png")
        seen[name] = colours(tmp_path / f"{name}.png") > 20
    assert {name: found.tolist() for name, found in seen.items()} == {
        "both": [True, True],
        "truth": [True, False],
        "found": [False, True],
    }


@pytest.mark.parametrize("shape", [(1, 1, 1), (4, 1, 30), (4, 30, 1), (4, 30, 30)])
def test_outlines_are_drawn_at_the_edge_and_in_volumes_of_one_row_or_column(tmp_path, shape):
    whole = np.ones(shape, bool)
    draw([view("edge", whole.astype(np.float32), whole, ~whole, AFFINE)], tmp_path / "edge.png")
    green, orange = colours(tmp_path / "edge.png")
    assert green > 20
    assert orange == 0


def test_a_volume_without_anything_can_be_drawn(tmp_path):
    empty = np.zeros((4, 16, 16), np.float32)
    kept = view("nothing", empty, empty > 0, empty > 0, np.eye(4))
    draw([kept, kept, kept], tmp_path / "folder" / "nothing.png")
    assert Image.open(tmp_path / "folder" / "nothing.png").width > 300
