"""Transformer: pre-norm blocks of attention and feed-forward over a sequence, or over a set."""

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gnnvcell.config import Config
from gnnvcell.errors import ConfigError
from gnnvcell.nn.attention import SelfAttention
from gnnvcell.nn.linear_attention import LinearAttention
from gnnvcell.nn.positions import sinusoids

Norm = Literal["rmsnorm", "layernorm"]


class TransformerConfig(Config):
    """Settings of a transformer.

    Args:
        width: d of a token.
        layers: number of blocks; 0 gives only the last normalisation.
        heads: of attention, a divisor of the width.
        hidden: width of feed-forward layers.
        norm: "rmsnorm" or "layernorm".
        feed_forward: "swiglu" (two hidden projections, one gates the other) or "gelu".
        positions: "none": tokens are a set; "sinusoidal" or "rotary".
        attention: "softmax", whose time grows with the square of the length, or "linear" (``LinearAttention``).
        dropout: of attention weights and of what blocks add, while training.
        checkpoint_layers: recompute blocks in the backward pass instead of keeping what they made.
    """

    width: int = Field(default=256, ge=1)
    layers: int = Field(default=4, ge=0)
    heads: int = Field(default=8, ge=1)
    hidden: int = Field(default=1024, ge=1)
    norm: Norm = "rmsnorm"
    feed_forward: Literal["swiglu", "gelu"] = "swiglu"
    positions: Literal["none", "sinusoidal", "rotary"] = "none"
    attention: Literal["softmax", "linear"] = "softmax"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    checkpoint_layers: bool = False


class FeedForward(nn.Module):
    """``W2 gelu(W1 x + b1) + b2``, or SwiGLU (Shazeer 2020): ``W2 (silu(W1 x) * W3 x)``.

    Shapes: (..., width) to (..., width).
    """

    def __init__(self, width: int, hidden: int, how: Literal["swiglu", "gelu"]) -> None:
        super().__init__()
        self.gated = how == "swiglu"
        self.inner = nn.Linear(width, 2 * hidden if self.gated else hidden, bias=not self.gated)
        self.outer = nn.Linear(hidden, width, bias=not self.gated)

    def forward(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """Apply to each token."""
        inner = self.inner(x)
        if not self.gated:
            return self.outer(F.gelu(inner))
        gate, value = inner.chunk(2, dim=-1)
        return self.outer(F.silu(gate) * value)


class TransformerBlock(nn.Module):
    """``x + attention(norm(x))``, then ``x + feed_forward(norm(x))``.

    Shapes: x (batch, length, d); mask (batch, length), True for tokens that are there; result as x.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.attention_norm = make_norm(config.norm, config.width)
        self.attention = make_attention(config)
        self.feed_forward_norm = make_norm(config.norm, config.width)
        self.feed_forward = FeedForward(config.width, config.hidden, config.feed_forward)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Float[Tensor, "batch length d"], mask: Bool[Tensor, "batch length"] | None = None
    ) -> Float[Tensor, "batch length d"]:
        """Apply the block."""
        x = x + self.dropout(self.attention(self.attention_norm(x), mask))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class Transformer(nn.Module):
    """Blocks of bidirectional attention, each normalised before what it adds (pre-norm), and a last normalisation.

    Without positions it is a function of a set: permuted tokens give permuted results. Tokens that the mask leaves out
    are set to zero on the way in and out, so that nothing of what they held, not even NaN, reaches the others.

    Args:
        config: settings.

    Shapes: x (batch, length, d); mask (batch, length), True for tokens that are there; result as x.

    Example:
        >>> import torch
        >>> encoder = Transformer(TransformerConfig(width=8, layers=2, heads=2, hidden=16))
        >>> encoder(torch.rand(1, 3, 8), torch.tensor([[True, True, False]])).shape
        torch.Size([1, 3, 8])
    """

    def __init__(self, config: TransformerConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or TransformerConfig()
        self.blocks = nn.ModuleList(TransformerBlock(config) for _ in range(config.layers))
        self.norm = make_norm(config.norm, config.width)

    def forward(
        self, x: Float[Tensor, "batch length d"], mask: Bool[Tensor, "batch length"] | None = None
    ) -> Float[Tensor, "batch length d"]:
        """Encode sequences; a mask that leaves nothing out gives the same as none."""
        x = self._begun(x, mask)
        for block in self.blocks:
            if self.config.checkpoint_layers and self.training:
                x = checkpoint(block, x, mask, use_reentrant=False)  # type: ignore[assignment]
            else:
                x = block(x, mask)
        x = self.norm(x)
        return x if mask is None else x.masked_fill(~mask[:, :, None], 0.0)

    def attention_weights(
        self,
        x: Float[Tensor, "batch length d"],
        rows: Int[Tensor, " rows"],
        mask: Bool[Tensor, "batch length"] | None = None,
        *,
        layer: int = -1,
    ) -> Float[Tensor, "batch heads rows length"]:
        """How much some tokens look at each one, in one layer.

        Args:
            x: as of ``forward``.
            rows: positions of the tokens that look.
            mask: as of ``forward``.
            layer: number of the block, from 0; -1 is the last.

        Raises:
            ConfigError: there is no such layer.
        """
        count = len(self.blocks)
        if not -count <= layer < count:
            raise ConfigError(f"there is no layer {layer}", expected=f"0 to {count - 1}, or -1 for the last")
        x = self._begun(x, mask)
        for block in self.blocks[: layer % count]:
            x = block(x, mask)
        last: TransformerBlock = self.blocks[layer]  # type: ignore[assignment]
        return last.attention.weights(last.attention_norm(x), rows, mask)

    def _begun(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """What the first block reads."""
        if mask is not None:
            x = x.masked_fill(~mask[:, :, None], 0.0)
        return x + sinusoids(x.shape[1], x.shape[2], x) if self.config.positions == "sinusoidal" else x


def make_attention(config: TransformerConfig) -> SelfAttention | LinearAttention:
    """The attention of a block."""
    kind = SelfAttention if config.attention == "softmax" else LinearAttention
    rotary = "rotary" if config.positions == "rotary" else "none"
    return kind(config.width, config.heads, positions=rotary, dropout=config.dropout)


def make_norm(how: Norm, width: int) -> nn.Module:
    """A normalisation of the last dimension."""
    return nn.RMSNorm(width, eps=1e-6) if how == "rmsnorm" else nn.LayerNorm(width)
