"""Planted interactions that follow from the modules of both targets."""

from collections import defaultdict

import numpy as np

from gnnvcell.data.simulator import ScreenConfig, SimulatorConfig, screen_truth


def test_doubles_of_the_same_modules_interact_alike() -> None:
    world = SimulatorConfig(genes=120, modules=4, targets=30)
    config = ScreenConfig(world=world, doubles=200, interactions="modules")
    truth = screen_truth(config)
    module = dict(zip(truth.wiring.genes.tolist(), truth.wiring.module.tolist(), strict=True))
    kinds = defaultdict(set)
    for double, kind in truth.interactions.items():
        kinds[tuple(sorted(module[name] for name in double.split("+")))].add(kind)
    assert all(len(found) == 1 for found in kinds.values())
    assert len(set.union(*kinds.values())) > 1
    by_pairs = screen_truth(config.model_copy(update={"interactions": "pairs"}))
    assert by_pairs.interactions.keys() == truth.interactions.keys()
    assert by_pairs.interactions != truth.interactions
    singles = ["+" not in name for name in truth.effects.perturbations.tolist()]
    np.testing.assert_array_equal(by_pairs.effects.values[singles], truth.effects.values[singles])
