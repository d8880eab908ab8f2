"""Actions of StateTransition: what a search needs of it."""

import numpy as np
import pytest
import torch

from gnnvcell.errors import ModelError

NAMES = ["P1", "P5", "P2+P1"]


@pytest.fixture(scope="module")
def trained(make, cells):
    return make(encoders=("graph",), pooling="sum").fit(cells, seed=1)


def test_effects_of_actions_are_about_what_is_predicted(trained):
    found = trained.effects_of_actions(trained.actions_of(NAMES)).detach().numpy()
    expected = trained.predict(NAMES).values
    assert found.shape == expected.shape
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.97


def test_the_sum_of_actions_is_both_done_together(trained):
    alone = trained.actions_of(["P1", "P2"])
    torch.testing.assert_close(alone.sum(dim=0, keepdim=True), trained.actions_of(["P1+P2"]), atol=1e-5, rtol=1e-4)


def test_gradients_are_those_of_finite_differences(trained):
    action = trained.actions_of(["P1"]).detach().requires_grad_(True)
    trained.effects_of_actions(action)[0].square().sum().backward()
    assert action.grad is not None
    direction = action.grad / action.grad.norm()
    with torch.no_grad():
        near = [trained.effects_of_actions(action + step * direction)[0].square().sum() for step in (-1e-2, 1e-2)]
    assert float((near[1] - near[0]) / 2e-2) == pytest.approx(float(action.grad.norm()), rel=0.05)


def test_parts_of_many_actions_are_the_same(trained):
    actions = trained.actions_of(["P1", "P2", "P3"] * 40)
    whole = trained.effects_of_actions(actions)
    torch.testing.assert_close(whole[:3], trained.effects_of_actions(actions[:3]), atol=1e-5, rtol=1e-4)
    assert trained.effects_of_actions(actions[:0]).shape == (0, whole.shape[1])


def test_a_model_of_a_field_cannot_be_steered(make, cells):
    model = make(encoders=("field",)).fit(cells, seed=1)
    with pytest.raises(ModelError, match=r"cannot be steered(.|\n)*found: field"):
        model.actions_of(["P1"])
    with pytest.raises(ModelError, match="not fitted"):
        make(encoders=("graph",)).actions_of(["P1"])
