"""Sets that do not go together are refused with what was found."""

import pytest
import torch

from gnnvcell.errors import DataError, ModelError
from gnnvcell.nn.losses import sets


def test_shares_and_cleared_cells() -> None:
    mask = torch.tensor([[True, False, True]])
    x = torch.tensor([[[1.0, 2.0], [torch.nan, 3.0], [4.0, 5.0]]])
    pair = sets.paired(x, torch.ones(1, 4, 2), predicted_mask=mask)
    assert pair.predicted.tolist() == [[[1, 2], [0, 0], [4, 5]]]
    assert pair.predicted_share.tolist() == [[0.5, 0, 0.5]]
    assert pair.observed_share.tolist() == [[0.25] * 4]


def test_types_meet_in_the_higher_one() -> None:
    pair = sets.paired(torch.ones(1, 1, 2, dtype=torch.bfloat16), torch.ones(1, 1, 2, dtype=torch.float64))
    assert pair.predicted.dtype == pair.observed.dtype == torch.float64
    assert sets.paired(*[torch.ones(1, 1, 2).half()] * 2).predicted.dtype == torch.float32


# The shapes in signatures are checked in tests only, so these go to the checks that users meet.
def test_shapes_that_do_not_go_together() -> None:
    x = torch.ones(2, 3, 4)
    for other in (torch.ones(2, 3, 5), torch.ones(1, 3, 4), torch.ones(3, 4)):
        with pytest.raises(ModelError, match=r"do not go together\n.*same sets and genes\n.*\(2, 3, 4\) and"):
            sets._require_alike(x, other)
    with pytest.raises(ModelError, match="on two devices"):
        sets._require_alike(x, x.to("meta"))


def test_masks_and_weights_that_do_not_fit() -> None:
    x = torch.ones(2, 3, 4)
    for mask in (torch.ones(2, 4, dtype=torch.bool), torch.ones(2, 3)):
        with pytest.raises(ModelError, match=r"the mask of observed cells does not fit them\n.*\(2, 3\), bool"):
            sets._cleared(x, mask, "observed")
    with pytest.raises(ModelError, match=r"weights of genes do not fit the cells\n.*\(4,\) or \(2, 4\)\n.*\(3,\)"):
        sets._root(torch.ones(3), x)
    with pytest.raises(DataError, match="the predicted sets have no cells"):
        sets._cleared(torch.ones(2, 0, 4), None, "predicted")
