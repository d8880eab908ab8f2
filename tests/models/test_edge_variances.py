"""Variances of edges: their likelihood, what they find, and products of partly measured effects."""

import numpy as np
import pytest

from gnnvcell.models._edge_variances import Variances, learn_variances, mean_products

GENES = 400
NOTHING = np.zeros((40, 40))


def log_likelihood(found: Variances, profile: np.ndarray, hits: np.ndarray, gram: np.ndarray) -> float:
    kernel = found.mean + (profile * found.edge) @ profile.T + found.own * hits @ hits.T
    kernel = kernel + found.noise * np.eye(len(gram))
    return -0.5 * float(np.linalg.slogdet(kernel)[1] + np.trace(np.linalg.solve(kernel, gram)))


@pytest.fixture
def screen() -> tuple[np.ndarray, np.ndarray]:
    """40 perturbations with two edges each: to one of 4 terms that matter, and to one of 4 that do not."""
    rng = np.random.default_rng(0)
    profile = np.zeros((40, 8))
    profile[np.arange(40), np.arange(40) % 4] = 1
    profile[np.arange(40), 4 + rng.permutation(40) % 4] = 1
    effects = 2 * profile[:, :4] @ rng.standard_normal((4, GENES)) + 0.5 * rng.standard_normal((40, GENES))
    return profile, effects + rng.standard_normal(GENES)


def test_edges_that_tell_perturbations_apart_gain_variance(screen) -> None:
    profile, effects = screen
    gram = effects @ effects.T / GENES
    found, _ = learn_variances(profile, NOTHING, np.eye(40), gram, 40)
    assert found.edge[:4].min() > 1
    assert found.edge[4:].max() < 0.05
    assert found.own + found.noise == pytest.approx(0.25, rel=0.1)
    few, _ = learn_variances(profile, NOTHING, np.eye(40), gram, 2)
    assert few.edge[:4].min() > few.edge[4:].max() > 0.05  # few steps keep them near each other


def test_an_edge_that_no_row_shows_keeps_its_first_variance(screen) -> None:
    profile, effects = screen
    wide, gram = np.column_stack([profile, np.zeros(40)]), effects @ effects.T / GENES
    first, last = (learn_variances(wide, NOTHING, np.eye(40), gram, steps)[0].edge for steps in (0, 5))
    assert last[-1] == first[-1] == first[0]
    assert last[0] != first[0]


def test_every_step_raises_the_likelihood(screen) -> None:
    profile, effects = screen
    gram, hits = effects @ effects.T / GENES, np.eye(40)
    found = [learn_variances(profile, NOTHING, hits, gram, steps)[0] for steps in range(6)]
    given = [log_likelihood(one, profile, hits, gram) for one in found]
    assert (np.diff(given) > 0).all()
    unit = np.trace(gram) / 40
    _, likelihood = learn_variances(profile, NOTHING, hits, gram, 3)
    assert likelihood == pytest.approx(given[0] + 20 * np.log(unit))  # that of the first variances


def test_what_repeats_of_a_target_share_is_told_from_noise() -> None:
    rng = np.random.default_rng(0)
    hits = np.repeat(np.eye(30), 2, axis=0)
    effects = hits @ rng.standard_normal((30, GENES)) + 0.5 * rng.standard_normal((60, GENES))
    found, _ = learn_variances(np.zeros((60, 3)), np.zeros((60, 60)), hits, effects @ effects.T / GENES, 20)
    assert found.own == pytest.approx(1, rel=0.1)
    assert found.noise == pytest.approx(0.25, rel=0.1)
    assert found.mean < 0.05


def test_what_is_near_by_several_edges_is_told_from_single_edges() -> None:
    """Effects of pairs of edges: no edge alone says what a perturbation does."""
    rng = np.random.default_rng(0)
    profile = np.zeros((48, 8))
    profile[np.arange(48), np.arange(48) % 4] = profile[np.arange(48), 4 + np.arange(48) // 4 % 4] = 0.5**0.5
    both = np.arange(48) % 4 + 4 * (np.arange(48) // 4 % 4)
    effects = rng.standard_normal((16, GENES))[both] + 0.3 * rng.standard_normal((48, GENES))
    near = (profile @ profile.T) ** 2
    found, _ = learn_variances(profile, near, np.eye(48), effects @ effects.T / GENES, 20)
    assert found.near > 2 * found.edge.max()
    alone, _ = learn_variances(profile, np.zeros((48, 48)), np.eye(48), effects @ effects.T / GENES, 20)
    assert alone.own + alone.noise > 3 * (found.own + found.noise)


def test_effects_of_nothing_are_no_error() -> None:
    found, _ = learn_variances(np.eye(3), np.eye(3), np.eye(3), np.zeros((3, 3)), 5)
    assert np.isfinite([found.mean, found.near, found.own, found.noise, *found.edge]).all()


def test_products_are_means_over_what_both_have() -> None:
    values = np.array([[1.0, 2.0, 9.0], [3.0, 9.0, 1.0], [9.0, 1.0, 1.0]])
    measured = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1]], dtype=bool)
    gram = np.array([[2.5, 3.0, 2.0], [3.0, 5.0, 1.0], [2.0, 1.0, 1.0]])
    value, vector = np.linalg.eigh(gram)
    np.testing.assert_allclose(mean_products(values, measured), (vector * np.maximum(value, 0)) @ vector.T, atol=1e-12)
    whole = np.ones((3, 3), dtype=bool)
    np.testing.assert_allclose(mean_products(values, whole), values @ values.T / 3)
    apart = mean_products(values[:2], np.array([[1, 1, 0], [0, 0, 1]], dtype=bool))
    np.testing.assert_allclose(apart, np.diag([2.5, 1.0]))
