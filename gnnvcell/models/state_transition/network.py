"""TransitionNetwork: control cells and a perturbation in, perturbed cells out."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gnnvcell import keys
from gnnvcell.errors import ModelError
from gnnvcell.models.state_transition.config import StateTransitionConfig
from gnnvcell.models.target_features import Described, TargetFeatures
from gnnvcell.nn.gene_decoder import NamedGeneDecoder
from gnnvcell.nn.losses import set_loss
from gnnvcell.nn.mlp import mlp
from gnnvcell.nn.perturbation_batch import PerturbationBatch
from gnnvcell.nn.perturbation_encoder import PerturbationEncoder
from gnnvcell.nn.transformer import Transformer


class Transition(NamedTuple):
    """What a set of control cells becomes.

    Args:
        cells: (sets, cells, outputs) predicted cells, or predicted embeddings.
        confidence: (sets,) predicted loss of the set; None without the head.
    """

    cells: Float[Tensor, "sets cells outputs"]
    confidence: Float[Tensor, " sets"] | None


class TransitionNetwork(nn.Module):
    """STATE's transition model (Adduri et al. 2025), with a perturbation known by the gene graph among others::

        H = f_cell(X) + f_pert(p) + f_batch(b) + f_field(e_p),    O = H + f_ST(H),    X^ = X + W O + c

    X are the control cells of a set, f_cell a stack of linear layers, f_pert ``PerturbationEncoder`` over
    ``TargetFeatures``, f_batch a learned vector of the batch (their mean where the batch is unknown), e_p the effect
    that a model of effects predicts for p (with its evidence), and f_ST a transformer over the *cells* of the set,
    without positions. Without ``residual`` X^ = W O + c. The last layer begins at zero, so that training begins at "no
    change". In gene space the field is also added to the change, times (a + b log(1 + support)) with learned a, b that
    begin at 1 and 0: training then begins at what the field says.

    With a confidence head a learned token joins each set, from which the set's own loss is predicted.

    Args:
        config: settings.
        targets: features of targets; a model whose only encoder is "field" has none.
        outputs: number of genes, or width of the embeddings, that are predicted.
        input_columns: (inputs,) columns of the genes that are read; all when left out.
        genes: number of measured genes (of the field).
        batches: number of batches known from training.
        gene_rows: (outputs,) row of each output gene among the graph's genes, -1 where it is not there; of the decoder
            "named", None of the other.
        decoded: number of genes that are decoded from embeddings; None outside of embedding space.
        pooling: of several targets.
        strengths: whether training has doses.

    Shapes: control (sets, cells, outputs); conditions of as many sets; batch (sets,), -1 where unknown; field
        (sets, genes + 1).
    """

    def __init__(
        self,
        config: StateTransitionConfig,
        targets: TargetFeatures | None,
        *,
        outputs: int,
        input_columns: Int[Tensor, " inputs"] | None = None,
        genes: int | None = None,
        batches: int = 0,
        gene_rows: Int[Tensor, " outputs"] | None = None,
        decoded: int | None = None,
        pooling: Literal["attention", "sum"] = "sum",
        strengths: bool = False,
    ) -> None:
        super().__init__()
        self.config = cfg = config
        width = cfg.hidden_dim
        self.targets = targets
        self.register_buffer("input_columns", input_columns, persistent=False)
        inputs = outputs if input_columns is None else len(input_columns)
        self.cell_encoder = mlp(inputs, width, hidden=width, depth=cfg.cell_encoder_layers, dropout=cfg.dropout)
        self.perturbation_encoder = None
        if targets is not None and (targets.gene_widths or targets.compound_widths):
            self.perturbation_encoder = PerturbationEncoder(
                width,
                gene_features=targets.gene_widths,
                compound_features=targets.compound_widths,
                hidden=width,
                depth=cfg.perturbation_encoder_layers,
                pooling=pooling,
                dropout=cfg.dropout,
                hide=cfg.hide_targets,
                strengths=strengths,
            )
        self.field_encoder = self.field_share = None
        if "field" in cfg.encoders:
            self.field_encoder = mlp((genes or outputs) + 1, width, hidden=width, depth=cfg.perturbation_encoder_layers)
            if decoded is None:  # in gene space the field is a prediction already
                self.field_share = nn.Parameter(torch.tensor([1.0, 0.0]))
        self.batch_encoder = nn.Embedding(batches, width) if cfg.batch_encoder and batches > 1 else None
        self.transformer = Transformer(cfg.transformer)
        self.confidence_token = nn.Parameter(torch.randn(width) * 0.02) if cfg.confidence else None
        self.confidence_head = nn.Linear(width, 1) if cfg.confidence else None
        self._make_decoder(outputs, gene_rows)
        self.gene_decoder = None if decoded is None else _gene_decoder(outputs, cfg.gene_decoder, decoded)
        self.set_loss = set_loss(cfg.loss)
        # Coordinates of embeddings are no genes: they all weigh the same.
        self.embedding_loss = None if decoded is None else set_loss(cfg.loss.model_copy(update={"de_weight": 0.0}))
        # What rows and columns of parameters stand for, by name; set by who knows (``TransitionParts``).
        self.row_names: dict[str, list[str]] = {}
        self.column_names: dict[str, list[str]] = {}

    def named_rows(self) -> dict[str, list[str]]:
        """Parameter to the names of its rows, where they have names (``gnnvcell.fitting.init_from``)."""
        return self.row_names

    def named_columns(self) -> dict[str, list[str]]:
        """Parameter to the names of its columns, where they have names."""
        return self.column_names

    def compiled_parts(self) -> list[nn.Module]:
        """What ``torch.compile`` takes whole."""
        return [self.transformer]

    def _make_decoder(self, outputs: int, gene_rows: Tensor | None) -> None:
        cfg, width = self.config, self.config.hidden_dim
        layers = mlp(width, outputs, hidden=width, depth=cfg.decoder_layers, dropout=cfg.dropout)
        self.named_decoder = None
        if gene_rows is not None:
            layers = nn.Sequential(*list(layers)[:-1])
            self.named_decoder = NamedGeneDecoder(width, cfg.graph.width, gene_rows)
        else:
            nn.init.zeros_(layers[-1].weight)  # type: ignore[arg-type]
            nn.init.zeros_(layers[-1].bias)  # type: ignore[arg-type]
        self.decoder = layers

    def forward(
        self,
        control: Float[Tensor, "sets cells outputs"],
        conditions: PerturbationBatch,
        batch: Int[Tensor, " sets"] | None = None,
        field: Float[Tensor, "sets fields"] | None = None,
        *,
        mask: Bool[Tensor, "sets cells"] | None = None,
    ) -> Transition:
        """Predict sets.

        Args:
            control: control cells, in the order of the outputs.
            conditions: what is done to each set.
            batch: batch of each set among those of training.
            field: effect predicted by the field's model, where "field" is an encoder.
            mask: cells that are there.
        """
        described = self.targets() if self.targets is not None else None
        states = self.encode_cells(control)
        context = self.encode_conditions(conditions, batch, field, described=described)
        return self.transform(control, states, context, field, described=described, mask=mask)

    def encode_cells(self, control: Float[Tensor, "sets cells outputs"]) -> Float[Tensor, "sets cells h"]:
        """States of control cells; the same whatever is done to them."""
        read = control if self.input_columns is None else control[..., self.input_columns]  # type: ignore[index]
        return self.cell_encoder(read)

    def encode_conditions(
        self,
        conditions: PerturbationBatch,
        batch: Int[Tensor, " sets"] | None = None,
        field: Float[Tensor, "sets fields"] | None = None,
        *,
        described: Described | None = None,
    ) -> Float[Tensor, "sets h"]:
        """What is done to each set, and where.

        Args:
            conditions, batch, field: as of ``forward``.
            described: what ``targets()`` gives; made once for all that read it.

        Raises:
            ModelError: the network reads a field, and there is none.
        """
        total = torch.zeros((), device=next(self.parameters()).device)
        if self.perturbation_encoder is not None and described is not None:
            total = total + self.perturbation_encoder(conditions, described.features, described.present)
        if self.field_encoder is not None:
            if field is None:
                raise ModelError("the network reads a field, and there is none", remedy="give field=")
            total = total + self.field_encoder(field)
        if self.batch_encoder is not None:
            total = total + self.encode_batches(batch, len(conditions))
        return total

    def encode_batches(self, batch: Int[Tensor, " sets"] | None, sets: int) -> Float[Tensor, "sets h"]:
        """Vectors of batches, of a network that reads them; the mean of all for batches that training did not have."""
        assert self.batch_encoder is not None
        table = self.batch_encoder.weight
        mean = table.mean(dim=0)
        if batch is None:
            return mean.expand(sets, -1)
        return torch.where((batch >= 0)[:, None], table[batch.clamp_min(0)], mean)

    def transform(
        self,
        control: Float[Tensor, "sets cells outputs"],
        states: Float[Tensor, "sets cells h"],
        context: Float[Tensor, "sets h"],
        field: Float[Tensor, "sets fields"] | None = None,
        *,
        described: Described | None = None,
        mask: Bool[Tensor, "sets cells"] | None = None,
    ) -> Transition:
        """Perturbed cells from the states of control cells and what is done to them."""
        states, confidence = self._perturbed(states, context, mask)
        change = self._read_out(states, field, described)
        return Transition(control + change if self.config.residual else change, confidence)

    def mean_outputs(
        self,
        states: Float[Tensor, "sets cells h"],
        context: Float[Tensor, "sets h"],
        weight: Float[Tensor, "sets cells"],
        field: Float[Tensor, "sets fields"] | None = None,
        *,
        described: Described | None = None,
    ) -> Float[Tensor, "sets outputs"]:
        """Means over cells of what ``transform`` adds to control cells (with ``residual``) or gives.

        The last step is linear, so it is taken once for a set and not for each cell.

        Args:
            states, context, field, described: as of ``transform``.
            weight: of cells, which sum to 1 in each set.
        """
        states, _ = self._perturbed(states, context, None)
        mean = torch.einsum("sc,sch->sh", weight, states)
        return self._read_out(mean[:, None], field, described)[:, 0]

    def _perturbed(
        self, states: Tensor, context: Tensor, mask: Tensor | None
    ) -> tuple[Float[Tensor, "sets cells h"], Float[Tensor, " sets"] | None]:
        """States of perturbed cells, as far as the last linear layer, and the confidence."""
        hidden = states + context[:, None]
        if self.confidence_token is not None:
            token = (self.confidence_token + context)[:, None]
            hidden = torch.cat([hidden, token], dim=1)
            mask = None if mask is None else F.pad(mask, (0, 1), value=True)
        hidden = hidden + self.transformer(hidden, mask)
        confidence = None
        if self.confidence_head is not None:
            confidence = F.softplus(self.confidence_head(hidden[:, -1])[:, 0])
            hidden = hidden[:, :-1]
        return (self.decoder if self.named_decoder is not None else self.decoder[:-1])(hidden), confidence

    def _read_out(
        self, states: Float[Tensor, "sets cells h"], field: Tensor | None, described: Described | None
    ) -> Float[Tensor, "sets cells outputs"]:
        """The last, linear step."""
        if self.named_decoder is None:
            change = self.decoder[-1](states)
        else:
            assert described is not None
            assert described.nodes is not None
            change = self.named_decoder(states, described.nodes)
        if self.field_share is not None and field is not None:
            share = self.field_share[0] + self.field_share[1] * field[:, -1:]
            change = change + (share * field[:, :-1])[:, None]
        return change

    def decode_genes(self, embeddings: Float[Tensor, "... d"]) -> Float[Tensor, "... genes"]:
        """Expression of all genes from embeddings of cells."""
        assert self.gene_decoder is not None
        return self.gene_decoder(embeddings)

    def loss(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Loss of a batch of sets (``SetBatches``), and its parts.

        Returns:
            "loss", minimised; "set", the mean over sets of the loss between predicted and observed cells; "delta", the
            mean squared error of the mean cell of a set, which noise between cells hides less; in embedding
            space "genes", the same of decoded genes; with a confidence head "confidence", its squared error.
        """
        in_embeddings = self.gene_decoder is not None
        control = batch[keys.CONTROL_EMBEDDING if in_embeddings else keys.CONTROL_CELLS]
        observed = batch[keys.PERTURBED_EMBEDDING if in_embeddings else keys.PERTURBED_CELLS]
        found = self(control, batch[keys.CONDITIONS], batch.get(keys.BATCH), batch.get(keys.FIELD))
        mask, weights = batch.get(keys.CELL_MASK), batch.get(keys.GENE_WEIGHTS)
        if self.embedding_loss is not None:
            by_set = self.embedding_loss(found.cells, observed, observed_mask=mask)
        else:
            by_set = self.set_loss(found.cells, observed, observed_mask=mask, gene_weights=weights)
        parts = {"set": by_set.mean(), "delta": _delta_error(found.cells, observed, mask)}
        total = parts["set"]
        if in_embeddings:
            decoded = self.decode_genes(found.cells)
            genes = self.set_loss(decoded, batch[keys.PERTURBED_CELLS], observed_mask=mask, gene_weights=weights)
            parts["genes"] = genes.mean()
            total = total + self.config.gene_loss_weight * parts["genes"]
        if found.confidence is not None:
            parts["confidence"] = (found.confidence - by_set.detach()).square().mean()
            total = total + parts["confidence"]
        return {"loss": total, **{name: value.detach() for name, value in parts.items()}}


def _delta_error(predicted: Tensor, observed: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over sets and genes of the squared difference of the mean cells."""
    if mask is None:
        return (predicted.mean(dim=1) - observed.mean(dim=1)).square().mean()
    weight = (mask / mask.sum(dim=1, keepdim=True))[:, None]
    return (predicted.mean(dim=1) - torch.bmm(weight, observed)[:, 0]).square().mean()


def _gene_decoder(inputs: int, hidden: tuple[int, ...], outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(inputs, width), nn.LayerNorm(width), nn.GELU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))
