"""Source propagation: the perturbed gene is a source on the gene graph; what arrives is read out per gene."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from gnnvcell.config import Config
from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.errors import ModelError
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models._context import ExpressionInContext
from gnnvcell.models._learning import SHORTEST_CYCLE, Objective, Pairs
from gnnvcell.models._outcomes import Outcomes, check_trainable
from gnnvcell.models.base import MODELS, EffectModel, Prediction
from gnnvcell.models.relations import is_gene_gene, links, require_gene_relations
from gnnvcell.models.smoother import require_targets
from gnnvcell.models.targets import target_matrix
from gnnvcell.nn.conv.gated_restart_conv import GatedRestartConv
from gnnvcell.ops import Adjacency

# Without it a few dozen steps of the optimiser do not close the gate of an unexpressed target.
GATE_SLOPE = 5.0


class SourcePropagationConfig(Config):
    """Settings of source propagation.

    Args:
        dim: width of the gene states.
        steps: of message passing.
        restart: share of a gene's own state in every step.
        max_term_genes: messages do not run through larger terms.
        epochs, lr, weight_decay: of AdamW over all training pairs.
        dropout: of the source's state, while training.
        half_count: measurements of a gene at which the start of its gate is one half.
    """

    dim: int = Field(default=48, ge=1)
    steps: int = Field(default=3, ge=1)
    restart: float = Field(default=0.3, ge=0, le=1)
    max_term_genes: int = Field(default=500, ge=2)
    epochs: int = Field(default=60, ge=1)
    lr: float = Field(default=0.02, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    dropout: float = Field(default=0.3, ge=0, lt=1)
    half_count: float = Field(default=20.0, gt=0)


@dataclass(frozen=True, eq=False)
class Paths:
    """How messages run from gene to gene in each relation.

    Args:
        hops: per relation one adjacency (gene -> gene) or two (gene -> term -> gene).
        weights: their edge weights, summing to 1 over the in-edges of a node.
        reached: (genes,) bool, whether any relation reaches the gene.
    """

    hops: list[list[Adjacency]]
    weights: list[list[Tensor]]
    reached: Tensor

    @classmethod
    def of(cls, graph: GeneGraph, max_term_genes: int) -> "Paths":
        """The paths of every relation of genes; terms of one gene or of more than ``max_term_genes`` are left out."""
        hops, weights = [], []
        for relation in require_gene_relations(graph, "source_propagation"):
            if is_gene_gene(graph, relation):
                matrices = [links(graph, relation)]
            else:
                membership = graph.adjacency(relation)
                size = np.diff(membership.tocsc().indptr)
                kept = membership[:, (size >= 2) & (size <= max_term_genes)]
                rarity = sp.diags(np.log(graph.num_genes / np.maximum(np.diff(kept.tocsc().indptr), 1)))
                matrices = [kept, (kept @ rarity).T.tocsr()]
            made = [_averaging(matrix) for matrix in matrices]
            hops.append([adjacency for adjacency, _ in made])
            weights.append([weight for _, weight in made])
        reached = torch.stack([relation[-1].in_degrees > 0 for relation in hops]).any(dim=0)
        return cls(hops, weights, reached)


def _averaging(matrix: sp.csr_matrix) -> tuple[Adjacency, Tensor]:
    """Edges row -> column, with weights that sum to 1 over the in-edges of a column."""
    edges = sp.coo_matrix(matrix)
    num_src, num_dst = matrix.get_shape()
    src, dst = torch.from_numpy(edges.row.astype(np.int64)), torch.from_numpy(edges.col.astype(np.int64))
    weight = torch.from_numpy(edges.data.astype(np.float32))
    total = torch.zeros(num_dst).index_add_(0, dst, weight)
    return Adjacency(src, dst, num_src, num_dst), weight / total[dst]


class SourceNetwork(nn.Module):
    """States of genes by message passing, and the readout of a source's state per readout gene.

    ``h_0 = x``, ``h_{t+1} = GatedRestartConv_t(x, h_t)`` (no restart in the last step, so that a source is read by what
    reaches it and not by its own feature), ``s_p`` the mean of h_T over the targets, scaled to unit length, 0 where no
    relation reaches a target; ``score[p, g] = 2 sigmoid(5 w . z_pg) * n_g / (n_g + exp(c)) * (u_g . s_p)``. The first
    gate closes a source whose target is not expressed in the cell type; z_pg is the control expression of the target
    and of the gene, w starts at 0, where the gate is 1. The second gate goes back to the gene's mean where the gene was
    measured n_g times only.

    Args:
        genes: nodes.
        counts: (readout genes,) training measurements of each.
        relations: number of relations.
        config: sizes.
        context_features: entries of z_pg; 0 where there is no control expression.

    Shapes: sources (perturbations, genes) sparse; in_context (perturbations, readout genes, context features); result
    (perturbations, readout genes).
    """

    counts: Tensor

    def __init__(
        self, genes: int, counts: Tensor, relations: int, config: SourcePropagationConfig, context_features: int = 0
    ) -> None:
        super().__init__()
        self.features = nn.Parameter(torch.randn(genes, config.dim) / config.dim**0.5)
        restarts = [config.restart] * (config.steps - 1) + [0.0]
        self.convs = nn.ModuleList(GatedRestartConv(config.dim, relations, restart=restart) for restart in restarts)
        self.readout = nn.Parameter(torch.zeros(len(counts), config.dim))
        self.log_half = nn.Parameter(torch.tensor(config.half_count).log())
        self.context_gate = nn.Parameter(torch.zeros(context_features))
        self.dropout = nn.Dropout(config.dropout)
        self.register_buffer("counts", counts)

    def states(self, paths: Paths, weights: list[list[Tensor]]) -> Tensor:
        """(genes, dim) states after the last step; 0 for genes that no relation reaches."""
        h = self.features
        for conv in self.convs:
            h = conv(paths.hops, weights, self.features, h)
        return h * paths.reached[:, None]

    def forward(
        self,
        sources: Tensor,
        paths: Paths,
        weights: list[list[Tensor]] | None = None,
        *,
        in_context: Tensor | None = None,
    ) -> Tensor:
        """(perturbations, readout genes) scores; ``weights`` replaces the weights of the paths."""
        arrived = torch.sparse.mm(sources, self.states(paths, paths.weights if weights is None else weights))
        source = F.normalize(arrived, dim=1)
        gate = self.counts / (self.counts + self.log_half.exp())
        score = (self.dropout(source) @ self.readout.T) * gate
        return score if in_context is None else score * 2 * torch.sigmoid(GATE_SLOPE * (in_context @ self.context_gate))


@MODELS.register("source_propagation")
class SourcePropagation(EffectModel):
    """Perturbed genes are sources, carried over the graph by T steps of relation-gated message passing with restart.

    ``SourceNetwork`` gives ``score[p, g]``, 0 where no relation reaches a target of p; the prediction is
    ``sigmoid(logit(mu_g) + score)`` for labels and ``mu_g + score`` for effects, mu_g the gene's shrunken mean.
    Trained end to end over all training pairs, by a pairwise ranking loss within genes for labels and squared error
    for effects. Where the table comes with the expression of control cells, that of the target and of the gene in the
    cell type gate the score (``ExpressionInContext``). It encodes the graph and decodes a pair, and does not see
    training outcomes of neighbours: ``propagation`` does, and is the better model where there are outcomes to pass on.

    Shapes: see ``Prediction``. Units: probability-like score for labels, the table's unit for effects.

    Raises:
        ModelError: on ``fit``, no relation of genes, no training target in the graph, or control expression of some
            contexts only; on ``predict``, the model was not fitted, or lacks the context's control expression.

    Example:
        >>> model = SourcePropagation(SourcePropagationConfig(steps=2)).fit(train, graph, seed=0)  # doctest: +SKIP
    """

    config_class = SourcePropagationConfig
    config: SourcePropagationConfig
    uses_context = True
    uses_seed = True

    def _fit(self, train: EffectTable, graph: GeneGraph, seed: int) -> None:
        """Train the network."""
        cfg = self.config
        check_trainable(train)
        require_targets(target_matrix(graph, train.perturbations).nnz, train, graph)
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        self._paths = Paths.of(graph, cfg.max_term_genes)
        outcomes = Outcomes.of(train)
        self._expression = ExpressionInContext.of(train)
        in_context = self._expression.of_rows(train) if self._expression.width else None
        self.network = SourceNetwork(
            graph.num_genes, outcomes.gene_count, len(self._paths.hops), cfg, self._expression.width
        )
        pairs = Pairs.hidden(train.values, train.measured, train.kind, outcomes.gene_mean, 0)
        objective = Objective(pairs, train.kind, torch.arange(len(pairs.effect)))
        if not objective.usable:
            raise ModelError("no gene has training perturbations of both labels", remedy="use more perturbations")
        sources = _sources(graph, train.perturbations)
        optimiser = torch.optim.AdamW(self.network.parameters(), cfg.lr, weight_decay=cfg.weight_decay)
        steps = max(cfg.epochs, SHORTEST_CYCLE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, cfg.lr, total_steps=steps, pct_start=0.1)
        for _ in range(cfg.epochs):
            score = self.network(sources, self._paths, in_context=in_context)
            loss = objective.loss(lambda rows, s=score: s[pairs.row[rows], pairs.gene[rows]][None], objective.draw(rng))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        self.network.eval()
        self._unit = pairs.unit(train.kind)
        self._graph, self._train, self._prior = graph, train, outcomes.prior(train.kind)

    @property
    def graph(self) -> GeneGraph:
        """The gene graph that predictions read."""
        return self._graph

    def with_graph(self, graph: GeneGraph) -> "SourcePropagation":
        """The trained network on another graph of the same nodes and relations."""
        other = copy(self)
        other._graph, other._paths = graph, Paths.of(graph, self.config.max_term_genes)
        return other

    @torch.no_grad()
    def _predict(self, names: NDArray, context: Context) -> Prediction:
        """The gene's prior moved by what reaches the sources; support is the number of targets that are reached."""
        in_context = self._expression.everywhere(names, context) if self._expression.width else None
        score = self.network(_sources(self._graph, names), self._paths, in_context=in_context)
        score = score * self._unit + self._prior
        if self._train.kind != "delta":
            score = score.sigmoid()
        hit = target_matrix(self._graph, names) != 0
        support = np.asarray(hit @ self._paths.reached.numpy().astype(np.float32)).ravel().astype(np.float32)
        return Prediction(score.numpy(), names, self._train.genes, support)


def _sources(graph: GeneGraph, perturbations: Sequence[str] | NDArray) -> Tensor:
    """(perturbations, genes) sparse: shares of the targets."""
    matrix = target_matrix(graph, perturbations).tocoo()
    index = torch.from_numpy(np.stack([matrix.row, matrix.col]).astype(np.int64))
    return torch.sparse_coo_tensor(index, torch.from_numpy(matrix.data), matrix.shape, check_invariants=True).coalesce()
