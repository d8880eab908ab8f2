"""Layers of JEPA models: adaptive normalisation, cross-attention, pathways, expression tokens, teacher."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gnnvcell.errors import ConfigError
from gnnvcell.nn.adaptive_norm import AdaptiveNorm
from gnnvcell.nn.cross_attention import CrossAttention
from gnnvcell.nn.ema_teacher import EmaTeacher
from gnnvcell.nn.expression_tokens import ExpressionTokens
from gnnvcell.nn.pathway_layer import PathwayLayer


class TestAdaptiveNorm:
    def test_it_begins_without_effect(self):
        x, c = torch.randn(2, 3, 8), torch.randn(2, 4)
        y, gate = AdaptiveNorm(8, 4)(x, c)
        assert (gate == 0).all()
        torch.testing.assert_close(y, F.layer_norm(x, (8,), eps=1e-6))

    def test_the_formula_by_hand(self):
        torch.manual_seed(0)
        layer = AdaptiveNorm(4, 2)
        last: Any = layer.modulation[1]
        nn.init.normal_(last.weight)
        x, c = torch.randn(1, 2, 4), torch.randn(1, 2)
        y, gate = layer(x, c)
        made = last.weight @ (c[0] / (1 + torch.exp(-c[0])))
        shift, scale, expected = made[:4], made[4:8], made[8:]
        token = x[0, 1]
        normed = (token - token.mean()) / (token.var(unbiased=False) + 1e-6).sqrt()
        torch.testing.assert_close(y[0, 1], normed * (1 + scale) + shift)
        torch.testing.assert_close(gate[0, 0], expected)


class TestCrossAttention:
    def test_one_head_by_hand(self):
        torch.manual_seed(0)
        layer, x, y = CrossAttention(4, 1), torch.randn(1, 3, 4), torch.randn(1, 2, 4)
        k, v = (y[0] @ layer.project.weight.T).chunk(2, dim=1)
        score = (x[0] @ layer.query.weight.T @ k.T / 2).softmax(dim=1)
        torch.testing.assert_close(layer(x, y)[0], score @ v @ layer.out.weight.T, atol=1e-6, rtol=1e-5)

    def test_one_token_gives_everyone_the_same(self):
        torch.manual_seed(0)
        out = CrossAttention(8, 2)(torch.randn(1, 5, 8), torch.randn(1, 1, 8))
        torch.testing.assert_close(out, out[:, :1].expand(-1, 5, -1), atol=1e-6, rtol=1e-5)
        several = CrossAttention(8, 2)(torch.randn(1, 5, 8), torch.randn(1, 4, 8))
        assert (several - several[:, :1]).abs().max() > 1e-3

    def test_tokens_that_are_not_there(self):
        torch.manual_seed(0)
        layer, x, y = CrossAttention(8, 2), torch.randn(2, 3, 8), torch.randn(2, 4, 8)
        mask = torch.tensor([[True, True, False, False], [False] * 4])
        found = layer(x, y, mask)
        torch.testing.assert_close(found[0], layer(x[:1], y[:1, :2])[0], atol=1e-6, rtol=1e-5)
        assert (found[1] == 0).all()


class TestPathwayLayer:
    MEMBERS = torch.tensor([[1, 0], [1, 1], [1, 0], [1, 0], [0, 0]]).bool()

    def test_it_begins_at_the_sets(self):
        layer = PathwayLayer(self.MEMBERS)
        x = torch.arange(10.0).view(1, 5, 2)
        torch.testing.assert_close(layer(x)[0], torch.stack([x[0, :4].sum(dim=0) / 2, x[0, 1]]))
        torch.testing.assert_close(
            layer.back(torch.tensor([[[1.0], [10.0]]]))[0, :, 0], torch.tensor([0.5, 10.5, 0.5, 0.5, 0])
        )
        assert layer.penalty() == 0
        assert not layer.grown(0.1).any()

    def test_it_may_grow(self):
        layer = PathwayLayer(self.MEMBERS)
        with torch.no_grad():
            layer.weight[1, 4] = -0.6
        assert float(layer.penalty().detach()) == pytest.approx(0.6 / 5)
        assert layer.grown(0.5).nonzero().tolist() == [[4, 1]]
        assert not layer.grown(0.7).any()
        layer(torch.randn(1, 5, 2)).square().sum().backward()
        assert layer.weight.grad is not None
        assert (layer.weight.grad != 0).all()  # off-member entries learn too

    def test_bad_sets(self):
        with pytest.raises(ConfigError, match=r"each have a gene[\s\S]*2 pathways, 1 of them empty"):
            PathwayLayer(torch.tensor([[True, False], [True, False]]))
        with pytest.raises(ConfigError, match="0 pathways"):
            PathwayLayer(torch.zeros(3, 0, dtype=torch.bool))


class TestExpressionTokens:
    def test_the_formula_by_hand(self):
        torch.manual_seed(0)
        layer, x, n, u = ExpressionTokens(4), torch.rand(2, 3), torch.rand(2), torch.randn(3, 4)
        first: Any = layer.value[0]
        last: Any = layer.value[2]
        inner = first.weight[:, 0] * x[1, 2] + first.bias
        inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
        a, b = (last.weight @ inner + last.bias).chunk(2)
        expected = u[2] * (1 + a) + b + layer.depth.weight[:, 0] * n[1]
        torch.testing.assert_close(layer(x, n, u)[1, 2], expected)

    def test_hidden_values_are_not_seen(self):
        torch.manual_seed(0)
        layer, x, n, u = ExpressionTokens(4), torch.rand(2, 3), torch.rand(2), torch.randn(3, 4)
        hidden = torch.tensor([[True, False, False], [False, True, True]])
        found = layer(x, n, u, hidden)
        again = layer(torch.where(hidden, torch.nan, x), n, u, hidden)
        torch.testing.assert_close(found, again)
        torch.testing.assert_close(found[~hidden], layer(x, n, u)[~hidden])
        assert (found[hidden] - layer(x, n, u)[hidden]).abs().min() > 0
        found.square().sum().backward()
        assert layer.unseen.grad is not None
        assert layer.unseen.grad.abs().min() > 0


class TestEmaTeacher:
    def test_the_formula(self):
        torch.manual_seed(0)
        student = nn.Linear(3, 2)
        teacher = EmaTeacher(nn.Linear(3, 2), student, decay=0.9)
        before = student.weight.detach().clone()
        torch.testing.assert_close(teacher.network.weight, before)
        with torch.no_grad():
            student.weight.add_(1.0)
        teacher.follow(student)
        torch.testing.assert_close(teacher.network.weight, before + 0.1)
        teacher.follow(student)
        torch.testing.assert_close(teacher.network.weight, before + 0.19)

    def test_it_never_learns_nor_trains(self):
        student = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))
        teacher = EmaTeacher(nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)), student)
        teacher.train()
        teacher.requires_grad_(True)
        assert not any(p.requires_grad for p in teacher.parameters())
        assert not teacher.network.training
        assert not teacher(torch.randn(1, 3, requires_grad=True)).requires_grad

    def test_bad_decay(self):
        with pytest.raises(ConfigError, match=r"0 to 1[\s\S]*1.5"):
            EmaTeacher(nn.Linear(1, 1), nn.Linear(1, 1), decay=1.5)
