"""Highly variable genes from means and variances alone, so that they can come from a stream."""

from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.errors import ConfigError, DataError, did_you_mean

Flavour = Literal["seurat", "cell_ranger"]
_MAD_OF_NORMAL = 0.6744897501960817  # median absolute deviation of a standard normal


def variable_genes(
    means: NDArray[np.float64],
    variances: NDArray[np.float64],
    *,
    n_top: int,
    flavour: Flavour = "seurat",
    bins: int = 20,
) -> pd.DataFrame:
    """What ``scanpy.pp.highly_variable_genes(n_top_genes=...)`` gives, from the moments of genes over cells.

    Genes are put into bins of like mean; the dispersion (variance / mean) is centred and scaled within its bin.
    "seurat" (Satija et al., 2015): moments of normalised counts, logarithms of mean and dispersion, bins of equal
    width, mean and standard deviation. "cell_ranger" (Zheng et al., 2017): moments of log1p values, bins by
    percentiles, median and MAD.

    Args:
        means: (genes,).
        variances: (genes,) with n - 1 in the denominator.
        n_top: how many genes; all that tie with the last of them are taken too.
        flavour: see above.
        bins: number of bins ("seurat").

    Returns:
        (genes,) ``means``, ``dispersions``, ``dispersions_norm``, ``highly_variable``.

    Raises:
        ConfigError: unknown flavour.
        DataError: no gene varies.
    """
    if flavour not in get_args(Flavour):
        raise ConfigError(f"unknown flavour {flavour!r}", remedy=did_you_mean(flavour, get_args(Flavour)))
    means = np.where(means == 0, 1e-12, means)
    dispersions = variances / means
    if flavour == "seurat":
        dispersions = np.log(np.where(dispersions == 0, np.nan, dispersions))
        means = np.log1p(means)
        edges: int | NDArray = bins
    else:
        edges = np.r_[-np.inf, np.percentile(means, np.arange(10, 105, 5)), np.inf]
    group = np.asarray(pd.cut(means, bins=edges, labels=False))
    normalised = _normalised(dispersions, group, flavour)
    known = np.sort(normalised[~np.isnan(normalised)])
    if not len(known):
        raise DataError("no gene varies", expected="variances above 0", remedy="see gnnvcell data check")
    chosen = np.nan_to_num(normalised, nan=-np.inf) >= known[-min(n_top, len(known))]
    return pd.DataFrame(
        {
            keys.MEANS: means,
            keys.DISPERSIONS: dispersions,
            keys.DISPERSIONS_NORM: normalised,
            keys.HIGHLY_VARIABLE: chosen,
        }
    )


def _normalised(dispersions: NDArray[np.float64], group: NDArray, flavour: Flavour) -> NDArray[np.float64]:
    """Dispersions centred and scaled among genes of one bin."""
    grouped = pd.Series(dispersions).groupby(group)
    if flavour == "cell_ranger":
        centre = grouped.transform("median").to_numpy()
        spread = pd.Series(np.abs(dispersions - centre)).groupby(group).transform("median").to_numpy() / _MAD_OF_NORMAL
    else:
        centre, spread = grouped.transform("mean").to_numpy(), grouped.transform("std").to_numpy()
        alone = np.isnan(spread)  # a gene alone in its bin gets 1, as in Seurat
        centre, spread = np.where(alone, 0.0, centre), np.where(alone, centre, spread)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (dispersions - centre) / spread
