import pytest
import torch
from torch import nn

from gnnvcell.errors import ModelError
from gnnvcell.fitting import FitConfig, fit, init_from
from gnnvcell.fitting.transfer import named_axes


class Genes(nn.Module):
    """Reads genes, has a table of perturbations, writes genes."""

    def __init__(self, genes: str, perturbations: str, width: int = 2) -> None:
        super().__init__()
        self.genes, self.perturbations = list(genes), list(perturbations)
        self.read, self.inner = nn.Linear(len(genes), width), nn.Linear(width, width)
        self.table, self.write = nn.Embedding(len(perturbations), width), nn.Linear(width, len(genes))
        self.scale = nn.Parameter(torch.randn(()))
        self.register_buffer("means", torch.randn(len(genes)))

    def named_rows(self):
        return {"table.weight": self.perturbations, "write.weight": self.genes, "write.bias": self.genes}

    def named_columns(self):
        return {"read.weight": self.genes}

    def loss(self, batch):
        table = self.table(batch["p"])
        out = self.write(self.inner(self.read(batch["x"])) + table) * self.scale
        return {"loss": (out - batch["x"]).square().mean()}


def test_matches_rows_and_columns_by_name() -> None:
    source, model = Genes("abcd", "PQ"), Genes("dxb", "QR")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = init_from(model, source.state_dict(), axes=named_axes(source))
    now, other = model.state_dict(), source.state_dict()
    assert torch.equal(now["inner.weight"], other["inner.weight"])
    assert torch.equal(now["scale"], other["scale"])
    assert torch.equal(now["read.weight"][:, [0, 2]], other["read.weight"][:, [3, 1]])
    assert torch.equal(now["read.weight"][:, 1], before["read.weight"][:, 1])
    assert torch.equal(now["write.bias"], torch.stack([other["write.bias"][3], before["write.bias"][1],
                                                       other["write.bias"][1]]))
    assert torch.equal(now["table.weight"][0], other["table.weight"][1])
    assert torch.equal(now["table.weight"][1], before["table.weight"][1])
    assert torch.equal(now["means"], before["means"])
    assert set(report.taken) == {"read.bias", "inner.weight", "inner.bias", "scale"}
    of_genes = dict.fromkeys(("read.weight", "write.weight", "write.bias"), (2, 3))
    assert report.partly == {**of_genes, "table.weight": (1, 2)}
    assert not report.left
    assert "read.weight: 2 of 3 names found" in str(report)


def test_says_what_begins_anew_and_what_is_not_used() -> None:
    source, model = Genes("ab", "P"), Genes("ab", "Z", width=3)
    weights = {**source.state_dict(), "other": torch.zeros(1)}
    report = init_from(model, weights, axes=named_axes(source))
    assert report.left["inner.weight"] == "its shape is (3, 3), there it is (2, 2)"
    assert report.left["table.weight"].startswith("its shape")
    assert report.unused == ["other"]
    report = init_from(Genes("ab", "Z"), weights, axes=named_axes(source))
    assert report.left == {"table.weight": "none of its names is there"}


def test_unnamed_rows_are_not_trusted() -> None:
    source, model = Genes("ab", "P"), Genes("ba", "P")
    report = init_from(model, source.state_dict())
    assert report.left["read.weight"] == "the other run does not say what its columns stand for"
    assert report.left["table.weight"] == "the other run does not say what its rows stand for"


def test_a_checkpoint_knows_its_names(tmp_path) -> None:
    source = Genes("abc", "PQ")
    batch = {"x": torch.randn(4, 3), "p": torch.tensor([0, 1, 0, 1])}
    result = fit(source, [batch], config=FitConfig(max_steps=2, loggers=()), out_dir=tmp_path, progress=False)
    model = Genes("cab", "QP")
    assert result.last is not None
    report = init_from(model, result.last)
    assert len(report.taken) == len(list(model.parameters()))
    assert torch.equal(model.write.weight, source.write.weight[[2, 0, 1]])


def test_nothing_fits() -> None:
    with pytest.raises(ModelError, match="no parameter of the model gets weights"):
        init_from(Genes("ab", "P"), {"other": torch.zeros(1)})
