"""Edge variances: how much of what perturbations do runs over each edge of a gene graph, by maximum likelihood."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gnnvcell.config import Config

Matrix = NDArray[np.float64]
_START = (0.1, 0.3, 0.2, 0.15, 0.15)  # shares of the mean square of an effect: mean, edges, near, own, noise
_SMALLEST = 1e-4  # noise, as such a share
_TINY = 1e-12


class VarianceConfig(Config):
    """How the variances of edges are learned.

    Args:
        steps: of the fit; it starts where all edges are equal, and few steps keep them near that.
        rows: most perturbations that are learned from; of more, so many are drawn.
    """

    steps: int = Field(default=5, ge=0)
    rows: int = Field(default=500, ge=2)


@dataclass(frozen=True, eq=False)
class Variances:
    """Variances of a Gaussian process of effects, ``K = mean + F diag(edge) F^T + near N + own H H^T + noise I``.

    Args:
        mean: of what all perturbations share.
        edge: (columns,) of what those share that have an edge to the same term or node.
        near: of what those share that have several such edges at once.
        own: of what only perturbations of the same target share.
        noise: of a row of its own.
    """

    mean: float
    edge: Matrix
    near: float
    own: float
    noise: float


def learn_variances(profile: Matrix, near: Matrix, hits: Matrix, gram: Matrix, steps: int) -> tuple[Variances, float]:
    """Fit the variances to the products of measured effects.

    With ``A = K^-1 S K^-1``, S the gram matrix, each step multiplies every variance by
    ``sqrt(tr(A M) / tr(K^-1 M))``, M the variance's own matrix: the fixed points are those of the likelihood
    [Hunter and Lange 2004 call such steps minorise-maximise]. At first all edges have one variance, and each kind of
    variance a fixed share of the effects.

    Args:
        profile: (rows, columns) F: edges of each row's targets, >= 0.
        near: (rows, rows) N: how near each other the rows' targets are in the whole graph.
        hits: (rows, parts) H: the perturbations of one target that each row is made of.
        gram: (rows, rows) mean products of effects over genes.
        steps: see ``VarianceConfig``.

    Returns:
        The variances, and the log likelihood per gene of those at first, less a constant of the effects.
    """
    rows = len(gram)
    unit = float(np.trace(gram)) / rows or 1.0
    scaled = gram / unit
    shares = np.ones((rows, rows)), profile @ profile.T, near, hits @ hits.T, np.eye(rows)
    traces = np.array([float(np.trace(share)) for share in shares])
    sizes = np.divide(np.array(_START) * rows, traces, out=np.zeros(len(shares)), where=traces > 0)
    kernel = np.tensordot(sizes, np.stack(shares), 1)
    likelihood = -0.5 * float(np.linalg.slogdet(kernel)[1] + np.trace(np.linalg.solve(kernel, scaled)))
    edge, sizes, others = np.full(profile.shape[1], sizes[1]), np.delete(sizes, 1), (shares[0], *shares[2:])
    for _ in range(steps):
        kernel = (profile * edge) @ profile.T + np.tensordot(sizes, np.stack(others), 1)
        precise = np.linalg.inv(kernel).astype(np.float64, copy=False)
        explained = precise @ scaled @ precise
        edge = edge * _ratio(*(np.einsum("it,it->t", profile, part @ profile) for part in (explained, precise)))
        sizes = sizes * _ratios(others, explained, precise)
        sizes[-1] = max(sizes[-1], _SMALLEST)
    of_mean, of_near, of_own, noise = (float(size) * unit for size in sizes)
    return Variances(of_mean, edge * unit, of_near, of_own, noise), likelihood


def _ratios(shares: tuple[Matrix, ...], explained: Matrix, precise: Matrix) -> Matrix:
    """(shares,) what each variance is multiplied by."""
    found = np.array([[float(np.vdot(share, part)) for share in shares] for part in (explained, precise)])
    return _ratio(*found)


def _ratio(wanted: Matrix, given: Matrix) -> Matrix:
    """What variances are multiplied by; one that no row shows stays as it is."""
    return np.sqrt(np.divide(np.maximum(wanted, 0), given, out=np.ones_like(given), where=given > _TINY))


def mean_products(values: Matrix, measured: NDArray[np.bool_]) -> Matrix:
    """(rows, rows) mean products over the genes that both rows have, 0 without any; positive semi-definite.

    Args:
        values: (rows, genes) effects.
        measured: (rows, genes).
    """
    known = measured.astype(np.float64)
    told = values * known
    products, count = told @ told.T, known @ known.T
    gram = np.divide(products, count, out=np.zeros_like(products), where=count > 0)
    if measured.all():
        return gram
    value, vector = np.linalg.eigh(gram)
    return (vector * np.maximum(value, 0)) @ vector.T
