"""What a state embedding model says of perturbations: what it decodes of cells whose targets were changed."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from gnnvcell.data.cells import Cells
from gnnvcell.data.effects import EffectTable
from gnnvcell.errors import ModelError, PerturbationError, did_you_mean
from gnnvcell.models.state_embedding.batches import read_depth
from gnnvcell.models.state_embedding.embedding import encode_block
from gnnvcell.models.state_embedding.expressed_cells import ExpressedCells
from gnnvcell.models.state_embedding.network import StateEmbedding
from gnnvcell.models.state_embedding.vocabulary import match_columns
from gnnvcell.perturbation import Mode, Perturbation

_GENES_AT_A_TIME = 2048  # decoded together


def perturbation_effects(
    model: StateEmbedding,
    cells: Cells,
    perturbations: Sequence[str] | NDArray | None = None,
    *,
    control_cells: int = 64,
    batch_size: int = 32,
    seed: int = 0,
    progress: bool = True,
) -> EffectTable:
    """Predicted effects of perturbations on the control cells of each cell type.

    The model was not told what perturbations do; it is asked. Control cells are read as they are and with their
    targets changed: taken out of the sentence (knock-out, CRISPRi, and where the mode is not known), or raised to the
    cell's highest expression (CRISPRa). ``effect_g = mean over cells of (decoded_g changed - decoded_g unchanged)``;
    of a target itself it is the change that was made. A target that no control cell expresses cannot be taken out: its
    effect is zero.

    Args:
        model: trained with a loss that decodes expression.
        cells: control cells among them.
        perturbations: names, "A+B" for several targets; those of the cells when left out.
        control_cells: most control cells of a cell type that are looked at.
        batch_size: cells that go through the transformer together.
        seed: of which control cells, and of the order of genes with equal expression.
        progress: a bar on stderr.

    Returns:
        Kind "delta" (log1p), all perturbations in every context; genes are the columns of the cells that the model
        knows; the control expression is that of the control cells which were looked at.

    Raises:
        ModelError: the model decodes whether genes are expressed, and not how much.
        PerturbationError: a perturbation has a target that is no column of the cells or no gene of the model, or a
            compound.
        DataError: no control cells.
    """
    if model.config.loss == "cross_entropy":
        raise ModelError(
            "the model decodes whether a gene is expressed, not how much",
            remedy='train it with another loss, such as "energy"',
        )
    cells.require_controls()
    given = ExpressedCells.of(cells)
    match = match_columns(model.vocab, given.genes)
    names = np.asarray(cells.perturbations if perturbations is None else perturbations, dtype=str)
    changes = [_changes(name, given.genes[match.columns]) for name in names]
    contexts = np.unique(cells.context_code[cells.is_control])
    rng = np.random.default_rng(seed)
    values, control = [], {}
    model.eval()
    with (
        torch.inference_mode(),
        tqdm(total=len(contexts) * len(names), desc="perturbing cells", disable=None if progress else True) as bar,
    ):
        asked = _Asked(model, given, match.columns, match.genes, batch_size, seed)
        for context in contexts.tolist():
            rows = np.flatnonzero(cells.is_control & (cells.context_code == context))
            rows = np.sort(rng.choice(rows, min(control_cells, len(rows)), replace=False))
            block = sp.csr_array(given.take(rows)[:, match.columns])
            unchanged = asked.decoded(block, rows)
            control[str(cells.contexts[context])] = np.asarray(block.mean(axis=0)).ravel()
            for change in changes:
                values.append(asked.effect(block, rows, change, unchanged))
                bar.update()
    return EffectTable(
        np.array(values).reshape(len(contexts) * len(names), len(match.columns)),
        np.ones((len(contexts) * len(names), len(match.columns)), dtype=bool),
        np.tile(names, len(contexts)),
        given.genes[match.columns],
        kind="delta",
        context=np.repeat(cells.contexts[contexts], len(names)),
        control=control,
    )


class _Asked:
    """A model and the cells it is asked about."""

    def __init__(
        self,
        model: StateEmbedding,
        cells: ExpressedCells,
        columns: NDArray[np.int64],
        genes: NDArray[np.int64],
        batch_size: int,
        seed: int,
    ) -> None:
        self._model, self._cells, self._columns, self._genes = model, cells, columns, genes
        self._batch_size, self._seed = batch_size, seed
        self._table = model.table()

    def decoded(self, block: sp.csr_array, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """(cells, genes) expression that the model decodes of cells; ``rows`` are those they come from."""
        model, table = self._model, self._table
        encoded = encode_block(
            model, block, self._genes, table, rows=rows, batch_size=self._batch_size, seed=self._seed
        )
        depth = read_depth(self._cells, self._cells.take(rows), rows, model.config.sentences).to(table.device)
        of_genes = table[torch.from_numpy(self._genes).to(table.device)]
        parts: list[Tensor] = []
        for part in of_genes.split(_GENES_AT_A_TIME):
            which = torch.arange(len(part), device=table.device).expand(len(rows), -1)
            parts.append(model.decode(encoded, depth, part, which))
        return torch.cat(parts, dim=1).double().cpu().numpy()

    def effect(
        self, block: sp.csr_array, rows: NDArray[np.int64], change: dict[int, bool], unchanged: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """(genes,) mean effect; ``change`` says of each target's column whether it goes up."""
        targets = np.array(list(change), dtype=np.int64)
        dense = block.toarray()
        before = dense[:, targets].copy()
        top = dense.max(axis=1)
        for column, up in change.items():
            dense[:, column] = np.maximum(dense[:, column], top) if up else 0.0
        moved = np.flatnonzero((dense[:, targets] != before).any(axis=1))
        effect = np.zeros(dense.shape[1])
        if len(moved):
            after = self.decoded(sp.csr_array(dense[moved]), rows[moved])
            effect = (after - unchanged[moved]).sum(axis=0) / len(rows)
        effect[targets] = (dense[:, targets] - before).mean(axis=0)
        return effect


def _changes(name: str, genes: NDArray) -> dict[int, bool]:
    """Column of each target to whether it goes up."""
    perturbation = Perturbation.parse(name)
    if perturbation.mode is Mode.DRUG:
        raise PerturbationError(f"{name!r} is a compound", expected="genes that are knocked down, out or up")
    place = {str(gene): at for at, gene in enumerate(genes.tolist())}
    missing = [target for target in perturbation.targets if target not in place]
    if missing:
        raise PerturbationError(
            f"{name!r}: {missing[0]!r} is no gene that both the cells and the model have",
            remedy=f"{did_you_mean(missing[0], place)}; or leave it out: perturbations=[...]",
        )
    return {place[target]: perturbation.mode is Mode.CRISPRA for target in perturbation.targets}
