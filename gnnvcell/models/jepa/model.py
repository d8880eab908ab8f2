"""Jepa: a latent world model of the cell, from cells to predictions."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnvcell.data.cell_sets import CellSetConfig, CellSets
from gnnvcell.data.cells import Cells, as_cells
from gnnvcell.data.log_totals import log_totals
from gnnvcell.data.pseudobulk import cell_effects, resolved_target_sum
from gnnvcell.data.shuffled_labels import with_shuffled_labels
from gnnvcell.errors import ModelError
from gnnvcell.features import FeatureTable
from gnnvcell.fitting.config import FitConfig
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.base import Prediction
from gnnvcell.models.cell_model import CELL_MODELS, CellModel
from gnnvcell.models.control_pool import ControlPool
from gnnvcell.models.jepa import storage
from gnnvcell.models.jepa.config import JepaConfig
from gnnvcell.models.jepa.forecast import JepaForecaster
from gnnvcell.models.jepa.network import JepaNetwork
from gnnvcell.models.jepa.parts import JepaParts
from gnnvcell.models.jepa.pathways import pathways_of
from gnnvcell.models.jepa.stages import Stages, require_stages, trained_stages
from gnnvcell.models.model_genes import ModelGenes, columns_of
from gnnvcell.models.other_graph import network_on
from gnnvcell.models.set_batches import SetBatches, SetFacts
from gnnvcell.models.target_names import seen_targets
from gnnvcell.models.validation_cells import divided

if TYPE_CHECKING:
    from gnnvcell.fitting import FitResult


@CELL_MODELS.register("jepa")
class Jepa(CellModel):
    """A JEPA of cells (bio-JEPA v0.2 and v0.3 as described, and ours), trained in three stages.

    See ``JepaNetwork`` for the formulas and ``JepaConfig`` for the choices.

    Args:
        config: settings, or ``JepaConfig.preset("graph")``.
        graph: the gene graph.
        features: "esm" and "compound" to tables of features, for the encoders of these names.
        gene_sets: GMT file of the pathway layer's sets; the graph's pathways when left out.

    Raises:
        ModelError: on ``fit``, the settings read a graph, features or gene sets that are not there, there are fewer
            than two perturbations, or stages are out of order.
        ConfigError: on ``fit``, early stopping without validation perturbations, or stages that are not known.
        DataError: on ``fit``, no controls, a batch without controls, or values that are neither counts nor log1p.

    Example:
        >>> model = Jepa(JepaConfig.preset("graph", genes=1024), graph=graph)  # doctest: +SKIP
        >>> model.fit(adata).predict(["STAT1", "JAK2+STAT1"]).values.shape  # doctest: +SKIP
        (2, 1031)
    """

    config_class = JepaConfig
    config: JepaConfig

    def __init__(
        self,
        config: JepaConfig | None = None,
        *,
        graph: GeneGraph | None = None,
        features: Mapping[str, FeatureTable] | None = None,
        gene_sets: str | Path | None = None,
    ) -> None:
        super().__init__(config)
        self._graph, self._features, self._gene_sets = graph, dict(features or {}), gene_sets
        self._forecaster: JepaForecaster | None = None
        self.results: dict[str, FitResult] = {}  # of the stages that were trained last

    # --- learning

    def fit(
        self,
        train: Cells | ad.AnnData,
        graph: GeneGraph | None = None,
        *,
        seed: int = 0,
        validation: Cells | ad.AnnData | None = None,
        training: FitConfig | None = None,
        stages: Sequence[str] | None = None,
        begin: Callable[[JepaNetwork], object] | None = None,
        out_dir: str | Path | None = None,
        resume: bool = False,
        progress: bool = False,
    ) -> "Jepa":
        """Learn from cells, and return the model; each stage ends with the weights of its best validation.

        One by one, stages begin with what those before them learned: that of this model, where it was fitted before, or
        that in ``out_dir``.

        Args:
            train: cells of training perturbations, and controls.
            graph: the gene graph; that of the constructor when left out.
            seed: of weights, sets and the draw of validation perturbations.
            validation: cells of perturbations that are no part of training, and controls; when left out, a share of the
                training perturbations (``config.validation``) is held out.
            training: where and how all stages are carried out, such as devices and precision; steps and learning rates
                are settings of each (``config.pretrain``, ``config.action``, ``config.decode``).
            stages: which to train, in order; all when left out.
            begin: called with the network before it is trained, to give it weights of another run.
            out_dir: folder of the run, with one in it for each stage (``gnnvcell.fitting.fit``).
            resume: go on with the stages in ``out_dir`` that were begun, and pass over those that are over.
            progress: a bar on stderr.
        """
        wanted = require_stages(stages, self.config)
        given = None if validation is None else as_cells(validation)
        cells, held_out = divided(as_cells(train), given, share=self.config.validation, seed=seed)
        if self.config.shuffle_labels:
            cells = with_shuffled_labels(cells, seed=seed)
        if self._forecaster is None or wanted[:1] == require_stages(None, self.config)[:1]:
            parts = self._assembled(cells, graph if graph is not None else self._graph, seed, progress)
            self._forecaster = JepaForecaster(parts.network(), parts)
        network, parts = self._ready().network, self._ready().parts
        if begin is not None:
            begin(network)
        validating = self.loader(held_out, seed=seed) if held_out is not None else None
        run = Stages(network, self.config, parts.stages, Path(out_dir) if out_dir is not None else None)
        self.results = run.train(
            wanted, (self.loader(cells, seed=seed), validating), machine=training, seed=seed, resume=resume,
            progress=progress,
        )  # fmt: skip
        network.eval()
        return self

    def _assembled(self, cells: Cells, graph: GeneGraph | None, seed: int, progress: bool) -> JepaParts:
        cfg = self.config
        genes = ModelGenes.chosen(cells, predicted=cfg.genes, by=cfg.gene_choice, progress=progress).predicted
        target = resolved_target_sum(cells, cfg.target_sum)
        controls = {}
        for code, name in enumerate(cells.contexts.tolist()):
            own = cells.take_cells(cells.context_code == code)
            controls[name] = ControlPool.of(
                own, genes, target_sum=target, most=cfg.kept_controls, seed=seed, totals=True
            )
        effects = None
        if cfg.measured is not None:
            effects = cell_effects(cells, matching=cfg.controls, target_sum=target, keep_targets=True)
            effects = effects.take_genes(columns_of(effects.genes, genes))
        return JepaParts(
            cfg,
            genes,
            target,
            cells.batches.tolist(),
            cells.perturbations.tolist(),
            seen_targets(cells),
            controls,
            any(one.amount is not None for one in cells.targets),
            graph if cfg.uses_graph else None,
            self._features,
            pathways_of(genes, gene_sets=self._gene_sets, graph=graph) if cfg.pathways else None,
            effects,
            seed=seed,
        )

    def loader(self, cells: Cells | ad.AnnData, *, seed: int = 0) -> SetBatches:
        """Batches of cells in the form that the network's ``loss`` takes.

        Args:
            cells: perturbed cells and controls, with the genes of the model.
            seed: of the sets.

        Raises:
            ModelError: the model was not fitted, which is what decides on its genes.
            DataError: cells that lack genes of the model, or have no controls.
        """
        cells, forecaster = as_cells(cells), self._ready()
        parts = forecaster.parts
        config = CellSetConfig(
            set_size=self.config.set_size,
            controls=self.config.controls,
            genes=tuple(map(str, parts.genes)),
            target_sum=parts.target_sum,
            seed=seed,
        )
        sets = CellSets(cells, config)
        facts = SetFacts.of(
            sets,
            conditions=forecaster.conditions([sets.cells.targets[code] for code in range(len(sets.perturbations))]),
            batches=parts.batches,
            prior=parts.prior,
            log_totals=torch.from_numpy(log_totals(sets.cells)),
            control_means=sets.control_means(),
        )
        return SetBatches(sets.loader(self.config.sets_per_batch), facts)

    # --- on disk

    def save(self, path: str | Path) -> Path:
        """Write a folder with all that predictions need: settings, weights, control cells, graph, features.

        Raises:
            ModelError: the model was not fitted.
            FileFormatError: the folder holds something other than a model.
        """
        forecaster = self._ready()
        return storage.save(forecaster.network, forecaster.parts, path)

    @classmethod
    def load(cls, path: str | Path) -> "Jepa":
        """Read what ``save`` wrote, or the model of a run; nothing in the folder is executed.

        Raises:
            FileFormatError: no such model is there, a file is missing, or another version wrote it.
            ModelError: a file was changed or damaged.
        """
        network, parts = storage.load(path)
        model = cls(parts.config, graph=parts.graph, features=parts.tables)
        model._forecaster = JepaForecaster(network, parts)
        return model

    # --- predicting

    def predict(
        self, perturbations: Sequence[str] | NDArray, *, context: Cells | ad.AnnData | str | None = None
    ) -> Prediction:
        """Predict the change of mean expression (natural log units) under any perturbations.

        A probabilistic predictor gives a spread: the standard deviation of the mean change, were its error shared by
        all cells, an upper bound.

        Args:
            perturbations: names, seen or not, "A+B" for several targets.
            context: control cells to begin from (at most ``kept_controls`` of them, drawn within batches), or the name
                of a cell type of training, whose kept controls are taken; may be left out where training had one.

        Raises:
            ModelError: the model was not fitted, or the cell type is unknown or missing.
            DataError: control cells that lack genes of the model, or are no controls.
        """
        return self._decoded().predict(perturbations, context)

    def predict_cells(
        self,
        path: str | Path,
        perturbations: Sequence[str] | NDArray,
        *,
        contexts: Sequence[Cells | ad.AnnData | str] | None = None,
        cells: int = 256,
        progress: bool = False,
    ) -> Path:
        """Write predicted cells, beside the control cells that they were made from; one perturbation is in memory.

        Cells are log1p expression; what would be below 0 is 0. ``uns["prediction"]`` has a row for each cell type and
        perturbation, with its support in the graph.

        Args:
            path: .h5ad or .zarr; it appears when all is written.
            perturbations: names.
            contexts: where to predict, each as of ``predict``; all cell types of training when left out.
            cells: most cells of each perturbation.
            progress: a bar on stderr.
        """
        return self._decoded().predict_cells(path, perturbations, contexts=contexts, cells=cells, progress=progress)

    def change_cells(
        self, control: Cells | ad.AnnData, perturbations: Sequence[str] | NDArray
    ) -> NDArray[np.float32]:
        """(cells, genes) log1p expression of each control cell under its perturbation.

        With ``pool_cells`` cells of one perturbation are moved together, by the predicted change of their mean.

        Args:
            control: control cells of one cell type, and no others.
            perturbations: (cells,) names.
        """
        return self._decoded().change_cells(control, perturbations)

    def actions_of(self, perturbations: Sequence[str] | NDArray) -> Tensor:
        """(perturbations, d) vectors of perturbations; a search with ``effects_of_actions`` then goes between these."""
        return self._decoded().actions_of(perturbations)

    def effects_of_actions(self, actions: Tensor, *, context: Cells | ad.AnnData | str | None = None) -> Tensor:
        """(n, genes) predicted change of mean expression under any actions, differentiable in them.

        Fields and tokens of an action are those of a mixture of the perturbations that ``actions_of`` was last asked
        for (of training, when it was not), the nearer the more (``ActionEncoder.between``).

        Args:
            actions: (n, d) vectors of the kind of ``actions_of``.
            context: as of ``predict``; where latents are of single cells, 16 of them are begun from.
        """
        return self._decoded().effects_of_actions(actions, context)

    @property
    def graph(self) -> GeneGraph | None:
        """The gene graph that predictions read; None where the settings read none."""
        return self._ready().parts.graph

    def with_graph(self, graph: GeneGraph) -> "Jepa":
        """The trained model over another graph of the same nodes and relations; nothing is trained again."""
        other, forecaster = copy(self), self._ready()
        parts = replace(forecaster.parts, graph=graph)
        other._forecaster = JepaForecaster(network_on(forecaster.network, graph), parts)
        return other

    @property
    def target_sum(self) -> float:
        """What counts of a cell are scaled to before log1p."""
        return self._ready().parts.target_sum

    @property
    def training_perturbations(self) -> frozenset[str]:
        """Names of the perturbations that the network learned from, without those of validation."""
        return frozenset(self._ready().parts.perturbations)

    @property
    def network(self) -> JepaNetwork:
        """The fitted network."""
        return self._ready().network

    @property
    def parts(self) -> JepaParts:
        """All of the fitted model but its weights."""
        return self._ready().parts

    @property
    def forecaster(self) -> JepaForecaster:
        """The fitted network with what its predictions begin from."""
        return self._ready()

    @property
    def history(self) -> str:
        """The stages that the weights went through, in words; a control is named as such."""
        return trained_stages(self._ready().parts.stages, self.config)

    def _ready(self) -> JepaForecaster:
        if self._forecaster is None:
            raise ModelError("the model was not fitted", remedy="call fit(cells, graph) first")
        return self._forecaster

    def _decoded(self) -> JepaForecaster:
        """The forecaster, once it can say something of expression.

        Raises:
            ModelError: the last stage is still to come.
        """
        forecaster = self._ready()
        missing = [stage for stage in require_stages(None, self.config) if stage not in forecaster.parts.stages]
        if missing:
            raise ModelError(
                f"the model cannot predict before the stage {missing[-1]!r}",
                found=self.history,
                remedy=f"train what is left: fit(cells, stages={missing})",
            )
        return forecaster
