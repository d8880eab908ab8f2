"""The flags that say which columns of an AnnData mean what."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gnnvcell.data.fields import FieldsConfig

_FLAGS = {
    "perturbation": ("COLUMN", "obs column of perturbations (default: target_gene, perturbation, gene, condition ...)"),
    "control": ("LABEL", "label of control cells (default: the usual ones, such as non-targeting)"),
    "cell_type": ("COLUMN", "obs column of cell types or cell lines"),
    "batch": ("COLUMN", "obs column of batches ('' for none)"),
    "guide": ("COLUMN", "obs column of guides"),
    "dose": ("COLUMN", "obs column of doses"),
    "mode": ("COLUMN", "obs column of modes: CRISPRi, CRISPRa, KO, drug"),
    "perturbation_mode": ("MODE", "one mode for the whole file"),
    "gene_names": ("COLUMN", "var column of gene names (default: the index)"),
    "layer": ("NAME", "layer with the values (default: X)"),
}


def add_field_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one flag for each setting of ``FieldsConfig``."""
    group = parser.add_argument_group("columns", "found by their usual names when left out")
    for name, (metavar, text) in _FLAGS.items():
        group.add_argument(f"--{name.replace('_', '-')}", dest=f"field_{name}", metavar=metavar, help=text)


def fields_of(arguments: argparse.Namespace) -> "FieldsConfig":
    """The settings that the flags give.

    Raises:
        ConfigError: an unknown mode.
    """
    from gnnvcell.data.fields import FieldsConfig

    given = {name: getattr(arguments, f"field_{name}") for name in _FLAGS}
    return FieldsConfig.parse({name: value for name, value in given.items() if value is not None})
