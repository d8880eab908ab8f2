import pytest
import torch
from torch import nn

from gnnvcell.errors import ConfigError, ModelError
from gnnvcell.fitting import OptimizerConfig, decay_groups, lr_factor, make_optimizer, schedule
from gnnvcell.fitting.optimizer import decayed_names


class Everything(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.norm = nn.LayerNorm(4)
        self.genes = nn.Embedding(5, 4)
        self.query = nn.Parameter(torch.zeros(1, 1, 4))
        self.learned = nn.Parameter(torch.zeros(5, 4))
        self.mixing = nn.Parameter(torch.zeros(4, 4))
        self.tied = self.linear
        self.frozen = nn.Parameter(torch.zeros(4, 4), requires_grad=False)


def test_only_matrices_decay() -> None:
    assert decayed_names(Everything()) >= {"linear.weight", "mixing"}
    assert decayed_names(Everything()) - {"linear.weight", "mixing", "frozen", "tied.weight"} == set()


def test_each_parameter_is_in_one_group() -> None:
    module = Everything()
    groups = decay_groups(module, 0.1)
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    members = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(members) == len(set(members))
    assert set(members) == {id(p) for p in module.parameters() if p.requires_grad}
    assert {id(p) for p in groups[0]["params"]} == {id(module.linear.weight), id(module.mixing)}


def test_nothing_to_train() -> None:
    module = nn.Linear(2, 2).requires_grad_(False)
    with pytest.raises(ModelError, match="no parameter of the model takes a gradient"):
        decay_groups(module, 0.1)


def test_cosine_by_hand() -> None:
    config = OptimizerConfig(warmup=2, floor=0.2)
    factors = [lr_factor(step, config, 6) for step in range(7)]
    # p = 1/4, 2/4, 3/4, 1: cos = 0.7071, 0, -0.7071, -1
    expected = [0.5, 1.0, 0.2 + 0.8 * 0.853553, 0.6, 0.2 + 0.8 * 0.146447, 0.2, 0.2]
    assert factors == pytest.approx(expected, abs=1e-6)


def test_linear_and_constant_by_hand() -> None:
    linear = OptimizerConfig(warmup=0, floor=0.5, schedule="linear")
    assert [lr_factor(step, linear, 4) for step in range(4)] == pytest.approx([0.875, 0.75, 0.625, 0.5])
    constant = OptimizerConfig(warmup=0.5, schedule="constant")
    assert [lr_factor(step, constant, 4) for step in range(4)] == pytest.approx([0.5, 1, 1, 1])


def test_schedule_sets_the_rate() -> None:
    config = OptimizerConfig(lr=0.1, warmup=4)
    module = nn.Linear(2, 2)
    optimizer = make_optimizer(module, config)
    plan = schedule(optimizer, config, 10)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.025)
    optimizer.step()
    plan.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05, 0.05])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"warmup": 2.5}, "a whole number of steps"),
        ({"betas": (0.9, 1.0)}, "below 1"),
        ({"name": "adam"}, "adamw"),
        ({"learning_rate": 1}, "no setting 'learning_rate'"),
    ],
)
def test_bad_settings(values, message) -> None:
    with pytest.raises(ConfigError, match=message):
        OptimizerConfig.parse(values)
