"""VICReg's terms, Gaussian NLL and effective rank, against values by hand and torch's own."""

import pytest
import torch
import torch.nn.functional as F

from gnnvcell.errors import ModelError
from gnnvcell.nn.effective_rank import effective_rank
from gnnvcell.nn.losses.gaussian_nll import bounded_log_variance, gaussian_nll
from gnnvcell.nn.losses.vicreg import covariance_penalty, pooled_covariance, variance_hinge


def test_variance_by_hand():
    x = torch.tensor([[0.0, 0.0], [1.0, 10.0]])  # variances 1/2 and 50
    assert variance_hinge(x) == pytest.approx((1 - (0.5 + 1e-4) ** 0.5) / 2)
    assert variance_hinge(x, target=0.5) == 0


def test_collapse_pays_and_its_gradient_is_finite():
    x = torch.ones(4, 3, requires_grad=True)
    loss = variance_hinge(x)
    assert float(loss.detach()) == pytest.approx(0.99)
    loss.backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_covariance_is_that_of_each_group_averaged():
    torch.manual_seed(0)
    x = torch.randn(6, 5, 3)
    by_hand = torch.stack([torch.cov(x[:, token].T) for token in range(5)]).mean(dim=0)
    torch.testing.assert_close(pooled_covariance(x), by_hand)
    off = by_hand[~torch.eye(3, dtype=torch.bool)]
    assert covariance_penalty(x) == pytest.approx(float(off.square().sum() / 3))


def test_one_sample_has_no_variance():
    for term in (variance_hinge, covariance_penalty, effective_rank):
        with pytest.raises(ModelError, match=r"two or more samples[\s\S]*more cells"):
            term(torch.ones(1, 3))


def test_gaussian_nll_is_torchs():
    torch.manual_seed(0)
    mean, raw, observed = torch.randn(3, 50)
    log_variance = bounded_log_variance(8 * raw)
    assert float(log_variance.min()) >= -10
    assert float(log_variance.max()) == 2
    expected = F.gaussian_nll_loss(mean, observed, log_variance.exp(), eps=0, reduction="none")
    torch.testing.assert_close(gaussian_nll(mean, log_variance, observed), expected)


def test_effective_rank():
    torch.manual_seed(0)
    wide = torch.randn(5000, 8)
    assert effective_rank(wide) == pytest.approx(8, abs=0.1)
    line = torch.randn(100, 1) @ torch.randn(1, 8)
    assert effective_rank(line) == pytest.approx(1, abs=1e-3)
    assert effective_rank(torch.ones(5, 3)) == 0
    # What differs between tokens only is no variance of samples.
    tokens = torch.randn(1, 20, 8) + 0.1 * line[:, None, :]
    assert effective_rank(tokens) == pytest.approx(1, abs=1e-2)
