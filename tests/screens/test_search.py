"""Search among actions, and back to real perturbations."""

import numpy as np
import pytest
import torch
from torch import Tensor

from gnnvcell.errors import ConfigError, ModelError
from gnnvcell.models.base import Prediction
from gnnvcell.screens.goal import Goal
from gnnvcell.screens.search import SearchConfig, search_screen
from gnnvcell.screens.steerable import Steerable
from gnnvcell.screens.target import TargetConfig

from .conftest import TableModel


class Saturating:
    """Perturbations are points of six dimensions, effects ``tanh(points @ W)``; combinations are sums of points."""

    def __init__(self, count: int = 60) -> None:
        rng = np.random.default_rng(0)
        self.genes = np.array([f"R{at}" for at in range(25)])
        self.points = {f"T{at:02d}": torch.tensor(rng.normal(size=6), dtype=torch.float32) for at in range(count)}
        self.weight = torch.tensor(rng.normal(size=(6, 25)), dtype=torch.float32) / 2
        self.asked: list[str] = []

    def actions_of(self, perturbations) -> Tensor:
        return torch.stack([self.point(str(name)) for name in perturbations])

    def point(self, name: str) -> Tensor:
        return sum((self.points[one] for one in name.split("+")), torch.zeros(6))

    def effects_of_actions(self, actions: Tensor, *, context=None) -> Tensor:
        return torch.tanh(actions @ self.weight)

    def predict(self, perturbations, *, context=None) -> Prediction:
        names = [str(name) for name in perturbations]
        self.asked += names
        values = self.effects_of_actions(self.actions_of(names)).numpy()
        return Prediction(values, np.array(names), self.genes, np.ones(len(names), np.float32))


def goal_of(model: Saturating, name: str) -> Goal:
    return Goal.of_means(model.genes, np.zeros(25), model.predict([name]).values[0])


@pytest.mark.parametrize("method", ["cem", "gradient"])
@pytest.mark.parametrize("measure", ["cosine", "pearson", "distance"])
def test_finds_the_perturbation_behind_a_goal_without_predicting_all(method: str, measure: str) -> None:
    model = Saturating()
    goal = goal_of(model, "T17")
    model.asked.clear()
    found = search_screen(
        model,
        goal,
        list(model.points),
        config=TargetConfig(measure=measure),  # type: ignore[arg-type]
        search=SearchConfig(method=method, nearest=8),  # type: ignore[arg-type]
    )
    assert found.table["perturbation"].iloc[0] == "T17"
    assert len(found.table) == 8
    assert set(model.asked) == {"T00", *found.table["perturbation"]}
    assert found.provenance["reached"] > 0.9
    steps = found.more["search"]
    assert steps["mean"].iloc[-1] > steps["mean"].iloc[0] + 0.3


def test_pairs_are_found_by_the_sum_of_their_actions() -> None:
    model = Saturating()
    found = search_screen(
        model,
        goal_of(model, "T03+T44"),
        list(model.points),
        config=TargetConfig(measure="distance", doubles=1),
        search=SearchConfig(method="gradient", gradient_steps=200),
    )
    assert found.table["perturbation"].iloc[0] == "T03+T44"
    assert found.table["kind"].iloc[0] == "double"
    assert found.table["action_distance"].iloc[0] < 0.3


def test_same_seed_same_result() -> None:
    model = Saturating()
    goal, names = goal_of(model, "T05"), list(model.points)
    first, again = (search_screen(model, goal, names).table for _ in range(2))
    assert first.equals(again)


def test_no_action_beyond_the_gallery() -> None:
    """A goal of huge effects is not reached by actions that no perturbation resembles."""
    seen = []

    class Watched(Saturating):
        def effects_of_actions(self, actions: Tensor, *, context=None) -> Tensor:
            seen.append(actions.detach())
            return super().effects_of_actions(actions, context=context)

    model = Watched()
    for method in ("cem", "gradient"):
        search_screen(
            model,
            Goal.of_means(model.genes, np.zeros(25), np.full(25, 9.0)),
            list(model.points),
            config=TargetConfig(measure="distance"),
            search=SearchConfig(method=method),  # type: ignore[arg-type]
        )
    real = torch.stack(list(model.points.values()))
    mean, sd = real.mean(dim=0), real.std(dim=0, correction=0)
    longest = ((real - mean) / sd).norm(dim=1).max()
    assert all(((one - mean) / sd).norm(dim=1).max() <= longest + 1e-3 for one in seen)


def test_what_cannot_be_searched(random_model: TableModel) -> None:
    goal = Goal.of_means(random_model.genes, np.zeros(30), np.ones(30))
    assert not isinstance(random_model, Steerable)
    with pytest.raises(ModelError, match="TableModel has no actions"):
        search_screen(random_model, goal, ["T01"])
    model = Saturating()
    with pytest.raises(ModelError, match="cannot be centred"):
        search_screen(model, goal_of(model, "T01"), ["T01"], config=TargetConfig(centred=True))
    with pytest.raises(ConfigError, match="30 of 20 samples cannot be kept"):
        SearchConfig.parse({"samples": 20, "elites": 30})
