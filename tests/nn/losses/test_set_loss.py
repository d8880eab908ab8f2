"""Every name gives its loss, and every setting changes something."""

import pytest
import torch

from gnnvcell.errors import ConfigError, ModelError
from gnnvcell.nn import losses
from gnnvcell.nn.losses import SetLossConfig, set_loss
from gnnvcell.nn.losses.set_loss import NAMES

X = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0)).double()
Y = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(1)).double() + 1
MASK = torch.tensor([[True] * 6, [True, False, True, True, False, True]])
MADE = {
    "energy": losses.energy_distance,
    "sinkhorn": losses.sinkhorn_divergence,
    "sinkhorn+energy": lambda x, y, **o: losses.energy_distance(x, y, **o)
    + 0.001 * losses.sinkhorn_divergence(x, y, **o),
    "mmd": losses.mmd,
    "wasserstein": losses.wasserstein_1d,
    "mse": losses.mse,
    "mse_of_means": losses.mse_of_means,
}


@pytest.mark.parametrize("name", NAMES)
def test_names(name) -> None:
    masks = {"predicted_mask": MASK, "observed_mask": MASK}
    found = set_loss(SetLossConfig(name=name))(X, Y, **masks)
    torch.testing.assert_close(found, MADE[name](X, Y, **masks))
    assert found.shape == (2,)


def test_the_default_is_the_energy_distance() -> None:
    torch.testing.assert_close(set_loss()(X, Y), losses.energy_distance(X, Y))


def test_unknown_settings_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"unknown set loss 'energie'\n.*did you mean 'energy'"):
        SetLossConfig(name="energie")
    with pytest.raises(ConfigError, match="unknown set loss 'sinkhorn_energy'"):
        SetLossConfig.parse({"name": "sinkhorn_energy"})
    with pytest.raises(ConfigError, match=r"unknown kernel 'cosine'"):
        SetLossConfig(name="mmd", kernels=("cosine",))
    with pytest.raises(ConfigError, match=r"has no setting 'blurr'\n.*'blur'"):
        SetLossConfig.parse({"blurr": 1.0})
    with pytest.raises(ConfigError, match="bad value for 'blur'"):
        SetLossConfig.parse({"blur": 0.0})


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("sinkhorn", {"blur": 1.0}),
        ("sinkhorn", {"p": 1}),
        ("sinkhorn", {"blur": 1.0, "scaling": 0.9}),
        ("sinkhorn+energy", {"blur": 1.0}),
        ("sinkhorn+energy", {"energy_weight": 2.0}),
        ("sinkhorn+energy", {"sinkhorn_weight": 1.0}),
        ("mmd", {"kernels": ("laplacian",)}),
        ("mmd", {"bandwidths": (1.0,)}),
        ("mmd", {"median_heuristic": False}),
        ("wasserstein", {"order": 2}),
        ("wasserstein", {"projections": 8}),
        ("wasserstein", {"projections": 8, "seed": 1}),
        ("wasserstein", {"projections": 8, "order": 2}),
        *((name, {"de_weight": 0.5}) for name in NAMES),
    ],
)
def test_every_setting_is_read(name, setting) -> None:
    weights = torch.tensor([3.0, 0.0, 1.0, 0.0, 0.0])
    less = {key: value for key, value in setting.items() if key in ("projections", "blur") and len(setting) > 1}
    plain, other = (set_loss(SetLossConfig(name=name, **s)).eval()(X, Y, gene_weights=weights) for s in (less, setting))
    assert not torch.allclose(plain, other, rtol=1e-8, atol=0)


def test_weights_of_differential_genes() -> None:
    """Half of the weight is even, half follows the marks; a set without marks is as without weights."""
    marks = torch.tensor([[1.0, 0.0, 0.0, 0.0, 1.0], [0.0] * 5])
    found = set_loss(SetLossConfig(de_weight=0.5))(X, Y, gene_weights=marks)
    by_hand = torch.tensor([[0.5 + 1.25, 0.5, 0.5, 0.5, 0.5 + 1.25], [1.0] * 5])
    torch.testing.assert_close(found, losses.energy_distance(X, Y, gene_weights=by_hand))
    once = set_loss(SetLossConfig(de_weight=0.5))(X, Y, gene_weights=marks[0])
    torch.testing.assert_close(once[0], found[0])


def test_weights_that_are_asked_for_must_come() -> None:
    with pytest.raises(ModelError, match=r"de_weight 0.5 and the batch has no weights of genes\n.*set de_weight to 0"):
        set_loss(SetLossConfig(de_weight=0.5))(X, Y)


def test_directions_change_in_training_and_resume() -> None:
    config = SetLossConfig(name="wasserstein", projections=4)
    loss = set_loss(config)
    first, second = loss(X, Y), loss(X, Y)
    assert not torch.equal(first, second)
    resumed = set_loss(config)
    resumed.load_state_dict(loss.state_dict())
    torch.testing.assert_close(resumed(X, Y), loss(X, Y), rtol=0, atol=0)
    assert torch.equal(loss.eval()(X, Y), set_loss(config).eval()(X, Y))
    assert not set_loss(SetLossConfig(name="energy")).state_dict()
