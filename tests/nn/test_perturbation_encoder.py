"""The perturbation encoder: entity, mode and strength, what is missing, and that gradients reach the graph."""

import copy

import pytest
import torch

from gnnvcell._dgl import dgl
from gnnvcell.errors import ConfigError, GeneError, ModelError, PerturbationError
from gnnvcell.genes import GeneVocab
from gnnvcell.nn.gene_encoder import GeneGraphEncoder, GeneGraphEncoderConfig
from gnnvcell.nn.perturbation_batch import MODES, PerturbationBatch
from gnnvcell.nn.perturbation_encoder import PerturbationEncoder
from gnnvcell.perturbation import Mode, Perturbation

GENES, COMPOUNDS = ["TP53", "MYC", "AARS1", "KLF1"], ["JQ1", "DMSO"]
D = 8


def batch_of(*labels: str, genes=GENES) -> PerturbationBatch:
    return PerturbationBatch.of([Perturbation.parse(label) for label in labels], genes=genes, compounds=COMPOUNDS)


def features() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    sizes = {"esm": (4, 5), "graph": (4, 3), "morgan": (2, 6)}
    return {name: torch.randn(*size, generator=generator) for name, size in sizes.items()}


def encoder(**settings) -> PerturbationEncoder:
    torch.manual_seed(0)
    given = {"gene_features": {"esm": 5, "graph": 3}, "compound_features": {"morgan": 6}, "hidden": 7}
    return PerturbationEncoder(D, **(given | settings)).eval()


def test_a_batch_by_hand() -> None:
    batch = batch_of("MYC+AARS", "JQ1|drug@100nM", "KLF1|CRISPRa@4x", "TP53|CRISPRi@80%", "ctrl", "NOPE+KLF1|KO")
    assert batch.target.tolist() == [1, 2, 0, 3, 0, -1, 3]  # AARS is AARS1's old symbol
    assert batch.is_compound.tolist() == [False, False, True, False, False, False, False]
    assert batch.owner.tolist() == [0, 0, 1, 2, 3, 5, 5]
    modes = [None, Mode.DRUG, Mode.CRISPRA, Mode.CRISPRI, Mode.CONTROL, Mode.KO]
    assert [MODES[at] for at in batch.mode.tolist()] == modes
    expected = torch.tensor([[0, 0, 0], [-1, 0, 0], [0, 2, 0], [0, 0, 0.8], [0, 0, 0], [0, 0, 0]])
    torch.testing.assert_close(batch.strength, expected)
    assert batch.has_strength.tolist() == [False, True, True, True, False, False]
    assert batch.unknown == {"gene": ("NOPE",), "compound": ()}
    assert len(batch) == 6
    assert len(batch.to("cpu").target) == 7


def test_the_formula_by_hand() -> None:
    model, given = encoder(), features()
    batch = batch_of("TP53+MYC|CRISPRi@50%", "JQ1|drug@10uM")

    def parts(name: str, row: int) -> torch.Tensor:
        return model.project[name](given[name][row])

    def finish(entity: torch.Tensor, mode: Mode, strength: list[float]) -> torch.Tensor:
        assert model.strength is not None
        h = entity + model.mode.weight[MODES.index(mode)] + model.strength(torch.tensor(strength))
        return h + model.mix(h)

    singles = [(parts("esm", row) + parts("graph", row)) / 2 for row in (0, 1)]
    first = torch.stack([finish(entity, Mode.CRISPRI, [0.0, 0.0, 0.5]) for entity in singles]).sum(dim=0)
    second = finish(parts("morgan", 0), Mode.DRUG, [1.0, 0.0, 0.0])
    torch.testing.assert_close(model(batch, given), torch.stack([first, second]))


@pytest.mark.parametrize("pooling", ["sum", "attention"])
def test_the_order_of_targets_and_of_perturbations_has_no_effect(pooling) -> None:
    model, given = encoder(pooling=pooling), features()
    one = model(batch_of("TP53+MYC+KLF1|KO", "AARS1|KO"), given)
    other = model(batch_of("AARS1|KO", "KLF1+TP53+MYC|KO"), given)
    torch.testing.assert_close(one, other.flip(0))


