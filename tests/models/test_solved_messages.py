"""Solved messages against a solve of the whole covariance, in float64."""

import pytest
import torch

from gnnvcell.models import _solved_messages
from gnnvcell.models._outcomes import Outcomes
from gnnvcell.models._solved_messages import NOISE, OWN_SHARE, RANK, RIDGE, SolvedMessages, readout_factors


def alike(count: int, width: int, seed: int) -> torch.Tensor:
    """Squared cosines of random directions: positive semi-definite, ones on the diagonal."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.nn.functional.normalize(torch.randn(count, width, generator=generator), dim=1)
    return (rows @ rows.T) ** 2


def outcomes_of(count: int, genes: int, share: float) -> Outcomes:
    generator = torch.Generator().manual_seed(5)
    measured = (torch.rand(count, genes, generator=generator) < share).float()
    residual = torch.randn(count, genes, generator=generator) * measured
    return Outcomes(residual, measured, torch.zeros(genes), measured.sum(dim=0))


@pytest.mark.parametrize(("count", "genes", "share"), [(12, 9, 0.4), (60, 150, 0.02), (20, 60, 1.0)])
def test_against_the_whole_covariance(count: int, genes: int, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_solved_messages, "TOLERANCE", 1e-4)
    kernel, factors = alike(count, 4, 0), readout_factors(alike(genes, 5, 1))
    outcomes = outcomes_of(count, genes, share)
    row, gene = outcomes.measured.nonzero(as_tuple=True)
    side = (OWN_SHARE * torch.eye(genes) + factors @ factors.T).double()
    covariance = (kernel + RIDGE * torch.eye(count)).double()[row][:, row] * side[gene][:, gene]
    covariance += NOISE * torch.eye(len(row), dtype=torch.float64)
    solved = torch.zeros(count, genes, dtype=torch.float64)
    solved[row, gene] = torch.linalg.solve(covariance, outcomes.residual[row, gene].double())
    found = SolvedMessages.of(outcomes, kernel, factors)
    largest = float(solved.abs().max())
    torch.testing.assert_close(found.own.double(), OWN_SHARE * solved, atol=1e-3 * largest, rtol=0)
    expected = solved @ (factors @ factors.T).double()
    torch.testing.assert_close(found.graph.double(), expected, atol=1e-3 * float(expected.abs().max()), rtol=0)


def test_neighbours_that_say_the_same_are_not_heard_twice() -> None:
    """Three perturbations alike, of which two have one outcome: the two count for little more than one."""
    kernel = torch.ones(3, 3)
    kernel[2, :2] = kernel[:2, 2] = 0
    outcomes = Outcomes(torch.tensor([[1.0], [1.0], [1.0]]), torch.ones(3, 1), torch.zeros(1), torch.full((1,), 3.0))
    own = SolvedMessages.of(outcomes, kernel, torch.ones(1, 1)).own[:, 0]
    assert own[0] + own[1] < 1.5 * own[2]
    assert own[0] + own[1] > own[2]


def test_factors_of_many_genes_are_those_of_the_largest_directions() -> None:
    similarity = alike(600, 6, 2)  # of rank 21 at most
    factors = readout_factors(similarity)
    assert factors.shape[1] <= RANK
    torch.testing.assert_close(factors @ factors.T, similarity, atol=1e-4, rtol=0)
    torch.testing.assert_close(readout_factors(similarity), factors, atol=0, rtol=0)


def test_directions_of_negative_eigenvalues_are_left_out() -> None:
    factors = readout_factors(torch.diag(torch.tensor([2.0, -1.0, 0.5])))
    torch.testing.assert_close(factors @ factors.T, torch.diag(torch.tensor([2.0, 0.0, 0.5])))


def test_a_table_without_outcomes_says_nothing() -> None:
    outcomes = Outcomes(torch.zeros(3, 4), torch.zeros(3, 4), torch.zeros(4), torch.zeros(4))
    found = SolvedMessages.of(outcomes, torch.eye(3), torch.eye(4))
    assert not found.own.any()
    assert not found.graph.any()
