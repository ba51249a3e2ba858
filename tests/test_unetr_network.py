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


@pytest.mark.parametrize(("window", "channels"), [((32, 64, 32), 1), ((16, 32, 48), 3)])
def test_answers_at_full_resolution(window, channels):
    network = FoldedUNETR(1, channels, window, feature_size=2, hidden_size=12, mlp_dim=12, num_heads=2).eval()
    with torch.inference_mode():
        assert network(torch.randn(2, 1, *window)).shape == (2, channels, *window)


def test_a_token_stands_for_16_voxels():
    network = FoldedUNETR(1, 1, (32, 48, 64), feature_size=2, hidden_size=12, mlp_dim=12, num_heads=2)
    embedding = network.transformer.patch_embedding
    with torch.inference_mode():
        embedding.position_embeddings.zero_()
        window = torch.zeros(1, 1, 32, 48, 64)
        before = embedding(_fold(window, 2))
        window[0, 0, 16:, 32:, 16:32] = torch.randn(16, 16, 16)
        moved = (embedding(_fold(window, 2)) - before).abs().sum(2)[0]
    assert moved.nonzero().tolist() == [[1 * 3 * 4 + 2 * 4 + 1]]


def test_a_smaller_window_lies_anywhere_in_the_whole_one_while_training_and_in_its_middle_else():
    network = FoldedUNETR(1, 1, (48, 48, 48), feature_size=2, hidden_size=12, mlp_dim=12, num_heads=2)
    with torch.inference_mode():
        network.transformer.patch_embedding.position_embeddings[0] = torch.arange(27.0)[:, None]
        network.train()
        assert {int(network._position((1, 1, 1))[0, 0]) for _ in range(400)} == set(range(27))
        network.eval()
        assert network._position((1, 1, 3))[0, 5, 0, 0].tolist() == [12, 13, 14]
        assert network(torch.randn(1, 1, 16, 48, 32)).shape == (1, 1, 16, 48, 32)


def test_all_levels_hear_the_transformer():
    network = FoldedUNETR(1, 1, (32, 32, 32), feature_size=2, hidden_size=12, mlp_dim=12, num_heads=2)
    network(torch.randn(1, 1, 32, 32, 32)).square().sum().backward()
    silent = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert [name for name in silent if "cross_attn" not in name] == []  # MONAI's block holds one, and leaves it out


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
    with pytest.raises(ValueError, match=r"window of \[64, 64, 24\] voxels: each edge must be a multiple of 16"):
        FoldedUNETR(1, 1, [64, 64, 24])
    with pytest.raises(ValueError, match=r"window of \[64, 64, 24\] voxels: each edge must be a multiple of 16"):
        FoldedSegResNet(1, 1, [64, 64, 24])
    with pytest.raises(ValueError, match="fold of 1: only 2 is possible"):
        FoldedUNETR(1, 1, [64, 64, 64], fold=1)