def test_pooling() -> None:
    given = features()
    labels = batch_of("TP53+MYC|KO", "TP53|KO", "MYC|KO")
    summed = encoder()(labels, given)
    torch.testing.assert_close(summed[0], summed[1] + summed[2])  # exactly the sum of its singles
    weighted = encoder(pooling="attention")
    pooled = weighted(labels, given)
    share = ((pooled[0] - pooled[2]) / (pooled[1] - pooled[2])).detach()  # the same weight in every feature
    assert share.std() < 1e-4
    assert 0 < share.mean() < 1
    torch.testing.assert_close(encoder(pooling="attention")(labels, given)[1], summed[1])  # one target: itself


def test_control_is_its_own_learned_vector() -> None:
    model = encoder()
    result = model(batch_of("ctrl", "MYC|KO", "non-targeting"), features())
    learned = model.mode.weight[MODES.index(Mode.CONTROL)]
    torch.testing.assert_close(result[[0, 2]], learned.expand(2, -1))
    result[0].sum().backward()
    assert model.mode.weight.grad is not None
    assert model.mode.weight.grad.abs().sum(dim=1).nonzero()[:, 0].tolist() == [MODES.index(Mode.CONTROL)]
    only = model(batch_of("ctrl"), {})  # no target, so no features are needed
    torch.testing.assert_close(only[0], learned)


def test_what_is_missing_is_learned_and_counted() -> None:
    model, given = encoder(), features()
    batch = batch_of("NOPE|KO", "GONE|KO", "MYC|KO", "TP53|KO", "UNHEARD|drug@1uM")
    present = {"esm": torch.tensor([True, False, True, True])}
    assert model.missing(batch, present) == {"esm": 3, "graph": 2, "morgan": 1}
    given["esm"][1] = torch.nan  # a masked row may hold anything
    result = model(batch, given, present)
    torch.testing.assert_close(result[0], result[1])
    assert result[0].abs().max() > 0.1
    assert bool(torch.isfinite(result).all())
    result.square().sum().backward()
    for name, vector in model.absent.items():
        assert vector.grad is not None, name
        assert vector.grad.abs().min() > 0
    again = model(batch, given | {"esm": torch.where(present["esm"][:, None], given["esm"], 7.0)}, present)
    torch.testing.assert_close(again, result)


def test_mode_and_strength_change_the_encoding() -> None:
    model, given = encoder(), features()
    labels = ("MYC|KO", "MYC|CRISPRi", "MYC|CRISPRa", "MYC", "MYC|KO@50%", "MYC|KO@90%", "JQ1|drug@1uM", "JQ1|drug@1nM")
    result = model(batch_of(*labels), given)
    assert torch.pdist(result).min() > 1e-3
    loss = result.square().sum()
    loss.backward()
    assert model.no_strength is not None
    assert model.no_strength.grad is not None
    assert model.no_strength.grad.abs().min() > 0
    # 1 uM is 0 on the log scale, which is not the same as an unknown dose.
    known, unknown = model(batch_of("JQ1|drug@1uM", "JQ1|drug"), given)
    assert (known - unknown).abs().max() > 1e-3


@pytest.mark.parametrize("pooling", ["sum", "attention"])
def test_gradients_reach_the_graph(pooling) -> None:
    """The graph embedding is computed live; an edge's weight changes the encoding, and learns from it."""
    graph = dgl.heterograph({("gene", "string", "gene"): ([0, 1, 3], [1, 2, 1])}, num_nodes_dict={"gene": 4})
    torch.manual_seed(0)
    genes = GeneGraphEncoder(graph, config=GeneGraphEncoderConfig(width=3, layers=1, dropout=0.0))
    model = encoder(pooling=pooling)
    weight = torch.ones(3, requires_grad=True)
    given = features()

    def encoded(edge_weight: torch.Tensor) -> torch.Tensor:
        live = genes(graph, edge_weight={("gene", "string", "gene"): edge_weight})
        return model(batch_of("MYC+KLF1|KO"), given | {"graph": live})

    encoded(weight).square().sum().backward()
    assert weight.grad is not None
    assert weight.grad[[0, 2]].abs().min() > 0  # the edges into MYC
    assert weight.grad[1] == 0  # the edge into a gene that is no target
    reached = [name for name, p in genes.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert any("learned" in name for name in reached)
    changed = encoded(torch.tensor([5.0, 1.0, 1.0]))
    assert (changed - encoded(weight)).abs().max() > 1e-4


def test_depth_and_training() -> None:
    for depth in (1, 3):
        layers = list(encoder(depth=depth).project["esm"].children())
        assert sum(isinstance(layer, torch.nn.Linear) for layer in layers) == depth
        assert isinstance(layers[-1], torch.nn.LayerNorm)
    model, given = encoder(depth=3, dropout=0.5).train(), features()
    assert not torch.equal(model(batch_of("MYC|KO"), given), model(batch_of("MYC|KO"), given))
    kept = copy.deepcopy(encoder())
    torch.testing.assert_close(kept(batch_of("MYC"), given), encoder()(batch_of("MYC"), given))


def test_a_vocabulary_finds_ids() -> None:
    vocab = GeneVocab(["TP53", "MYC"], {"ensembl": [("ENSG00000136997", 1)]})
    assert batch_of("ENSG00000136997", genes=vocab).target.tolist() == [1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 0}, "not positive: {'depth': 0}"),
        ({"gene_features": {"esm": 0}}, "not positive: {'esm': 0}"),
        ({"pooling": "mean"}, r"unknown pooling 'mean'[\s\S]*sum"),
        ({"gene_features": {}, "compound_features": {}}, "has no features"),
        ({"compound_features": {"esm": 6}}, "'esm' is a feature set of genes and one of compounds"),
    ],
)
def test_bad_settings(settings, message) -> None:
    checked = PerturbationEncoder.__init__
    original = getattr(checked, "__wrapped__", checked)  # the message is ours, not the type checker's
    given = {"gene_features": {"esm": 5}, "compound_features": {"morgan": 6}} | settings
    with pytest.raises(ConfigError, match=message):
        original(PerturbationEncoder.__new__(PerturbationEncoder), D, **given)


