"""Jobs on labels: one model, one graph, one label table; held-out perturbations are scored."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gnnvcell import __version__
from gnnvcell.bench.arms import Arm
from gnnvcell.bench.coalitions import is_part
from gnnvcell.bench.store import RunStore
from gnnvcell.bench.tuning import Tuning, choose_settings
from gnnvcell.bench.units import Units, kept_columns, pack_scores, units_path
from gnnvcell.config import Config, digest_of
from gnnvcell.data.effects import EffectTable
from gnnvcell.errors import ConfigError
from gnnvcell.models import MODELS
from gnnvcell.tasks import UnseenPerturbation

TASK_NAMES = {"de": "de", "direction": "dir"}


@dataclass(frozen=True, eq=False)
class LabelTask:
    """Unseen perturbations of one label table.

    Args:
        table: labels of one line, with their split.
        label: tells this task from another one on the same labels, such as another split.
    """

    table: EffectTable
    label: str = ""

    @property
    def line(self) -> str:
        """Cell line."""
        return self.table.context

    @property
    def name(self) -> str:
        """What the task is called in the records."""
        return TASK_NAMES[self.table.kind] + (f"-{self.label}" if self.label else "")

    @cached_property
    def task(self) -> UnseenPerturbation:
        """The task, which keeps the truth."""
        return UnseenPerturbation(self.table)

    def save_units(self, out_dir: Path) -> None:
        """Write the names and labels of what is scored into a benchmark's folder."""
        Units.of_table(self.table).save(units_path(out_dir, self.line, self.name))

    @cached_property
    def digest(self) -> str:
        """Of the labels and their split."""
        table = self.table
        return digest_of(
            [
                table.context,
                table.kind,
                table.perturbations.tolist(),
                table.genes.tolist(),
                table.split.tolist(),
                np.flatnonzero(table.measured).tolist(),
                table.values[table.measured].tolist(),
            ]
        )


@dataclass(frozen=True, eq=False)
class ChosenModel:
    """A model of a benchmark.

    Args:
        label: what it is called there.
        name: in ``MODELS``.
        config: its settings.
        tuning: how others are tried; None for not at all.
    """

    label: str
    name: str
    config: Config
    tuning: Tuning | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What a result depends on, for its key."""
        tuned = {} if self.tuning is None else {"tuning": self.tuning.digest}
        return {"model": self.name, "config": self.config.digest(), **tuned}


def chosen_models(models: Sequence[str], configs: Mapping[str, Mapping[str, Any]]) -> list[ChosenModel]:
    """Models by name, with the settings that differ from their defaults.

    Raises:
        ConfigError: an unknown model or setting.
    """
    return [
        ChosenModel(name, name, MODELS.get(name).config_class.parse(configs.get(name, {}), where=f"model {name}"))
        for name in models
    ]


@dataclass(frozen=True, eq=False)
class LabelJob:
    """One model to fit on one graph for one task."""

    arm: Arm
    task: LabelTask
    model: ChosenModel

    @property
    def where(self) -> dict[str, Any]:
        """The coordinates of the job in the records."""
        return {
            "line": self.task.line,
            "task": self.task.name,
            "model": self.model.label,
            "graph": self.arm.name,
            "control": self.arm.control,
            "seed": self.arm.seed,
        }

    @property
    def key(self) -> str:
        """Digest of all that the result depends on."""
        return digest_of(
            {
                "labels": self.task.digest,
                **self.arm.identity(seeded=MODELS.get(self.model.name).uses_seed),
                **self.model.identity,
                "version": __version__,
                "units": kept_columns(pairs=not is_part(self.arm.name)),
            }
        )

    def run(self) -> dict[str, Any]:
        """Fit and score. The control graph is made, and settings are chosen, outside the time that is measured."""
        graph, inputs, seed = self.arm.graph, self.task.task.inputs(), self.arm.seed
        made, config = MODELS.get(self.model.name), self.model.config
        tuned: dict[str, Any] = {}
        if self.model.tuning is not None:
            config, tuned = choose_settings(made, config, self.model.tuning, inputs.train, graph, seed=seed)
        start = time.perf_counter()
        prediction = made(config).fit(inputs.train, graph, seed=seed).predict(inputs.perturbations)
        seconds = time.perf_counter() - start
        scores = self.task.task.evaluate(prediction)
        return {
            "metrics": scores.metrics,
            "seconds": round(seconds, 3),
            "by_support": scores.by_support.to_dict(orient="records"),
            "config": config.model_dump(mode="json"),
            "graph_digest": graph.digest,
            **tuned,
            **pack_scores(scores, pairs=not is_part(self.arm.name)),
        }


def label_jobs(
    tasks: Sequence[LabelTask], arms: Sequence[Arm], models: Mapping[str, Sequence[ChosenModel]]
) -> Iterator[LabelJob]:
    """Every model on every arm and task, in an order in which each graph is made once.

    Args:
        tasks: what is predicted.
        arms: graphs, in the order of ``arms_of``.
        models: name of a task to its models.

    Raises:
        ConfigError: two tasks of one name on one line, or a model that does not learn from such labels.
    """
    names = [(task.line, task.name) for task in tasks]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"two tasks are on the {name[1]} labels of {name[0]!r}", remedy='tell them apart: label = "..."'
            )
    for arm in arms:
        for task in tasks:
            for model in models[task.name]:
                if arm.models is None or model.label in arm.models:
                    yield LabelJob(arm, task, model)


def label_records(
    jobs: Sequence[LabelJob], store: RunStore, *, on_record: Callable[[dict[str, Any]], None] | None = None
) -> list[dict[str, Any]]:
    """The records of finished jobs, as ``compare_sources`` returns them; ``on_record`` is called with each run.

    Raises:
        MissingFileError: a run is not there any more.
    """
    records: list[dict[str, Any]] = []
    for job in jobs:
        key, where = job.key, job.where
        run = store.require(key)
        records += [
            {**where, "metric": metric, "value": value, "seconds": run["seconds"], "run": key}
            for metric, value in run["metrics"].items()
        ]
        if on_record is not None:
            on_record({**where, **run})
    return records
