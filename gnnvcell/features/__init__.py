"""Features of genes and compounds: tables read from files of embeddings, and composition features that need none."""

from gnnvcell.features.composition import composition_columns, composition_features
from gnnvcell.features.feature_table import FeatureReport, FeatureTable
from gnnvcell.features.readers import read_features

__all__ = ["FeatureReport", "FeatureTable", "composition_columns", "composition_features", "read_features"]
