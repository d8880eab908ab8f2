"""Soft bins: the looked-up form is the formula, in values and gradients."""

import pytest
import torch
import torch.nn.functional as F

from gnnvcell.errors import ConfigError
from gnnvcell.nn.soft_bins import SoftBins


def by_formula(bins: SoftBins, x: torch.Tensor) -> torch.Tensor:
    logits = bins.logits(F.leaky_relu(bins.units(x[..., None])))
    return logits.softmax(dim=-1) @ bins.embeddings


def layer(dtype: torch.dtype = torch.float64, **sizes) -> SoftBins:
    torch.manual_seed(0)
    return SoftBins(8, **sizes).to(dtype)


NUMBERS = torch.cat([torch.linspace(-9, 12, 301), torch.tensor([0.0, 1e4, -1e4])]).double().view(2, 152)


def test_by_hand() -> None:
    bins = layer(bins=2, hidden=2)
    with torch.no_grad():
        bins.units.weight.copy_(torch.tensor([[1.0], [-2.0]]))
        bins.units.bias.copy_(torch.tensor([-1.0, 1.0]))
        bins.logits.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        bins.logits.bias.zero_()
    # At 2 the first unit is 1 and the second .01 * -3; at 0 they are .01 * -1 and 1.
    expected = torch.tensor([[1.0, -0.03], [-0.01, 1.0]]).double().softmax(dim=1)
    torch.testing.assert_close(bins.shares(torch.tensor([2.0, 0.0]).double()), expected)


def test_values_and_gradients_are_the_formula_s() -> None:
    bins = layer()
    x, same = NUMBERS.clone().requires_grad_(), NUMBERS.clone().requires_grad_()
    weight = torch.randn(2, 152, 8, dtype=torch.float64)
    found, expected = bins(x), by_formula(bins, same)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)
    gradients = torch.autograd.grad((found * weight).sum(), [x, *bins.parameters()])
    references = torch.autograd.grad((expected * weight).sum(), [same, *bins.parameters()])
    for gradient, reference in zip(gradients, references, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-6, atol=1e-9)


def test_single_precision_agrees_with_double() -> None:
    bins = layer()
    expected = by_formula(bins, NUMBERS.clamp(-9, 12))
    found = bins.float()(NUMBERS.clamp(-9, 12).float())
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


def test_units_that_ignore_the_number() -> None:
    bins = layer(hidden=6)
    with torch.no_grad():
        bins.units.weight[:2] = 0
        bins.units.bias[:2] = torch.tensor([0.7, -0.7])
    torch.testing.assert_close(bins(NUMBERS), by_formula(bins, NUMBERS))


def test_shares_sum_to_one_and_autocast_changes_little() -> None:
    bins = layer(torch.float32)
    torch.testing.assert_close(bins.shares(NUMBERS.float()).sum(dim=-1), torch.ones(2, 152))
    exact = bins(NUMBERS.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(bins(NUMBERS.float()).float(), exact, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("sizes", [{"bins": 0}, {"hidden": 0}])
def test_sizes_are_positive(sizes) -> None:
    with pytest.raises(ConfigError, match="not positive"):
        SoftBins(4, **sizes)
