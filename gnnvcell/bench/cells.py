"""Models on cells: held-out perturbations of a screen, on real and control graphs, over draws of the control cells."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from gnnvcell import __version__
from gnnvcell.bench.arms import REAL, Arm, Selected, Whole, arms_of
from gnnvcell.bench.running import refresh_interval
from gnnvcell.bench.store import RunStore
from gnnvcell.config import Config, digest_of
from gnnvcell.errors import ConfigError
from gnnvcell.graphs.controls import CONTROLS
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.metrics import PUBLISHED
from gnnvcell.models import find_model
from gnnvcell.models.cell_model import CellModel, ChangesCells
from gnnvcell.tasks.held_out_cells import SCORES, HeldOutCells

NO_GRAPH = "-"
CEILING = "split-half ceiling"
ALL = "all"
_WHERE = ["model", "graph", "control"]


@dataclass(frozen=True, eq=False)
class _Job:
    """One model on one graph, for one draw of the control cells."""

    arm: Arm
    task: HeldOutCells
    data_digest: str
    label: str
    model: str
    config: Config

    @property
    def uses_graph(self) -> bool:
        return uses_graph(self.model, self.config)

    @property
    def where(self) -> dict[str, Any]:
        graph = self.arm.name if self.uses_graph else NO_GRAPH
        return {"model": self.label, "graph": graph, "control": self.arm.control, "split": self.arm.seed}

    @property
    def key(self) -> str:
        content = {
            "data": self.data_digest,
            "graph": self.arm.whole.digest if self.uses_graph else NO_GRAPH,
            "control": self.arm.control,
            "model": self.model,
            "config": self.config.digest(),
            "split": self.arm.seed,
            "version": __version__,
            "scores": [*SCORES, *PUBLISHED],
        }
        return digest_of(content)

    def run(self) -> dict[str, Any]:
        """Fit and score every group that is held out; the control graph is made outside the time that is measured."""
        graph, split = self.arm.graph, self.arm.seed
        scores, seconds = [], 0.0
        for group in self.task.groups:
            model = find_model(self.model)(self.config)
            inputs = self.task.inputs(split, group)
            cells = self.task.training_cells(split, group) if isinstance(model, CellModel) else None
            start = time.perf_counter()
            fitted = model.fit(inputs.train if cells is None else cells, graph, seed=split)  # type: ignore[arg-type]
            prediction = fitted.predict(inputs.perturbations)
            seconds += time.perf_counter() - start
            changed = None
            if isinstance(fitted, ChangesCells):
                pairs = self.task.pairs(split, group)
                changed = fitted.change_cells(pairs.control, pairs.perturbations)
            published = self.task.published(prediction, split, group, changed=changed)
            scores.append(self.task.evaluate(prediction, split, group).merge(published, on=["perturbation", "split"]))
        rows = pd.concat(scores, ignore_index=True).to_dict(orient="records")
        return {"metrics": {"rows": rows}, "seconds": round(seconds, 3)}


def uses_graph(model: str, config: Config) -> bool:
    """Whether a model looks at the graph; of some models it is a setting."""
    return bool(getattr(config, "uses_graph", find_model(model).uses_graph))


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
    jobs = _jobs(task, graphs, models, controls, configs or {}, data_digest)
    frames = []
    with tqdm(jobs, disable=not progress, unit="run", desc="bench cells", mininterval=refresh_interval()) as bar:
        for job in bar:
            bar.set_postfix_str(" ".join(map(str, job.where.values())), refresh=False)
            run = store.get_or_run(job.key, job.run)
            frames.append(pd.DataFrame(run["metrics"]["rows"]).assign(**job.where, seconds=run["seconds"]))
    return pd.concat(frames, ignore_index=True)


def _jobs(
    task: HeldOutCells,
    graphs: Mapping[str, GeneGraph],
    models: Sequence[str],
    controls: Sequence[str],
    configs: Mapping[str, Mapping[str, Any]],
    data_digest: str,
) -> Iterator[_Job]:
    named = labelled(models)
    made = {
        label: find_model(name).config_class.parse(configs.get(label, {}), where=f"model {label}")
        for label, name in named.items()
    }
    for label, name in named.items():
        if issubclass(find_model(name), CellModel):  # it scales cells itself, and must do so as the task does
            made[label] = made[label].model_copy(update={"target_sum": task.target_sum})
    first = next(iter(graphs))
    for name, graph in graphs.items():
        for arm in arms_of(Whole(name, graph), [Selected(controls=tuple(controls))], task.splits):
            for label, config in made.items():
                job = _Job(arm, task, data_digest, label, named[label], config)
                if job.uses_graph or (name == first and arm.control == REAL):
                    yield job


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
