"""The benchmark from folders to files: labels and saved graphs in; results.json, tables and provenance out."""

import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from gnnvcell import __version__
from gnnvcell.bench.coalitions import coalition_graphs
from gnnvcell.bench.sources import compare_sources, per_source_graphs
from gnnvcell.bench.table import format_table, summarise
from gnnvcell.config import apply_overrides
from gnnvcell.data.labels import read_label_folder
from gnnvcell.errors import ConfigError
from gnnvcell.files import write_text
from gnnvcell.graphs.gene_graph import GeneGraph


@dataclass(frozen=True, eq=False)
class BenchResult:
    """What a benchmark gave.

    Args:
        records: one per (line, task, model, graph, control, seed, metric).
        summary: mean and spread over seeds of the headline metric.
        provenance: command, versions, hardware and digests.
        runs: one per model fit, with its strata by graph support.
    """

    records: list[dict[str, Any]]
    summary: pd.DataFrame
    provenance: dict[str, Any]
    runs: list[dict[str, Any]]


def run_bench(
    labels: str | Path,
    graph_dirs: Sequence[str | Path],
    *,
    lines: Sequence[str],
    tasks: Sequence[str] = ("de", "dir"),
    models: Sequence[str] = ("smoother", "propagation", "knn"),
    controls: Sequence[str] = ("rewired", "permuted"),
    seeds: int = 5,
    per_source: bool = False,
    leave_one_out: bool = False,
    coalitions: bool = False,
    overrides: Sequence[str] = (),
    out_dir: str | Path,
    progress: bool = True,
) -> BenchResult:
    """Score unseen perturbations on saved graphs and their controls, and write the results.

    Writes ``results.json`` (the records), ``table.csv``, ``table.md`` and ``provenance.json`` into ``out_dir``, and
    each finished run into ``out_dir/runs``. Statistics are made from these files (``bench.folder``).

    Args:
        labels: folder of ``<line>-de.csv[.gz]`` and ``<line>-dir.csv[.gz]``.
        graph_dirs: folders of saved graphs; each is named after its folder.
        lines: cell lines.
        tasks: "de", "dir".
        models: names in ``MODELS``.
        controls: names in ``CONTROLS``.
        seeds: number of seeds.
        per_source: also every source of each graph alone.
        leave_one_out: also each graph without each of its sources.
        coalitions: also every set of sources of each graph, for Shapley values; it holds the two above.
        overrides: ``model.key=value`` settings.
        out_dir: where the results go.
        progress: show a progress bar.

    Raises:
        ConfigError: two graphs of one name, an override for a model that is not compared, or an unknown name.
        FileFormatError, GraphIntegrityError, DataError: an input cannot be used.
    """
    out = Path(out_dir)
    tables = read_label_folder(labels, lines, tasks)
    loaded = load_graphs(graph_dirs)
    graphs = {}
    for name, graph in loaded.items():
        graphs.update(per_source_graphs(name, graph) if per_source else {name: graph})
        if leave_one_out or coalitions:
            graphs.update(coalition_graphs(name, graph, every=coalitions))
    runs: list[dict[str, Any]] = []
    records = compare_sources(
        tables,
        graphs,
        models=models,
        controls=controls,
        seeds=seeds,
        configs=model_settings(overrides, models),
        out_dir=out,
        progress=progress,
        on_record=runs.append,
    )
    summary = summarise(records)
    provenance = provenance_of(loaded)
    write_results(out, records, summary)
    write_text(out / "provenance.json", json.dumps(provenance, indent=1))
    return BenchResult(records, summary, provenance, runs)


def write_results(out_dir: str | Path, records: Sequence[dict[str, Any]], summary: pd.DataFrame) -> None:
    """Write ``results.json`` (the records), ``table.csv`` and ``table.md`` (the summary)."""
    out = Path(out_dir)
    write_text(out / "results.json", json.dumps(list(records), indent=1))
    write_text(out / "table.csv", summary.to_csv(index=False, float_format="%.4f"))
    write_text(out / "table.md", format_table(summary) + "\n")


def load_graphs(folders: Sequence[str | Path]) -> dict[str, GeneGraph]:
    """Saved graphs, named after their folders.

    Raises:
        ConfigError: two have one name.
    """
    graphs: dict[str, GeneGraph] = {}
    for folder in folders:
        name = Path(folder).resolve().name
        if name in graphs:
            raise ConfigError(f"two graphs are called {name!r}", remedy="rename one of the folders")
        graphs[name] = GeneGraph.load(folder)
    return graphs


def model_settings(overrides: Sequence[str], models: Sequence[str]) -> dict[str, Any]:
    """Model to settings, from ``MODEL.KEY=VALUE`` texts.

    Raises:
        ConfigError: a text names no model of this run.
    """
    settings = apply_overrides({}, overrides)
    for name, values in settings.items():
        if name not in models or not isinstance(values, dict):
            raise ConfigError(
                f"the override of {name!r} changes no model of this run",
                expected="MODEL.KEY=VALUE",
                found=f"models {', '.join(models)}",
            )
    return settings


def provenance_of(graphs: dict[str, GeneGraph]) -> dict[str, Any]:
    """Command, versions, hardware and digests of graphs."""
    return {
        "command": " ".join(["gnnvcell", *sys.argv[1:]]),
        "gnnvcell": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "graphs": {name: graph.digest for name, graph in graphs.items()},
    }
