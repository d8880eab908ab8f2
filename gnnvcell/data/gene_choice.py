"""Which genes preprocessing keeps, and which of them are highly variable."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.data.cells import Cells
from gnnvcell.data.expressed_genes import most_expressed
from gnnvcell.data.moments import Moments
from gnnvcell.data.variable_genes import Flavour, variable_genes
from gnnvcell.errors import DataError, did_you_mean


@dataclass(frozen=True, eq=False)
class GeneChoice:
    """Genes that are kept.

    Args:
        columns: (kept,) columns of the file, ascending.
        names: (kept,) their names.
        variable: (kept,) bool, the highly variable ones, targets that were added included.
        statistics: (kept,) means, dispersions, dispersions_norm and highly_variable (= ``variable``), or None.
        targets: perturbed genes that are among the kept ones because they are always kept.
        absent: genes that were asked for and are not in the file.
    """

    columns: NDArray[np.int64]
    names: NDArray
    variable: NDArray[np.bool_]
    statistics: pd.DataFrame | None
    targets: list[str]
    absent: list[str]


@dataclass(frozen=True, eq=False)
class NamedGenes:
    """Genes that were asked for by name.

    Args:
        columns: (named,) columns of the file, ascending; all where none was named.
        targets: (targets,) columns of perturbed genes that are always kept.
        absent: names that the file lacks.
    """

    columns: NDArray[np.int64]
    targets: NDArray[np.int64]
    absent: list[str]


def named_genes(cells: Cells, genes: Sequence[str] | None, keep_targets: bool) -> NamedGenes:
    """Columns of the genes that were asked for.

    Raises:
        DataError: none of them is in the file (with the nearest to the first).
    """
    place = {str(gene): at for at, gene in enumerate(cells.genes)}
    perturbed = {t for p in cells.targets for t in p.targets} if keep_targets else set()
    targets = np.array(sorted(place[t] for t in perturbed if t in place), dtype=np.int64)
    if genes is None:
        return NamedGenes(np.arange(len(cells.genes)), targets, [])
    absent = [gene for gene in dict.fromkeys(genes) if gene not in place]
    found = np.array([place[gene] for gene in genes if gene in place], dtype=np.int64)
    if not len(found):
        raise DataError(
            f"none of the {len(genes):,} genes asked for is in the file",
            found=f"genes such as {', '.join(map(str, cells.genes[:3]))}",
            remedy=did_you_mean(genes[0], place),
        )
    return NamedGenes(np.union1d(found, targets), targets, absent)


def choose_genes(
    cells: Cells,
    wanted: NamedGenes,
    moments: Moments | None,
    *,
    scale: float,
    top_genes: int | None,
    hvg: int,
    flavour: Flavour,
    bins: int,
    keep_targets: bool,
) -> GeneChoice:
    """Keep the genes asked for, of these the most expressed, of these mark the highly variable.

    Args:
        cells: the cells.
        wanted: genes asked for.
        moments: of all genes, where ``top_genes`` or ``hvg`` is given.
        scale: what brings counts per 10,000 to the normalised counts.
        top_genes, hvg, flavour, bins, keep_targets: see ``PreprocessConfig``.

    Raises:
        DataError: no gene varies.
    """
    columns = wanted.columns
    if top_genes is not None and moments is not None and top_genes < len(columns):
        means = moments.of_linear()[0][columns]
        columns = np.union1d(columns[most_expressed(means, top_genes)], wanted.targets)
    names = cells.genes[columns]
    targets = np.isin(columns, wanted.targets)
    statistics, variable = None, np.zeros(len(columns), dtype=bool)
    if hvg and moments is not None:
        means, variances = moments.of_log1p() if flavour == "cell_ranger" else moments.of_linear(scale)
        statistics = variable_genes(means[columns], variances[columns], n_top=hvg, flavour=flavour, bins=bins)
        variable = statistics[keys.HIGHLY_VARIABLE].to_numpy() | (targets if keep_targets else False)
        statistics = statistics.assign(**{keys.HIGHLY_VARIABLE: variable})
    return GeneChoice(columns, names, variable, statistics, names[targets].tolist(), wanted.absent)
