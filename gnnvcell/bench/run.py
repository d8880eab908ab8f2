"""The comparison of graph sources from folders: labels and saved graphs in; a suite of one task does it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gnnvcell.bench.arms import ALL, COALITIONS, EACH, LEAVE_ONE_OUT
from gnnvcell.bench.suite import SuiteResult, run_suite
from gnnvcell.bench.suite_config import SuiteConfig
from gnnvcell.config import apply_overrides
from gnnvcell.errors import ConfigError
from gnnvcell.graphs.gene_graph import GeneGraph


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
    processes: int | None = None,
    progress: bool = True,
) -> SuiteResult:
    """Score unseen perturbations on saved graphs and their controls, and write the results (``run_suite``).

    Statistics are made from what is written (``bench.folder``).

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
        processes: that share the work; None does it in this one.
        progress: show a progress bar.

    Raises:
        ConfigError: two graphs of one name, an override for a model that is not compared, or an unknown name.
        FileFormatError, GraphIntegrityError, DataError: an input cannot be used.
    """
    wanted = {EACH: per_source, LEAVE_ONE_OUT: leave_one_out, COALITIONS: coalitions}
    parts = [ALL, *(part for part, asked in wanted.items() if asked)]
    given = model_settings(overrides, models)
    config = SuiteConfig.parse(
        {
            "tasks": {"labels": {"labels": str(labels), "lines": list(lines), "kinds": list(tasks)}},
            "models": {name: given.get(name, {}) for name in models},
            "graphs": {name: {"saved": folder, "parts": parts} for name, folder in named_folders(graph_dirs).items()},
            "controls": list(controls),
            "seeds": seeds,
        }
    )
    return run_suite(config.check(), out_dir, processes=processes, progress=progress)


def named_folders(folders: Sequence[str | Path]) -> dict[str, str]:
    """Folders of saved graphs by their own names.

    Raises:
        ConfigError: two have one name.
    """
    named: dict[str, str] = {}
    for folder in folders:
        name = Path(folder).resolve().name
        if name in named:
            raise ConfigError(f"two graphs are called {name!r}", remedy="rename one of the folders")
        named[name] = str(folder)
    return named


def load_graphs(folders: Sequence[str | Path]) -> dict[str, GeneGraph]:
    """Saved graphs, named after their folders.

    Raises:
        ConfigError: two have one name.
    """
    return {name: GeneGraph.load(folder) for name, folder in named_folders(folders).items()}


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
