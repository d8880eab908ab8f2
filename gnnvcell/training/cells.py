"""The cells of a training run: from one file, or from the files of a split as one."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp

from gnnvcell import keys
from gnnvcell.data.cell_sets.expression import gene_columns
from gnnvcell.data.cells import Cells
from gnnvcell.data.fields import FieldsConfig
from gnnvcell.data.matrix import MemoryMatrix
from gnnvcell.data.splits.draws import TRAIN, VAL
from gnnvcell.data.splits.files import find_dataset_files, load_split
from gnnvcell.data.splits.toml import SplitFile
from gnnvcell.errors import DataError
from gnnvcell.training.config import DataConfig


def read_cells(config: DataConfig) -> tuple[Cells, Cells | None]:
    """Training and validation cells, each with its controls; None where no validation cells are given.

    Raises:
        DataError: as of ``load_split``, or files whose values are of different kinds or whose genes differ.
        FileFormatError: a file is missing or damaged.
    """
    if config.cells is not None:
        held_out = Cells.open(config.validation, config.fields) if config.validation is not None else None
        return Cells.open(config.cells, config.fields), held_out
    assert config.split is not None
    split, file = load_split(config.split, config.fields, folder=config.folder), SplitFile.read(config.split)
    parts: dict[str, list[Cells]] = {TRAIN: [], VAL: []}
    for dataset in dict.fromkeys(split.table["dataset"]):
        for path in find_dataset_files(file.datasets[dataset], config.folder):
            cells = Cells.open(path, config.fields)
            found = set(split.apply_to_cells(cells, dataset=dataset).tolist())
            for part in sorted(parts.keys() & found):
                parts[part].append(cells.take_cells(split.rows(cells, part, dataset=dataset)))
    if not parts[TRAIN]:
        raise DataError("no cell is in the part 'train'", remedy="add a data set to [training] of the split")
    return joined_cells(parts[TRAIN]), joined_cells(parts[VAL]) if parts[VAL] else None


def joined_cells(files: Sequence[Cells]) -> Cells:
    """Cells of several files as one, in memory; perturbations, cell types and batches of the same name are one.

    Raises:
        DataError: values of different kinds, or a file that lacks genes of the first.
    """
    if len(files) == 1:
        return files[0]
    kinds = {cells.values.value for cells in files}
    if len(kinds) > 1:
        raise DataError(
            "the files hold values of different kinds",
            expected="counts in all, or log1p values in all",
            found=", ".join(sorted(kinds)),
            remedy="name the layer with the counts: data.fields.layer",
        )
    genes = [str(gene) for gene in files[0].genes]
    values = sp.csr_matrix(
        sp.vstack([sp.csr_matrix(cells.take(np.arange(len(cells))))[:, gene_columns(cells, genes)] for cells in files])
    )
    obs = pd.concat([_standard_obs(cells) for cells in files], ignore_index=True)
    obs.index = obs.index.astype(str)
    fields = FieldsConfig(
        perturbation=keys.TARGET_GENE, control=keys.NON_TARGETING, cell_type=keys.CELL_TYPE, batch=keys.BATCH
    )
    return Cells(obs, pd.DataFrame(index=pd.Index(genes)), MemoryMatrix(values), fields)


def _standard_obs(cells: Cells) -> pd.DataFrame:
    """Labels of cells under one set of names; those of controls become one label."""
    names = np.append(cells.perturbations.astype(object), [FieldsConfig().unassigned[0], keys.NON_TARGETING])
    return pd.DataFrame(
        {
            keys.TARGET_GENE: names[cells.code],  # codes -2 and -1 are the last two
            keys.CELL_TYPE: cells.contexts[cells.context_code],
            keys.BATCH: cells.batches[cells.batch_code],
        }
    )
