"""TransitionPredictor: a trained network with all that its predictions begin from."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.data.cells import Cells, as_cells
from gnnvcell.errors import ModelError
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.base import Prediction
from gnnvcell.models.control_pool import ControlPool, known_pool
from gnnvcell.models.effect_prior import EffectPrior
from gnnvcell.models.measured_neighbours import support_of
from gnnvcell.models.other_graph import network_on
from gnnvcell.models.predicted_cells import PredictedCells, cells_of, write_cells
from gnnvcell.models.state_transition.network import TransitionNetwork
from gnnvcell.models.state_transition.parts import TransitionParts
from gnnvcell.models.state_transition.predicting import (
    SetsOfControls,
    genes_of,
    network_effects,
    transitions,
)
from gnnvcell.nn.perturbation_batch import PerturbationBatch
from gnnvcell.perturbation import Perturbation


class TransitionPredictor:
    """Predicts effects and cells; what of it was not learned by the network (priors) is fitted when it is asked for.

    Args:
        network: trained, or about to be.
        parts: what it was made for.
    """

    def __init__(self, network: TransitionNetwork, parts: TransitionParts) -> None:
        self.network, self.parts = network, parts
        self._priors: dict[str, EffectPrior] = {}

    def prior(self, name: str) -> EffectPrior:
        """A model of effects, fitted to the training effects once.

        Raises:
            ModelError: the model kept no training effects.
        """
        parts = self.parts
        if name not in self._priors:
            if parts.effects is None or parts.graph is None:
                raise ModelError("the model has no training effects to fit a prior to")
            self._priors[name] = EffectPrior(
                name, parts.effects, parts.graph, folds=parts.config.folds, seed=parts.seed
            )
        return self._priors[name]

    def with_graph(self, graph: GeneGraph) -> "TransitionPredictor":
        """The trained network and its fitted priors over another graph of the same nodes and relations."""
        config = self.parts.config
        used = {config.field_model} if "field" in config.encoders else set()
        used |= {str(config.fallback)} if self.parts.gate is not None else set()
        other = TransitionPredictor(network_on(self.network, graph), replace(self.parts, graph=graph))
        other._priors = {name: self.prior(name).with_graph(graph) for name in used}
        return other

    def predict(
        self, perturbations: Sequence[str] | NDArray, context: Cells | ad.AnnData | str | None = None
    ) -> Prediction:
        """See ``StateTransition.predict``."""
        names, pool = np.asarray(perturbations, dtype=str), self.pool(context)
        values, support = self.by_network(names, pool), self.support(names)
        parts = self.parts
        if parts.gate is not None:
            prior = self.prior(str(parts.config.fallback))
            fallback = prior.effects(names, self._known_context(pool.name)).values
            values = parts.gate.mixed(values, fallback, support)
        return Prediction(values.astype(np.float32), names, parts.genes.predicted, support, pool.name)

    def predict_cells(
        self,
        path: str | Path,
        perturbations: Sequence[str] | NDArray,
        *,
        contexts: Sequence[Cells | ad.AnnData | str] | None = None,
        cells: int = 256,
        progress: bool = False,
    ) -> Path:
        """See ``StateTransition.predict_cells``."""
        parts, names = self.parts, np.asarray(perturbations, dtype=str)
        pools = [self.pool(one) for one in (contexts if contexts is not None else list(parts.controls))]
        rows: list[dict[str, Any]] = []
        made = (one for pool in pools for one in self._cells_of(pool, names, cells, rows, progress))
        about: dict[str, Any] = {}
        return write_cells(path, pools, _then(made, about, rows), parts.genes.predicted, about)

    def _cells_of(
        self, pool: ControlPool, names: NDArray, most: int, rows: list[dict[str, Any]], progress: bool
    ) -> Iterator[PredictedCells]:
        """Predicted cells of one cell type; what is known of each perturbation is added to ``rows``."""
        parts, network = self.parts, self.network
        sets = SetsOfControls.of(network.eval(), pool, size=parts.config.set_size, batches=parts.batches)
        before = torch.from_numpy(pool.dense(sets.rows)).to(sets.values.device)
        unchanged = genes_of(network, sets.values)
        support, share, fallback = self.support(names), np.ones(len(names)), None
        if parts.gate is not None:
            share = parts.gate.share(support)
            fallback = self.prior(str(parts.config.fallback)).effects(names, self._known_context(pool.name)).values
        found = transitions(
            network, sets, self.conditions_of(names), field=self._field(names, pool), progress=progress
        )
        for number, after, confidence in found:
            change = genes_of(network, after) - unchanged
            if parts.gate is not None and fallback is not None:
                other = torch.from_numpy(fallback[number]).to(change)
                g = float(share[number])
                change = g * parts.gate.network * change + (1 - g) * parts.gate.fallback * other
            values, of = cells_of(before + change, sets.rows, sets.mask, most=most)
            expected = float("nan") if confidence is None else float(confidence.mean())
            about = {"support": support[number], "network_share": share[number], "expected_loss": expected}
            rows.append({keys.CELL_TYPE: pool.name, keys.TARGET_GENE: str(names[number]), **about})
            yield PredictedCells(str(names[number]), values, pool.batch[of], pool.name)

    def _field(self, names: NDArray, pool: ControlPool) -> NDArray[np.float32] | None:
        """What the network reads of its prior; None where it reads none."""
        if "field" not in self.parts.config.encoders:
            return None
        return self.prior(self.parts.config.field_model).effects(names, self._known_context(pool.name)).field

    def by_network(self, names: NDArray, pool: ControlPool) -> NDArray[np.float64]:
        """(perturbations, genes) effects that the network predicts from the control cells of a pool."""
        parts, network = self.parts, self.network
        network.eval()
        return network_effects(
            network,
            pool,
            self.conditions_of(names),
            size=parts.config.set_size,
            batches=parts.batches,
            field=self._field(names, pool),
        )

    def support(self, names: NDArray) -> NDArray[np.float32]:
        """(perturbations,) measured perturbations beside each in the graph, itself too."""
        return support_of(self.parts.graph, names, self.parts.perturbations)

    def conditions(self, perturbations: Sequence[Perturbation]) -> PerturbationBatch:
        """Perturbations as the network takes them; a network that reads only the field looks no target up."""
        targets = self.network.targets
        if targets is None:
            return PerturbationBatch.of(perturbations, genes=["-"])
        return PerturbationBatch.of(perturbations, genes=targets.vocab, compounds=targets.compounds)

    def conditions_of(self, names: NDArray) -> PerturbationBatch:
        """Perturbations by their names, on the network's device."""
        found = self.conditions([Perturbation.parse(str(name)) for name in names])
        return found.to(next(self.network.parameters()).device)

    def pool(self, context: Cells | ad.AnnData | str | None) -> ControlPool:
        """Control cells to begin from: given ones, or those that the model kept of a cell type of training.

        Raises:
            ModelError: the cell type is unknown or missing.
            DataError: control cells that lack genes or embeddings of the model, or are no controls.
        """
        parts = self.parts
        if isinstance(context, Cells | ad.AnnData):
            pool = ControlPool.of(
                as_cells(context),
                parts.genes.predicted,
                target_sum=parts.target_sum,
                most=parts.config.kept_controls,
                embedding=parts.config.embedding,
            )
            pool.require_width(parts.width)
            return pool
        return known_pool(parts.controls, context)

    def _known_context(self, name: str) -> str | None:
        """The context as priors know it; None, their own default, for a new cell type."""
        return name if name in self.parts.controls else None


def _then(
    cells: Iterator[PredictedCells], about: dict[str, Any], rows: list[dict[str, Any]]
) -> Iterator[PredictedCells]:
    """The cells, and when they are through, the table of what is known of them."""
    yield from cells
    about[keys.PREDICTION] = pd.DataFrame(rows)
