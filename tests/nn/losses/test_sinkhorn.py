"""The Sinkhorn divergence against exact assignments, geomloss and the slopes of its own values."""

import functools

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from gnnvcell.errors import ConfigError
from gnnvcell.nn.losses import sinkhorn_divergence


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("p", [1, 2])
def test_small_blur_is_the_best_assignment(p) -> None:
    x, y = normal(2, 12, 3), normal(2, 12, 3, seed=1) + 1
    cost = torch.cdist(x, y) ** p / p
    best = [cost[i][linear_sum_assignment(cost[i].numpy())].mean() for i in range(2)]
    found = sinkhorn_divergence(x, y, p=p, blur=0.01, scaling=0.99)
    torch.testing.assert_close(found, torch.stack(best), rtol=2e-3, atol=0)


def test_the_gradient_points_at_assigned_cells() -> None:
    """For p = 2 it is (x_i - y_assigned) / cells where the blur is small; a cell's own plan goes to itself."""
    x, y = (3 * normal(1, 8, 3)).requires_grad_(), 3 * normal(1, 8, 3, seed=1)
    (grad,) = torch.autograd.grad(sinkhorn_divergence(x, y, blur=0.02, scaling=0.99).sum(), x)
    _, assigned = linear_sum_assignment((torch.cdist(x.detach(), y)[0] ** 2).numpy())
    torch.testing.assert_close(grad, (x.detach() - y[:, assigned]) / 8, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("p", [1, 2])
def test_gradients_of_converged_plans_are_the_slopes(p) -> None:
    """Along random directions of both sets."""
    x, y = normal(2, 4, 3).requires_grad_(), normal(2, 5, 3, seed=1).requires_grad_()
    mask = torch.tensor([[True] * 4, [True, False, True, True]])
    loss = functools.partial(sinkhorn_divergence, p=p, blur=2.0, scaling=0.98, predicted_mask=mask)
    grads = torch.autograd.grad(loss(x, y).sum(), (x, y))
    for seed in range(4):
        a, b = normal(2, 4, 3, seed=seed), normal(2, 5, 3, seed=seed + 9)
        with torch.no_grad():
            slope = (loss(x + 1e-4 * a, y + 1e-4 * b) - loss(x - 1e-4 * a, y - 1e-4 * b)).sum() / 2e-4
        torch.testing.assert_close((grads[0] * a).sum() + (grads[1] * b).sum(), slope, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("blur", [0.05, 0.5])
@pytest.mark.parametrize("width", [2, 50])
def test_agrees_with_geomloss(p, blur, width) -> None:
    geomloss = pytest.importorskip("geomloss", reason="parity with geomloss needs geomloss")
    x, y = normal(1, 20, width).requires_grad_(), normal(1, 30, width, seed=1) + 0.3
    theirs = geomloss.SamplesLoss("sinkhorn", p=p, blur=blur, backend="tensorized")(x, y)
    (slope,) = torch.autograd.grad(theirs.sum(), x)
    ours = sinkhorn_divergence(x, y, p=p, blur=blur)
    (grad,) = torch.autograd.grad(ours.sum(), x)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=0)
    assert (grad - slope).norm() < 1e-3 * slope.norm()


def test_a_large_blur_compares_means() -> None:
    """Plans spread over all cells: half the squared distance of the means is left."""
    x, y = normal(1, 6, 3), normal(1, 9, 3, seed=1) + 1
    apart = (x.mean(dim=1) - y.mean(dim=1)).square().sum(dim=1) / 2
    torch.testing.assert_close(sinkhorn_divergence(x, y, blur=100.0), apart, rtol=1e-3, atol=0)


def test_float32_agrees_with_float64() -> None:
    x, y = normal(2, 40, 200) + 5, normal(2, 30, 200, seed=1) + 5.5
    exact = sinkhorn_divergence(x, y, blur=0.5)
    torch.testing.assert_close(sinkhorn_divergence(x.float(), y.float(), blur=0.5).double(), exact, rtol=1e-4, atol=0)


@pytest.mark.parametrize("bad", [{"blur": 0.0}, {"p": 3}, {"scaling": 1.0}])
def test_bad_settings(bad) -> None:
    with pytest.raises(ConfigError, match=r"cannot be used\n.*blur above 0, p 1 or 2, scaling between"):
        sinkhorn_divergence(normal(1, 2, 1), normal(1, 2, 1), **bad)
