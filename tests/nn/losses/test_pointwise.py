"""Squared errors by hand, and pairs that are not there."""

import pytest
import torch

from gnnvcell.errors import DataError, ModelError
from gnnvcell.nn.losses import mse, mse_of_means


def test_pairs_count_where_both_cells_are_real() -> None:
    x = torch.tensor([[[0.0, 0.0], [1.0, 1.0], [5.0, 5.0]]])
    y = torch.tensor([[[1.0, 3.0], [torch.nan, 0.0], [5.0, 6.0]]])
    found = mse(x, y, predicted_mask=torch.tensor([[True] * 3]), observed_mask=torch.tensor([[True, False, True]]))
    assert found.tolist() == [(1 + 9 + 0 + 1) / 4]


def test_means_of_sets_of_any_size() -> None:
    x, y = torch.tensor([[[0.0, 1.0], [2.0, 1.0]]]), torch.tensor([[[3.0, 1.0], [9.0, 9.0], [5.0, 1.0]]])
    found = mse_of_means(x, y, observed_mask=torch.tensor([[True, False, True]]))
    assert found.tolist() == [(3.0**2 + 0) / 2]


def test_bad_pairs() -> None:
    x = torch.zeros(1, 2, 1)
    with pytest.raises(ModelError, match=r"sets have different sizes\n.*2 predicted and 3 observed\b.*\n.*energy"):
        mse(x, torch.zeros(1, 3, 1))
    with pytest.raises(DataError, match="set 0 has no pair of cells that are both real"):
        mse(x, x, predicted_mask=torch.tensor([[True, False]]), observed_mask=torch.tensor([[False, True]]))
