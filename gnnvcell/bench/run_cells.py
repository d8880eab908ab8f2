"""The benchmark on cells from files to files: a screen and saved graphs in; scores, tables and provenance out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from gnnvcell.bench.cells import compare_on_cells, format_cells, labelled, summarise_cells
from gnnvcell.bench.published import compare_published, format_published
from gnnvcell.bench.results import provenance_of
from gnnvcell.bench.run import load_graphs, model_settings
from gnnvcell.bench.sources import per_source_graphs
from gnnvcell.config import Config, digest_of
from gnnvcell.data.cells import Cells
from gnnvcell.data.fields import FieldsConfig
from gnnvcell.errors import ConfigError, DataError, did_you_mean
from gnnvcell.files import sha256_of, write_text
from gnnvcell.tasks.held_out_cells import HeldOutCells
from gnnvcell.tasks.held_out_groups import in_folds, leave_one_out, singles_to_doubles


class CellBenchConfig(Config):
    """What is held out, and how effects are taken.

    Args:
        protocol: "leave-one-out": each perturbation in turn; "folds": several at a time; "doubles": combinations from
            all singles.
        folds: of "folds": how many.
        singles_seen: of "doubles": how many of a combination's targets were measured alone.
        splits: draws of disjoint halves of the control cells.
        seed: of the draws.
        min_cells: fewest cells of a perturbation.
        target_sum: what counts are scaled to before log1p; None is the median of the cells' totals.
        context: the cell type, where the file has several.
    """

    protocol: Literal["leave-one-out", "folds", "doubles"] = "leave-one-out"
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


def run_cell_bench(
    path: str | Path,
    graph_dirs: Sequence[str | Path],
    *,
    config: CellBenchConfig | None = None,
    fields: FieldsConfig | None = None,
    models: Sequence[str],
    controls: Sequence[str] = ("rewired",),
    per_source: bool = False,
    groups: Mapping[str, Sequence[str]] | None = None,
    overrides: Sequence[str] = (),
    out_dir: str | Path,
    progress: bool = True,
) -> CellBenchResult:
    """Score held-out perturbations of a screen on saved graphs and their controls, and write the results.

    Writes ``scores.csv``, ``summary.csv``, ``published.csv``, ``table.md`` and ``provenance.json`` into ``out_dir``,
    and each finished run into ``out_dir/runs``.

    Args:
        path: cells, .h5ad or .zarr.
        graph_dirs: folders of saved graphs; each is named after its folder.
        config: protocol.
        fields: columns of the file.
        models, controls: as of ``compare_on_cells``.
        per_source: also every source of each graph alone.
        groups: further strata by name, beside strong, weak and null effects.
        overrides: ``model.key=value`` settings.
        out_dir: where the results go.
        progress: show a progress bar.

    Raises:
        ConfigError: unknown model, control or setting.
        DataError: the cells have several cell types and none was chosen, or a group names a perturbation that is not
            held out.
    """
    config, out = config or CellBenchConfig(), Path(out_dir)
    cells = _of_context(Cells.open(path, fields, in_memory=True), config.context)
    loaded = load_graphs(graph_dirs)
    graphs = {}
    for name, graph in loaded.items():
        graphs.update(per_source_graphs(name, graph) if per_source else {name: graph})
    task = _task(cells, config)
    data = {"cells": sha256_of(path) if Path(path).is_file() else str(path), "fields": str(cells.fields)}
    scores = compare_on_cells(
        task,
        graphs,
        models=models,
        controls=controls,
        configs=model_settings(overrides, list(labelled(models))),
        data_digest=digest_of({**data, **config.model_dump(mode="json", exclude={"splits"})}),
        out_dir=out,
        progress=progress,
    )
    strata = _strata(task, groups or {})
    summary, published = summarise_cells(scores, strata, task.ceiling()), compare_published(scores, task.mean_cell())
    write_text(out / "scores.csv", scores.to_csv(index=False, float_format="%.6g"))
    write_text(out / "summary.csv", summary.to_csv(index=False, float_format="%.6g"))
    write_text(out / "published.csv", published.to_csv(index=False, float_format="%.6g"))
    write_text(out / "table.md", f"{format_cells(summary)}\n\n{format_published(published)}\n")
    provenance: dict[str, Any] = {**provenance_of(loaded), **data, "config": config.model_dump(mode="json")}
    write_text(out / "provenance.json", json.dumps({**provenance, "strata": strata}, indent=1))
    return CellBenchResult(scores, summary, strata, published)


def _of_context(cells: Cells, context: str | None) -> Cells:
    if context is None:
        return cells
    found = np.flatnonzero(cells.contexts == context)
    if not len(found):
        raise DataError(f"no cell is of the cell type {context!r}", remedy=did_you_mean(context, cells.contexts))
    return cells.take_cells(cells.context_code == found[0])


def _task(cells: Cells, config: CellBenchConfig) -> HeldOutCells:
    counts = np.bincount(cells.code[cells.code >= 0], minlength=len(cells.perturbations))
    names = cells.perturbations[counts >= config.min_cells].tolist()
    if not names:
        raise DataError(f"no perturbation has {config.min_cells} cells", remedy="lower min_cells")
    if config.protocol == "doubles":
        groups = singles_to_doubles(names, singles_seen=config.singles_seen)
    else:
        groups = in_folds(names, config.folds) if config.protocol == "folds" else leave_one_out(names)
    return HeldOutCells(
        cells,
        groups,
        splits=config.splits,
        seed=config.seed,
        min_cells=config.min_cells,
        target_sum=config.target_sum,
    )


def _strata(task: HeldOutCells, groups: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
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
