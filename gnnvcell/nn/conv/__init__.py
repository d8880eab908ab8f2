"""Graph convolutions that take ``(graph, feat, ...)`` as DGL's do. One operator per file."""

from gnnvcell.nn.conv.appnp_conv import APPNPConv
from gnnvcell.nn.conv.context_conv import ContextConv
from gnnvcell.nn.conv.gated_restart_conv import GatedRestartConv
from gnnvcell.nn.conv.gatv2_conv import GATv2Conv
from gnnvcell.nn.conv.gcn_conv import GCNConv
from gnnvcell.nn.conv.gin_conv import GINConv
from gnnvcell.nn.conv.hgt_conv import HGTConv
from gnnvcell.nn.conv.rel_graph_conv import RelGraphConv
from gnnvcell.nn.conv.sage_conv import SAGEConv
from gnnvcell.nn.conv.signed_conv import SignedConv

__all__ = [
    "APPNPConv",
    "ContextConv",
    "GATv2Conv",
    "GCNConv",
    "GINConv",
    "GatedRestartConv",
    "HGTConv",
    "RelGraphConv",
    "SAGEConv",
    "SignedConv",
]
