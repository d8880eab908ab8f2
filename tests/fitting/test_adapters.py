import copy

import pytest
import torch
from torch import nn

from gnnvcell.errors import ConfigError
from gnnvcell.fitting import AdapterConfig, FitConfig, OptimizerConfig, add_adapters, fit, freeze, merge_adapters

from .models import Net, batches

FAST = FitConfig(max_steps=5, val_every=5, loggers=(), ema=0.5, optimizer=OptimizerConfig(lr=0.1))


def test_adapters_begin_at_no_change_and_alone_are_trained(tmp_path) -> None:
    model, train = Net(dropout=0), batches(2)
    x, before = train[0]["x"], copy.deepcopy(model.state_dict())
    expected = model(x)
    assert add_adapters(model, AdapterConfig(layers=("layers.0",), rank=2, alpha=4)) == ["layers.0"]
    assert torch.equal(model(x), expected)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert [name.rsplit(".", 1)[-1] for name in trained] == ["down", "up"]
    fit(model, train, train, config=FAST, out_dir=tmp_path, progress=False)
    adapted = model(x)
    assert not torch.allclose(adapted, expected)
    assert merge_adapters(model) == ["layers.0"]
    torch.testing.assert_close(model(x), adapted)
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert [name for name in after if not torch.equal(after[name], before[name])] == ["layers.0.weight"]
    change = after["layers.0.weight"] - before["layers.0.weight"]
    assert torch.linalg.matrix_rank(change) <= 2
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_change_by_hand() -> None:
    layer = nn.Linear(3, 2)
    base = layer.weight.detach().clone()
    model = nn.Sequential(layer)
    add_adapters(model, AdapterConfig(rank=1, alpha=2))
    by_name = dict(model.named_parameters())
    by_name["0.parametrizations.weight.0.up"].data = torch.tensor([[1.0], [2.0]])
    by_name["0.parametrizations.weight.0.down"].data = torch.tensor([[1.0, 0.0, -1.0]])
    torch.testing.assert_close(layer.weight - base, torch.tensor([[2.0, 0.0, -2.0], [4.0, 0.0, -4.0]]))


def test_frozen_parts_stay(tmp_path) -> None:
    model = Net(dropout=0)
    before = copy.deepcopy(model.state_dict())
    assert freeze(model, ["layers.0", "layers.1.weight"]) == ["layers.0.weight", "layers.0.bias", "layers.1.weight"]
    fit(model, batches(2), config=FAST, out_dir=tmp_path, progress=False)
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert changed == ["layers.1.bias", "layers.3.weight", "layers.3.bias"]


def test_bad_patterns() -> None:
    with pytest.raises(ConfigError, match=r"no linear layer of the model fits 'layer.0'\n.*did you mean 'layers.0'"):
        add_adapters(Net(), AdapterConfig(layers=("layer.0",)))
    with pytest.raises(ConfigError, match="no parameter or module of the model fits 'head'"):
        freeze(Net(), ["head"])
    with pytest.raises(ConfigError, match="everything in the model is frozen"):
        freeze(Net(), ["layers"])
