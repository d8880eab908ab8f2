"""Checks that both libraries compute the same states with the same weights, so that their rows differ in cost alone.

ENV/bin/python benchmarks/peers/graph_encoders/same_states.py
"""

import torch
from dgl_encoders import DglConvs  # pyright: ignore[reportMissingImports]
from layers import LAYERS  # pyright: ignore[reportMissingImports]
from message_graph import MessageGraph  # pyright: ignore[reportMissingImports]
from pyg_encoders import PygConvs  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn

NODES, KINDS, EDGES, DIM, TOLERANCE = 50, 3, 400, 16, 1e-5

NAMES = {
    "graph_conv": {"weight": "lin.weight", "bias": "bias"},
    "gat": {"fc.weight": "lin.weight", "attn_l": "att_src", "attn_r": "att_dst", "bias": "bias"},
    "sage": {"fc_neigh.weight": "lin_l.weight", "fc_self.weight": "lin_r.weight", "fc_self.bias": "lin_l.bias"},
    "relational": {"linear_r.W": "weight", "linear_r.coeff": "comp", "loop_weight": "root", "h_bias": "bias"},
}
"""DGL's names of a convolution's parameters to PyTorch Geometric's."""


def random_graph() -> MessageGraph:
    """Edges of three kinds, in order of kind and dst, each once and both ways: GCN divides by the out-degree of src and
    the in-degree of dst in DGL, and by in-degrees alone in PyTorch Geometric, which are the same only then.
    """
    kind, src, dst = torch.randint(KINDS, (EDGES,)), *torch.randint(NODES, (2, EDGES))
    one, other = (kind * NODES + dst) * NODES + src, (kind * NODES + src) * NODES + dst
    code = torch.unique(torch.cat([one, other]))
    return MessageGraph(code % NODES, code // NODES % NODES, code // NODES**2, NODES, KINDS)


def copy_weights(of_dgl: nn.Module, to_pyg: nn.Module, names: dict[str, str]) -> None:
    """Give one library's convolution the random weights of the other's."""
    ours, theirs = dict(of_dgl.named_parameters()), dict(to_pyg.named_parameters())
    if set(ours) != set(names) or set(theirs) != set(names.values()):
        raise SystemExit(f"parameters are {sorted(ours)} and {sorted(theirs)}, expected {names}")
    with torch.no_grad():
        for name, other in names.items():
            value: Tensor = ours[name].normal_()
            transposed = value.dim() == 2 and name == "weight"  # DGL's GraphConv keeps (in, out)
            theirs[other].copy_(value.T if transposed else value)


def main() -> None:
    torch.manual_seed(0)
    graph = random_graph()
    h = torch.randn(NODES, DIM)
    for layer in LAYERS:
        first, second = DglConvs(layer, graph, DIM, 1), PygConvs(layer, graph, DIM, 1)
        copy_weights(first.convs[0], second.convs[0], NAMES[layer])
        there, here = first(0, h), second(0, h)
        difference = float(((there - here).abs() / (1 + there.abs())).max().detach())
        print(f"{layer}: largest difference {difference:.1e}")
        if difference > TOLERANCE:
            raise SystemExit("the encoders are not the same")


if __name__ == "__main__":
    main()
