"""Effects of what was measured, and combinations as sums of their parts."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from gnnvcell.data.effects import EffectTable
from gnnvcell.graphs.controls import permuted
from gnnvcell.models import Propagation, PropagationConfig, ReadoutConfig
from gnnvcell.models._measured_parts import LARGEST_AMPLITUDE, MeasuredParts, parts_of
from gnnvcell.models._outcomes import Outcomes
from gnnvcell.models._solved_messages import NOISE, OWN_SHARE, RIDGE, SolvedMessages
from gnnvcell.perturbation import Perturbation

QUICK = PropagationConfig(readout=ReadoutConfig(epochs=2, hidden=4))


def table(values: list[list[float]], names: list[str], context: str | list[str] = "k562") -> EffectTable:
    effects = np.array(values, dtype=np.float32)
    genes = [f"G{i}" for i in range(effects.shape[1])]
    return EffectTable(effects, np.ones(effects.shape, dtype=bool), names, genes, kind="delta", context=context)


def measured_parts(train: EffectTable, kernel: torch.Tensor) -> MeasuredParts:
    outcomes = Outcomes.of(train)
    solved = SolvedMessages.of(outcomes, kernel.clone().fill_diagonal_(1), torch.zeros(train.shape[1], 1))
    return MeasuredParts.of(train, kernel, solved, outcomes.prior("delta"))


def test_what_is_like_nothing_is_heard_less_its_noise() -> None:
    train = table([[3.0, 0.0], [0.0, 0.0], [0.0, 1.0]], ["A", "B", "C"])
    found, outcomes = measured_parts(train, torch.zeros(3, 3)), Outcomes.of(train)
    share = (1 + RIDGE) * OWN_SHARE / ((1 + RIDGE) * OWN_SHARE + NOISE)
    expected = share * outcomes.residual[0]
    torch.testing.assert_close(found.beyond_mean("k562", Perturbation.parse("A")), expected, rtol=1e-2, atol=1e-2)
    assert found.amplitude == 1.0


def test_the_amplitude_of_sums_is_learned_from_combinations_whose_parts_were_measured() -> None:
    alone = [[2.0, 0.0, -1.0, 1.0], [0.0, 2.0, 1.0, -1.0]]
    together = [[1.0, 1.0, 0.0, 0.0]]  # half of the sum
    train = table([*alone, *together], ["A", "B", "A+B"])
    found, mean = measured_parts(train, torch.zeros(3, 3)), Outcomes.of(train).gene_mean
    parts = torch.stack([found.beyond_mean("k562", one) for one in parts_of("A+B")]).sum(dim=0)
    beyond = torch.tensor(together[0]) - mean
    assert found.amplitude == pytest.approx(float(parts @ beyond / (parts @ parts)), rel=1e-4)
    unknown = measured_parts(table([*alone, *together], ["A", "B", "A+C"]), torch.zeros(3, 3))
    assert unknown.amplitude == 1.0
    elsewhere = table([*alone, *together], ["A", "B", "A+B"], context=["k562", "k562", "rpe1"])
    assert measured_parts(elsewhere, torch.zeros(3, 3)).amplitude == 1.0


def test_the_amplitude_of_sums_is_bounded() -> None:
    alone = [[2.0, 0.0, -1.0, 1.0], [0.0, 2.0, 1.0, -1.0]]
    others, names = [[0.0] * 4] * 30, ["A", "B", "A+B", *(f"N{i}" for i in range(30))]  # which keep the mean near 0
    for together, amplitude in ((-2.0, 0.0), (8.0, LARGEST_AMPLITUDE)):
        train = table([*alone, [together, together, 0.0, 0.0], *others], names)
        assert measured_parts(train, torch.zeros(33, 33)).amplitude == amplitude


def test_parts_keep_what_was_done() -> None:
    assert [str(one) for one in parts_of("A+B|KO")] == ["A|KO", "B|KO"]
    assert parts_of("A|KO") != parts_of("A|CRISPRa")


def test_effects_add_up_and_labels_do_not(planted_delta, planted_de) -> None:
    names = ["P0", "P1", "P0+P1"]
    effects = Propagation(QUICK).fit(planted_delta.train, planted_delta.graph).predict(names).values
    mean = Outcomes.of(planted_delta.train).gene_mean.numpy()
    np.testing.assert_allclose(effects[2], effects[0] + effects[1] - mean, rtol=1e-4, atol=1e-5)
    labels = Propagation(QUICK).fit(planted_de.train, planted_de.graph).predict(names).values
    assert labels.max() < 1
    assert np.abs(labels[2] - labels[0] - labels[1]).max() > 0.01


def test_what_is_read_as_a_control_is_predicted_too(planted_delta) -> None:
    """A whole genome has a gene whose name is also that of controls."""
    model = Propagation(QUICK).fit(planted_delta.train, planted_delta.graph)
    found = model.predict(["CTRL", "P0", "P0+ctrl"])
    np.testing.assert_allclose(found.values[0], Outcomes.of(planted_delta.train).gene_mean.numpy(), atol=1e-6)
    np.testing.assert_array_equal(found.values[1], found.values[2])


def test_a_measured_perturbation_is_near_its_measurement(planted_delta) -> None:
    train = planted_delta.train
    values = Propagation(QUICK).fit(train, planted_delta.graph).predict(train.perturbations).values
    r = [np.corrcoef(values[i][m], train.values[i][m])[0, 1] for i, m in enumerate(train.measured)]
    assert np.median(r) > 0.8


def test_evidence_of_a_sum_is_that_of_its_parts(planted_delta) -> None:
    model = Propagation(QUICK).fit(planted_delta.train, planted_delta.graph)
    measured = [str(name) for name in planted_delta.train.perturbations[:2]]
    gene = str(planted_delta.train.genes[-1])

    def brought(name: str) -> dict[str, float]:
        found = model.evidence(name, gene)
        return dict(zip(found.perturbations.tolist(), found.contribution.tolist(), strict=True))

    first, second, both = (brought(name) for name in (*measured, "+".join(measured)))
    for name in both:
        assert both[name] == pytest.approx(first.get(name, 0.0) + second.get(name, 0.0), abs=1e-5)
    assert abs(first[measured[0]]) > 0


def renamed(train: EffectTable, names: list[str]) -> EffectTable:
    return EffectTable(train.values, train.measured, names, train.genes, kind="delta", context=train.contexts)


def test_what_the_graph_does_not_know_rests_on_its_own_measurement(planted_delta) -> None:
    train = planted_delta.train
    model = Propagation(QUICK).fit(renamed(train, ["NOWHERE", *train.perturbations[1:]]), planted_delta.graph)
    found = model.evidence("NOWHERE", str(train.genes[-1]))
    assert found.perturbations.tolist() == ["NOWHERE"]
    assert found.contribution[0] != 0


def test_folds_of_combinations_only_teach_nothing_and_break_nothing(planted_delta) -> None:
    train = planted_delta.train
    names = [str(name) for name in train.perturbations]
    pairs = [f"{a}+{b}" for a, b in pairwise(names[2:])]
    found = Propagation(QUICK).fit(renamed(train, [*names[:3], *pairs]), planted_delta.graph).predict(["P0", pairs[0]])
    assert np.isfinite(found.values).all()


def test_what_was_measured_in_another_context_is_heard_whatever_the_graph_says(planted_delta) -> None:
    train, graph = planted_delta.train, permuted(planted_delta.graph, seed=0)
    rng, some = np.random.default_rng(0), np.arange(2, len(train.perturbations))  # the first two are in "a" only
    values = np.concatenate([train.values, train.values[some]])
    values = values + rng.normal(0, 0.1 * train.values.std(), values.shape)
    both = EffectTable(
        values, np.concatenate([train.measured, train.measured[some]]),
        np.concatenate([train.perturbations, train.perturbations[some]]), train.genes, kind="delta",
        context=["a"] * len(train.perturbations) + ["b"] * len(some),
    )  # fmt: skip
    model = Propagation(QUICK).fit(both, graph)
    first = train.perturbations[:2]
    for context, r_above in (("a", 0.9), ("b", 0.8)):
        found = model.predict(first, context=context).values - Outcomes.of(both).gene_mean.numpy()
        wanted = train.values[:2] - Outcomes.of(both).gene_mean.numpy()
        for row, measured in enumerate(train.measured[:2]):
            assert np.corrcoef(found[row][measured], wanted[row][measured])[0, 1] > r_above
    gene = str(train.genes[-1])
    heard = model.evidence(str(first[0]), gene, context="b")
    assert str(heard.perturbations[np.argmax(heard.weight)]) == str(first[0])
