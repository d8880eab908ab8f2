"""Settings of a suite of benchmarks: tasks, models, graphs and their parts, controls, seeds, tuning; from a TOML file.

::

    seeds = 5
    controls = ["rewired", "permuted"]
    models = ["smoother", "knn"]                # or tables: [models.far] name = "smoother", power = 1.5

    [tasks.perturbqa]
    labels = "../shared/data/perturbqa"
    lines = ["k562", "rpe1"]

    [tasks.papalexi]
    cells = "screen.h5ad"
    held_out = {protocol = "folds", folds = 4}

    [graphs.human]
    saved = "graphs/built/human"                # or recipe = "graphs/human.toml", or a table [graphs.human.recipe]
    parts = ["all", "each"]                     # or tables: [graphs.human.parts.each] controls = ["rewired"]

    [tune]                                      # left out: the models' own settings
    trials = 8
    space = {smoother = {power = [1.5, 2.0, 2.5, 3.0]}, knn = {k = [10, 20, 50, 100]}}

Paths are taken from where the command is run.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from gnnvcell.bench.arms import ALL, Selected
from gnnvcell.bench.cell_tasks import CellBenchConfig
from gnnvcell.bench.label_jobs import ChosenModel
from gnnvcell.bench.tuning import Tuning, drawn_settings, with_settings
from gnnvcell.config import Config, apply_overrides, read_toml
from gnnvcell.data.fields import FieldsConfig
from gnnvcell.data.labels import FILE_KINDS
from gnnvcell.errors import ConfigError, did_you_mean
from gnnvcell.graphs.controls import CONTROLS
from gnnvcell.models import find_model
from gnnvcell.models.base import EffectModel

PartName = Literal["all", "each", "leave_one_out", "coalitions"]


class ComplexSplitConfig(Config):
    """A split in which no held-out gene shares a complex or pathway with a training gene, in place of the labels' own.

    Args:
        gene_sets: GMT file of complexes or pathways.
        max_set_size: sets with more genes are left out.
        test_share: of the perturbations.
        seed: of the draws.
    """

    gene_sets: str
    max_set_size: int = Field(default=30, ge=2)
    test_share: float = Field(default=0.3, gt=0, lt=1)
    seed: int = 0


class LabelTaskConfig(Config):
    """Unseen perturbations on tables of labels.

    Args:
        labels: folder of ``<line>-de.csv[.gz]`` and ``<line>-dir.csv[.gz]``.
        lines: cell lines.
        kinds: "de", "dir".
        label: is added to the tasks' names, where several tasks are on the same labels.
        complexes: another split than that of the files.
        models: labels of the suite's models; all of them when left out.
    """

    labels: str
    lines: tuple[str, ...] = Field(min_length=1)
    kinds: tuple[Literal["de", "dir"], ...] = Field(default=("de", "dir"), min_length=1)
    label: str = Field(default="", pattern=r"^[\w.]*$")
    complexes: ComplexSplitConfig | None = None
    models: tuple[str, ...] | None = None


class CellTaskConfig(Config):
    """Held-out perturbations of a screen of cells (``gnnvcell bench cells``).

    Args:
        cells: .h5ad or .zarr file.
        fields: its columns; found by their usual names when left out.
        held_out: protocol; ``splits``, where they are left out, are the suite's seeds.
        groups: further strata by name, beside strong, weak and null effects.
        models: labels of the suite's models; all of them when left out.
    """

    cells: str
    fields: FieldsConfig | None = None
    held_out: CellBenchConfig = CellBenchConfig()
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    models: tuple[str, ...] | None = None


class PartConfig(Config):
    """What is done with some parts of a graph.

    Args:
        controls: names in ``CONTROLS``; the suite's when left out.
        models: labels of the suite's models; all of them when left out.
    """

    controls: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None


class GraphConfig(Config):
    """A graph of a suite.

    Args:
        saved: folder of a saved graph; or
        recipe: a recipe's file, or its content. It is built once and kept in ``OUT/graphs``.
        source_dir: folder of the recipe's files.
        settings: changes to the recipe, such as ``sources.string_db.args.confidence=0.9``.
        parts: which graphs of it are compared: with "all" sources, "each" source, "leave_one_out", "coalitions"; a list
            of these, or a table of them with the controls and models of each.
    """

    saved: str | None = None
    recipe: str | dict[str, Any] | None = None
    source_dir: str | None = None
    settings: tuple[str, ...] = ()
    parts: dict[PartName, PartConfig] = Field(default={ALL: PartConfig()}, min_length=1)

    @field_validator("parts", mode="before")
    @classmethod
    def _of_list(cls, value: Any) -> Any:
        return _as_table(value)

    @model_validator(mode="after")
    def _one_origin(self) -> "GraphConfig":
        if (self.saved is None) == (self.recipe is None):
            raise ValueError("either saved (a folder) or recipe (a file or a table), and not both")
        if self.saved is not None and (self.source_dir is not None or self.settings):
            raise ValueError("source_dir and settings belong to a recipe")
        return self


class TuneConfig(Config):
    """One budget of tuning for every model on every graph, control and seed.

    Args:
        trials: settings that are drawn of each model's space; all of it where it has no more.
        space: label of a model to its settings, each with a list of values; an empty table for nothing to choose.
        share: of the training perturbations that is cut for validation.
        seed: of the draws and of the cut.
    """

    trials: int = Field(ge=1)
    space: dict[str, dict[str, Any]]
    share: float = Field(default=0.2, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)


class SuiteConfig(Config):
    """Settings of ``gnnvcell bench suite``; see the module for the file format.

    Args:
        name: of the suite.
        description: for people.
        tasks: name to task.
        models: label to the settings of a model; ``name`` says which, where that is not the label.
        graphs: name to graph.
        controls: names in ``CONTROLS`` beside the real graph.
        seeds: number of seeds, from 0.
        tune: how settings are chosen; the models' own when left out.
    """

    name: str = ""
    description: str = ""
    tasks: dict[str, LabelTaskConfig | CellTaskConfig] = Field(min_length=1)
    models: dict[str, dict[str, Any]] = Field(min_length=1)
    graphs: dict[str, GraphConfig] = Field(min_length=1)
    controls: tuple[str, ...] = ("rewired", "permuted")
    seeds: int = Field(default=5, ge=1)
    tune: TuneConfig | None = None

    @field_validator("tasks", mode="before")
    @classmethod
    def _of_either_kind(cls, value: Any) -> Any:
        """Each by itself, so that an error is about one kind of task and not about both."""
        if not isinstance(value, dict):
            return value
        return {name: _task(name, given) if isinstance(given, dict) else given for name, given in value.items()}

    @field_validator("models", mode="before")
    @classmethod
    def _of_list(cls, value: Any) -> Any:
        return _as_table(value)

    @field_validator("graphs", "tasks")
    @classmethod
    def _names(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if not name or "/" in name or name.startswith("."):
                raise ValueError(f"{name!r} cannot be a name: no '/', and no '.' in front")
        return value

    def check(self) -> "SuiteConfig":
        """Refuse names that are not there, before anything is read.

        Raises:
            ConfigError: an unknown model, setting, control or label of a model.
        """
        chosen = self.chosen()
        for name, task in self.tasks.items():
            require_labels(f"tasks.{name}.models", task.models or (), self.models)
            kinds = {"delta"} if isinstance(task, CellTaskConfig) else {FILE_KINDS[kind] for kind in task.kinds}
            for label in task.models or self.models:
                _require_kinds(name, chosen[label], kinds)
        for name, graph in self.graphs.items():
            for selected in self.selections(name):
                for control in selected.controls:
                    CONTROLS.get(control)
            for part, config in graph.parts.items():
                require_labels(f"graphs.{name}.parts.{part}.models", config.models or (), self.models)
        return self

    def selections(self, graph: str) -> list[Selected]:
        """The parts of a graph that are compared."""
        return [
            Selected(name, self.controls if part.controls is None else part.controls, part.models)
            for name, part in self.graphs[graph].parts.items()
        ]

    def chosen(self) -> dict[str, ChosenModel]:
        """Label to model, with the settings that are tried.

        Raises:
            ConfigError: an unknown model or setting, a space of a model that is not compared, or a model without one.
        """
        found = {}
        for label, given in self.models.items():
            values = dict(given)
            name = str(values.pop("name", label))
            config = find_model(name).config_class.parse(values, where=f"models.{label}")
            found[label] = ChosenModel(label, name, config, self._tuning(label, config))
        if self.tune is not None:
            require_labels("tune.space", self.tune.space, self.models)
        return found

    def _tuning(self, label: str, config: Config) -> Tuning | None:
        if self.tune is None:
            return None
        if label not in self.tune.space:
            raise ConfigError(
                f"the model {label!r} has no space to tune in",
                expected="the same budget for every model",
                remedy=f"add {label} = {{setting = [values]}} to tune.space, or {label} = {{}} for nothing to choose",
            )
        trials = drawn_settings(self.tune.space[label], self.tune.trials, seed=self.tune.seed, label=label)
        for settings in trials:
            with_settings(config, settings, where=f"tune.space.{label}")
        return Tuning(trials, self.tune.share, self.tune.seed)


def _task(name: str, values: dict[str, Any]) -> Config:
    return (CellTaskConfig if "cells" in values else LabelTaskConfig).parse(values, where=f"tasks.{name}")


def _require_kinds(task: str, model: ChosenModel, kinds: set[str]) -> None:
    """Refuse a model that cannot learn what a task has."""
    kind = find_model(model.name)
    known = set(kind.kinds) if issubclass(kind, EffectModel) else {"delta"}
    if kinds - known:
        raise ConfigError(
            f"{model.label!r} cannot do the task {task!r}",
            expected=f"a model that learns from {', '.join(sorted(kinds))}",
            found=f"{model.name} learns from {', '.join(sorted(known))}",
            remedy=f"name the task's models: tasks.{task}.models = [...]",
        )


def require_labels(where: str, labels: Sequence[str] | Mapping[str, Any], models: Mapping[str, Any]) -> None:
    """Refuse labels of models that a suite does not have.

    Raises:
        ConfigError: with the nearest label.
    """
    for label in labels:
        if label not in models:
            raise ConfigError(f"{where} names {label!r}, which is no model here", remedy=did_you_mean(label, models))


def read_suite(path: str | Path, overrides: Sequence[str] = ()) -> SuiteConfig:
    """The settings in a TOML file, with changes ``seeds=2`` or ``tasks.perturbqa.lines=["hepg2"]``.

    Raises:
        MissingFileError: no such file.
        ConfigError: it is not TOML, or a setting is unknown, missing or bad, or names something that is not there.
    """
    values = read_toml(path)
    values["models"] = _as_table(values.get("models", {}))  # so that models.knn.k=20 finds its place
    return SuiteConfig.parse(apply_overrides(values, overrides), where=str(path)).check()


def _as_table(value: Any) -> Any:
    """A list of names as a table of empty tables; anything else as it is."""
    return {str(name): {} for name in value} if isinstance(value, list | tuple) else value
