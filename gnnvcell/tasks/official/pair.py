"""A prediction and the truth as the official scorers want them: one order of genes, one set of perturbations."""

import hashlib
from dataclasses import dataclass, field

import anndata as ad
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.data.cells import Cells
from gnnvcell.data.values import ValueKind
from gnnvcell.errors import DataError
from gnnvcell.tasks.in_memory import anndata_of
from gnnvcell.tasks.matching import Match, match_cells, match_genes


@dataclass(frozen=True, eq=False)
class OfficialPair:
    """Two AnnData that every official scorer accepts in form.

    ``obs["target_gene"]`` holds the perturbation, "non-targeting" in control cells; genes and their order are those of
    the real cells; both sides have the same perturbations and control cells. Values are those of the files.

    Args:
        predicted: predicted cells.
        real: real cells.
        context: the cell type of both.
        predicted_values: what the predicted values are.
        real_values: what the real values are.
        real_digest: hex SHA-256 of the real values, labels and gene names.
        notes: what was left out or added, in sentences.
    """

    predicted: ad.AnnData
    real: ad.AnnData
    context: str
    predicted_values: ValueKind
    real_values: ValueKind
    real_digest: str
    notes: list[str] = field(default_factory=list)

    def require_counts(self, scorer: str) -> None:
        """Refuse values that are not integer counts.

        Raises:
            DataError: one side holds something else.
        """
        for what, values in (("predicted", self.predicted_values), ("real", self.real_values)):
            if values is not ValueKind.COUNTS:
                raise DataError(
                    f"{scorer} scores integer counts, and the {what} cells hold none",
                    expected="raw counts on both sides",
                    found=f"{values.value} values",
                    remedy="name the layer that holds the counts, or emit the prediction as counts",
                )


def official_pairs(predicted: Cells, real: Cells, *, held_out: NDArray | None = None) -> list[OfficialPair]:
    """Bring a prediction and the truth together, one pair for each cell type they share.

    Perturbations that only one side has are left out, predicted genes beyond the real ones too; a prediction without
    control cells gets the real ones. All of it is told in ``notes``.

    Args:
        predicted: predicted cells.
        real: real cells.
        held_out: (real cells,) bool, where a split says what is scored: these perturbations alone, and all of them.

    Raises:
        DataError: genes, perturbations or cell types do not fit (see ``match_cells``), the real cells have no controls,
            or the prediction has none and its values are of another kind.
    """
    match = match_cells(predicted, real, held_out=held_out)
    real.require_controls()
    pairs = []
    for context in dict.fromkeys(match.contexts.tolist()):
        rows = np.flatnonzero(match.contexts == context)
        code = int(np.flatnonzero(real.contexts.astype(str) == context)[0])
        real_rows = np.flatnonzero(np.isin(match.real_rows, rows) | (real.is_control & (real.context_code == code)))
        labels = _labels(match.real_rows, match.perturbations)
        truth = anndata_of(real, real_rows, labels)
        guess, notes = _predicted(predicted, real, match, rows, code)
        notes, digest = [*match.notes, *notes], _content_digest(truth)
        pairs.append(OfficialPair(guess, truth, context, predicted.values, real.values, digest, notes))
    return pairs


def official_cells(cells: Cells, pair: OfficialPair) -> ad.AnnData:
    """Other cells of a pair's cell type, such as training cells, in the form and the gene order of the pair.

    Args:
        cells: with control cells.
        pair: what they shall stand beside.

    Raises:
        DataError: genes do not fit, no cell is of the pair's cell type, or none of them is a control.
    """
    columns, _ = match_genes(cells.genes, pair.real.var_names.to_numpy(), whose="the training file")
    inside = cells.code >= cells.CONTROL
    if len(cells.contexts) > 1:
        inside = inside & (cells.contexts[cells.context_code] == pair.context)
    if not (inside & cells.is_control).any():
        raise DataError(
            f"the training file has no control cells of {pair.context!r}", found=", ".join(map(str, cells.contexts[:5]))
        )
    labels = _labels(np.maximum(cells.code, cells.CONTROL), cells.perturbations)
    return anndata_of(cells, np.flatnonzero(inside), labels, columns, pair.real.var_names.to_numpy())


def _predicted(
    predicted: Cells, real: Cells, match: Match, rows: NDArray, context: int
) -> tuple[ad.AnnData, list[str]]:
    """The predicted cells of one context with controls: their own, or those of the real cells."""
    own = predicted.is_control
    if len(predicted.contexts) > 1:
        own = own & (predicted.contexts[predicted.context_code].astype(str) == str(real.contexts[context]))
    cells = np.flatnonzero(np.isin(match.predicted_rows, rows) | own)
    labels = _labels(match.predicted_rows, match.perturbations)
    guess = anndata_of(predicted, cells, labels, match.columns, real.genes)
    if own.any():
        return guess, []
    if predicted.values is not real.values:
        raise DataError(
            "the prediction has no control cells, and the real ones hold other values",
            expected=f"{predicted.values.value} values on both sides",
            found=f"{real.values.value} values in the real cells",
            remedy="put the control cells into the prediction",
        )
    controls = np.flatnonzero(real.is_control & (real.context_code == context))
    labels = np.full(len(real.code), keys.NON_TARGETING)
    added = anndata_of(real, controls, labels)
    both = ad.concat([guess, added], index_unique="-")
    return both, [f"the prediction has no control cells: {len(controls):,} real ones were added"]


def _labels(row_of: NDArray, perturbations: NDArray) -> NDArray:
    """(cells,) perturbation as the real cells spell it; control where there is no row."""
    return np.append(perturbations, keys.NON_TARGETING)[row_of]


def _content_digest(cells: ad.AnnData) -> str:
    """Hex SHA-256 of values, labels and gene names: the same cells have it whatever file they came from."""
    digest = hashlib.sha256()
    matrix = sp.csr_matrix(cells.X)
    for part in (matrix.data, matrix.indices, matrix.indptr):
        digest.update(np.ascontiguousarray(part).data)
    for names in (cells.obs[keys.TARGET_GENE], cells.var_names):
        digest.update("\n".join(map(str, names)).encode())
    return digest.hexdigest()
