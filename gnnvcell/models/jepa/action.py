"""ActionEncoder: what is done to a cell, as a vector, as tokens, and as a field over the genes."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gnnvcell.errors import ModelError
from gnnvcell.models.jepa.config import JepaConfig
from gnnvcell.models.jepa.facts import JepaFacts
from gnnvcell.nn.perturbation_batch import PerturbationBatch
from gnnvcell.nn.perturbation_encoder import PerturbationEncoder
from gnnvcell.nn.relation_diffusion import RelationDiffusion

_MEASURED_SCALE = 4.0  # of measured effects (log1p, mostly below 1) among the field's numbers, at the start


class Action(NamedTuple):
    """Actions as the predictor takes them.

    Args:
        vector: (actions, d) entity, mode and strength of all targets.
        tokens: (actions, tokens, d) that cross-attention looks at; None without.
        mask: (actions, tokens) which are there.
        field: (actions, genes, channels) what reaches each gene; None without.
        measured: (actions, genes + 1) measured field, as it is given; None without.
    """

    vector: Float[Tensor, "actions d"]
    tokens: Float[Tensor, "actions tokens d"] | None
    mask: Bool[Tensor, "actions tokens"] | None
    field: Float[Tensor, "actions genes channels"] | None
    measured: Float[Tensor, "actions fields"] | None


class Gallery(NamedTuple):
    """Actions of real perturbations, between which others can be thought of (``ActionEncoder.between``).

    Args:
        vectors: (perturbations, d).
        starts: (genes that can be targets, perturbations) sparse, 1 at the targets of each.
        measured: (perturbations, genes + 1) measured field; None without.
    """

    vectors: Float[Tensor, "perturbations d"]
    starts: Tensor
    measured: Float[Tensor, "perturbations fields"] | None


class ActionEncoder(nn.Module):
    """Perturbations as actions::

        vector = PerturbationEncoder(entities, mode, strength)
        field_g = [ s_g ; RelationDiffusion(s)_g ; c m_g ; c m_g log(1 + support) ],    s = sum of the targets
        tokens = [ W vector ; V [e_u ; field_u] + W' vector for the genes u that the diffusion reaches most ]

    s is 1 at each target, e_u the embedding of gene u by message passing, and m the effect that a model of effects,
    which never saw the perturbation, predicts from measured training outcomes (``EffectPrior``), with a learned scale
    c. The field of several targets is made of the sum of their starts, so order has no part in it; a control has no
    field and one token.

    Args:
        config: settings.
        facts: genes, possible targets and graph.

    Shapes: see ``Action``.
    """

    def __init__(self, config: JepaConfig, facts: JepaFacts) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.targets = facts.of_actions(config)
        self.encoder = PerturbationEncoder(
            width,
            gene_features=self.targets.gene_widths,
            compound_features=self.targets.compound_widths,
            hidden=width,
            depth=config.encoder_layers,
            pooling=config.pooling,
            dropout=config.dropout,
            hide=config.hide_targets,
            strengths=facts.strengths,
        )
        self.token = nn.Linear(width, width) if "cross" in config.action_inputs else None
        self.diffusion = self.neighbour = self.log_measured = None
        self._graph = facts.graph
        self.register_buffer("gene_rows", facts.gene_rows, persistent=False)
        if "field" in config.action_inputs and facts.graph is not None:
            self.diffusion = RelationDiffusion(facts.graph.graph, hops=config.hops, channels=config.channels)
            nodes = torch.from_numpy(facts.graph.vocab.lookup(facts.targets.symbols))
            self.register_buffer("nodes", nodes, persistent=False)
        if config.neighbours:
            self.neighbour = nn.Linear(config.graph.width + config.hops * config.channels, width)
            self.neighbour_action = nn.Linear(width, width, bias=False)
        if config.measured is not None:
            self.log_measured = nn.Parameter(torch.tensor(_MEASURED_SCALE).log())

    def forward(self, conditions: PerturbationBatch, measured: Float[Tensor, "actions fields"] | None = None) -> Action:
        """Encode perturbations.

        Args:
            conditions: in the order of the possible targets and compounds.
            measured: (actions, genes + 1) effects by the model ``measured``, and log(1 + support).

        Raises:
            ModelError: the action reads measured outcomes, and there are none.
        """
        described = self.targets()
        vector = self.encoder(conditions, described.features, described.present)
        return self._action(vector, self.starts(conditions).to_dense(), measured, described.nodes)

    def gallery(
        self, conditions: PerturbationBatch, measured: Float[Tensor, "actions fields"] | None = None
    ) -> Gallery:
        """Actions of real perturbations; arguments as of ``forward``."""
        described = self.targets()
        vectors = self.encoder(conditions, described.features, described.present)
        return Gallery(vectors, self.starts(conditions), measured)

    def between(self, vectors: Float[Tensor, "actions d"], gallery: Gallery) -> Action:
        """Actions of any vectors: their fields and tokens are those of a mixture of real perturbations::

            s = sum_p w_p s_p,    w = softmax_p( -|vector - vector_p|^2 / (2 b^2) )

        with a width b of a quarter of the median distance of a perturbation to its nearest other: at the vector of a
        real perturbation that is itself, and gradients tell which way others are.

        Args:
            vectors: of the kind of ``gallery.vectors``.
            gallery: real perturbations.
        """
        apart = torch.cdist(vectors, gallery.vectors.detach())
        share = torch.softmax(-0.5 * (apart / _bandwidth(gallery.vectors.detach())) ** 2, dim=1)
        start = torch.sparse.mm(gallery.starts, share.T)
        measured = None if gallery.measured is None else share @ gallery.measured
        return self._action(vectors, start, measured, self.targets().nodes)

    def starts(self, conditions: PerturbationBatch) -> Tensor:
        """(genes that can be targets, perturbations) sparse, 1 at the targets of each; compounds start nothing."""
        known = (conditions.target >= 0) & ~conditions.is_compound
        at = torch.stack([conditions.target[known], conditions.owner[known]])
        one = torch.ones(at.shape[1], device=at.device)
        return torch.sparse_coo_tensor(
            at, one, (len(self.targets.vocab), len(conditions)), is_coalesced=False, check_invariants=False
        ).coalesce()

    def own_genes(self, conditions: PerturbationBatch) -> Bool[Tensor, "perturbations genes"]:
        """Which of the model's genes are targets of each perturbation."""
        return self.starts(conditions).to_dense()[self.get_buffer("gene_rows")].T > 0

    def _action(self, vector: Tensor, start: Tensor, measured: Tensor | None, nodes: Tensor | None) -> Action:
        if self.config.measured is None:
            measured = None  # nobody reads it
        field = tokens = mask = None
        if self.token is not None:
            tokens = self.token(vector)[:, None]
            mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        if self.diffusion is not None:
            field, reached, begun = self._field(start)
            if self.config.measured is not None:
                field = torch.cat([field, self._measured(measured)], dim=2)
            if self.neighbour is not None and nodes is not None and tokens is not None and mask is not None:
                beside, there = self._neighbours(vector, reached, begun, nodes)
                tokens, mask = torch.cat([tokens, beside], dim=1), torch.cat([mask, there], dim=1)
        return Action(vector, tokens, mask, field, measured)

    def _field(self, start: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(actions, genes, 1 + hops x channels), the same of the graph's genes without the first, and their start."""
        assert self.diffusion is not None
        assert self._graph is not None
        nodes, genes = self.get_buffer("nodes"), self.get_buffer("gene_rows")
        known = nodes >= 0
        begun = start.new_zeros(self._graph.num_genes, start.shape[1]).index_add(0, nodes[known], start[known])
        reached = self.diffusion(self._graph.graph, begun).flatten(2)
        rows = nodes[genes]
        of_genes = torch.where((rows >= 0)[:, None], reached[:, rows.clamp_min(0)], 0.0)
        return torch.cat([start[genes].T[:, :, None], of_genes], dim=2), reached, begun

    def _measured(self, measured: Tensor | None) -> Tensor:
        """(actions, genes, 2)."""
        if measured is None or self.log_measured is None:
            raise ModelError("the action reads measured outcomes, and there are none", remedy="give measured=")
        effect = measured[:, :-1] * self.log_measured.exp()
        return torch.stack([effect, effect * measured[:, -1:]], dim=2)

    def _neighbours(self, vector: Tensor, reached: Tensor, begun: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """(actions, neighbours, d) tokens of the genes that are reached most, and which are there."""
        assert self.neighbour is not None
        score = reached.detach().mean(dim=2).masked_fill(begun.detach().T > 0, 0.0)
        best, at = score.topk(min(self.config.neighbours, score.shape[1]), dim=1)
        near = reached.gather(1, at[:, :, None].expand(-1, -1, reached.shape[2]))
        tokens = self.neighbour(torch.cat([F.embedding(at, nodes), near], dim=2))
        return tokens + self.neighbour_action(vector)[:, None], best > 0


def _bandwidth(vectors: Tensor) -> Tensor:
    """A quarter of the median distance to the nearest other vector, of those that have another."""
    apart = torch.cdist(vectors, vectors)
    apart = apart.masked_fill(apart < 1e-4 * apart.max(), torch.inf).amin(dim=1)
    apart = apart[torch.isfinite(apart)]
    return apart.median() / 4 if len(apart) else vectors.new_ones(())
