"""Scores as functions of arrays; each definition is in the docstring of its function."""

from gnnvcell.metrics.labels import average_precision, micro_auroc, per_gene_auroc, per_perturbation_auroc

__all__ = ["average_precision", "micro_auroc", "per_gene_auroc", "per_perturbation_auroc"]
