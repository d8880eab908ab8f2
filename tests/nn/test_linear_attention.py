"""Linear attention: parity with its quadratic form, masks, positions, and cost."""

import pytest
import torch
import torch.nn.functional as F

from gnnvcell.errors import ConfigError
from gnnvcell.nn.linear_attention import LinearAttention
from gnnvcell.nn.positions import rotate


def quadratic(layer: LinearAttention, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """The weights of all pairs, written out in float64."""
    layer, x = layer.double(), x.double()
    batch, length, width = x.shape
    qkv = layer.project(x).view(batch, length, 3, layer.heads, width // layer.heads).permute(2, 0, 3, 1, 4)
    q, k, v = F.elu(qkv[0]) + 1, F.elu(qkv[1]) + 1, qkv[2]
    there = torch.ones(batch, length, dtype=torch.bool) if mask is None else mask
    below = (q @ k.transpose(2, 3) * there[:, None, None]).sum(dim=3, keepdim=True)
    if layer.positions == "rotary":
        q, k = rotate(q), rotate(k)
    weights = q @ k.transpose(2, 3) * there[:, None, None] / below
    return layer.out((weights @ v).transpose(1, 2).reshape(batch, length, width))


@pytest.mark.parametrize("positions", ["none", "rotary"])
@pytest.mark.parametrize("length", [1, 7, 300])
def test_it_is_its_quadratic_form(positions, length):
    torch.manual_seed(0)
    layer, x = LinearAttention(16, 2, positions=positions), torch.randn(2, length, 16, requires_grad=True)
    mask = torch.rand(2, length) < 0.8
    mask[:, 0] = True
    for given in (None, mask):
        found = layer.float()(x, given)
        expected = quadratic(layer, x, given)
        torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)
        mine = torch.autograd.grad(found.square().sum(), x)[0]
        other = torch.autograd.grad(expected.square().sum(), x)[0]
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-4)


def test_weights_are_those_of_the_quadratic_form():
    torch.manual_seed(0)
    layer, x = LinearAttention(8, 2, positions="rotary"), torch.randn(2, 5, 8)
    rows = torch.tensor([3, 0])
    weights = layer.weights(x, rows)
    value = layer.project(x).view(2, 5, 3, 2, 4)[:, :, 2].transpose(1, 2)
    found = layer.out((weights @ value).transpose(1, 2).reshape(2, 2, 8))
    torch.testing.assert_close(found, layer(x)[:, rows], atol=1e-5, rtol=1e-5)


def test_nothing_is_there():
    layer = LinearAttention(8, 2)
    out = layer(torch.randn(1, 3, 8), torch.zeros(1, 3, dtype=torch.bool))
    assert (out == 0).all()


def test_tokens_are_a_set_without_positions():
    torch.manual_seed(0)
    layer, x, order = LinearAttention(8, 2), torch.randn(2, 6, 8), torch.randperm(6)
    torch.testing.assert_close(layer(x)[:, order], layer(x[:, order]), atol=1e-6, rtol=1e-5)


def test_long_sequences_keep_their_digits():
    torch.manual_seed(0)
    layer, x = LinearAttention(16, 2), torch.randn(1, 16384, 16)
    found = layer(x)
    exact = LinearAttention(16, 2).double()
    exact.load_state_dict(layer.state_dict())
    with torch.no_grad():
        query, key, value = exact._features(x.double(), None)
        reference = query @ (key.transpose(2, 3) @ value) / (query @ key.sum(dim=2, keepdim=True).transpose(2, 3))
        reference = exact.out(reference.transpose(1, 2).reshape(1, 16384, 16))
    torch.testing.assert_close(found.double(), reference, atol=1e-5, rtol=1e-5)


def test_bfloat16_around_it_costs_no_digits_of_sums():
    torch.manual_seed(0)
    layer, x = LinearAttention(16, 2), torch.randn(1, 4000, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(x)
    torch.testing.assert_close(found.float(), layer(x), atol=2e-2, rtol=5e-2)


def test_heads_that_do_not_fit():
    with pytest.raises(ConfigError, match="3 heads do not divide the width 8"):
        LinearAttention(8, 3)
    with pytest.raises(ConfigError, match="heads of even width, not 3"):
        LinearAttention(6, 2, positions="rotary")
