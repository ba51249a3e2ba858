"""What several scores come to, worked out by hand."""

import math

import numpy as np
import pytest

from unetr.figures import figures, summarise
from unetr.metrics import score

SHAPE = (12, 20, 20)


def mask(*boxes: tuple[slice, slice, slice]) -> np.ndarray:
    volume = np.zeros(SHAPE, bool)
    for box in boxes:
        volume[box] = True
    return volume


def box(x: int, y: int, z: int, edge: int = 3) -> tuple[slice, slice, slice]:
    return slice(x, x + edge), slice(y, y + edge), slice(z, z + edge)


def test_summary_sorts_by_size_and_leaves_healthy_volumes_out_of_dice():
    reference = mask(box(1, 1, 1), box(1, 10, 10, 9))
    scores = [
        score("a", reference, mask(box(1, 10, 10, 9)), 1.0),
        score("healthy", mask(), mask(box(1, 1, 1, 8), box(10, 1, 1, 1)), 1.0),
    ]
    lines = summarise(scores).splitlines()
    rows = {line[:12].strip(): line[12:].split() for line in lines[1:6]}
    assert rows["3-5 mm"] == ["1", "0", "0.00", "(0.00-0.97)", "-"]  # one volume: up to 1 - 0.025
    assert rows["10-20 mm"] == ["1", "1", "1.00", "(0.03-1.00)", "1.00"]
    assert rows["over 20 mm"] == ["0", "0", "-", "-"]
    dice = 2 * 729 / (27 + 729 + 729)
    assert f"mean {dice:.3f}, median {dice:.3f}, n = 1" in lines[7]
    assert "1.00 a volume, 0.50 of 5 mm or more" in lines[8]  # from two volumes nothing can be drawn
    assert f"{513 / 2 / 1000:.3f} ml a volume" in lines[9]


def test_what_is_false_is_given_as_the_mean_of_all_volumes():
    scores = [
        score("false", mask(), mask(box(1, 1, 1, 8), box(8, 15, 2)), 1.0),
        *[score("right", mask(), mask(), 1.0)] * 3,
    ]
    text = summarise(scores)
    assert f"{(512 + 27) / 4 / 1000:.3f} ml a volume" in text
    assert "0.50 a volume, 0.25 of 5 mm" in text


def test_every_figure_has_its_interval_and_the_table_its_width():
    reference = mask(box(1, 1, 1), box(1, 10, 10))
    half = score("half", reference, mask(box(1, 1, 1)), 10.0)
    scores = [score("all", reference, reference, 10.0), half, half] * 2
    lines = summarise(scores).splitlines()
    assert lines[3].split() == ["5-10", "mm", "12", "8", "0.67", "(0.50-0.83)", "1.00"]
    assert f"mean {(1 + 4 / 3) / 3:.3f} (0.667-0.889), median 0.667" in lines[7]
    assert "0.00 (0.00-0.61) a volume, 0.00 (0.00-0.61) of 5 mm" in lines[8]
    assert "too narrow below 20 volumes" in lines[-2]
    assert max(map(len, lines)) <= 100


def test_a_figure_is_the_sum_over_all_volumes():
    reference = mask(box(1, 1, 1), box(1, 10, 10))
    scores = [score("half", reference, mask(box(1, 1, 1), box(8, 15, 2)), 10.0), score("healthy", mask(), mask(), 10.0)]
    by_name = {figure.name: (figure.estimate, figure.count) for figure in figures(scores)}
    assert by_name["sensitivity, 5-10 mm"] == (0.5, 2)
    assert by_name["Dice"] == (pytest.approx(0.5), 1)
    assert by_name["false lesions a volume"] == (0.5, 2)
    assert by_name["false volume, ml a volume"] == (pytest.approx(0.135), 2)
    assert math.isnan(by_name["sensitivity, over 20 mm"][0])
