"""The field's usual shape: a graph encoder of genes and a bilinear decoder of (perturbation, gene) pairs."""

import importlib
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from layers import Layer  # pyright: ignore[reportMissingImports]
from message_graph import MessageGraph  # pyright: ignore[reportMissingImports]
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from gnnvcell.config import Config
from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.graphs import GeneGraph
from gnnvcell.models._learning import Objective, Pairs
from gnnvcell.models._outcomes import Outcomes, check_trainable
from gnnvcell.models.base import EffectModel, Prediction
from gnnvcell.models.targets import target_matrix

ENCODERS = {"dgl": ("dgl_encoders", "DglConvs"), "pyg": ("pyg_encoders", "PygConvs")}


class EncoderDecoderConfig(Config):
    """Settings. All but ``library``, ``layer`` and ``depth`` are those of ``SourcePropagationConfig``.

    Args:
        library: whose convolutions.
        layer: which.
        dim: width of the gene states.
        depth: convolutions.
        max_term_genes: messages do not run through larger terms.
        epochs, lr, weight_decay: of AdamW over all training pairs.
        dropout: of states between convolutions and of the perturbation's state, while training.
        half_count: measurements of a gene at which the start of its gate is one half.
    """

    library: Literal["dgl", "pyg"] = "dgl"
    layer: Layer = "graph_conv"
    dim: int = Field(default=48, ge=1)
    depth: int = Field(default=2, ge=1)
    max_term_genes: int = Field(default=500, ge=2)
    epochs: int = Field(default=60, ge=1)
    lr: float = Field(default=0.02, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    dropout: float = Field(default=0.3, ge=0, lt=1)
    half_count: float = Field(default=20.0, gt=0)


class EncoderDecoderNetwork(nn.Module):
    """``h = convolutions of learned node features``; ``s_p`` the mean of h over the targets, of unit length;
    ``score[p, g] = n_g / (n_g + exp(c)) * (u_g + W h_g) . s_p``, h_g 0 for readout genes that the graph lacks.

    Args:
        graph: nodes and edges.
        readout: (readout genes, nodes) sparse, 1 at the gene's node.
        counts: (readout genes,) training measurements of each.
        config: sizes.

    Shapes: sources (perturbations, nodes) sparse; result (perturbations, readout genes).
    """

    counts: Tensor

    def __init__(self, graph: MessageGraph, readout: Tensor, counts: Tensor, config: EncoderDecoderConfig) -> None:
        super().__init__()
        module, name = ENCODERS[config.library]
        self.features = nn.Parameter(torch.randn(graph.nodes, config.dim) / config.dim**0.5)
        self.convs = getattr(importlib.import_module(module), name)(config.layer, graph, config.dim, config.depth)
        self.own = nn.Parameter(torch.zeros(len(counts), config.dim))
        self.shared = nn.Linear(config.dim, config.dim, bias=False)
        self.log_half = nn.Parameter(torch.tensor(config.half_count).log())
        self.dropout = nn.Dropout(config.dropout)
        self.readout = readout
        self.register_buffer("counts", counts)

    def states(self) -> Tensor:
        """(nodes, dim) states after the last convolution."""
        h = self.features
        for number in range(len(self.convs)):
            h = self.convs(number, h if number == 0 else self.dropout(F.relu(h)))
        return h

    def forward(self, sources: Tensor) -> Tensor:
        """(perturbations, readout genes) scores."""
        h = self.states()
        source = self.dropout(F.normalize(torch.sparse.mm(sources, h), dim=1))
        gene = self.own + self.shared(torch.sparse.mm(self.readout, h))
        return (source @ gene.T) * (self.counts / (self.counts + self.log_half.exp()))


class EncoderDecoder(EffectModel):
    """A graph encoder and a bilinear decoder, trained as ``source_propagation`` is: the same pairs, ranking loss,
    optimiser, schedule and number of epochs. It sees no outcome of a neighbour.
    """

    config_class = EncoderDecoderConfig
    config: EncoderDecoderConfig
    kinds = ("de", "direction")
    uses_seed = True
    network: EncoderDecoderNetwork

    def _fit(self, train: EffectTable, graph: GeneGraph, seed: int) -> None:
        """Train the network."""
        cfg = self.config
        check_trainable(train)
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        outcomes = Outcomes.of(train)
        messages = MessageGraph.of(graph, cfg.max_term_genes)
        readout = _at_nodes(graph, train.genes, messages.nodes)
        self.network = EncoderDecoderNetwork(messages, readout, outcomes.gene_count, cfg)
        pairs = Pairs.hidden(train.values, train.measured, train.kind, outcomes.gene_mean, 0)
        objective = Objective(pairs, train.kind, torch.arange(len(pairs.effect)))
        sources = _at_nodes(graph, train.perturbations, messages.nodes)
        optimiser = torch.optim.AdamW(self.network.parameters(), cfg.lr, weight_decay=cfg.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, cfg.lr, total_steps=cfg.epochs, pct_start=0.1)
        for _ in range(cfg.epochs):
            score = self.network(sources)
            loss = objective.loss(lambda rows, s=score: s[pairs.row[rows], pairs.gene[rows]][None], objective.draw(rng))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        self.network.eval()
        self._graph, self._train, self._prior = graph, train, outcomes.prior(train.kind)
        self._nodes = messages.nodes

    @torch.no_grad()
    def _predict(self, names: NDArray, context: Context) -> Prediction:
        """The gene's prior moved by the score; support is the number of targets that the graph has."""
        sources = _at_nodes(self._graph, names, self._nodes)
        score = (self.network(sources) + self._prior).sigmoid()
        support = np.diff(target_matrix(self._graph, names).indptr).astype(np.float32)
        return Prediction(score.numpy(), names, self._train.genes, support)


def _at_nodes(graph: GeneGraph, names: NDArray, nodes: int) -> Tensor:
    """(names, nodes) sparse: shares of the genes of each name, which are the first nodes."""
    matrix = target_matrix(graph, names).tocoo()
    index = torch.from_numpy(np.stack([matrix.row, matrix.col]).astype(np.int64))
    shape = (len(names), nodes)
    return torch.sparse_coo_tensor(index, torch.from_numpy(matrix.data), shape, check_invariants=True).coalesce()
