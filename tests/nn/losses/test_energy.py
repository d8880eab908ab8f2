"""The energy distance and its distances against float64 references, where Gram matrices alone would fail too."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gnnvcell.nn.losses import distances, energy_distance, euclidean_distances


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def cdist(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x.double(), y.double(), compute_mode="donot_use_mm_for_euclid_dist")


def reference(x: Tensor, y: Tensor) -> Tensor:
    return 2 * cdist(x, y).mean((1, 2)) - cdist(x, x).mean((1, 2)) - cdist(y, y).mean((1, 2))


def shifted(width: int) -> tuple[Tensor, Tensor]:
    return normal(2, 64, width), normal(2, 50, width, seed=1) + 0.5


CASES = {
    "narrow": shifted(10),
    "wide": shifted(2000),
    "far from the origin": tuple(cells + 100 for cells in shifted(200)),
    "far apart": (normal(2, 64, 200) + 100, normal(2, 50, 200, seed=1)),
    "collapsed": (normal(2, 1, 200) + 1e-3 * normal(2, 64, 200, seed=1), normal(2, 50, 200, seed=2)),
    "expression": (torch.relu(normal(2, 64, 500) - 1), torch.relu(normal(2, 50, 500, seed=1) - 0.5)),
    "one cell": (normal(2, 1, 20), normal(2, 5, 20, seed=1)),
}
cases = pytest.mark.parametrize(("x", "y"), CASES.values(), ids=CASES)


@cases
def test_float32_agrees_with_float64(x, y) -> None:
    x = x.clone().requires_grad_()
    found = energy_distance(x, y)
    (grad,) = torch.autograd.grad(found.sum(), x)
    exact = x.detach().double().requires_grad_()
    expected = reference(exact, y)
    (slope,) = torch.autograd.grad(expected.sum(), exact)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=0)
    assert (grad - slope).norm() < 1e-6 * slope.norm()


@cases
def test_float64_is_the_reference(x, y) -> None:
    torch.testing.assert_close(energy_distance(x.double(), y.double()), reference(x, y), rtol=1e-11, atol=0)


def test_sets_of_one_law() -> None:
    """Where expectations cancel, the error is still far below that of one distance: 3e-8 of the mean distance."""
    x, y = normal(4, 128, 2000), normal(4, 100, 2000, seed=1)
    assert (energy_distance(x, y) - reference(x, y)).abs().max() < 3e-8 * cdist(x, y).mean()


def test_by_hand() -> None:
    """E|x - y| = (3 + 1 + 1 + 3) / 4 = 2 counts twice, E|x - x'| = 2 / 2 = 1, E|y - y'| = 4 / 2."""
    x, y = torch.tensor([[[0.0], [2.0]]]), torch.tensor([[[3.0], [-1.0]]])
    assert energy_distance(x, y).tolist() == [1.0]


def test_padding_is_not_measured_again(monkeypatch) -> None:
    """Padding looks like many equal cells; it would be slow to look at their distances one by one."""
    measured, close = [], distances._measure_close

    def watched(squares: Tensor, *rest: Any) -> None:
        before = squares.clone()
        close(squares, *rest)
        measured.append(int((before != squares).sum()))

    monkeypatch.setattr(distances, "_measure_close", watched)
    mask = (torch.arange(8) < 4)[None]
    x, y = normal(1, 8, 30), normal(1, 8, 30, seed=1)
    x[0, 1] = x[0, 2]
    energy_distance(x, y, predicted_mask=mask, observed_mask=mask)
    assert measured[0] in (1, 2)  # the one pair of equal cells, from both sides
    assert measured[1:] == [0, 0]


def test_nearly_equal_cells() -> None:
    """Distances a thousandth of the spread, which a Gram matrix in float32 cannot tell from rounding."""
    x = normal(1, 32, 500)
    y = x + 1e-3 * normal(1, 32, 500, seed=1)
    near = euclidean_distances(x, y).diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(near.double(), cdist(x, y).diagonal(dim1=1, dim2=2), rtol=1e-6, atol=0)
    assert euclidean_distances(x, x).diagonal(dim1=1, dim2=2).eq(0).all()


def test_close_pairs_are_gathered_in_parts(monkeypatch) -> None:
    x = normal(2, 1, 7) + 1e-4 * normal(2, 9, 7, seed=1)
    whole = euclidean_distances(x, normal(2, 1, 7) + 1e-4 * normal(2, 9, 7, seed=2))
    monkeypatch.setattr(distances, "GATHERED", 20)
    parts = euclidean_distances(x, normal(2, 1, 7) + 1e-4 * normal(2, 9, 7, seed=2))
    torch.testing.assert_close(parts, whole, rtol=0, atol=0)


def test_gradient_of_distances() -> None:
    x, y = normal(2, 4, 3).double().requires_grad_(), (normal(2, 5, 3, seed=1) + 1).double().requires_grad_()
    assert torch.autograd.gradcheck(euclidean_distances, (x, y))
    torch.testing.assert_close(euclidean_distances(x, y), cdist(x, y))


def test_equal_cells_of_distances_have_no_gradient() -> None:
    x = normal(1, 3, 4).requires_grad_()
    (grad,) = torch.autograd.grad(euclidean_distances(x, x.detach()).diagonal(dim1=1, dim2=2).sum(), x)
    assert grad.eq(0).all()


def test_what_is_kept_for_the_backward_pass() -> None:
    """One tensor of the shape of the predicted cells: no distances, no copies of the observed ones."""
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t.numel()), t)[1], lambda t: t):
        energy_distance(normal(2, 30, 4).requires_grad_(), normal(2, 40, 4, seed=1))
    assert sum(kept) == 2 * 30 * 4
