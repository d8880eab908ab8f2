"""SoftBins: a number as a mixture of learned embeddings."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gnnvcell.errors import ConfigError

_LEAK = 0.01  # slope of LeakyReLU below zero
# By which logits start: so that numbers of the size of log expression fall into different bins. With the usual start
# of a linear layer nearly all of them have the same mixture.
_SPREAD = 4.0


class SoftBins(nn.Module):
    """Expression enters a token as a soft bin (the State Embedding model's way; Adduri et al. 2025).

    ``a(x) = softmax(V LeakyReLU(w x + b) + c)``, with w, b of ``hidden`` units and V (bins, hidden)
    ``y(x) = sum_k a_k(x) E_k``, with E (bins, d) learned

    What stands before the softmax is, of one number x, a piecewise linear function with a knot ``-b_j / w_j`` for every
    unit. It is evaluated as such: slopes and offsets of all pieces are summed once a call, and a number looks up its
    piece. The result and its gradients are those of the formula, without ``hidden`` values for every number.

    Args:
        width: d of the embeddings.
        bins: number of embeddings.
        hidden: number of units.

    Shapes: x (...); result (..., d).

    Raises:
        ConfigError: a size that is not positive.

    Example:
        >>> SoftBins(16)(torch.tensor([[0.0, 1.5]])).shape
        torch.Size([1, 2, 16])
    """

    def __init__(self, width: int, *, bins: int = 10, hidden: int = 512) -> None:
        super().__init__()
        sizes = {"width": width, "bins": bins, "hidden": hidden}
        bad = {name: size for name, size in sizes.items() if size < 1}
        if bad:
            raise ConfigError(f"sizes of the soft bins are not positive: {bad}", expected="1 or more")
        self.units = nn.Linear(1, hidden)
        self.logits = nn.Linear(hidden, bins)
        nn.init.normal_(self.logits.weight, std=_SPREAD * hidden**-0.5)
        self.embeddings = nn.Parameter(torch.randn(bins, width))

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape d"]:
        """Embeddings of numbers, which must be finite."""
        return self.shares(x) @ self.embeddings

    def shares(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape bins"]:
        """How much of each bin a number is; sums to 1."""
        knots, pieces = self._pieces()
        x = x.to(knots.dtype)
        slope, offset = F.embedding(torch.searchsorted(knots, x.detach()), pieces).chunk(2, dim=-1)
        return (x[..., None] * slope + offset).softmax(dim=-1)

    def _pieces(self) -> tuple[Float[Tensor, " hidden"], Float[Tensor, "pieces two_bins"]]:
        """The ascending knots, and slope and offset of the piece that follows each, the first before all knots."""
        w, b, v = self.units.weight[:, 0], self.units.bias, self.logits.weight.t()
        # Left of all knots the falling units are open, and those that do not depend on x are as they always are.
        open_left = (w < 0) | ((w == 0) & (b > 0))
        gate = _LEAK + (1 - _LEAK) * open_left.to(w.dtype)
        knots, order = torch.where(w == 0, torch.inf, -b / w).detach().sort()
        # A rising unit opens at its knot, a falling one closes.
        turn = (1 - _LEAK) * w.detach().sign()
        lines = torch.cat([v * w[:, None], v * b[:, None]], dim=1)
        first = (gate[:, None] * lines).sum(dim=0)
        first = first + F.pad(self.logits.bias, (len(self.logits.bias), 0))
        turns = (turn[:, None] * lines)[order]
        return knots, torch.cat([first[None], first + turns.cumsum(dim=0)])
