"""Jobs on cells: one model, one graph, one draw of the control cells; every held-out group of the screen is scored."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from gnnvcell import __version__
from gnnvcell.bench.arms import REAL, Arm
from gnnvcell.bench.label_jobs import ChosenModel
from gnnvcell.bench.store import RunStore
from gnnvcell.bench.tuning import choose_settings
from gnnvcell.config import Config, digest_of
from gnnvcell.errors import ConfigError
from gnnvcell.metrics import PUBLISHED
from gnnvcell.models import find_model
from gnnvcell.models.base import EffectModel
from gnnvcell.models.cell_model import CellModel, ChangesCells
from gnnvcell.tasks.held_out_cells import SCORES, HeldOutCells

NO_GRAPH = "-"


@dataclass(frozen=True, eq=False)
class CellTask:
    """Held-out perturbations of a screen, which is read when the first job asks for it.

    Args:
        make: reads it.
        digest: of all that the task depends on.
        target_sum: what counts are scaled to before log1p; None is the median.
    """

    make: Callable[[], HeldOutCells]
    digest: str
    target_sum: float | None

    @cached_property
    def task(self) -> HeldOutCells:
        """The task, which keeps the truth."""
        return self.make()


@dataclass(frozen=True, eq=False)
class CellJob:
    """One model on one graph, for one draw of the control cells; the draw's number is the arm's seed."""

    arm: Arm
    task: CellTask
    model: ChosenModel

    @property
    def uses_graph(self) -> bool:
        """Whether the model looks at the graph."""
        return uses_graph(self.model.name, self.model.config)

    @property
    def where(self) -> dict[str, Any]:
        """The coordinates of the job in the table of scores."""
        graph = self.arm.name if self.uses_graph else NO_GRAPH
        return {"model": self.model.label, "graph": graph, "control": self.arm.control, "split": self.arm.seed}

    @property
    def key(self) -> str:
        """Digest of all that the result depends on."""
        graph = self.arm.identity(seeded=True)
        if not self.uses_graph:
            graph |= {"graph": NO_GRAPH, "relations": []}
        content = {"data": self.task.digest, **graph, **self.model.identity, "version": __version__}
        return digest_of({**content, "scores": [*SCORES, *PUBLISHED]})

    def run(self) -> dict[str, Any]:
        """Fit and score every group that is held out; the control graph is made, and settings are chosen, outside the
        time that is measured.
        """
        graph, split, task = self.arm.graph, self.arm.seed, self.task.task
        scores, seconds, choices = [], 0.0, []
        for group in task.groups:
            inputs, config = task.inputs(split, group), self.model.config
            kind = find_model(self.model.name)
            if self.model.tuning is not None and issubclass(kind, EffectModel):
                config, tuned = choose_settings(kind, config, self.model.tuning, inputs.train, graph, seed=split)
                choices.append({"held_out": list(group.test), **tuned["tuning"]})
            model = kind(config)
            cells = task.training_cells(split, group) if isinstance(model, CellModel) else None
            start = time.perf_counter()
            fitted = model.fit(inputs.train if cells is None else cells, graph, seed=split)  # type: ignore[arg-type]
            # A model of cells has seen the control cells of the cell type that is held out, and knows it by name.
            where = inputs.context if cells is None else task.context
            prediction = fitted.predict(inputs.perturbations, context=where)  # type: ignore[arg-type]
            seconds += time.perf_counter() - start
            changed = None
            if isinstance(fitted, ChangesCells):
                pairs = task.pairs(split, group)
                changed = fitted.change_cells(pairs.control, pairs.perturbations)
            published = task.published(prediction, split, group, changed=changed)
            scores.append(task.evaluate(prediction, split, group).merge(published, on=["perturbation", "split"]))
        rows = pd.concat(scores, ignore_index=True).to_dict(orient="records")
        return {
            "metrics": {"rows": rows},
            "seconds": round(seconds, 3),
            "config": self.model.config.model_dump(mode="json"),
            "graph_digest": graph.digest if self.uses_graph else NO_GRAPH,
            **({"tuning": choices} if choices else {}),
        }


def uses_graph(model: str, config: Config) -> bool:
    """Whether a model looks at the graph; of some models it is a setting."""
    return bool(getattr(config, "uses_graph", find_model(model).uses_graph))


def cell_jobs(task: CellTask, arms: Sequence[Arm], models: Sequence[ChosenModel]) -> Iterator[CellJob]:
    """Every model on every arm, in an order in which each graph is made once; models without a graph once for a draw.

    Args:
        task: what is predicted.
        arms: graphs, in the order of ``arms_of``.
        models: of effects or of cells; those of cells scale counts as the task does.
    """
    scaled = [_on_the_scale_of(task, model) for model in models]
    first = {arm.seed: arm for arm in reversed(arms) if arm.control == REAL}
    for arm in arms:
        for model in scaled:
            if arm.models is None or model.label in arm.models:
                job = CellJob(arm, task, model)
                if job.uses_graph or arm is first[arm.seed]:
                    yield job


def _on_the_scale_of(task: CellTask, model: ChosenModel) -> ChosenModel:
    if not issubclass(find_model(model.name), CellModel):
        return model
    if model.tuning is not None and len(model.tuning.trials) > 1:
        raise ConfigError(
            f"the settings of {model.label!r}, which learns from cells, cannot be chosen here",
            remedy=f"leave tune.space.{model.label} empty",
        )
    config = model.config.model_copy(update={"target_sum": task.target_sum})
    return ChosenModel(model.label, model.name, config, model.tuning)


def cell_scores(jobs: Sequence[CellJob], store: RunStore) -> pd.DataFrame:
    """The table of scores of finished jobs.

    Raises:
        MissingFileError: a run is not there any more.
    """
    frames = []
    for job in jobs:
        run = store.require(job.key)
        frames.append(pd.DataFrame(run["metrics"]["rows"]).assign(**job.where, seconds=run["seconds"]))
    return pd.concat(frames, ignore_index=True)
