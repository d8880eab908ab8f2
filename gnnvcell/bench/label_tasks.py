"""Label tasks from files: tables of labels, with the split of the files or a complex-disjoint one."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from gnnvcell import keys
from gnnvcell.bench.label_jobs import LabelTask
from gnnvcell.bench.suite_config import ComplexSplitConfig, LabelTaskConfig
from gnnvcell.config import Config
from gnnvcell.data.effects import EffectTable
from gnnvcell.data.labels import read_label_folder
from gnnvcell.data.splits import Conditions, by_complexes, groups_of_sets
from gnnvcell.data.splits.conditions import DATASET
from gnnvcell.files import require_file
from gnnvcell.genes.gmt import read_gmt


def read_label_tasks(tasks: Mapping[str, Config]) -> dict[str, list[LabelTask]]:
    """Name in the suite to the label tasks that it stands for, one per line and kind; other tasks are passed over.

    Raises:
        DataError, FileFormatError: labels or gene sets cannot be read, or the complexes cannot be divided.
    """
    found = {}
    for name, config in tasks.items():
        if not isinstance(config, LabelTaskConfig):
            continue
        tables = read_label_folder(config.labels, config.lines, config.kinds)
        if config.complexes is not None:
            tables = [complex_disjoint(table, config.complexes) for table in tables]
        found[name] = [LabelTask(table, config.label) for table in tables]
    return found


def complex_disjoint(table: EffectTable, config: ComplexSplitConfig) -> EffectTable:
    """The labels of a line split anew, so that no held-out gene shares a complex with a training gene.

    Raises:
        DataError: the complexes cannot be divided like that, or no perturbed gene is in one.
    """
    sets = {one.name: one.genes for one in read_gmt(require_file(Path(config.gene_sets)))}
    columns = {DATASET: "labels", keys.CELL_TYPE: table.context, keys.PERTURBATION: table.perturbations}
    split = by_complexes(
        Conditions(pd.DataFrame(columns)),
        groups_of_sets(sets),
        fractions=(1 - config.test_share, 0.0, config.test_share),
        seed=config.seed,
        max_set_size=config.max_set_size,
    )
    return split.apply_to_effects(table, dataset="labels")