def test_bad_batches() -> None:
    with pytest.raises(PerturbationError, match="no perturbations to encode"):
        PerturbationBatch.of([], genes=GENES)
    with pytest.raises(GeneError):
        batch_of("MYC", genes=["MYC", "MYC"])
    with pytest.raises(PerturbationError, match=r"compounds repeat[\s\S]*JQ1"):
        PerturbationBatch.of([Perturbation.parse("MYC")], genes=GENES, compounds=["JQ1", "JQ1"])


def test_features_that_do_not_fit() -> None:
    model, given, batch = encoder(), features(), batch_of("MYC|KO")
    with pytest.raises(ModelError, match=r"'graph' do not fit[\s\S]*expected: \(4, 3\)[\s\S]*found: nothing"):
        model(batch, {"esm": given["esm"]})
    with pytest.raises(ModelError, match=r"'esm' do not fit[\s\S]*found: \(3, 5\)"):
        model(batch, given | {"esm": given["esm"][:3]})
    with pytest.raises(ModelError, match=r"'esm' do not fit[\s\S]*and \(3,\) marks"):
        model(batch, given, {"esm": torch.ones(3, dtype=torch.bool)})
    with pytest.raises(ModelError, match=r"no feature set 'esn'[\s\S]*did you mean 'esm'"):
        model(batch, given | {"esn": given["esm"]})
    with pytest.raises(ModelError, match=r"'esm' are not finite[\s\S]*present="):
        model(batch, given | {"esm": given["esm"] * torch.nan})
    with pytest.raises(ModelError, match=r"targets of the kind compound[\s\S]*compound_features="):
        encoder(compound_features={})(batch_of("JQ1|drug"), {})
    model(batch, {name: given[name] for name in ("esm", "graph")})  # no compound in the batch


def test_hidden_targets_are_unknown_ones_while_training():
    model = PerturbationEncoder(8, gene_features={"esm": 4}, hide=0.5, strengths=False)
    batch = PerturbationBatch.of([Perturbation.parse("MYC")] * 200, genes=["MYC"])
    given = {"esm": torch.rand(1, 4)}
    torch.manual_seed(0)
    found = model.train()(batch, given)
    unknown = model(batch, given, {"esm": torch.zeros(1, dtype=torch.bool)})[0]
    hidden = (found - unknown).abs().max(dim=1).values < 1e-5
    assert 60 < int(hidden.sum()) < 140
    known = model.eval()(batch, given)
    torch.testing.assert_close(found[~hidden], known[~hidden])
    with pytest.raises(ConfigError, match="cannot be hidden"):
        PerturbationEncoder(8, gene_features={"esm": 4}, hide=1.0)


def test_strengths_are_refused_where_none_were_learned():
    model = PerturbationEncoder(8, gene_features={"esm": 4}, strengths=False)
    batch = PerturbationBatch.of([Perturbation.parse("MYC|KO@50%")], genes=["MYC"])
    with pytest.raises(ModelError, match="made without strengths"):
        model(batch, {"esm": torch.rand(1, 4)})
