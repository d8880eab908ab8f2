"""A stack of linear layers with activations between them."""

from torch import nn


def mlp(in_feats: int, out_feats: int, *, hidden: int, depth: int, dropout: float = 0.0) -> nn.Sequential:
    """``depth`` linear layers, GELU and dropout between them; depth 1 is one linear layer.

    Shapes: (..., in_feats) to (..., out_feats).
    """
    layers: list[nn.Module] = []
    for _ in range(depth - 1):
        layers += [nn.Linear(in_feats, hidden), nn.GELU(), nn.Dropout(dropout)]
        in_feats = hidden
    return nn.Sequential(*layers, nn.Linear(in_feats, out_feats))
