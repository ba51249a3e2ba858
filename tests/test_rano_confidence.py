import numpy as np
import pytest

from rano.confidence import confidence
from rano.measuring import measure
from tests.present import present


@pytest.mark.parametrize(
    ("probability", "mean", "entropy"),
    [
        ([1.0, 1.0], 1.0, 0.0),
        ([0.0], 0.0, 0.0),
        ([0.5], 0.5, 1.0),
        ([0.5, 1.0], 0.75, 0.5),
        ([0.89, 0.89], 0.89, 0.499916),  # from tables of the binary entropy
        ([[0.25], [0.75]], 0.5, 0.811278),
    ],
)
def test_known_answers(probability, mean, entropy):
    sure = confidence(np.array(probability, np.float32))
    assert sure.mean_probability == pytest.approx(mean, abs=1e-6)
    assert sure.entropy_bits == pytest.approx(entropy, abs=1e-5)


def test_no_voxel_has_no_confidence():
    with pytest.raises(ValueError, match="no voxels"):
        confidence(np.zeros(0))


def test_each_lesion_has_its_own_and_a_mask_has_none():
    labels = np.zeros((6, 12, 12), np.int32)
    labels[1:5, 1:5, 1:5], labels[1:5, 7:11, 7:11] = 1, 2
    probability = np.choose(labels, [0.2, 0.9, 0.6])
    first, second = (present(one.confidence) for one in measure(labels, np.eye(4), probability))
    assert first.mean_probability == pytest.approx(0.9)
    assert second.mean_probability == pytest.approx(0.6)
    assert first.entropy_bits < second.entropy_bits
    assert [one.confidence for one in measure(labels, np.eye(4))] == [None, None]
