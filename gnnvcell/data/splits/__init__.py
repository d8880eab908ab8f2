"""Splits into training, validation and test: one file per strategy, a leak check, and cell-load's TOML files."""

from gnnvcell.data.splits.by_perturbation import by_perturbation
from gnnvcell.data.splits.complexes import by_complexes, groups_of_sets
from gnnvcell.data.splits.conditions import Conditions
from gnnvcell.data.splits.doubles import by_doubles
from gnnvcell.data.splits.files import conditions_of_files, find_dataset_files, load_split
from gnnvcell.data.splits.held_out import by_cell_type, by_few_shot
from gnnvcell.data.splits.identity import Identity
from gnnvcell.data.splits.leaks import check_leaks, find_leaks
from gnnvcell.data.splits.rules import LeakRules
from gnnvcell.data.splits.split import Split
from gnnvcell.data.splits.toml import SplitFile, write_split

__all__ = [
    "Conditions",
    "Identity",
    "LeakRules",
    "Split",
    "SplitFile",
    "by_cell_type",
    "by_complexes",
    "by_doubles",
    "by_few_shot",
    "by_perturbation",
    "check_leaks",
    "conditions_of_files",
    "find_dataset_files",
    "find_leaks",
    "groups_of_sets",
    "load_split",
    "write_split",
]
