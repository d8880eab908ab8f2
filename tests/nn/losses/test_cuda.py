"""Losses on a CUDA device give what the CPU gives, whatever the products of matrices are allowed to lose."""

import functools

import pytest
import torch

from gnnvcell.nn import losses

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]
LOSSES = {
    "energy": losses.energy_distance,
    "sinkhorn": functools.partial(losses.sinkhorn_divergence, blur=0.5),
    "mmd": functools.partial(losses.mmd, kernels=losses.KERNELS),
    "mse": losses.mse,
    "mse of means": losses.mse_of_means,
    "wasserstein": losses.wasserstein_1d,
    "sliced": losses.sliced_wasserstein,
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_set_losses(loss) -> None:
    random = torch.Generator().manual_seed(0)
    x, y = torch.randn(3, 40, 100, generator=random), torch.randn(3, 40, 100, generator=random) + 0.5
    mask = torch.rand(3, 40, generator=random) < 0.7
    before, results = torch.get_float32_matmul_precision(), []
    torch.set_float32_matmul_precision("medium")
    try:
        for device in ("cpu", "cuda"):
            a, b, m = x.to(device).requires_grad_(), y.to(device), mask.to(device)
            value = loss(a, b, predicted_mask=m, observed_mask=m)
            (grad,) = torch.autograd.grad(value.sum(), a)
            results.append((value.detach().cpu(), grad.cpu()))
    finally:
        torch.set_float32_matmul_precision(before)
    (value, grad), (found, slope) = results
    torch.testing.assert_close(found, value, rtol=1e-4, atol=1e-6)
    assert (slope - grad).norm() < 1e-3 * grad.norm()


def test_graph_consistency() -> None:
    random = torch.Generator().manual_seed(0)
    src, dst = torch.randint(50, (200,), generator=random), torch.randint(50, (200,), generator=random)
    loss = losses.GraphConsistency({"r": (src, dst, None)})
    h = torch.randn(50, 8, generator=random)
    here, there = (loss(cells, generator=torch.Generator().manual_seed(1)).loss for cells in (h, h.cuda()))
    torch.testing.assert_close(there.cpu(), here, rtol=1e-5, atol=1e-6)
