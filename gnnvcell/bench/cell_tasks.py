"""Cell tasks from files: what is held out of a screen, its strata, and the tables that are written."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell.bench.cell_jobs import CellTask
from gnnvcell.bench.cells import format_cells, summarise_cells
from gnnvcell.bench.published import compare_published, format_published
from gnnvcell.config import Config, digest_of
from gnnvcell.data.cells import Cells
from gnnvcell.data.fields import FieldsConfig
from gnnvcell.errors import ConfigError, DataError, did_you_mean
from gnnvcell.files import require_file, sha256_of, write_text
from gnnvcell.tasks.held_out_cells import HeldOutCells
from gnnvcell.tasks.held_out_groups import all_at_once, in_folds, leave_one_out, singles_to_doubles


class CellBenchConfig(Config):
    """What is held out, and how effects are taken.

    Args:
        protocol: "leave-one-out": each perturbation in turn; "folds": several at a time; "doubles": combinations from
            all singles; "context": all perturbations of one cell type, from those of the others.
        folds: of "folds": how many.
        singles_seen: of "doubles": how many of a combination's targets were measured alone.
        splits: draws of disjoint halves of the control cells.
        seed: of the draws.
        min_cells: fewest cells of a perturbation.
        target_sum: what counts are scaled to before log1p; None is the median of the cells' totals.
        context: the cell type, where the file has several: the only one that is looked at, or, of "context", the one
            that is held out.
    """

    protocol: Literal["leave-one-out", "folds", "doubles", "context"] = "leave-one-out"
    folds: int = 4
    singles_seen: int = 2
    splits: int = 10
    seed: int = 0
    min_cells: int = 100
    target_sum: float | None = None
    context: str | None = None


@dataclass(frozen=True, eq=False)
class CellBenchResult:
    """What a benchmark on cells gave.

    Args:
        scores: one row per (model, graph, control, split, perturbation).
        summary: mean and spread by stratum.
        strata: stratum to perturbations.
        published: scores as bio-JEPA publishes them, beside those that say what was learned.
    """

    scores: pd.DataFrame
    summary: pd.DataFrame
    strata: dict[str, list[str]]
    published: pd.DataFrame

    def __str__(self) -> str:
        strata = [f"{name}: {', '.join(members)}" for name, members in self.strata.items()]
        return "\n".join([*strata, "", format_cells(self.summary), "", format_published(self.published)])


@dataclass(frozen=True)
class CellFile:
    """A screen and what is held out of it.

    Args:
        path: cells, .h5ad or .zarr.
        config: protocol.
        fields: columns of the file.
        groups: further strata by name, beside strong, weak and null effects.
    """

    path: Path
    config: CellBenchConfig
    fields: FieldsConfig | None
    groups: Mapping[str, Sequence[str]]

    def data(self) -> dict[str, str]:
        """What tells the data apart from others.

        Raises:
            MissingFileError: there is no file.
        """
        path = self.path if self.path.is_dir() else require_file(self.path)
        return {"cells": str(path) if path.is_dir() else sha256_of(path), "fields": str(self.fields or FieldsConfig())}

    def task(self) -> CellTask:
        """The task, which reads the cells when it is asked for them."""
        settings = self.config.model_dump(mode="json", exclude={"splits"})
        return CellTask(partial(_read, self), digest_of({**self.data(), **settings}), self.config.target_sum)

    def write(
        self, out_dir: str | Path, scores: pd.DataFrame, task: HeldOutCells, provenance: Mapping[str, Any]
    ) -> CellBenchResult:
        """Write ``scores.csv``, ``summary.csv``, ``published.csv``, ``table.md`` and ``provenance.json``.

        Raises:
            ConfigError: a group names a perturbation that is not held out.
        """
        out = Path(out_dir)
        strata = strata_of(task, self.groups)
        summary = summarise_cells(scores, strata, task.ceiling())
        published = compare_published(scores, task.mean_cell())
        for name, table in (("scores", scores), ("summary", summary), ("published", published)):
            write_text(out / f"{name}.csv", table.to_csv(index=False, float_format="%.6g"))
        write_text(out / "table.md", f"{format_cells(summary)}\n\n{format_published(published)}\n")
        told = {**provenance, **self.data(), "config": self.config.model_dump(mode="json"), "strata": strata}
        write_text(out / "provenance.json", json.dumps(told, indent=1))
        return CellBenchResult(scores, summary, strata, published)


def _read(file: CellFile) -> HeldOutCells:
    """Open the cells and take their effects.

    Raises:
        DataError: the cells have several cell types and none was chosen, or nothing is there to hold out.
    """
    config, held_out = file.config, None
    cells = Cells.open(file.path, file.fields, in_memory=True)
    if config.protocol == "context":
        if config.context is None:
            raise ConfigError("the cell type to hold out is missing", expected=", ".join(map(str, cells.contexts)))
        held_out, inside = config.context, cells.context_code == cells.context_position(config.context)
        groups = all_at_once(_names(cells, inside, config.min_cells), _names(cells, ~inside, config.min_cells))
    else:
        if config.context is not None:
            cells = cells.take_cells(cells.context_code == cells.context_position(config.context))
        names = _names(cells, np.ones(len(cells), dtype=bool), config.min_cells)
        if not names:
            raise DataError(f"no perturbation has {config.min_cells} cells", remedy="lower min_cells")
        if config.protocol == "doubles":
            groups = singles_to_doubles(names, singles_seen=config.singles_seen)
        else:
            groups = in_folds(names, config.folds) if config.protocol == "folds" else leave_one_out(names)
    return HeldOutCells(
        cells,
        groups,
        context=held_out,
        splits=config.splits,
        seed=config.seed,
        min_cells=config.min_cells,
        target_sum=config.target_sum,
    )


def _names(cells: Cells, inside: NDArray[np.bool_], min_cells: int) -> list[str]:
    """Perturbations with so many cells in one of the cell types."""
    most = np.zeros(len(cells.perturbations), dtype=np.int64)
    for code in np.unique(cells.context_code[inside]):
        of_type = cells.code[inside & (cells.context_code == code) & (cells.code >= 0)]
        most = np.maximum(most, np.bincount(of_type, minlength=len(most)))
    return cells.perturbations[most >= min_cells].tolist()


def strata_of(task: HeldOutCells, groups: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Strong, weak and null effects and the groups, each with its held-out perturbations.

    Raises:
        ConfigError: a group names a perturbation that is not held out.
    """
    stratum = task.strata()
    for group, names in groups.items():
        for name in names:
            if name not in stratum:
                raise ConfigError(
                    f"the group {group!r} names {name!r}, which is not held out", remedy=did_you_mean(name, stratum)
                )
    kinds = sorted(set(stratum.values()), key=("strong", "weak", "null").index)
    by_kind = {kind: [name for name, value in stratum.items() if value == kind] for kind in kinds}
    return {**by_kind, **{group: list(names) for group, names in groups.items()}}
