"""Does the signature that was observed of a perturbation find that perturbation among predicted ones?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import ConfigError, DataError, did_you_mean
from gnnvcell.metrics.deltas import targets_left_out

SIMILARITIES = ("cosine", "pearson")
HITS = (1, 5, 10)


@dataclass(frozen=True, eq=False)
class Retrieval:
    """Where the true perturbation stands in the ranking of all candidates, query by query.

    Candidates that are equally similar stand in random order, and what follows is the expectation over it: a model that
    predicts the same for all is at chance, whichever it names first.

    Args:
        better: (queries,) number of candidates that are more similar to the signature than the true one.
        tied: (queries,) number of candidates that are as similar as the true one, which is among them.
        candidates: number of candidates N.

    Example:
        >>> found = Retrieval(np.array([0, 4]), np.array([1, 2]), 10)
        >>> found.hits(5).tolist(), found.reciprocal_rank.round(3).tolist()
        ([1.0, 0.5], [1.0, 0.183])
    """

    better: NDArray[np.int64]
    tied: NDArray[np.int64]
    candidates: int

    @property
    def rank(self) -> NDArray[np.float64]:
        """(queries,) expected rank of the true perturbation, 1 is best, (N + 1) / 2 chance."""
        return self.better + (self.tied + 1) / 2

    @property
    def reciprocal_rank(self) -> NDArray[np.float64]:
        """(queries,) expected 1 / rank; its mean is the mean reciprocal rank (MRR). Chance: (sum_r 1 / r) / N."""
        harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, self.candidates + 1))])
        return (harmonic[self.better + self.tied] - harmonic[self.better]) / self.tied

    def hits(self, k: int) -> NDArray[np.float64]:
        """(queries,) probability that the true perturbation is among the first k. Chance: k / N.

        Raises:
            ConfigError: k is below 1.
        """
        if k < 1:
            raise ConfigError(f"there are no hits among the first {k}", expected="a number of 1 or more")
        return np.clip((k - self.better) / self.tied, 0.0, 1.0)

    def scores(self, ks: Sequence[int] = HITS) -> dict[str, NDArray[np.float64]]:
        """Name to (queries,) scores: ``reciprocal_rank`` and ``hits_at_<k>``; columns for ``metrics.by_strata``."""
        return {"reciprocal_rank": self.reciprocal_rank, **{f"hits_at_{k}": self.hits(k) for k in ks}}


def retrieval_chance(candidates: int, ks: Sequence[int] = HITS) -> dict[str, float]:
    """What a random order scores: the keys of ``Retrieval.scores``.

    Raises:
        ConfigError: no candidates.
    """
    if candidates < 1:
        raise ConfigError("there are no candidates to retrieve from", expected="1 or more", found=str(candidates))
    harmonic = float((1 / np.arange(1, candidates + 1)).sum())
    return {"reciprocal_rank": harmonic / candidates, **{f"hits_at_{k}": min(1.0, k / candidates) for k in ks}}


def retrieve(
    signatures: NDArray,
    queries: Sequence[str] | NDArray,
    predicted: NDArray,
    candidates: Sequence[str] | NDArray,
    genes: Sequence[str] | NDArray,
    *,
    measured: NDArray | None = None,
    similarity: str = "cosine",
    centre: NDArray | None = None,
) -> Retrieval:
    """Rank predicted perturbations by their similarity to observed signatures, as a target screen does.

    The other direction than ``normalised_retrieval``: there a prediction looks for its own truth, here a signature
    looks for the perturbation that made it. A gene that a query perturbs is left out for all candidates, and a gene
    that a candidate perturbs is left out for that candidate, so that nobody is found by the knock-down itself.

    Args:
        signatures: (queries, genes) observed deltas.
        queries: (queries,) names of the perturbations that made them; each is among the candidates.
        predicted: (candidates, genes) predicted deltas.
        candidates: (candidates,) names.
        genes: (genes,) names.
        measured: (queries, genes) bool, which pairs were observed; all when left out.
        similarity: "cosine" or "pearson".
        centre: (genes,) subtracted from both sides first, such as the mean training delta.

    Raises:
        ConfigError: an unknown similarity.
        DataError: shapes disagree, a value is not finite, candidates repeat, or a query is no candidate.

    Example:
        >>> found = retrieve(np.eye(3)[:1], ["A"], np.eye(3), ["A", "B", "C"], ["x", "y", "z"])
        >>> found.rank.tolist(), found.candidates
        ([1.0], 3)
    """
    own, names = np.asarray(queries, dtype=str), np.asarray(candidates, dtype=str)
    inside = targets_left_out(own, np.asarray(genes))
    if measured is not None and np.shape(measured) == inside.shape:
        inside &= np.asarray(measured, dtype=bool)
    _check(signatures, predicted, (inside, measured), (own, names))
    shift = 0.0 if centre is None else np.asarray(centre, dtype=np.float64)
    near = pair_similarity(
        np.where(inside, np.asarray(signatures, dtype=np.float64) - shift, 0.0),
        np.asarray(predicted, dtype=np.float64) - shift,
        inside,
        targets_left_out(names, np.asarray(genes)),
        similarity=similarity,
    )
    place = {str(name): at for at, name in enumerate(names)}
    return ranked(near, np.array([place[str(name)] for name in own], dtype=np.int64))


def ranked(similarity: NDArray, truth: NDArray[np.int64]) -> Retrieval:
    """Where the true candidate of each query stands.

    Args:
        similarity: (queries, candidates), higher is nearer.
        truth: (queries,) column of the true candidate.
    """
    near = np.asarray(similarity, dtype=np.float64)
    own = near[np.arange(len(near)), truth][:, None]
    # Rounding must not decide between candidates with the same prediction.
    tolerance = 1e-9 * np.maximum(np.abs(near).max(axis=1, initial=0.0, keepdims=True), 1e-300)
    better = (near > own + tolerance).sum(axis=1)
    tied = (np.abs(near - own) <= tolerance).sum(axis=1)
    return Retrieval(better.astype(np.int64), tied.astype(np.int64), near.shape[1])


def pair_similarity(
    x: NDArray, y: NDArray, x_weight: NDArray, y_weight: NDArray, *, similarity: str = "cosine"
) -> NDArray[np.float64]:
    """Similarity of each row of x with each row of y over the genes that both sides use.

    ``sum_g w x y / sqrt(sum_g w x^2 sum_g w y^2)`` with ``w = x_weight * y_weight``; "pearson" takes the weighted means
    off first. 0 where a side is zero (or does not vary): it is near to nothing.

    Args:
        x: (rows, genes).
        y: (others, genes).
        x_weight: (rows, genes) >= 0, or bool.
        y_weight: (others, genes) >= 0, or bool.
        similarity: "cosine" or "pearson".

    Returns:
        (rows, others) in [-1, 1].

    Raises:
        ConfigError: an unknown similarity.
    """
    if similarity not in SIMILARITIES:
        raise ConfigError(f"unknown similarity {similarity!r}", remedy=did_you_mean(similarity, SIMILARITIES))
    v, w = np.asarray(x_weight, dtype=np.float64), np.asarray(y_weight, dtype=np.float64)
    product, x2, y2 = (v * x) @ (w * y).T, (v * x * x) @ w.T, v @ (w * y * y).T
    if similarity == "pearson":
        total = v @ w.T
        x1, y1 = (v * x) @ w.T, v @ (w * y).T
        share = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
        # What is left by rounding of a side that does not vary is not a direction.
        product = product - x1 * y1 * share
        x2, y2 = (_varying(square, sum_ * sum_ * share) for square, sum_ in ((x2, x1), (y2, y1)))
    norm = np.sqrt(np.maximum(x2, 0.0) * np.maximum(y2, 0.0))
    return np.clip(np.divide(product, norm, out=np.zeros_like(norm), where=norm > 0), -1.0, 1.0)


def _varying(square: NDArray, of_mean: NDArray) -> NDArray[np.float64]:
    left = square - of_mean
    return np.where(left > 1e-12 * square, left, 0.0)


def _check(
    signatures: NDArray,
    predicted: NDArray,
    masks: tuple[NDArray, NDArray | None],
    names: tuple[NDArray, NDArray],
) -> None:
    inside, measured = masks
    own, candidates = names
    shapes = np.shape(signatures), np.shape(predicted), inside.shape if measured is None else np.shape(measured)
    if shapes != (inside.shape, (len(candidates), inside.shape[1]), inside.shape):
        raise DataError(
            "signatures and predictions do not fit their names",
            expected=f"{inside.shape} signatures and what of them was measured, {len(candidates)} predictions as wide",
            found=f"signatures {shapes[0]}, predictions {shapes[1]}, measured {shapes[2]}",
        )
    observed = np.asarray(signatures, dtype=np.float64)[inside]
    for what, values in (("observed", observed), ("predicted", np.asarray(predicted, dtype=np.float64))):
        if not np.isfinite(values).all():
            raise DataError(
                f"{int((~np.isfinite(values)).sum())} {what} deltas are not finite",
                remedy="say which pairs were measured (measured=), or repair the prediction",
            )
    unique, counts = np.unique(candidates, return_counts=True)
    if len(unique) < len(candidates):
        raise DataError("a candidate is there twice", found=repr(str(unique[counts > 1][0])))
    strangers = np.setdiff1d(own, candidates)
    if len(strangers):
        raise DataError(
            f"{len(strangers)} queries are not among the candidates",
            found=str(strangers[0]),
            remedy=did_you_mean(str(strangers[0]), candidates),
        )
