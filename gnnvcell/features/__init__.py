"""Features of genes and compounds: read from files of embeddings, computed by ESM or rdkit, or from sequences alone."""

from gnnvcell.features.composition import composition_columns, composition_features
from gnnvcell.features.esm import EsmConfig, EsmReport, embed_proteins
from gnnvcell.features.feature_table import FeatureReport, FeatureTable
from gnnvcell.features.isoforms import Isoforms
from gnnvcell.features.readers import read_features
from gnnvcell.features.writers import write_features

__all__ = [
    "EsmConfig",
    "EsmReport",
    "FeatureReport",
    "FeatureTable",
    "Isoforms",
    "composition_columns",
    "composition_features",
    "embed_proteins",
    "read_features",
    "write_features",
]
