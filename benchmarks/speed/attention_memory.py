"""Peak memory of one forward and backward pass of GATv2 above what graph, features and a first small call hold, in MiB.

python benchmarks/speed/attention_memory.py ours|dgl EDGES
"""

import sys

import torch
from power_law import NODES, power_law  # pyright: ignore[reportMissingImports]

from gnnvcell._dgl import dgl
from gnnvcell.nn.conv import GATv2Conv

who, edges = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(1)
layer = (GATv2Conv if who == "ours" else dgl.nn.GATv2Conv)(64, 16, 4, allow_zero_in_degree=True)
small = dgl.graph(([0, 1], [1, 0]))
layer(small, torch.randn(2, 64, requires_grad=True)).sum().backward()
graph = power_law(edges)
feat = graph.feat(NODES, 64).requires_grad_()
structure = graph.dgl, graph.adjacency
# The high-water mark of building the graph must not hide that of the pass.
with open("/proc/self/clear_refs", "w") as reset:
    reset.write("5")


def status(field: str) -> float:
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


before = status("VmRSS")
layer(structure[0], feat).sum().backward()
print(status("VmHWM") - before)
