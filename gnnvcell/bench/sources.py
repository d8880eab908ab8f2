"""Which graph source helps: every model on every graph, real and control, over seeds."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gnnvcell.bench.arms import REAL, Selected, Whole, arms_of
from gnnvcell.bench.label_jobs import LabelTask, chosen_models, label_jobs, label_records
from gnnvcell.bench.running import run_jobs
from gnnvcell.bench.store import RunStore
from gnnvcell.data.effects import EffectTable
from gnnvcell.errors import ConfigError
from gnnvcell.graphs.gene_graph import GeneGraph

__all__ = ["REAL", "compare_sources", "per_source_graphs"]


def per_source_graphs(name: str, graph: GeneGraph) -> dict[str, GeneGraph]:
    """A graph whole and by source.

    Args:
        name: the graph's name.
        graph: a graph whose manifest tells which source gave which relation.

    Returns:
        ``{name: graph, "name/source": only that source's relations, ...}``. The node set stays the same, so that the
        sources are compared on the same genes.
    """
    parts = {f"{name}/{source}": graph.select(relations) for source, relations in graph.source_relations.items()}
    return {name: graph, **parts}


def compare_sources(
    tables: Sequence[EffectTable],
    graphs: Mapping[str, GeneGraph],
    *,
    models: Sequence[str] = ("smoother", "propagation", "knn"),
    controls: Sequence[str] = ("rewired", "permuted"),
    seeds: int = 5,
    configs: Mapping[str, Mapping[str, Any]] | None = None,
    out_dir: str | Path | None = None,
    progress: bool = True,
    on_record: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Fit every model on every graph and control, and score held-out perturbations.

    A model that does not use its seed is fitted once on the real graph, and its scores stand for every seed. Controls
    are drawn anew for each seed, and the model's seed goes with it, so that real and control pair by seed.

    Args:
        tables: label tables with train and test perturbations; ``context`` names the line.
        graphs: name to graph.
        models: names in ``MODELS``.
        controls: names in ``CONTROLS`` beside the real graph.
        seeds: number of seeds, from 0.
        configs: model name to settings that differ from its defaults.
        out_dir: where finished runs are kept; a second call goes on where the first stopped.
        progress: show a progress bar.
        on_record: called with each finished run.

    Returns:
        Records with ``line, task, model, graph, control, seed, metric, value, seconds, run``, one per metric. ``run``
        names the run's file in ``out_dir/runs``; what the runs score is in ``out_dir/units``.

    Raises:
        ConfigError: unknown model or control, no tables, graphs or seeds.
    """
    if not (tables and graphs and models and seeds > 0):
        raise ConfigError(
            "nothing to compare", expected="at least one table, graph, model and seed", found=f"seeds={seeds}"
        )
    tasks, chosen = [LabelTask(table) for table in tables], chosen_models(models, configs or {})
    wholes = [Whole(name, graph) for name, graph in graphs.items()]
    arms = [arm for whole in wholes for arm in arms_of(whole, [Selected(controls=tuple(controls))], seeds)]
    jobs = list(label_jobs(tasks, arms, {task.name: chosen for task in tasks}))
    store = RunStore(Path(out_dir) / "runs" if out_dir is not None else None)
    if out_dir is not None:
        for task in tasks:
            task.save_units(Path(out_dir))
    run_jobs(jobs, store, title="bench sources", progress=progress)
    return label_records(jobs, store, on_record=on_record)
