"""What every loss between sets of cells holds: padding, order, other sets, precision, gradients, bad input."""

import functools

import pytest
import torch
from torch import Tensor

from gnnvcell.errors import DataError
from gnnvcell.nn import losses

sinkhorn = functools.partial(losses.sinkhorn_divergence, blur=1.0)
LOSSES = {
    "energy": losses.energy_distance,
    "sinkhorn": sinkhorn,
    "sinkhorn p=1": functools.partial(sinkhorn, p=1),
    "mmd": functools.partial(losses.mmd, kernels=losses.KERNELS),
    "mse": losses.mse,
    "mse of means": losses.mse_of_means,
    "wasserstein": losses.wasserstein_1d,
    "wasserstein 2": functools.partial(losses.wasserstein_1d, order=2),
    "sliced": losses.sliced_wasserstein,
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
# Cells of these are pairs: sets are as large as each other, and order is not free.
MATCHED = {"mse"}
FREE = {name: loss for name, loss in LOSSES.items() if name not in MATCHED}
unmatched = pytest.mark.parametrize("loss", FREE.values(), ids=FREE)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def masks() -> tuple[Tensor, Tensor]:
    predicted = torch.tensor([[1, 1, 1, 1, 1], [0, 1, 0, 1, 1], [0, 0, 0, 1, 0]], dtype=torch.bool)
    observed = torch.tensor([[1, 1, 1, 1, 1], [0, 1, 0, 1, 1], [0, 0, 0, 1, 0]], dtype=torch.bool)
    return predicted, observed


@every_loss
@pytest.mark.parametrize("trash", [0.0, 1e6, torch.nan, torch.inf])
def test_padding_changes_nothing(loss, trash) -> None:
    x, y, (x_mask, y_mask) = normal(3, 5, 6), normal(3, 5, 6, seed=1), masks()
    alone = torch.cat([loss(x[i : i + 1, x_mask[i]], y[i : i + 1, y_mask[i]]) for i in range(3)])
    a = torch.where(x_mask[..., None], x, trash).requires_grad_()
    b = torch.where(y_mask[..., None], y, trash).requires_grad_()
    found = loss(a, b, predicted_mask=x_mask, observed_mask=y_mask)
    torch.testing.assert_close(found, alone, rtol=1e-9, atol=1e-12)
    for grad, mask in zip(torch.autograd.grad(found.sum(), (a, b)), (x_mask, y_mask), strict=True):
        assert grad.isfinite().all()
        assert grad[mask].any()
        assert not grad[~mask].any()


@unmatched
def test_order_and_size_are_free(loss) -> None:
    x, y = normal(2, 7, 4).requires_grad_(), normal(2, 5, 4, seed=1)
    order, other = torch.tensor([3, 1, 6, 0, 2, 5, 4]), torch.tensor([4, 2, 0, 1, 3])
    straight = loss(x, y)
    torch.testing.assert_close(loss(x[:, order], y[:, other]), straight, rtol=1e-9, atol=1e-12)
    (grad,) = torch.autograd.grad(straight.sum(), x)
    moved = x.detach()[:, order].requires_grad_()
    (moved_grad,) = torch.autograd.grad(loss(moved, y[:, other]).sum(), moved)
    torch.testing.assert_close(moved_grad, grad[:, order], rtol=1e-8, atol=1e-12)


@every_loss
def test_sets_of_a_batch_are_apart(loss) -> None:
    x, y = normal(3, 5, 4), normal(3, 5, 4, seed=1) * torch.tensor([1.0, 2.0, 30.0]).double()[:, None, None]
    alone = torch.cat([loss(x[i : i + 1], y[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(loss(x, y), alone, rtol=1e-9, atol=1e-12)


@every_loss
def test_equal_sets_are_zero_apart(loss) -> None:
    x = normal(2, 6, 5).requires_grad_()
    found = loss(x, x.detach())
    assert found.abs().max() < 1e-12
    (grad,) = torch.autograd.grad(found.sum(), x)
    assert grad.abs().max() < 1e-12


@every_loss
def test_equal_cells_have_finite_gradients(loss) -> None:
    x = normal(2, 1, 5).expand(2, 4, 5).clone().requires_grad_()
    for y in (x.detach(), x.detach() + 1):
        (grad,) = torch.autograd.grad(loss(x, y).sum(), x)
        assert grad.isfinite().all()
        torch.testing.assert_close(grad, grad[:, :1].expand_as(grad))  # no cell is special
    assert grad.abs().sum() > 0


@every_loss
def test_single_cells(loss) -> None:
    x = normal(2, 1, 5).requires_grad_()
    found = loss(x, normal(2, 1, 5, seed=1))
    (grad,) = torch.autograd.grad(found.sum(), x)
    assert (found > 0).all()
    assert grad.isfinite().all()


@every_loss
def test_a_nan_in_a_real_cell_is_not_hidden(loss) -> None:
    x = normal(2, 3, 4)
    x[0, 1, 2] = torch.nan
    found = loss(x, normal(2, 3, 4, seed=1))
    assert found[0].isnan()
    assert found[1].isfinite()


@every_loss
def test_weights_of_genes(loss) -> None:
    """A weight of 4 is a coordinate of twice the length, a weight of 0 is no coordinate; given once or for each set."""
    x, y = normal(2, 4, 3), normal(2, 4, 3, seed=1)
    weights = torch.tensor([4.0, 1.0, 0.0])
    by_hand = loss(x * torch.tensor([2.0, 1.0, 0.0]), y * torch.tensor([2.0, 1.0, 0.0]))
    torch.testing.assert_close(loss(x, y, gene_weights=weights), by_hand)
    each = torch.stack([weights, torch.ones(3)])
    torch.testing.assert_close(loss(x, y, gene_weights=each), torch.stack([by_hand[0], loss(x, y)[1]]))


@every_loss
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float32])
def test_low_precision_and_autocast(loss, kind) -> None:
    """Half precision is computed in float32, under autocast too; gradients come back in the type of the cells."""
    x, y = normal(2, 6, 8).to(kind).requires_grad_(), (normal(2, 6, 8, seed=1) + 0.5).to(kind)
    expected = loss(x.detach().double(), y.double())
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(x, y)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)
    (grad,) = torch.autograd.grad(found.sum(), x)
    assert grad.dtype == kind


@every_loss
def test_matmul_precision_is_neither_used_nor_changed(loss) -> None:
    before = torch.get_float32_matmul_precision()
    x, y = normal(1, 4, 8).float(), normal(1, 4, 8, seed=1).float()
    expected = loss(x, y)
    try:
        torch.set_float32_matmul_precision("medium")
        torch.testing.assert_close(loss(x, y), expected, rtol=0, atol=0)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


@every_loss
def test_compiled_agrees(loss) -> None:
    x, y = normal(2, 5, 4).requires_grad_(), normal(2, 5, 4, seed=1)

    def whole(x: Tensor) -> Tensor:
        return (loss(x * 2, y) + 1).sum()

    straight, compiled = whole(x), torch.compile(whole, backend="aot_eager")(x)
    torch.testing.assert_close(compiled, straight, rtol=1e-12, atol=0)
    grads = [torch.autograd.grad(out, x)[0] for out in (compiled, straight)]
    torch.testing.assert_close(*grads, rtol=1e-10, atol=1e-14)


@every_loss
def test_no_gradient_where_none_is_wanted(loss) -> None:
    x, y = normal(1, 3, 2), normal(1, 3, 2, seed=1)
    assert not loss(x, y).requires_grad
    with torch.no_grad():
        assert not loss(x.clone().requires_grad_(), y).requires_grad
    y.requires_grad_()
    (grad,) = torch.autograd.grad(loss(x, y).sum(), y)
    assert grad.abs().sum() > 0


@every_loss
def test_bad_input(loss) -> None:
    x, mask = normal(2, 3, 4), torch.tensor([[True] * 3, [False] * 3])
    with pytest.raises(DataError, match="the predicted set 1 has no cells: its mask is all False"):
        loss(x, x, predicted_mask=mask)
    with pytest.raises(DataError, match="the observed set 1 has no cells"):
        loss(x, x, observed_mask=mask)
    with pytest.raises(DataError, match=r"weight below 0\n.*0 or more\n.*-1"):
        loss(x, x, gene_weights=torch.tensor([1.0, -1.0, 0.0, 0.0]))


# The median distance is held constant in the gradient, and plans converge in the limit only (``test_sinkhorn``).
EXACT = {name: loss for name, loss in LOSSES.items() if "sinkhorn" not in name}
EXACT["mmd"] = functools.partial(losses.mmd, kernels=losses.KERNELS, median_heuristic=False)


@pytest.mark.parametrize("loss", EXACT.values(), ids=EXACT)
def test_gradients_are_the_slopes(loss) -> None:
    x, y = normal(2, 4, 3).requires_grad_(), normal(2, 4, 3, seed=1).requires_grad_()
    mask = torch.tensor([[True] * 4, [True, False, True, True]])
    assert torch.autograd.gradcheck(functools.partial(loss, predicted_mask=mask, observed_mask=mask), (x, y))
