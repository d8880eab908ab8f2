"""Scores as functions of arrays; each definition is in the docstring of its function."""

from gnnvcell.metrics.deltas import (
    amplitude_ratio,
    mae_delta,
    mse_delta,
    pearson_delta,
    spearman_brown,
    targets_left_out,
)
from gnnvcell.metrics.discrimination import normalised_retrieval, perturbation_discrimination
from gnnvcell.metrics.labels import average_precision, micro_auroc, per_gene_auroc, per_perturbation_auroc

__all__ = [
    "amplitude_ratio",
    "average_precision",
    "mae_delta",
    "micro_auroc",
    "mse_delta",
    "normalised_retrieval",
    "pearson_delta",
    "per_gene_auroc",
    "per_perturbation_auroc",
    "perturbation_discrimination",
    "spearman_brown",
    "targets_left_out",
]
