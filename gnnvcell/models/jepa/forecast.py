"""JepaForecaster: a trained network with all that its predictions begin from."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import anndata as ad
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from gnnvcell import keys
from gnnvcell.data.cells import Cells, as_cells
from gnnvcell.models.base import Prediction
from gnnvcell.models.control_pool import ControlPool, known_pool
from gnnvcell.models.jepa.action import Action, Gallery
from gnnvcell.models.jepa.network import JepaNetwork
from gnnvcell.models.jepa.parts import JepaParts
from gnnvcell.models.measured_neighbours import support_of
from gnnvcell.models.predicted_cells import PredictedCells, write_cells
from gnnvcell.nn.perturbation_batch import PerturbationBatch
from gnnvcell.perturbation import Perturbation

_NUMBERS_AT_ONCE = 2**24  # of latents in one pass through the predictor
_STEERED_CELLS = 16  # control cells that a search begins from, where latents are of single cells
_DRAWS = 16  # of latents, for the spread


class Encoded(NamedTuple):
    """Control cells as one set, encoded once for all perturbations.

    Args:
        latents: (cells, tokens, d), or with ``pool_cells`` (1, tokens, d), their mean.
        expression: (cells, genes); with ``pool_cells`` (1, genes).
    """

    latents: Tensor
    expression: Tensor


class JepaForecaster:
    """Predicts effects and cells, and effects of actions that are no known perturbation.

    Args:
        network: trained, or about to be.
        parts: what it was made for.
    """

    def __init__(self, network: JepaNetwork, parts: JepaParts) -> None:
        self.network, self.parts = network, parts
        self._gallery: NDArray | None = None

    # --- effects and cells

    def predict(
        self, perturbations: Sequence[str] | NDArray, context: Cells | ad.AnnData | str | None = None
    ) -> Prediction:
        """See ``Jepa.predict``."""
        names, pool = np.asarray(perturbations, dtype=str), self.pool(context)
        self.network.eval()
        values, spread = self._effects(names, pool)
        support = support_of(self.parts.graph, names, list(self.parts.perturbations))
        return Prediction(values, names, self.parts.genes, support, pool.name, spread)

    @torch.no_grad()
    def _effects(self, names: NDArray, pool: ControlPool) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """(perturbations, genes) mean change over the cells of a pool, and its spread where one is known."""
        encoded = self._encoded(pool)
        changes, spreads = [], []
        for _, action in self._actions(names, pool.name, together=self._together(len(encoded.latents))):
            changes.append(self._change(encoded, action).cpu())
            if self.network.config.probabilistic:
                spreads.append(self._spread(encoded, action).cpu())
        return torch.cat(changes).numpy(), torch.cat(spreads).numpy() if spreads else None

    def _change(self, encoded: Encoded, action: Action) -> Tensor:
        """(actions, genes)."""
        count = len(action.vector)
        latents = encoded.latents.expand(count, *encoded.latents.shape)
        return self.network.change(latents, encoded.expression.expand(count, *encoded.expression.shape), action)

    def _spread(self, encoded: Encoded, action: Action) -> Tensor:
        """(actions, genes) standard deviation of the mean change, were the predictor's error shared by all cells.

        The variance that a predictor learns is that of single cells. Draws of latents, one for all cells, are decoded:
        noise between cells is in there too, so that this is an upper bound of what the model knows of its error.
        """
        found = self.network.predict_latents(encoded.latents.expand(len(action.vector), *encoded.latents.shape), action)
        assert found.log_variance is not None
        deviation = (0.5 * found.log_variance).exp()
        generator = torch.Generator().manual_seed(self.parts.seed)
        draws = []
        for _ in range(_DRAWS):
            noise = torch.randn(deviation.shape[2:], generator=generator).to(deviation.device)
            draws.append(self.network.decode(found.mean + deviation * noise).mean(dim=1))
        return torch.stack(draws).std(dim=0)

    def predict_cells(
        self,
        path: str | Path,
        perturbations: Sequence[str] | NDArray,
        *,
        contexts: Sequence[Cells | ad.AnnData | str] | None = None,
        cells: int = 256,
        progress: bool = False,
    ) -> Path:
        """See ``Jepa.predict_cells``."""
        names = np.asarray(perturbations, dtype=str)
        pools = [self.pool(one) for one in (contexts if contexts is not None else list(self.parts.controls))]
        support = support_of(self.parts.graph, names, list(self.parts.perturbations))
        rows = [
            {keys.CELL_TYPE: pool.name, keys.TARGET_GENE: str(name), "support": value}
            for pool in pools
            for name, value in zip(names, support, strict=True)
        ]
        with tqdm(
            total=len(rows), desc="predicting", unit="perturbation", disable=None if progress else True
        ) as bar:
            made = (one for pool in pools for one in self._cells_of(pool, names, cells, bar))
            return write_cells(path, pools, made, self.parts.genes, {keys.PREDICTION: pd.DataFrame(rows)})

    def _cells_of(self, pool: ControlPool, names: NDArray, most: int, bar: Any) -> Iterator[PredictedCells]:
        rows = np.linspace(0, len(pool) - 1, min(most, len(pool))).round().astype(np.int64)
        before = pool.dense(rows)
        for name in names:
            after = self.changed(pool, rows, np.repeat(name, len(rows)), before)
            bar.update(1)
            yield PredictedCells(str(name), after, pool.batch[rows], pool.name)

    def change_cells(
        self, control: Cells | ad.AnnData, perturbations: Sequence[str] | NDArray
    ) -> NDArray[np.float32]:
        """See ``Jepa.change_cells``."""
        cells = as_cells(control)
        parts, rows = self.parts, np.flatnonzero(cells.is_control)
        pool = ControlPool.of(cells, parts.genes, target_sum=parts.target_sum, totals=True)
        names = np.asarray(perturbations, dtype=str)
        return self.changed(pool, np.arange(len(rows)), names, pool.dense(np.arange(len(rows))))

    @torch.no_grad()
    def changed(
        self, pool: ControlPool, rows: NDArray, names: NDArray, before: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """(cells, genes) expression, 0 or more, of control cells under a perturbation each.

        With ``pool_cells`` the cells of one perturbation are moved by the change of their mean; else each by its own.

        Args:
            pool: control cells.
            rows: (cells,) rows of the pool.
            names: (cells,) what is done to each.
            before: (cells, genes) expression of these cells.
        """
        self.network.eval()
        after = np.empty_like(before)
        for name in dict.fromkeys(names.tolist()):
            inside = np.flatnonzero(names == name)
            (_, action), *_ = self._actions(np.array([name]), pool.name, together=1)
            if self.network.config.pool_cells:
                change = self._change(self._encoded(pool, rows[inside]), action).expand(len(inside), -1)
            else:
                change = torch.cat(list(self._cell_by_cell(pool, rows[inside], action)))
            after[inside] = np.maximum(before[inside] + change.cpu().numpy(), 0.0)
        return after

    def _cell_by_cell(self, pool: ControlPool, rows: NDArray, action: Action) -> Iterator[Tensor]:
        """(some cells, genes) change of each cell, as a set of its own."""
        for some in np.array_split(rows, max(1, -(-len(rows) // self._together(1)))):
            latents, expression = self._encoded(pool, some)
            yield self.network.change(latents[:, None], expression[:, None], _for_each(action, len(some)))

    # --- actions

    def actions_of(self, perturbations: Sequence[str] | NDArray) -> Tensor:
        """See ``Jepa.actions_of``."""
        self._gallery = np.asarray(perturbations, dtype=str)
        with torch.no_grad():
            return self.network.eval().actions_of(self.conditions_of(self._gallery))

    def effects_of_actions(self, actions: Tensor, context: Cells | ad.AnnData | str | None = None) -> Tensor:
        """See ``Jepa.effects_of_actions``."""
        self.network.eval()
        names = np.array(self.parts.perturbations, dtype=str) if self._gallery is None else self._gallery
        pool = self.pool(context)
        rows = np.linspace(0, len(pool) - 1, min(_STEERED_CELLS, len(pool))).round().astype(np.int64)
        with torch.no_grad():
            encoded = self._encoded(pool, None if self.network.config.pool_cells else rows)
            gallery: Gallery = self.network.action.gallery(self.conditions_of(names), self._field(names, pool.name))
        return self.network.effects_of_actions(actions.to(self.device), gallery, *encoded)

    # --- what predictions begin from

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def conditions_of(self, names: NDArray) -> PerturbationBatch:
        """Perturbations by their names, as the network takes them, on its device."""
        return self.conditions([Perturbation.parse(str(name)) for name in names]).to(self.device)

    def conditions(self, perturbations: Sequence[Perturbation]) -> PerturbationBatch:
        """Perturbations as the network takes them."""
        parts = self.parts
        return PerturbationBatch.of(perturbations, genes=parts.targets, compounds=parts.compounds)

    def pool(self, context: Cells | ad.AnnData | str | None) -> ControlPool:
        """Control cells to begin from: given ones, or those that the model kept of a cell type of training.

        Raises:
            ModelError: the cell type is unknown or missing.
            DataError: control cells that lack genes of the model, or are no controls.
        """
        parts = self.parts
        if not isinstance(context, Cells | ad.AnnData):
            return known_pool(parts.controls, context)
        return ControlPool.of(
            as_cells(context), parts.genes, target_sum=parts.target_sum, most=parts.config.kept_controls, totals=True
        )

    def _field(self, names: NDArray, context: str) -> Tensor | None:
        """(perturbations, genes + 1) what the network reads of measured outcomes; None where it reads none."""
        prior = self.parts.prior
        if prior is None:
            return None
        known = context if context in self.parts.controls else None
        return torch.from_numpy(prior.effects(names, known).field).to(self.device)

    def _actions(self, names: NDArray, context: str, *, together: int) -> Iterator[tuple[NDArray, Action]]:
        """Names and actions of perturbations, so many at a time."""
        conditions, field = self.conditions_of(names), self._field(names, context)
        for start in range(0, len(names), together):
            some = torch.arange(start, min(start + together, len(names)), device=self.device)
            yield names[start : start + together], self.network.action(
                conditions.take(some), None if field is None else field[some]
            )

    @torch.no_grad()
    def _encoded(self, pool: ControlPool, rows: NDArray | None = None) -> Encoded:
        """Control cells of a pool, all where no rows are given."""
        rows = np.arange(len(pool)) if rows is None else rows
        assert pool.log_total is not None
        total, latents, expression = torch.from_numpy(pool.log_total[rows]).to(self.device), [], []
        for some in np.array_split(np.arange(len(rows)), max(1, -(-len(rows) // self._together(1)))):
            values = torch.from_numpy(pool.dense(rows[some])).to(self.device)
            found = self.network.encode(values, total[torch.from_numpy(some)])
            mean = self.network.config.pool_cells
            latents.append(found.sum(dim=0, keepdim=True) if mean else found)
            expression.append(values.sum(dim=0, keepdim=True) if mean else values)
        if self.network.config.pool_cells:
            return Encoded(*(torch.stack(one).sum(dim=0) / len(rows) for one in (latents, expression)))
        return Encoded(torch.cat(latents), torch.cat(expression))

    def _together(self, cells: int) -> int:
        """How many perturbations of so many cells go through the predictor together."""
        numbers = cells * self.network.encoder.tokens * self.network.config.width
        return max(1, _NUMBERS_AT_ONCE // (4 * numbers))


def _for_each(action: Action, cells: int) -> Action:
    """One action as that of each of several cells."""
    others = (None if part is None else part.expand(cells, *part.shape[1:]) for part in action[1:])
    return Action(action.vector.expand(cells, -1), *others)
