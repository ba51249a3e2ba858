"""The folded networks: nothing is lost in the fold, and it answers at full resolution."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unetr.network import FoldedSegResNet, FoldedUNETR, _fold, _unfold


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.tuples(*[st.integers(1, 3)] * 3))
def test_unfold_inverts_fold(fold, batch, channels, blocks):
    window = torch.randn(batch, channels, *[fold * n for n in blocks])
    folded = _fold(window, fold)
    assert folded.shape == (batch, channels * fold**3, *blocks)
    assert torch.equal(_unfold(folded, fold), window)


def test_a_block_becomes_the_channels_of_one_voxel():
    window = torch.zeros(1, 2, 4, 6, 8)
    window[0, 1, 2:4, 4:6, 6:8] = torch.arange(8.0).reshape(2, 2, 2)
    folded = _fold(window, 2)
    assert folded[0, 8:, 1, 2, 3].tolist() == list(range(8))
    assert folded.count_nonzero() == 7


@pytest.mark.parametrize(("window", "fold", "channels"), [((32, 64, 32), 2, 1), ((16, 32, 16), 1, 3)])
def test_answers_at_full_resolution(window, fold, channels):
    network = FoldedUNETR(
        1, channels, window, feature_size=2, hidden_size=12, mlp_dim=12, num_heads=2, fold=fold
    ).eval()
    with torch.inference_mode():
        assert network(torch.randn(2, 1, *window)).shape == (2, channels, *window)


@pytest.mark.parametrize(("window", "fold", "channels"), [((16, 32, 48), 2, 1), ((8, 16, 24), 1, 3)])
def test_the_convolutional_network_answers_at_full_resolution_in_any_window(window, fold, channels):
    network = FoldedSegResNet(1, channels, [16, 16, 16], init_filters=8, fold=fold).eval()
    with torch.inference_mode():
        assert network(torch.randn(2, 1, *window)).shape == (2, channels, *window)


@pytest.mark.parametrize(
    "network",
    [
        FoldedUNETR(1, 2, [32] * 3, feature_size=2, hidden_size=12, mlp_dim=12, num_heads=2),
        FoldedSegResNet(1, 2, [16] * 3, init_filters=8),
    ],
)
def test_the_output_bias_moves_one_output_and_not_the_other(network):
    window = torch.randn(1, 1, *[32] * 3)
    with torch.inference_mode():
        before = network.eval()(window)
        network.output_bias[:8] += 3
        moved = network(window) - before
    torch.testing.assert_close(moved[:, 0], torch.full_like(moved[:, 0], 3))
    torch.testing.assert_close(moved[:, 1], torch.zeros_like(moved[:, 1]))


def test_a_window_that_cannot_be_folded_is_refused():
    with pytest.raises(ValueError, match=r"window of \[64, 64, 48\] voxels: each edge must be a multiple of 32"):
        FoldedUNETR(1, 1, [64, 64, 48])
    with pytest.raises(ValueError, match=r"window of \[64, 64, 24\] voxels: each edge must be a multiple of 16"):
        FoldedSegResNet(1, 1, [64, 64, 24])
