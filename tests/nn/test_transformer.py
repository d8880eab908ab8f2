"""Attention and transformer: parity with a float64 reference, masks, permutation, positions."""

import math
from typing import Any

import pytest
import torch

from gnnvcell.errors import ConfigError
from gnnvcell.nn.attention import SelfAttention
from gnnvcell.nn.positions import rotate, sinusoids
from gnnvcell.nn.transformer import Transformer, TransformerConfig

SMALL = dict(width=8, layers=2, heads=2, hidden=12)


def by_hand(layer: SelfAttention, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """One head after the other, written out."""
    batch, length, width = x.shape
    each = width // layer.heads
    qkv = (x @ layer.project.weight.double().T).view(batch, length, 3, layer.heads, each)
    out = torch.zeros(batch, length, width, dtype=torch.float64)
    for b in range(batch):
        for h in range(layer.heads):
            q, k, v = qkv[b, :, 0, h], qkv[b, :, 1, h], qkv[b, :, 2, h]
            score = (q @ k.T / math.sqrt(each)).masked_fill(~mask[b], -math.inf)
            out[b, :, h * each : (h + 1) * each] = score.softmax(dim=1) @ v
    return out @ layer.out.weight.double().T


def test_attention_is_that_of_a_float64_reference():
    torch.manual_seed(0)
    layer, x = SelfAttention(8, 2), torch.randn(3, 5, 8)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 1, 1, 0], [1, 0, 0, 0, 0]]).bool()
    torch.testing.assert_close(layer(x, mask).double(), by_hand(layer, x.double(), mask), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("norm", ["rmsnorm", "layernorm"])
@pytest.mark.parametrize("feed_forward", ["swiglu", "gelu"])
def test_tokens_are_a_set_without_positions(norm, feed_forward):
    torch.manual_seed(0)
    model = Transformer(TransformerConfig.parse(SMALL | {"norm": norm, "feed_forward": feed_forward}))
    x, order = torch.randn(2, 6, 8), torch.randperm(6)
    torch.testing.assert_close(model(x)[:, order], model(x[:, order]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("positions", ["sinusoidal", "rotary"])
def test_positions_make_order_matter(positions):
    torch.manual_seed(0)
    model = Transformer(TransformerConfig.parse(SMALL | {"positions": positions}))
    x = torch.randn(2, 6, 8)
    assert not torch.allclose(model(x).flip(1), model(x.flip(1)), atol=1e-3)


def test_nothing_leaks_out_of_padding():
    torch.manual_seed(0)
    model, x = Transformer(TransformerConfig.parse(SMALL)), torch.randn(2, 6, 8)
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[:, 4:] = False
    alone = model(x[:, :4])
    x[:, 4:] = torch.nan
    padded = model(x, mask)
    torch.testing.assert_close(padded[:, :4], alone, atol=1e-6, rtol=1e-5)
    assert (padded[:, 4:] == 0).all()


def test_every_parameter_gets_a_gradient_and_recomputing_changes_nothing():
    torch.manual_seed(0)
    model = Transformer(TransformerConfig.parse(SMALL))
    again = Transformer(TransformerConfig.parse(SMALL | {"checkpoint_layers": True}))
    again.load_state_dict(model.state_dict())
    x = torch.randn(2, 6, 8)
    for one in (model, again):
        (one(x) ** 3).sum().backward()
    for (name, mine), (_, other) in zip(model.named_parameters(), again.named_parameters(), strict=True):
        assert mine.grad is not None, name
        assert mine.grad.abs().sum() > 0, name
        torch.testing.assert_close(mine.grad, other.grad)


def test_rotary_products_depend_on_the_distance():
    torch.manual_seed(0)
    query, key = torch.randn(8), torch.randn(8)
    q = rotate(query.expand(1, 1, 10, 8))[0, 0]
    k = rotate(key.expand(1, 1, 10, 8))[0, 0]
    torch.testing.assert_close(q[2] @ k[5], q[6] @ k[9], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(q[2] @ k[5], q[2] @ k[6], atol=1e-3)


def test_sinusoids_by_hand():
    table = sinusoids(3, 4, torch.zeros(1))
    torch.testing.assert_close(table[2], torch.tensor([math.sin(2), math.sin(0.02), math.cos(2), math.cos(0.02)]))


def test_sizes_that_do_not_fit():
    with pytest.raises(ConfigError, match="3 heads do not divide the width 8"):
        SelfAttention(8, 3)
    with pytest.raises(ConfigError, match="heads of even width, not 3"):
        SelfAttention(6, 2, positions="rotary")
    with pytest.raises(ConfigError, match="feed_forward"):
        TransformerConfig.parse({"feed_forward": "relu"})


@pytest.mark.parametrize("attention", ["softmax", "linear"])
def test_weights_of_a_layer_are_those_it_attends_with(attention):
    torch.manual_seed(0)
    model = Transformer(TransformerConfig.parse(SMALL | {"attention": attention}))
    x, mask = torch.randn(2, 6, 8), torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]]).bool()
    weights = model.attention_weights(x, torch.arange(6), mask, layer=1)
    assert weights.shape == (2, 2, 6, 6)
    torch.testing.assert_close(weights.sum(dim=3), torch.ones(2, 2, 6))
    assert (weights[1, :, :, 4:] == 0).all()
    h = model.blocks[0](x.masked_fill(~mask[:, :, None], 0.0), mask)
    block: Any = model.blocks[1]
    normed = block.attention_norm(h)
    value = block.attention.project(normed).view(2, 6, 3, 2, 4)[:, :, 2].transpose(1, 2)
    by_weights = block.attention.out((weights @ value).transpose(1, 2).reshape(2, 6, 8))
    torch.testing.assert_close(by_weights, block.attention(normed, mask), atol=1e-6, rtol=1e-5)
    some = model.attention_weights(x, torch.tensor([4, 1]), mask, layer=-1)
    torch.testing.assert_close(some, weights[:, :, [4, 1]])


def test_a_layer_that_is_not_there():
    model = Transformer(TransformerConfig.parse(SMALL))
    with pytest.raises(ConfigError, match=r"there is no layer 2[\s\S]*0 to 1, or -1"):
        model.attention_weights(torch.randn(1, 3, 8), torch.arange(2), layer=2)
