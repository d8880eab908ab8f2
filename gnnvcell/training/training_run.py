"""train: a run from its settings to a model in a folder."""

import warnings
from collections.abc import Mapping, Sequence
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
from gnnvcell.models.jepa import Jepa, JepaConfig
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
        fits: stage to what training says of it; a model that is trained at once has one stage, "".
        transfer: which weights came from another run; None where none were to.
    """

    model: StateTransition | Jepa
    folder: Path
    fits: Mapping[str, FitResult]
    transfer: TransferReport | None = None

    @property
    def fit(self) -> FitResult:
        """What training says of the last stage."""
        return list(self.fits.values())[-1]

    def __str__(self) -> str:
        lines = [] if self.transfer is None else [str(self.transfer)]
        lines += [_said(stage, fit) for stage, fit in self.fits.items()]
        if isinstance(self.model, Jepa):
            lines.append(self.model.history)
        return "\n".join([*lines, f"the model is in {self.folder / MODEL_FOLDER}"])


def _said(stage: str, fit: FitResult) -> str:
    ended = "stopped early" if fit.stopped_early else "ended"
    said = f"{stage}: " if stage else ""
    said += f"{ended} after {fit.steps:,} steps; this session took {fit.seconds:,.0f} s"
    if fit.best_score is not None:
        said += f"\nbest validation score {fit.best_score:.4g}, at step {fit.best_step:,}"
    return said


def train(
    config: TrainConfig,
    out_dir: str | Path,
    *,
    stages: Sequence[str] | None = None,
    resume: bool = False,
    progress: bool = True,
) -> TrainResult:
    """Carry out a training run.

    The folder: ``run.json`` (all settings), ``checkpoints/``, ``metrics.csv``, ``tensorboard/`` (of a JEPA in a folder
    for each stage) and ``model/``.

    Args:
        config: settings.
        out_dir: folder of the run.
        stages: of a JEPA, which to train; those before them are in the folder already. All when left out.
        resume: go on with the run that is there, or begin it where there is none.
        progress: show bars on stderr.

    Raises:
        ConfigError: settings that do not fit together, or a folder that holds another run.
        GnnvcellError: as of reading cells, graph and features, and of the model's ``fit``.
    """
    folder = Path(out_dir)
    kind = None if config.tuning is not None else model_class(config.model)
    if stages is not None and kind is not Jepa:
        raise ConfigError("only a JEPA is trained in stages", remedy='leave the stages out, or set model.name = "jepa"')
    goes_on = claim(folder, resolved(config), resume=resume or stages is not None)
    cells, held_out = read_cells(config.data)
    if config.tuning is not None:
        model = StateTransition.load(config.tuning.run)
        result = tune(
            model, cells, held_out, config.tuning, config.fit, out_dir=folder, resume=goes_on, progress=progress
        )
        return _kept(TrainResult(model, folder, {"": result}))
    model = _made(config, cells, progress)
    reports: list[TransferReport] = []

    def begin(network: nn.Module) -> None:
        if config.init_from is not None and not goes_on:
            reports.append(init_from(network, config.init_from))

    common: dict[str, Any] = {
        "seed": config.fit.seed, "validation": held_out, "training": config.fit, "begin": begin, "out_dir": folder,
        "progress": progress,
    }  # fmt: skip
    if isinstance(model, Jepa):
        fits = model.fit(cells, stages=stages, resume=resume, **common).results
    else:
        model.fit(cells, resume=goes_on, **common)
        assert model.result is not None
        fits = {"": model.result}
    return _kept(TrainResult(model, folder, fits, reports[0] if reports else None))


def _made(config: TrainConfig, cells: Cells, progress: bool) -> StateTransition | Jepa:
    """The model, not fitted."""
    features = {name: _table(name, file, cells) for name, file in config.features.items()}
    own, graph = model_config(config.model), _graph(config, progress)
    if isinstance(own, JepaConfig):
        return Jepa(own, graph=graph, features=features, gene_sets=config.gene_sets)
    if config.gene_sets is not None:
        raise ConfigError("gene_sets are for the pathway layer of a JEPA", remedy="leave them out")
    return StateTransition(own, graph=graph, features=features)


def _kept(result: TrainResult) -> TrainResult:
    if is_first():
        result.model.save(result.folder / MODEL_FOLDER)
    return result


def model_class(settings: Mapping[str, Any]) -> type[StateTransition] | type[Jepa]:
    """The kind of model that "name" names.

    Raises:
        ConfigError: there is none of that name (with the nearest), or it is not trained this way.
    """
    name = settings.get("name", DEFAULT_MODEL)
    kind = CELL_MODELS.get(name)
    if not issubclass(kind, StateTransition | Jepa):
        raise ConfigError(f"{name!r} is not trained this way", expected="state_transition or jepa")
    return kind


def model_config(settings: Mapping[str, Any]) -> StateTransitionConfig | JepaConfig:
    """The model's configuration from "name", "preset" and its settings.

    Raises:
        ConfigError: an unknown model, preset or setting (with the nearest), or a bad value.
    """
    kind: Any = model_class(settings).config_class
    values = {name: value for name, value in settings.items() if name not in ("name", "preset")}
    if "preset" in settings:
        return kind.preset(settings["preset"], **values)
    return kind.parse(values, where="model")


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
