"""Kernels against their formulas in float64, the unit of distance, and what MMD must hold."""

import math

import pytest
import torch
from torch import Tensor

from gnnvcell.errors import ConfigError
from gnnvcell.nn.losses import KERNELS, energy_distance, mmd
from gnnvcell.nn.losses.mmd import median_distance
from gnnvcell.nn.losses.sets import paired


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


FORMULAS = {
    "energy": lambda r, h: -r,
    "gaussian": lambda r, h: torch.exp(-(r**2) / (2 * h**2)),
    "laplacian": lambda r, h: torch.exp(-r / h),
    "rational_quadratic": lambda r, h: 1 / (1 + r**2 / (2 * h**2)),
}


def reference(x: Tensor, y: Tensor, kernel: str, h: float) -> Tensor:
    def mean(a: Tensor, b: Tensor) -> Tensor:
        return FORMULAS[kernel](torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist"), h).mean((1, 2))

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("bandwidth", [3.0, 10.0])
def test_float32_agrees_with_float64(kernel, bandwidth) -> None:
    x, y = normal(2, 30, 50), normal(2, 20, 50, seed=1) + 0.5
    options = {"kernels": [kernel], "bandwidths": [bandwidth], "median_heuristic": False}
    a, b = x.clone().requires_grad_(), x.double().requires_grad_()
    found, expected = mmd(a, y, **options), reference(b, y.double(), kernel, bandwidth)
    torch.testing.assert_close(found.double(), expected, rtol=2e-6, atol=0)
    torch.testing.assert_close(mmd(x.double(), y.double(), **options), expected.detach(), rtol=1e-10, atol=0)
    grad, slope = (torch.autograd.grad(out.sum(), cells)[0] for out, cells in ((found, a), (expected, b)))
    assert (grad - slope).norm() < 2e-6 * slope.norm()


def test_kernels_and_bandwidths_are_summed() -> None:
    x, y = normal(1, 5, 3), normal(1, 6, 3, seed=1)
    found = mmd(x, y, kernels=["energy", "gaussian"], bandwidths=[1.0, 2.0], median_heuristic=False)
    parts = [reference(x.double(), y.double(), "gaussian", h) for h in (1.0, 2.0)]
    torch.testing.assert_close(found.double(), sum(parts) + energy_distance(x, y).double(), rtol=1e-5, atol=0)


def test_the_energy_kernel_gives_the_energy_distance() -> None:
    x, y = normal(2, 5, 3).requires_grad_(), normal(2, 6, 3, seed=1)
    torch.testing.assert_close(mmd(x, y, kernels=["energy"]), energy_distance(x, y))
    grads = [torch.autograd.grad(out.sum(), x)[0] for out in (mmd(x, y, kernels=["energy"]), energy_distance(x, y))]
    torch.testing.assert_close(*grads)


def test_bandwidths_are_multiples_of_the_median_distance() -> None:
    """Of 0, 1 | 3, 7 the pairs are 1, 4 within, 3, 7, 2, 6 across: the lower median is 3. A fifth cell is padding."""
    x, y = torch.tensor([[[0.0], [1.0], [50.0]]]), torch.tensor([[[3.0], [7.0]]])
    mask = torch.tensor([[True, True, False]])
    found = mmd(x, y, kernels=["laplacian"], bandwidths=[2.0], predicted_mask=mask)
    given = mmd(x[:, :2], y, kernels=["laplacian"], bandwidths=[6.0], median_heuristic=False)
    torch.testing.assert_close(found, given)


def test_single_and_equal_cells_have_a_unit() -> None:
    one = torch.ones(1, 1, 2)
    zero = torch.zeros(1, 1, 1)
    assert median_distance(paired(one, one), zero, zero, zero).tolist() == [1]
    found = mmd(one, one + torch.tensor([3.0, 4.0]), kernels=["laplacian"], bandwidths=[1.0])
    assert found.item() == pytest.approx(2 - 2 * math.exp(-1))


@pytest.mark.parametrize("kernel", KERNELS)
def test_is_never_below_zero(kernel) -> None:
    for seed in range(20):
        x = normal(4, 6, 3, seed=seed)
        assert (mmd(x, x + 1e-4 * normal(4, 6, 3, seed=seed + 50), kernels=[kernel]) >= 0).all()


def test_bad_settings() -> None:
    x = normal(1, 2, 1)
    with pytest.raises(ConfigError, match=r"unknown kernel 'gausian'\n.*did you mean 'gaussian'"):
        mmd(x, x, kernels=["gausian"])
    with pytest.raises(ConfigError, match="needs a kernel"):
        mmd(x, x, kernels=[])
    for bandwidths in ([], [1.0, 0.0]):
        with pytest.raises(ConfigError, match="bandwidths are not positive"):
            mmd(x, x, kernels=["energy", "gaussian"], bandwidths=bandwidths)
