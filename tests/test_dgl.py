"""What we rely on in DGL works behind the one door to it, and the door does what it says."""

import itertools
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from gnnvcell import _dgl
from gnnvcell._dgl import dgl
from gnnvcell.errors import DependencyError

EDGES = {
    ("gene", "string", "gene"): ([0, 1, 2, 3, 3], [1, 2, 3, 0, 1]),
    ("gene", "annotated", "go_term"): ([0, 1, 4], [0, 0, 1]),
    ("go_term", "is_a", "go_term"): ([0], [1]),
}


@pytest.fixture
def graph():
    made = dgl.heterograph(
        {etype: (torch.tensor(src), torch.tensor(dst)) for etype, (src, dst) in EDGES.items()},
        num_nodes_dict={"gene": 6, "go_term": 2},
    )
    generator = torch.Generator().manual_seed(0)
    for etype in made.canonical_etypes:
        made.edges[etype].data["weight"] = torch.rand(made.num_edges(etype), generator=generator) + 0.1
    return made


def dense(graph, etype) -> torch.Tensor:
    """(destinations, sources) weights."""
    src, dst = graph.edges(etype=etype)
    matrix = torch.zeros(graph.num_nodes(etype[2]), graph.num_nodes(etype[0]))
    return matrix.index_put((dst, src), graph.edges[etype].data["weight"], accumulate=True)


def test_heterographs_keep_types_counts_and_isolated_nodes(graph) -> None:
    assert set(graph.canonical_etypes) == set(EDGES)
    assert {ntype: graph.num_nodes(ntype) for ntype in graph.ntypes} == {"gene": 6, "go_term": 2}
    assert sorted(graph.metagraph().edges()) == [("gene", "gene"), ("gene", "go_term"), ("go_term", "go_term")]
    src, dst = graph.edges(etype="string")
    assert list(zip(src.tolist(), dst.tolist(), strict=True)) == list(
        zip(*EDGES["gene", "string", "gene"], strict=True)
    )
    assert graph.in_degrees(etype="string").tolist() == [1, 2, 1, 1, 0, 0]


