"""Models on cells: held-out perturbations of a screen, on real and control graphs, over draws of the control cells."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from gnnvcell.bench.arms import REAL, Selected, Whole, arms_of
from gnnvcell.bench.cell_jobs import NO_GRAPH, CellTask, cell_jobs, cell_scores
from gnnvcell.bench.label_jobs import ChosenModel
from gnnvcell.bench.running import run_jobs
from gnnvcell.bench.store import RunStore
from gnnvcell.errors import ConfigError
from gnnvcell.graphs.controls import CONTROLS
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models import find_model
from gnnvcell.tasks.held_out_cells import SCORES, HeldOutCells

CEILING = "split-half ceiling"
ALL = "all"
_WHERE = ["model", "graph", "control"]


def labelled(models: Sequence[str]) -> dict[str, str]:
    """Label to model, of texts ``MODEL`` or ``LABEL=MODEL``.

    Raises:
        ConfigError: two models have one label.
    """
    found: dict[str, str] = {}
    for text in models:
        label, separator, model = text.partition("=")
        if label in found:
            raise ConfigError(f"two models are called {label!r}", remedy="name them apart: LABEL=MODEL")
        found[label] = model if separator else label
    return found


def compare_on_cells(
    task: HeldOutCells,
    graphs: Mapping[str, GeneGraph],
    *,
    models: Sequence[str],
    controls: Sequence[str] = ("rewired",),
    configs: Mapping[str, Mapping[str, Any]] | None = None,
    data_digest: str = "",
    out_dir: str | Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Fit every model on every graph and control, for every draw of the control cells.

    The number of a draw is the seed of the model and of the control graph, so that real and control pair by draw.
    Models that do not look at the graph run once for a draw.

    Args:
        task: the screen, what is held out, and the draws.
        graphs: name to graph.
        models: names of models, of effects or of cells; "LABEL=NAME" runs one again with other settings.
        controls: names in ``CONTROLS`` beside the real graph.
        configs: label of a model to settings that differ from its defaults.
        data_digest: of all that the task depends on; needed to go on in ``out_dir``.
        out_dir: where finished runs are kept; a second call goes on where the first stopped.
        progress: show a progress bar.

    Returns:
        One row per (model, graph, control, split, held-out perturbation) with ``SCORES``, the scores as bio-JEPA
        publishes them (``gnnvcell.metrics.published_scores``) and the run's seconds.

    Raises:
        ConfigError: unknown model or control, no graph or model, or a folder to keep runs in and no digest.
    """
    if not (graphs and models):
        raise ConfigError("nothing to compare", expected="at least one graph and model")
    if out_dir is not None and not data_digest:
        raise ConfigError("runs are kept by the digest of their data, and there is none", remedy="pass data_digest=")
    for control in controls:
        CONTROLS.get(control)
    store = RunStore(Path(out_dir) / "runs" if out_dir is not None else None)
    arms = [
        arm
        for name, graph in graphs.items()
        for arm in arms_of(Whole(name, graph), [Selected(controls=tuple(controls))], task.splits)
    ]
    cell_task = CellTask(lambda: task, data_digest, task.target_sum)
    jobs = list(cell_jobs(cell_task, arms, labelled_models(models, configs or {})))
    run_jobs(jobs, store, title="bench cells", progress=progress)
    return cell_scores(jobs, store)


def labelled_models(models: Sequence[str], configs: Mapping[str, Mapping[str, Any]]) -> list[ChosenModel]:
    """Models from texts ``MODEL`` or ``LABEL=MODEL``, with the settings of their labels.

    Raises:
        ConfigError: two models have one label, or an unknown model or setting.
    """
    return [
        ChosenModel(label, name, find_model(name).config_class.parse(configs.get(label, {}), where=f"model {label}"))
        for label, name in labelled(models).items()
    ]


def summarise_cells(
    scores: pd.DataFrame, strata: Mapping[str, Sequence[str]], ceiling: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Mean scores of each stratum, with their standard deviation over draws.

    Args:
        scores: what ``compare_on_cells`` returns.
        strata: name to held-out perturbations; they may overlap.
        ceiling: ``HeldOutCells.ceiling``; a row of its own.

    Returns:
        One row per (model, graph, control, stratum): for each score its mean over perturbations and draws, and
        ``<score>_sd``, over draws of the mean over perturbations; ``seconds`` of a run.
    """
    if ceiling is not None:
        top = ceiling.assign(model=CEILING, graph=NO_GRAPH, control=REAL, seconds=float("nan"))
        scores = pd.concat([top, scores], ignore_index=True)
    parts = []
    for stratum, names in {**strata, ALL: scores["perturbation"].unique()}.items():
        inside = scores[scores["perturbation"].isin(list(names))]
        draws: Any = inside.groupby([*_WHERE, "split"], sort=False)[[*SCORES, "seconds"]].mean()
        groups = draws.groupby(level=_WHERE, sort=False)
        table = groups.mean().join(groups[list(SCORES)].std(ddof=1).add_suffix("_sd"))
        parts.append(table.reset_index().assign(stratum=stratum))
    return pd.concat(parts, ignore_index=True)


def format_cells(summary: pd.DataFrame) -> str:
    """A Markdown table: one line per model, graph and control; in each stratum r / centred r / mean squared error.

    Errors are in thousandths.
    """
    strata = list(dict.fromkeys(summary["stratum"]))
    lines = [
        "| " + " | ".join([*_WHERE, *(f"{name}: r / r_c / MSE x 1e3" for name in strata)]) + " |",
        "|" + "---|" * (len(_WHERE) + len(strata)),
    ]
    for where, rows in summary.groupby(_WHERE, sort=False):
        by_stratum = rows.set_index("stratum")
        cells = [_three(by_stratum.loc[name]) if name in by_stratum.index else "" for name in strata]
        lines.append("| " + " | ".join([*map(str, where), *cells]) + " |")  # type: ignore[arg-type]
    return "\n".join(lines)


def _three(row: Any) -> str:
    r, centred, error = row["pearson_delta"], row["centred_pearson_delta"], 1e3 * row["mse_delta"]
    spread = "" if pd.isna(row["mse_delta_sd"]) else f" ± {1e3 * row['mse_delta_sd']:.1f}"
    return f"{r:.2f} / {centred:.2f} / {error:.1f}{spread}"
