"""JepaPredictor: latents of control cells and an action become latents of perturbed cells."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gnnvcell.models.jepa.action import Action
from gnnvcell.models.jepa.config import JepaConfig
from gnnvcell.nn.adaptive_norm import AdaptiveNorm
from gnnvcell.nn.cross_attention import CrossAttention
from gnnvcell.nn.losses.gaussian_nll import bounded_log_variance
from gnnvcell.nn.transformer import FeedForward, make_attention, make_norm

_FIELD_GAIN = 0.3  # of the field's weights at the start, beside those of a linear layer


class PredictedLatents(NamedTuple):
    """What cells become.

    Args:
        mean: (sets, cells, tokens, d).
        log_variance: the same, in [-10, 2]; None where the predictor says none.
    """

    mean: Float[Tensor, "sets cells tokens d"]
    log_variance: Float[Tensor, "sets cells tokens d"] | None


class PredictorBlock(nn.Module):
    """A transformer block that looks at an action: self-attention, cross-attention to the action's tokens where there
    are some, and feed-forward; normalised before each by ``AdaptiveNorm`` of the action's vector, or plainly.

    Shapes: x (cells, length, d); result as x.
    """

    def __init__(self, config: JepaConfig) -> None:
        super().__init__()
        settings, width = config.transformer(1), config.width
        adaptive = "adaln" in config.action_inputs

        def norm() -> nn.Module:
            return AdaptiveNorm(width, width) if adaptive else make_norm(config.norm, width)

        self.adaptive = adaptive
        self.attention_norm, self.attention = norm(), make_attention(settings)
        self.cross_norm = self.cross = None
        if "cross" in config.action_inputs:
            self.cross_norm = make_norm(config.norm, width)
            self.cross = CrossAttention(width, config.heads, dropout=config.dropout)
        self.feed_forward_norm = norm()
        self.feed_forward = FeedForward(width, settings.hidden, config.feed_forward)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Tensor, vector: Tensor, tokens: Tensor | None, mask: Tensor | None
    ) -> Float[Tensor, "cells length d"]:
        """Apply the block."""
        y, gate = self._normed(self.attention_norm, x, vector)
        x = x + gate * self.dropout(self.attention(y))
        if self.cross is not None and self.cross_norm is not None and tokens is not None:
            x = x + self.dropout(self.cross(self.cross_norm(x), tokens, mask))
        y, gate = self._normed(self.feed_forward_norm, x, vector)
        return x + gate * self.dropout(self.feed_forward(y))

    def _normed(self, norm: nn.Module, x: Tensor, vector: Tensor) -> tuple[Tensor, Tensor | float]:
        return norm(x, vector) if self.adaptive else (norm(x), 1.0)


class FieldInput(nn.Module):
    """The field as a vector of each gene, in directions that the action chooses::

        f_g = sum_j field_gj M_j,    [M_1 ... M_J] = W vector + w

    Shapes: field (actions, genes, channels); vector (actions, d); result (actions, genes, d).
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.directions = nn.Linear(width, channels * width)
        with torch.no_grad():
            self.directions.weight.mul_(_FIELD_GAIN)
            self.directions.bias.mul_(_FIELD_GAIN)

    def forward(
        self, field: Float[Tensor, "actions genes channels"], vector: Float[Tensor, "actions d"]
    ) -> Float[Tensor, "actions genes d"]:
        """A vector of each gene."""
        return field @ self.directions(vector).view(len(vector), self.channels, -1)


class JepaPredictor(nn.Module):
    """A transformer over the latents of a cell, told what is done to it::

        queries "index":  mean = head(blocks([Z ; Q])_Q),    Q a learned vector of each token
        queries "state":  mean = Z + head(blocks(Z + f)),    the head begins at zero

    with the field's vectors f (``FieldInput``) where there is a field; with "index" they are added to Q. A
    probabilistic predictor has a second head for the log-variance.

    Args:
        config: settings.
        tokens: latents of a cell.

    Shapes: latents (sets, cells, tokens, d); an action of each set.
    """

    def __init__(self, config: JepaConfig, tokens: int) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.queries = nn.Parameter(torch.randn(tokens, width)) if config.queries == "index" else None
        self.field = FieldInput(width, config.field_channels) if "field" in config.action_inputs else None
        self.blocks = nn.ModuleList(PredictorBlock(config) for _ in range(config.predictor_layers))
        self.norm = make_norm(config.norm, width)
        self.mean = nn.Linear(width, width)
        self.log_variance = nn.Linear(width, width) if config.probabilistic else None
        if self.queries is None:
            nn.init.zeros_(self.mean.weight)
            nn.init.zeros_(self.mean.bias)

    def forward(self, latents: Float[Tensor, "sets cells tokens d"], action: Action) -> PredictedLatents:
        """Predict each cell of each set."""
        cells, tokens = latents.shape[1:3]
        x = self._begun(latents, action)
        vector, others, mask = (_for_cells(part, cells) for part in action[:3])
        for block in self.blocks:
            if self.config.checkpoint_layers and self.training:
                x = checkpoint(block, x, vector, others, mask, use_reentrant=False)
            else:
                x = block(x, vector, others, mask)
        x = self.norm(x[:, -tokens:])  # type: ignore[index]
        mean = self.mean(x).view(latents.shape)
        mean = mean if self.queries is not None else latents + mean
        if self.log_variance is None:
            return PredictedLatents(mean, None)
        return PredictedLatents(mean, bounded_log_variance(self.log_variance(x)).view(latents.shape))

    def injected(self, latents: Float[Tensor, "sets cells tokens d"], action: Action) -> Float[Tensor, "sets tokens d"]:
        """What the action itself adds to the tokens of the first block, mean over cells, before anything is made of it.

        The field's vectors, what cross-attention gives, and what the first adaptive normalisation changes, summed.
        """
        cells, tokens = latents.shape[1:3]
        block: PredictorBlock = self.blocks[0]  # type: ignore[assignment]
        x, added = self._begun(latents, action), torch.zeros((), device=latents.device)
        vector, others, mask = (_for_cells(part, cells) for part in action[:3])
        if block.adaptive:
            norm: AdaptiveNorm = block.attention_norm  # type: ignore[assignment]
            added = added + norm(x, vector)[0] - norm.norm(x)
        if block.cross is not None and block.cross_norm is not None:
            added = added + block.cross(block.cross_norm(x), others, mask)
        added = added.expand(x.shape)[:, -tokens:].reshape(latents.shape).mean(dim=1)
        if self.field is not None and action.field is not None:
            added = added + self.field(action.field, action.vector)
        return added

    def _begun(self, latents: Tensor, action: Action) -> Tensor:
        """(sets x cells, length, d) what the first block reads."""
        asked = latents if self.queries is None else self.queries.expand(latents.shape)
        if self.field is not None and action.field is not None:
            asked = asked + self.field(action.field, action.vector)[:, None]
        if self.queries is not None:
            asked = torch.cat([latents, asked], dim=2)
        return asked.flatten(0, 1)


def _for_cells(part: Tensor | None, cells: int) -> Tensor | None:
    """What is known of each set, for each of its cells."""
    return None if part is None else part.repeat_interleave(cells, dim=0)
