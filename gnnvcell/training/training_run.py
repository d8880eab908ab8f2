"""train: a run from its settings to a model in a folder."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from gnnvcell.data.cells import Cells
from gnnvcell.errors import ConfigError, GnnvcellWarning
from gnnvcell.features import FeatureTable, read_features
from gnnvcell.features.feature_table import some
from gnnvcell.fitting import FitResult, TransferReport, init_from
from gnnvcell.fitting.processes import is_first
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.cell_model import CELL_MODELS
from gnnvcell.models.model_folder import MODEL_FOLDER
from gnnvcell.models.state_transition import StateTransition, StateTransitionConfig
from gnnvcell.perturbation import Mode
from gnnvcell.training.cells import read_cells
from gnnvcell.training.config import FeatureFile, TrainConfig
from gnnvcell.training.run_folder import claim
from gnnvcell.training.tuning import tune

DEFAULT_MODEL = "state_transition"


@dataclass(frozen=True, eq=False)
class TrainResult:
    """What a run gave.

    Args:
        model: with the weights of its best validation.
        folder: of the run; the model is in its "model".
        fit: what training says.
        transfer: which weights came from another run; None where none were to.
    """

    model: StateTransition
    folder: Path
    fit: FitResult
    transfer: TransferReport | None = None

    def __str__(self) -> str:
        fit = self.fit
        lines = [] if self.transfer is None else [str(self.transfer)]
        ended = "stopped early" if fit.stopped_early else "ended"
        lines.append(f"{ended} after {fit.steps:,} steps; this session took {fit.seconds:,.0f} s")
        if fit.best_score is not None:
            lines.append(f"best validation score {fit.best_score:.4g}, at step {fit.best_step:,}")
        return "\n".join([*lines, f"the model is in {self.folder / MODEL_FOLDER}"])


def train(config: TrainConfig, out_dir: str | Path, *, resume: bool = False, progress: bool = True) -> TrainResult:
    """Carry out a training run.

    The folder: ``run.json`` (all settings), ``checkpoints/``, ``metrics.csv``, ``tensorboard/`` and ``model/``.

    Args:
        config: settings.
        out_dir: folder of the run.
        resume: go on with the run that is there, or begin it where there is none.
        progress: show bars on stderr.

    Raises:
        ConfigError: settings that do not fit together, or a folder that holds another run.
        GnnvcellError: as of reading cells, graph and features, and of the model's ``fit``.
    """
    folder = Path(out_dir)
    settings = resolved(config)
    goes_on = claim(folder, settings, resume=resume)
    cells, held_out = read_cells(config.data)
    if config.tuning is not None:
        model = StateTransition.load(config.tuning.run)
        result = tune(
            model, cells, held_out, config.tuning, config.fit, out_dir=folder, resume=goes_on, progress=progress
        )
        return _kept(TrainResult(model, folder, result))
    features = {name: _table(name, file, cells) for name, file in config.features.items()}
    model = StateTransition(model_config(config.model), graph=_graph(config, progress), features=features)
    reports: list[TransferReport] = []

    def begin(network: nn.Module) -> None:
        if config.init_from is not None and not goes_on:
            reports.append(init_from(network, config.init_from))

    model.fit(
        cells,
        seed=config.fit.seed,
        validation=held_out,
        training=config.fit,
        begin=begin,
        out_dir=folder,
        resume=goes_on,
        progress=progress,
    )
    assert model.result is not None
    return _kept(TrainResult(model, folder, model.result, reports[0] if reports else None))


def _kept(result: TrainResult) -> TrainResult:
    if is_first():
        result.model.save(result.folder / MODEL_FOLDER)
    return result


def model_config(settings: Mapping[str, Any]) -> StateTransitionConfig:
    """The model's configuration from "name", "preset" and its settings.

    Raises:
        ConfigError: an unknown model, preset or setting (with the nearest), or a bad value.
    """
    values = dict(settings)
    name, preset = values.pop("name", DEFAULT_MODEL), values.pop("preset", None)
    if CELL_MODELS.get(name) is not StateTransition:
        raise ConfigError(f"{name!r} is not trained this way", expected=DEFAULT_MODEL)
    if preset is not None:
        return StateTransitionConfig.preset(preset, **values)
    return StateTransitionConfig.parse(values, where="model")


def resolved(config: TrainConfig) -> dict[str, Any]:
    """All settings of a run as plain values, those of the model with its defaults."""
    values = config.model_dump(mode="json", exclude_none=True)
    if config.tuning is None:
        own = model_config(config.model).model_dump(mode="json", exclude={"training"})
        values["model"] = {"name": config.model.get("name", DEFAULT_MODEL), **own}
    return values


def _graph(config: TrainConfig, progress: bool) -> GeneGraph | None:
    if config.graph is None:
        if config.source_dir is not None:
            raise ConfigError("source_dir is of a recipe, and no graph is given", remedy="give graph, or leave it out")
        return None
    if Path(config.graph).suffix != ".toml":
        return GeneGraph.load(config.graph)
    from gnnvcell.graphs.build import build

    return build(config.graph, source_dir=config.source_dir, progress=progress and is_first())


def _table(name: str, file: FeatureFile, cells: Cells) -> FeatureTable:
    """Features of targets; targets that have none are counted and named in a warning."""
    table = read_features(file.path, index=file.index)
    of_drugs = name == "compound"
    targets = sorted({t for one in cells.targets if (one.mode is Mode.DRUG) == of_drugs for t in one.targets})
    if not targets:
        return table
    _, _, report = table.for_names(targets) if of_drugs else table.for_genes(GeneVocab.from_symbols(targets))
    if report.missing and is_first():
        warnings.warn(
            f"{len(report.missing)} of {len(targets)} targets have no features in {file.path}, and get a learned "
            f"vector: {some(report.missing)}",
            GnnvcellWarning,
            stacklevel=2,
        )
    return table
