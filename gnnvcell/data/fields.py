"""Which columns of an AnnData say what: given by the user, or found by the names that people use."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from gnnvcell import keys
from gnnvcell.config import Config
from gnnvcell.errors import DataError, did_you_mean
from gnnvcell.perturbation import CONTROL_NAMES, Mode

# In order of preference.
PERTURBATION_COLUMNS = (
    keys.TARGET_GENE, keys.PERTURBATION, "gene", "condition", "target", "perturbed_gene", "gene_target", "treatment",
    "drug", "compound",
)  # fmt: skip
CELL_TYPE_COLUMNS = (keys.CELL_TYPE, "celltype", "cell_line", "cell.type", "cellline", keys.CONTEXT)
BATCH_COLUMNS = (
    keys.BATCH, "gem_group", "gem_batch", "batch_var", "batch_id", "bio_rep", "replicate", "sample", "plate", "lane",
)  # fmt: skip
GUIDE_COLUMNS = ("guide_id", "guide", "sgRNA", "guide_identity", "top_guide", "guide_ids")
DOSE_COLUMNS = ("dose", "dose_value", "concentration")
MODE_COLUMNS = ("perturbation_type", "perturbation_mode", "modality")
MORE_CONTROL_NAMES = ("DMSO", "DMSO_TF", "vehicle", "negative_control", "neg_ctrl", "safe-targeting", "NTC", "mock")
UNASSIGNED_NAMES = ("unassigned", "unknown", "ambiguous", "multiplet", "doublet", "negative", "na", "nan", "none", "")


class FieldsConfig(Config):
    """Which columns to use; what is left out is found by the names that people use.

    Args:
        perturbation: obs column with the perturbation of each cell ("A", "A+B", "A+ctrl", "A|drug@1uM").
        control: label of the control cells in it.
        cell_type: obs column with cell types or cell lines (the contexts).
        batch: obs column with batches, in which perturbed cells are compared with controls; "" for none.
        guide: obs column with guides.
        dose: obs column with doses (such as "1uM", or a number in uM), used for drugs.
        mode: obs column with the mode (CRISPRi, CRISPRa, KO, drug).
        perturbation_mode: one mode for all perturbations of the file.
        gene_names: var column with gene names; the index when left out.
        layer: layer with the values; X when left out.
        unassigned: labels, in any case, of cells whose perturbation is not known. They are left out, and counted.
    """

    perturbation: str | None = None
    control: str | None = None
    cell_type: str | None = None
    batch: str | None = None
    guide: str | None = None
    dose: str | None = None
    mode: str | None = None
    perturbation_mode: Mode | None = None
    gene_names: str | None = None
    layer: str | None = None
    unassigned: tuple[str, ...] = UNASSIGNED_NAMES


@dataclass(frozen=True)
class Fields:
    """Columns as they were resolved; None where there is none.

    Args:
        perturbation: obs column of perturbations.
        control: label of control cells, as it is written in the file; None where no cell has one.
        cell_type: obs column of contexts.
        batch: obs column of batches.
        guide: obs column of guides.
        dose: obs column of doses.
        mode: obs column of modes.
        perturbation_mode: one mode for all.
        gene_names: var column of gene names; None is the index.
        layer: layer with the values; None is X.
        unassigned: labels of cells whose perturbation is not known.
        found: fields that were detected and not given.
    """

    perturbation: str
    control: str | None
    cell_type: str | None
    batch: str | None
    guide: str | None
    dose: str | None
    mode: str | None
    perturbation_mode: Mode | None
    gene_names: str | None
    layer: str | None
    unassigned: tuple[str, ...]
    found: tuple[str, ...]


def find_fields(obs: pd.DataFrame, var: pd.DataFrame, config: FieldsConfig | None = None) -> Fields:
    """Resolve the fields of a file.

    The perturbation column is the first of ``PERTURBATION_COLUMNS`` that has a control label in it, failing that the
    first that is there. Its control label is the first of the usual names.

    Args:
        obs: cells.
        var: genes.
        config: what the user says.

    Raises:
        DataError: a column that was named is not there, no column of perturbations can be found, or no cell has the
            control label that was named (with the nearest).
    """
    config = config or FieldsConfig()
    for field in ("perturbation", "cell_type", "batch", "guide", "dose", "mode"):
        _require(getattr(config, field), obs.columns, f"obs column of the {field.replace('_', ' ')}")
    _require(config.gene_names, var.columns, "var column of gene names")
    perturbation = config.perturbation or _perturbation_column(obs, config.control)
    resolved = {
        "cell_type": _column(config.cell_type, obs, CELL_TYPE_COLUMNS),
        "batch": _column(config.batch, obs, BATCH_COLUMNS),
        "guide": _column(config.guide, obs, GUIDE_COLUMNS),
        "dose": _column(config.dose, obs, DOSE_COLUMNS),
        "mode": _mode_column(config, obs),
    }
    given = {field for field in (*resolved, "perturbation", "control") if getattr(config, field) is not None}
    control = _control_label(pd.Series(obs[perturbation]), config.control, perturbation)
    everything = {"perturbation": perturbation, "control": control, **resolved}
    return Fields(
        **everything,
        perturbation_mode=config.perturbation_mode,
        gene_names=config.gene_names,
        layer=config.layer,
        unassigned=tuple(name.casefold() for name in config.unassigned),
        found=tuple(field for field, value in everything.items() if value is not None and field not in given),
    )


def labels_in(column: pd.Series) -> list[str]:
    """The distinct labels of a column of cells, missing ones left out."""
    values = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column.dropna().unique()
    return [str(value) for value in values]


def _require(name: str | None, columns: Iterable[str], what: str) -> None:
    if name and name not in columns:
        raise DataError(f"there is no {what} {name!r}", remedy=did_you_mean(name, columns))


def _column(given: str | None, obs: pd.DataFrame, usual: Iterable[str]) -> str | None:
    if given is not None:
        return given or None
    return next((name for name in usual if name in obs.columns), None)


def _mode_column(config: FieldsConfig, obs: pd.DataFrame) -> str | None:
    """A column found by its name counts only if every label in it is a mode: screens name other things so too."""
    if config.mode is not None or config.perturbation_mode is not None:
        return config.mode or None
    modes = {mode.value.casefold() for mode in Mode}
    for name in MODE_COLUMNS:
        if name in obs.columns and {label.casefold() for label in labels_in(pd.Series(obs[name]))} <= modes:
            return name
    return None


def _perturbation_column(obs: pd.DataFrame, control: str | None) -> str:
    there = [name for name in PERTURBATION_COLUMNS if name in obs.columns]
    if not there:
        raise DataError(
            "no obs column says which perturbation a cell has",
            expected=f"one of {', '.join(PERTURBATION_COLUMNS)}, or the name of yours",
            found=", ".join(map(str, obs.columns)) or "no columns",
            remedy="name it: --perturbation COLUMN, or FieldsConfig(perturbation=...)",
        )
    for name in there:
        labels = labels_in(pd.Series(obs[name]))
        if control in labels if control else _usual_control(labels) is not None:
            return name
    return there[0]


def _usual_control(labels: Iterable[str]) -> str | None:
    by_case = {label.strip().casefold(): label for label in labels}
    usual = (*CONTROL_NAMES, *MORE_CONTROL_NAMES)
    return next((by_case[name.casefold()] for name in usual if name.casefold() in by_case), None)


def _control_label(column: pd.Series, given: str | None, name: str) -> str | None:
    labels = labels_in(column)
    if given is None:
        return _usual_control(labels)
    if given not in labels:
        raise DataError(f"no cell has {name} = {given!r}, the control label", remedy=did_you_mean(given, labels))
    return given
