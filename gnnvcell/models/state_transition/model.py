"""StateTransition: STATE's transition model with the gene graph in it, from cells to predictions."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnvcell.data.cell_sets import CellSetConfig, CellSets
from gnnvcell.data.cells import Cells, as_cells
from gnnvcell.data.pseudobulk import cell_effects, resolved_target_sum
from gnnvcell.errors import ConfigError, ModelError
from gnnvcell.features import FeatureTable
from gnnvcell.fitting.config import FitConfig
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.base import Prediction
from gnnvcell.models.cell_model import CELL_MODELS, CellModel
from gnnvcell.models.control_pool import ControlPool
from gnnvcell.models.model_genes import ModelGenes, columns_of
from gnnvcell.models.set_batches import SetBatches, SetFacts
from gnnvcell.models.state_transition import storage
from gnnvcell.models.state_transition.config import StateTransitionConfig
from gnnvcell.models.state_transition.gate import EvidenceGate
from gnnvcell.models.state_transition.network import TransitionNetwork
from gnnvcell.models.state_transition.parts import TransitionParts
from gnnvcell.models.state_transition.predictor import TransitionPredictor
from gnnvcell.models.state_transition.steering import encoded_actions, steered_effects
from gnnvcell.models.target_names import seen_targets
from gnnvcell.models.validation_cells import divided

if TYPE_CHECKING:
    from gnnvcell.fitting import FitResult


@CELL_MODELS.register("state_transition")
class StateTransition(CellModel):
    """A set transformer from control cells and a perturbation to perturbed cells (STATE's ST; Adduri et al. 2025).

    See ``TransitionNetwork`` for the formula and ``StateTransitionConfig`` for the choices.

    Args:
        config: settings, or ``StateTransitionConfig.preset("small")``.
        graph: the gene graph.
        features: "esm" and "compound" to tables of features, for the encoders of these names.

    Raises:
        ModelError: on ``fit``, an encoder lacks its graph or features, or there are fewer than two perturbations.
        ConfigError: on ``fit``, early stopping (``training.patience``) or a fallback without validation perturbations.
        DataError: on ``fit``, no controls, a batch without controls, or values that are neither counts nor log1p.

    Example:
        >>> model = StateTransition(StateTransitionConfig.preset("tiny"), graph=graph)  # doctest: +SKIP
        >>> model.fit(adata).predict(["STAT1", "JAK2+STAT1"]).values.shape  # doctest: +SKIP
        (2, 2000)
    """

    config_class = StateTransitionConfig
    config: StateTransitionConfig

    def __init__(
        self,
        config: StateTransitionConfig | None = None,
        *,
        graph: GeneGraph | None = None,
        features: Mapping[str, FeatureTable] | None = None,
    ) -> None:
        super().__init__(config)
        self._graph, self._features = graph, dict(features or {})
        self._predictor: TransitionPredictor | None = None
        self.result: FitResult | None = None  # of the last fit

    # --- learning

    def fit(
        self,
        train: Cells | ad.AnnData,
        graph: GeneGraph | None = None,
        *,
        seed: int = 0,
        validation: Cells | ad.AnnData | None = None,
        training: FitConfig | None = None,
        begin: Callable[[TransitionNetwork], object] | None = None,
        out_dir: str | Path | None = None,
        resume: bool = False,
        progress: bool = False,
    ) -> "StateTransition":
        """Learn from cells, and return the model with the weights of its best validation.

        Args:
            train: cells of training perturbations, and controls.
            graph: the gene graph; that of the constructor when left out.
            seed: of weights, sets and the draw of validation perturbations.
            validation: cells of perturbations that are no part of training, and controls; when left out, a share of the
                training perturbations (``config.validation``) is held out.
            training: settings of training; ``config.training`` when left out.
            begin: called with the network before it is trained, to give it weights of another run or to freeze parts.
            out_dir: folder of the run (``gnnvcell.fitting.fit``).
            resume: go on with the run in ``out_dir``.
            progress: a bar on stderr.
        """
        from gnnvcell.fitting import fit

        given = None if validation is None else as_cells(validation)
        cells, held_out = divided(as_cells(train), given, share=self.config.validation, seed=seed)
        parts = self._assembled(cells, graph if graph is not None else self._graph, seed, progress)
        network = parts.network()
        if begin is not None:
            begin(network)
        self._predictor = TransitionPredictor(network, parts)
        loader = self.loader(cells, seed=seed)
        validating = self.loader(held_out, seed=seed) if held_out is not None else None
        settings = (training or self.config.training).model_copy(update={"seed": seed})
        self.result = fit(
            network, loader, validating, config=settings, out_dir=out_dir, resume=resume, progress=progress
        )
        network.eval()
        if self.config.fallback is not None:
            parts.gate = self._fitted_gate(held_out)
        return self

    def _assembled(self, cells: Cells, graph: GeneGraph | None, seed: int, progress: bool) -> TransitionParts:
        cfg = self.config
        genes = ModelGenes.chosen(cells, predicted=cfg.genes, read=cfg.input_genes, progress=progress)
        target = resolved_target_sum(cells, cfg.target_sum)
        controls = {}
        for code, name in enumerate(cells.contexts.tolist()):
            own = cells.take_cells(cells.context_code == code)
            controls[name] = ControlPool.of(
                own, genes.predicted, target_sum=target, most=cfg.kept_controls, seed=seed, embedding=cfg.embedding
            )
        effects = None
        if "field" in cfg.encoders or cfg.fallback is not None:
            effects = cell_effects(cells, matching=cfg.controls, target_sum=target, keep_targets=True)
            effects = effects.take_genes(columns_of(effects.genes, genes.predicted))
        return TransitionParts(
            cfg,
            genes,
            target,
            cells.batches.tolist(),
            cells.perturbations.tolist(),
            seen_targets(cells),
            controls,
            any(len(one.targets) > 1 for one in cells.targets),
            any(one.amount is not None for one in cells.targets),
            graph,
            self._features,
            effects,
            next(iter(controls.values())).width,
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
        cells, predictor = as_cells(cells), self._ready()
        parts = predictor.parts
        config = CellSetConfig(
            set_size=self.config.set_size,
            controls=self.config.controls,
            genes=tuple(map(str, parts.genes.predicted)),
            target_sum=parts.target_sum,
            seed=seed,
        )
        sets, embedding = CellSets(cells, config), self.config.embedding
        facts = SetFacts.of(
            sets,
            conditions=predictor.conditions([sets.cells.targets[code] for code in range(len(sets.perturbations))]),
            batches=parts.batches,
            prior=predictor.prior(self.config.field_model) if "field" in self.config.encoders else None,
            weights=self._effect_sizes(cells) if self.config.loss.de_weight > 0 else None,
            embeddings=None if embedding is None else torch.from_numpy(sets.cells.embeddings.get(embedding)),
        )
        return SetBatches(sets.loader(self.config.sets_per_batch), facts)

    def _effect_sizes(self, cells: Cells) -> Tensor:
        """(contexts, perturbations, genes) size of the measured effects; 0 where a perturbation is not in a context."""
        parts = self._ready().parts
        effects = cell_effects(cells, matching=self.config.controls, target_sum=parts.target_sum, keep_targets=True)
        row = {pair: at for at, pair in enumerate(zip(effects.contexts, effects.perturbations, strict=True))}
        sizes = np.zeros((len(cells.contexts), len(cells.perturbations), len(parts.genes.predicted)), dtype=np.float32)
        columns = columns_of(effects.genes, parts.genes.predicted)
        for (context, name), at in row.items():
            place = np.flatnonzero(cells.contexts == context)[0], np.flatnonzero(cells.perturbations == name)[0]
            sizes[place] = np.abs(effects.values[at, columns])
        return torch.from_numpy(sizes)

    def _fitted_gate(self, held_out: Cells | None) -> EvidenceGate:
        """The mixture of network and fallback that is best on the validation perturbations."""
        if held_out is None:
            raise ConfigError(
                "the fallback is weighed on validation perturbations, and there are none",
                remedy="set validation to a share above 0, or give validation cells",
            )
        predictor = self._ready()
        parts = predictor.parts
        truth = cell_effects(held_out, matching=self.config.controls, target_sum=parts.target_sum)
        network, fallback, support, true, weight = [], [], [], [], []
        columns = columns_of(truth.genes, parts.genes.predicted)
        for context in truth.context_names:
            rows = np.flatnonzero(truth.contexts == context)
            names = truth.perturbations[rows]
            network.append(predictor.by_network(names, predictor.pool(context)))
            fallback.append(predictor.prior(str(self.config.fallback)).effects(names, context).values)
            support.append(predictor.support(names))
            true.append(truth.values[rows][:, columns])
            weight.append(truth.measured[rows][:, columns])
        return EvidenceGate.fit(*map(np.concatenate, (network, fallback, support, true, weight)))

    # --- on disk

    def save(self, path: str | Path) -> Path:
        """Write a folder with all that predictions need: settings, weights, control cells, graph, features.

        Raises:
            ModelError: the model was not fitted.
            FileFormatError: the folder holds something other than a model.
        """
        predictor = self._ready()
        return storage.save(predictor.network, predictor.parts, path)

    @classmethod
    def load(cls, path: str | Path) -> "StateTransition":
        """Read what ``save`` wrote, or the model of a run; nothing in the folder is executed.

        Raises:
            FileFormatError: no such model is there, a file is missing, or another version wrote it.
            ModelError: a file was changed or damaged.
        """
        network, parts = storage.load(path)
        model = cls(parts.config, graph=parts.graph, features=parts.tables)
        model._predictor = TransitionPredictor(network, parts)
        return model

    # --- predicting

    def predict(
        self, perturbations: Sequence[str] | NDArray, *, context: Cells | ad.AnnData | str | None = None
    ) -> Prediction:
        """Predict the change of mean expression (natural log units) under any perturbations.

        Args:
            perturbations: names, seen or not, "A+B" for several targets.
            context: control cells to begin from (at most ``kept_controls`` of them, drawn within batches), or the name
                of a cell type of training, whose kept controls are taken; may be left out where training had one.

        Raises:
            ModelError: the model was not fitted, or the cell type is unknown or missing.
            DataError: control cells that lack genes of the model, or are no controls.
        """
        return self._ready().predict(perturbations, context)

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
        perturbation: its support in the graph, the network's share of the prediction, and its confidence (the loss that
        the network expects of a set; NaN without the head).

        Args:
            path: .h5ad or .zarr; it appears when all is written.
            perturbations: names.
            contexts: where to predict, each as of ``predict``; all cell types of training when left out.
            cells: most cells of each perturbation.
            progress: a bar on stderr.
        """
        return self._ready().predict_cells(path, perturbations, contexts=contexts, cells=cells, progress=progress)

    def actions_of(self, perturbations: Sequence[str] | NDArray) -> Tensor:
        """(perturbations, h) vectors of perturbations, as the network adds them to the states of cells.

        With the pooling "sum" the vector of a combination is the sum of those of its targets.

        Raises:
            ModelError: the model was not fitted, or reads a field, which is no vector to search in.
        """
        predictor = self._ready()
        return encoded_actions(predictor.network.eval(), predictor.conditions_of(np.asarray(perturbations, dtype=str)))

    def effects_of_actions(self, actions: Tensor, *, context: Cells | ad.AnnData | str | None = None) -> Tensor:
        """(n, genes) changes of mean expression that the network predicts under any vectors, differentiable in them.

        Over fewer control cells than ``predict`` (``steering.STEERED_CELLS``), and without its fallback.

        Args:
            actions: (n, h) vectors of the kind of ``actions_of``.
            context: as of ``predict``.
        """
        predictor = self._ready()
        parts = predictor.parts
        return steered_effects(
            predictor.network.eval(),
            predictor.pool(context),
            actions,
            size=parts.config.set_size,
            batches=list(parts.batches),
        )

    @property
    def graph(self) -> GeneGraph | None:
        """The gene graph that predictions read; None where the settings read none."""
        return self._ready().parts.graph

    def with_graph(self, graph: GeneGraph) -> "StateTransition":
        """The trained model over another graph of the same nodes and relations; nothing is trained again."""
        other = copy(self)
        other._predictor = self._ready().with_graph(graph)
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
    def network(self) -> TransitionNetwork:
        """The fitted network."""
        return self._ready().network

    def _ready(self) -> TransitionPredictor:
        if self._predictor is None:
            raise ModelError("the model was not fitted", remedy="call fit(cells, graph) first")
        return self._predictor
