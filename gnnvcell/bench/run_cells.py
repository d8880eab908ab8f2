"""The benchmark on cells from files to files: a screen and saved graphs in; scores, tables and provenance out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gnnvcell.bench.arms import ALL, EACH, Selected, Whole, arms_of
from gnnvcell.bench.cell_jobs import cell_jobs, cell_scores
from gnnvcell.bench.cell_tasks import CellBenchConfig, CellBenchResult, CellFile, strata_of
from gnnvcell.bench.cells import labelled, labelled_models
from gnnvcell.bench.results import provenance_of
from gnnvcell.bench.run import load_graphs, model_settings
from gnnvcell.bench.running import run_jobs
from gnnvcell.bench.store import RunStore
from gnnvcell.data.fields import FieldsConfig

__all__ = ["CellBenchConfig", "CellBenchResult", "run_cell_bench"]


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
    file = CellFile(Path(path), config or CellBenchConfig(), fields, groups or {})
    chosen = labelled_models(models, model_settings(overrides, list(labelled(models))))
    loaded, task = load_graphs(graph_dirs), file.task()
    strata_of(task.task, file.groups)
    selections = [Selected(part, tuple(controls)) for part in (ALL, *([EACH] if per_source else []))]
    arms = [a for name, graph in loaded.items() for a in arms_of(Whole(name, graph), selections, file.config.splits)]
    jobs, store = list(cell_jobs(task, arms, chosen)), RunStore(Path(out_dir) / "runs")
    run_jobs(jobs, store, title="bench cells", progress=progress)
    return file.write(out_dir, cell_scores(jobs, store), task.task, provenance_of(loaded))
