"""Names and sizes that both libraries share."""

from typing import Literal, get_args

Layer = Literal["graph_conv", "gat", "sage", "relational"]
"""GCN; GAT with ``HEADS`` heads; GraphSAGE with means; R-GCN with ``BASES`` bases."""

LAYERS: tuple[Layer, ...] = get_args(Layer)
HEADS, BASES = 4, 4