@pytest.mark.parametrize("etype", list(EDGES))
def test_weighted_update_all_is_a_matrix_product_with_gradients(graph, etype) -> None:
    feat = torch.randn(graph.num_nodes(etype[0]), 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    weight = graph.edges[etype].data["weight"].clone().requires_grad_()
    with graph.local_scope():
        graph.nodes[etype[0]].data["h"] = feat
        graph.edges[etype].data["w"] = weight
        graph.update_all(dgl.function.u_mul_e("h", "w", "m"), dgl.function.sum("m", "out"), etype=etype)
        found = graph.nodes[etype[2]].data["out"]
    torch.testing.assert_close(found, dense(graph, etype) @ feat)
    out_grad = torch.randn(found.shape, generator=torch.Generator().manual_seed(2))
    found.backward(out_grad)
    assert feat.grad is not None
    assert weight.grad is not None
    torch.testing.assert_close(feat.grad, dense(graph, etype).T @ out_grad)
    src, dst = graph.edges(etype=etype)
    torch.testing.assert_close(weight.grad, (feat.detach()[src] * out_grad[dst]).sum(1))


def test_hetero_graph_conv_runs_backward_through_every_relation(graph) -> None:
    convs = {
        "string": dgl.nn.GraphConv(4, 5, norm="none", allow_zero_in_degree=True),
        "annotated": dgl.nn.SAGEConv((4, 3), 5, "mean"),
        "is_a": dgl.nn.GraphConv(3, 5, norm="right", allow_zero_in_degree=True),
    }
    layer = dgl.nn.HeteroGraphConv(convs, aggregate="sum")
    feats = {"gene": torch.randn(6, 4, requires_grad=True), "go_term": torch.randn(2, 3, requires_grad=True)}
    weights = {"string": {"edge_weight": graph.edges["string"].data["weight"]}}
    out = layer(graph, feats, mod_kwargs=weights)
    assert {ntype: tuple(value.shape) for ntype, value in out.items()} == {"gene": (6, 5), "go_term": (2, 5)}
    torch.cat([out["gene"], out["go_term"]]).square().sum().backward()
    assert all(feat.grad is not None and bool(feat.grad.any()) for feat in feats.values())
    assert all(parameter.grad is not None for parameter in layer.parameters())
    expected = dense(graph, ("gene", "string", "gene")) @ feats["gene"] @ convs["string"].weight + convs["string"].bias
    torch.testing.assert_close(out["gene"], expected)


@pytest.mark.filterwarnings("ignore:Dataloader CPU affinity")
def test_neighbour_sampling_loader_gives_the_blocks_of_full_neighbourhoods(graph) -> None:
    sampler = dgl.dataloading.MultiLayerFullNeighborSampler(2)
    loader = dgl.dataloading.DataLoader(graph, {"gene": torch.arange(6)}, sampler, batch_size=2, shuffle=False)
    seen = []
    for inputs, outputs, blocks in loader:
        assert len(blocks) == 2
        seen += outputs["gene"].tolist()
        assert set(outputs["gene"].tolist()) <= set(inputs["gene"].tolist())
        sources = blocks[1].srcnodes["gene"].data[dgl.NID]
        src, dst = blocks[1].edges(etype="string")
        pairs = set(zip(sources[src].tolist(), outputs["gene"][dst].tolist(), strict=True))
        wanted = {
            (s, d) for s, d in zip(*EDGES["gene", "string", "gene"], strict=True) if d in outputs["gene"].tolist()
        }
        assert pairs == wanted
        weights = blocks[1].edges["string"].data["weight"]
        kept = blocks[1].edges["string"].data[dgl.EID]
        torch.testing.assert_close(weights, graph.edges["string"].data["weight"][kept])
    assert seen == list(range(6))


@pytest.mark.filterwarnings("ignore:Dataloader CPU affinity")
def test_neighbour_sampling_keeps_to_its_fan_out() -> None:
    star = dgl.graph((torch.arange(1, 101), torch.zeros(100, dtype=torch.int64)))
    star.edata["weight"] = torch.cat([torch.zeros(50), torch.ones(50)])
    sampler = dgl.dataloading.NeighborSampler([7], prob="weight")
    loader = dgl.dataloading.DataLoader(star, torch.tensor([0]), sampler, batch_size=1)
    _, _, blocks = next(iter(loader))
    assert blocks[0].num_edges() == 7
    assert bool((blocks[0].edata["weight"] == 1).all())


def test_graphs_are_saved_and_loaded_whole(graph, tmp_path) -> None:
    dgl.save_graphs(str(tmp_path / "graphs.bin"), [graph], {"label": torch.tensor([7])})
    (again,), labels = dgl.load_graphs(str(tmp_path / "graphs.bin"))
    assert labels["label"].tolist() == [7]
    assert again.canonical_etypes == graph.canonical_etypes
    assert again.num_nodes("gene") == 6
    for etype in graph.canonical_etypes:
        for mine, theirs in zip(graph.edges(etype=etype), again.edges(etype=etype), strict=True):
            assert mine.tolist() == theirs.tolist()
        torch.testing.assert_close(again.edges[etype].data["weight"], graph.edges[etype].data["weight"])


def test_metis_finds_two_cliques() -> None:
    size = 20
    inside = [(i, j) for i in range(size) for j in range(size) if i != j]
    edges = [*inside, *((i + size, j + size) for i, j in inside), (0, size), (size, 0)]
    src, dst = torch.tensor(edges).T
    parts = dgl.metis_partition_assignment(dgl.graph((src, dst)), 2)
    assert len(set(parts[:size].tolist())) == len(set(parts[size:].tolist())) == 1
    assert int(parts[0]) != int(parts[size])


def test_edge_softmax_is_the_softmax_over_incoming_edges(graph) -> None:
    relation = graph["string"]
    scores = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    found = dgl.nn.functional.edge_softmax(relation, scores)
    _, dst = relation.edges()
    for node in dst.unique().tolist():
        rows = dst == node
        torch.testing.assert_close(found[rows], scores[rows].softmax(0))
    found[:, 0].square().sum().backward()
    assert scores.grad is not None
    assert bool(scores.grad[:, 0].any())
    assert not bool(scores.grad[:, 1].any())


def test_k_hop_subgraphs_follow_edges_backwards(graph) -> None:
    one, _ = dgl.khop_in_subgraph(graph, {"gene": torch.tensor([1])}, k=1)
    assert sorted(one.nodes["gene"].data[dgl.NID].tolist()) == [0, 1, 3]
    two, inverse = dgl.khop_in_subgraph(graph, {"gene": torch.tensor([1])}, k=2)
    assert sorted(two.nodes["gene"].data[dgl.NID].tolist()) == [0, 1, 2, 3]
    assert two.nodes["gene"].data[dgl.NID][inverse["gene"]].tolist() == [1]
    out, _ = dgl.khop_out_subgraph(graph["string"], torch.tensor([1]), k=1)
    assert sorted(out.ndata[dgl.NID].tolist()) == [1, 2]


def test_random_walks_stay_on_edges(graph) -> None:
    dgl.seed(0)
    walks, _ = dgl.sampling.random_walk(graph["string"], torch.tensor([0, 1, 2]), length=6)
    edges = set(zip(*EDGES["gene", "string", "gene"], strict=True))
    for walk in walks.tolist():
        steps = [step for step in itertools.pairwise(walk) if step[1] >= 0]
        assert len(steps) == 6
        assert set(steps) <= edges


def test_reverse_batch_subgraph_and_scipy(graph) -> None:
    turned = dgl.reverse(graph["string"], copy_edata=True)
    assert turned.edges()[0].tolist() == list(EDGES["gene", "string", "gene"][1])
    both = dgl.batch([graph, graph])
    assert both.num_nodes("gene") == 12
    assert both.batch_num_edges("string").tolist() == [5, 5]
    part = dgl.node_subgraph(graph, {"gene": torch.tensor([0, 1]), "go_term": torch.tensor([0])})
    assert part.num_edges("string") == 1
    assert part.num_edges("annotated") == 2
    matrix = graph["string"].adj_external(scipy_fmt="csr")
    assert matrix.shape == (6, 6)
    np.testing.assert_array_equal(np.diff(matrix.indptr), graph.out_degrees(etype="string").numpy())


def run(code: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter, with folders in front of its import path."""
    head = f"import sys\nsys.path[:0] = {[str(path) for path in paths]!r}\n"
    return subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(code)], capture_output=True, text=True, timeout=120
    )


def test_what_cannot_be_loaded_complains_when_it_is_used() -> None:
    stub = _dgl._InertModule("dgl.graphbolt")
    assert repr(stub.ItemSet)  # asking is allowed: dgl.distributed does while it is imported
    with pytest.raises(DependencyError, match=r"dgl\.graphbolt\.ItemSet is not available") as caught:
        stub.ItemSet(1)
    assert "gnnvcell.ops" in caught.value.remedy
    with pytest.raises(DependencyError, match=r"FusedCSCSamplingGraph\.from_csc is not available"):
        stub.FusedCSCSamplingGraph.from_csc(1)
    assert not hasattr(stub, "__path__")


def test_the_stub_stands_where_the_real_graphbolt_cannot_load() -> None:
    package = Path(dgl.__file__).parent
    replaced = isinstance(sys.modules["dgl.graphbolt"], _dgl._InertModule)
    assert replaced != _dgl._graphbolt_loads(package)


BLOCKERS = {
    "raises": """
        class Blocker:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] == "dgl":
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        sys.meta_path.insert(0, Blocker())
    """,
    "hides": """
        import importlib.machinery
        find = importlib.machinery.PathFinder.find_spec
        def hidden(name, path=None, target=None):
            return None if name.partition(".")[0] == "dgl" else find(name, path, target)
        importlib.machinery.PathFinder.find_spec = hidden
    """,
    "none": "sys.modules['dgl'] = None",
}


@pytest.mark.parametrize("blocker", list(BLOCKERS))
def test_a_missing_dgl_is_a_clear_error(blocker) -> None:
    found = run(textwrap.dedent(BLOCKERS[blocker]) + "\nimport gnnvcell\nfrom gnnvcell._dgl import dgl")
    assert found.returncode != 0
    assert "DependencyError: DGL is not installed" in found.stderr
    assert "pip install dgl" in found.stderr


def fake_dgl(folder: Path, body: str = "", *, compiled: bool = True) -> Path:
    """A package dgl with a graphbolt of its own, a torch it is compiled for, and the torchdata that graphbolt wants."""
    (folder / "dgl" / "graphbolt").mkdir(parents=True)
    (folder / "dgl" / "__init__.py").write_text(f"from dgl import graphbolt\n{body}\nWORKS = graphbolt.REAL\n")
    (folder / "dgl" / "graphbolt" / "__init__.py").write_text("REAL = True\n")
    if compiled:
        (folder / "dgl" / "graphbolt" / "libgraphbolt_pytorch_9.8.7.so").touch()
    (folder / "torch").mkdir()
    (folder / "torch" / "__init__.py").write_text("__version__ = '9.8.7+cu130'\n")
    (folder / "torchdata" / "datapipes").mkdir(parents=True)
    (folder / "torchdata" / "__init__.py").touch()
    return folder


def test_a_dgl_that_loads_by_itself_is_left_untouched(tmp_path) -> None:
    found = run(
        """
        from gnnvcell._dgl import dgl
        import dgl as itself
        assert dgl is itself and dgl.WORKS is True
        assert sys.modules["dgl.graphbolt"].REAL is True
        assert type(sys.modules["dgl.graphbolt"]).__name__ == "module"
        assert "setuptools.extern" not in sys.modules
        """,
        fake_dgl(tmp_path),
    )
    assert found.returncode == 0, found.stderr


def test_without_a_graphbolt_for_this_torch_the_stub_is_used(tmp_path) -> None:
    found = run(
        """
        from gnnvcell._dgl import dgl
        assert type(sys.modules["dgl.graphbolt"]).__name__ == "_InertModule"
        assert dgl.WORKS is not True
        """,
        fake_dgl(tmp_path, compiled=False),
    )
    assert found.returncode == 0, found.stderr


def test_a_dgl_that_was_imported_before_is_taken_as_it_is(tmp_path) -> None:
    found = run("import dgl as first\nfrom gnnvcell._dgl import dgl\nassert dgl is first", fake_dgl(tmp_path))
    assert found.returncode == 0, found.stderr


def test_a_broken_dgl_is_a_clear_error(tmp_path) -> None:
    found = run("from gnnvcell._dgl import dgl", fake_dgl(tmp_path, "raise OSError('libdgl.so: cannot open')"))
    assert found.returncode != 0
    assert "DependencyError: DGL is installed but cannot be imported" in found.stderr
    assert "OSError: libdgl.so: cannot open" in found.stderr
