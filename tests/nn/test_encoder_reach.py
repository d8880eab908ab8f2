"""Nothing in the gene encoder is dead: every parameter gets a gradient, and every source reaches the genes."""

import pytest
import torch

from gnnvcell._dgl import dgl
from gnnvcell.errors import ConfigError
from gnnvcell.nn.gene_encoder import GeneGraphEncoder, GeneGraphEncoderConfig
from gnnvcell.nn.hetero_layer import CONVS
from gnnvcell.nn.source_fusion import FUSIONS

GENES, TERMS = 20, 5


def graph_of(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)

    def ends(count: int, src: int, dst: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.randint(src, (count,), generator=generator), torch.randint(dst, (count,), generator=generator)

    gene, term = ends(30, GENES, TERMS)
    low, high = ends(8, TERMS, TERMS)
    return dgl.heterograph(
        {
            ("gene", "string", "gene"): ends(60, GENES, GENES),
            ("gene", "annotated_bp", "go_term"): (gene, term),
            ("go_term", "rev_annotated_bp", "gene"): (term, gene),
            ("go_term", "is_a", "go_term"): (low, high),
            ("go_term", "rev_is_a", "go_term"): (high, low),
        },
        num_nodes_dict={"gene": GENES, "go_term": TERMS},
    )


# As GeneGraph.source_relations has it: without the reverse relations.
SOURCES = {"string_db": ["string"], "go": ["annotated_bp", "is_a"]}


@pytest.mark.parametrize("fusion", ["joint", *FUSIONS])
@pytest.mark.parametrize("conv", CONVS)
def test_every_parameter_gets_a_gradient(conv, fusion) -> None:
    torch.manual_seed(0)
    graph = graph_of()
    config = GeneGraphEncoderConfig(width=8, layers=2, heads=2, conv=conv, fusion=fusion, dropout=0.0)
    encoder = GeneGraphEncoder(graph, sources=SOURCES, config=config)
    # Attention parameters that are zero at the start give none to what they multiply.
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    (encoder(graph) * torch.randn(GENES, 8)).sum().backward()
    dead = [name for name, p in encoder.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    assert dead == []


@pytest.mark.parametrize("fusion", ["joint", *FUSIONS])
def test_terms_reach_genes_through_reverse_relations(fusion) -> None:
    torch.manual_seed(0)
    graph = graph_of()
    config = GeneGraphEncoderConfig(width=8, layers=2, heads=2, fusion=fusion)
    encoder = GeneGraphEncoder(graph, sources=SOURCES, config=config).eval()
    before = encoder(graph)
    with torch.no_grad():
        encoder.inputs["go_term"].get_parameter("learned").add_(1.0)
    assert not torch.allclose(encoder(graph), before)


def test_a_source_that_cannot_reach_genes_is_refused() -> None:
    graph = graph_of()
    config = GeneGraphEncoderConfig(width=8, heads=2, fusion="mean")
    with pytest.raises(ConfigError, match="no relation of the source 'go' leads to nodes of type 'gene'"):
        GeneGraphEncoder(graph, sources={"string": ["string"], "go": ["is_a"]}, config=config)
