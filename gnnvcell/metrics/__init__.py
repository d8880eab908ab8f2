"""Scores as functions of arrays; each definition is in the docstring of its function."""

from gnnvcell.metrics.calls import DECalls
from gnnvcell.metrics.ceiling import ceilings, disjoint_halves, rescaled, spearman_brown
from gnnvcell.metrics.challenge import vcc2025_score
from gnnvcell.metrics.deltas import (
    amplitude_ratio,
    mae_delta,
    mse_delta,
    namesakes_left_out,
    pearson_delta,
    targets_left_out,
)
from gnnvcell.metrics.differential import (
    de_direction_match,
    de_nsig_counts,
    de_sig_genes_recall,
    de_spearman_lfc_sig,
    de_spearman_sig,
    overlap_at,
    pr_auc,
    precision_at,
    roc_auc,
)
from gnnvcell.metrics.discrimination import normalised_retrieval, perturbation_discrimination
from gnnvcell.metrics.error_curve import ErrorCurve, error_curve
from gnnvcell.metrics.influence import per_gene_auroc_influence
from gnnvcell.metrics.intervals import interval_coverage, interval_score, interval_width
from gnnvcell.metrics.labels import average_precision, micro_auroc, per_gene_auroc, per_perturbation_auroc
from gnnvcell.metrics.means import mae, most_changed, mse, r2, shift_magnitude
from gnnvcell.metrics.profile import METRICS, averages, score_all
from gnnvcell.metrics.pseudobulk import PseudoBulk
from gnnvcell.metrics.published import PUBLISHED, CellPairs, published_scores, published_summary
from gnnvcell.metrics.reliability import Reliability, reliability
from gnnvcell.metrics.retrieval import Retrieval, pair_similarity, ranked, retrieval_chance, retrieve
from gnnvcell.metrics.spread_calibration import by_spread, calibration_error, normal_coverage
from gnnvcell.metrics.strata import by_strata, quantile_edges

__all__ = [
    "METRICS",
    "PUBLISHED",
    "CellPairs",
    "DECalls",
    "ErrorCurve",
    "PseudoBulk",
    "Reliability",
    "Retrieval",
    "amplitude_ratio",
    "average_precision",
    "averages",
    "by_spread",
    "by_strata",
    "calibration_error",
    "ceilings",
    "de_direction_match",
    "de_nsig_counts",
    "de_sig_genes_recall",
    "de_spearman_lfc_sig",
    "de_spearman_sig",
    "disjoint_halves",
    "error_curve",
    "interval_coverage",
    "interval_score",
    "interval_width",
    "mae",
    "mae_delta",
    "micro_auroc",
    "most_changed",
    "mse",
    "mse_delta",
    "namesakes_left_out",
    "normal_coverage",
    "normalised_retrieval",
    "overlap_at",
    "pair_similarity",
    "pearson_delta",
    "per_gene_auroc",
    "per_gene_auroc_influence",
    "per_perturbation_auroc",
    "perturbation_discrimination",
    "pr_auc",
    "precision_at",
    "published_scores",
    "published_summary",
    "quantile_edges",
    "r2",
    "ranked",
    "reliability",
    "rescaled",
    "retrieval_chance",
    "retrieve",
    "roc_auc",
    "score_all",
    "shift_magnitude",
    "spearman_brown",
    "targets_left_out",
    "vcc2025_score",
]
