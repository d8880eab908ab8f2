"""Effects of what was measured and of what was not, and combinations as sums of their parts."""

import numpy as np
import pytest
from scipy.linalg import cho_factor

from gnnvcell.data.effects import EffectTable
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.controls import permuted
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models import Propagation, PropagationConfig
from gnnvcell.models._edge_variances import VarianceConfig
from gnnvcell.models._effect_process import EffectProcess, Parts, _solved, parts_of
from gnnvcell.models._profiles import ProfileConfig, graph_profiles


def process(train: EffectTable, graph: GeneGraph, **settings) -> EffectProcess:
    return EffectProcess(train, graph_profiles(graph, ProfileConfig()), VarianceConfig(**settings), seed=0)


def renamed(train: EffectTable, names: list[str]) -> EffectTable:
    return EffectTable(train.values, train.measured, names, train.genes, kind="delta", context=train.contexts)


def test_parts_keep_what_was_done() -> None:
    assert [str(one) for one in parts_of("A+B|KO")] == ["A|KO", "B|KO"]
    assert parts_of("A|KO") != parts_of("A|CRISPRa")


@pytest.mark.parametrize("share", [1.0, 0.7])
def test_genes_are_solved_on_their_measured_rows(share) -> None:
    rng = np.random.default_rng(0)
    factor = rng.standard_normal((30, 5))
    kernel, values = factor @ factor.T + np.eye(30), rng.standard_normal((30, 2000))
    measured = rng.random(values.shape) < share
    measured[:, 7] = False
    found = _solved(kernel, cho_factor(kernel, lower=True), values, measured)
    assert not found[~measured].any()
    for gene in (0, 7, 1999):
        rows = np.flatnonzero(measured[:, gene])
        wanted = np.linalg.solve(kernel[np.ix_(rows, rows)], values[rows, gene])
        np.testing.assert_allclose(found[rows, gene], wanted, atol=1e-4)


def test_the_prediction_is_the_posterior_mean(planted_delta) -> None:
    """Against the formula, with covariances made edge by edge."""
    train, graph = planted_delta.train, planted_delta.graph
    found = process(train, graph)
    names = np.array(["P0", *planted_delta.test.perturbations[:4]])
    profiles = graph_profiles(graph, ProfileConfig())
    columns, edge = found.columns, found.variances.edge
    left, right = (profiles.side_by_side(one).toarray() for one in (names, train.perturbations))
    far, near = found.variances.near * (left @ right.T) ** 2, found.variances.near * (right @ right.T) ** 2
    left, right = np.minimum(left, right.max(axis=0))[:, columns], right[:, columns]
    same, own = names[:, None] == train.perturbations, found.variances.own
    across = found.variances.mean + (left * edge) @ right.T + far + own * same
    among = found.variances.mean + (right * edge) @ right.T + near + (own + found.variances.noise) * np.eye(len(right))
    gene = 3
    rows = np.flatnonzero(train.measured[:, gene])
    wanted = across[:, rows] @ np.linalg.solve(among[np.ix_(rows, rows)], train.values[rows, gene])
    np.testing.assert_allclose(found.predict(names, train.context_of(""))[0][:, gene], wanted, atol=1e-4)


def test_an_edge_longer_than_any_in_training_is_not_followed_further() -> None:
    """A term of one gene with one annotation, seen in training only in genes with many."""
    genes, terms = [f"P{i}" for i in range(40)], np.array([f"T{i}" for i in range(12)])
    rng = np.random.default_rng(0)
    member = rng.random((40, 12)) < 0.6
    member[:, 0] = np.arange(40) < 6
    member[0] = np.arange(12) == 0
    gene, term = np.nonzero(member)
    edges = EdgeTable(
        ("gene", "annotated_bp", "go_term"), gene, term, np.ones(len(gene), np.float32), np.array(genes), terms,
        directed=True,
    )  # fmt: skip
    graph = GeneGraph.from_tables([edges], GeneVocab.from_symbols(genes, renamings=False), {"go_term": terms})
    values = (member[1:, :1] * rng.standard_normal(60) + 0.1 * rng.standard_normal((39, 60))).astype(np.float32)
    train = EffectTable(values, np.ones(values.shape, bool), genes[1:], [f"R{i}" for i in range(60)], kind="delta")
    found = process(train, graph)
    known, asked = (Parts.of(found.profiles, names) for names in (genes[1:], ["P0"]))
    largest = known.edges[:, found.columns].max(axis=0).toarray()[0]
    longer = asked.edges[:, found.columns].toarray()[0] > largest
    assert longer.any()
    np.testing.assert_array_equal(found._edges(asked).toarray()[0][longer], largest[longer])


def test_of_many_rows_some_are_learned_from(planted_delta) -> None:
    train, graph = planted_delta.train, planted_delta.graph
    profiles = graph_profiles(graph, ProfileConfig())
    first, again, other = (EffectProcess(train, profiles, VarianceConfig(rows=20), seed=seed) for seed in (0, 0, 1))
    names, context = planted_delta.test.perturbations, train.context_of("")
    np.testing.assert_array_equal(first.predict(names, context)[0], again.predict(names, context)[0])
    assert np.abs(first.predict(names, context)[0] - other.predict(names, context)[0]).max() > 1e-3
    assert len(first.messages) == len(train.perturbations)


def test_learns_planted_effects(planted_delta) -> None:
    train, test = planted_delta.train, planted_delta.test
    errors = [
        np.square(process(train, graph).predict(test.perturbations, train.context_of(""))[0] - test.values)[
            test.measured
        ]
        for graph in (planted_delta.graph, permuted(planted_delta.graph, seed=0))
    ]
    assert errors[0].mean() < 0.6 * errors[1].mean()


@pytest.mark.parametrize("amplitude", [0.5, 1.0])
def test_the_amplitude_of_sums_is_learned_from_combinations(planted_delta, amplitude) -> None:
    train = planted_delta.train
    names, values = train.perturbations, np.where(train.measured, train.values, 0)
    rng = np.random.default_rng(0)
    pairs = rng.permutation(len(names))[:40].reshape(20, 2)
    together = amplitude * (values[pairs[:, 0]] + values[pairs[:, 1]])
    table = EffectTable(
        np.concatenate([values, together]).astype(np.float32), np.ones((len(names) + 20, values.shape[1]), bool),
        [*names, *("+".join(names[pair]) for pair in pairs)], train.genes, kind="delta",
    )  # fmt: skip
    assert process(table, planted_delta.graph).amplitudes.of_sums == pytest.approx(amplitude, abs=0.11)


def test_effects_add_up_and_labels_do_not(planted_delta, planted_de) -> None:
    names = ["P0", "P1", "P0+P1", "NOWHERE"]
    effects = Propagation().fit(planted_delta.train, planted_delta.graph).predict(names).values
    np.testing.assert_allclose(effects[2], effects[0] + effects[1] - effects[3], rtol=1e-4, atol=1e-5)
    quick = PropagationConfig.parse({"readout": {"epochs": 2, "hidden": 4}})
    labels = Propagation(quick).fit(planted_de.train, planted_de.graph).predict(names[:3]).values
    assert labels.max() < 1
    assert np.abs(labels[2] - labels[0] - labels[1]).max() > 0.01


def test_what_is_read_as_a_control_is_predicted_too(planted_delta) -> None:
    """A whole genome has a gene whose name is also that of controls."""
    found = Propagation().fit(planted_delta.train, planted_delta.graph).predict(["CTRL", "P0", "P0+ctrl", "NOWHERE"])
    np.testing.assert_allclose(found.values[0], found.values[3], atol=1e-6)
    np.testing.assert_array_equal(found.values[1], found.values[2])


def test_a_measured_perturbation_is_near_its_measurement(planted_delta) -> None:
    train = planted_delta.train
    values = Propagation().fit(train, planted_delta.graph).predict(train.perturbations).values
    r = [np.corrcoef(values[i][m], train.values[i][m])[0, 1] for i, m in enumerate(train.measured)]
    assert np.median(r) > 0.8


def test_evidence_of_a_sum_is_that_of_its_parts(planted_delta) -> None:
    model = Propagation().fit(planted_delta.train, planted_delta.graph)
    measured = [str(name) for name in planted_delta.train.perturbations[:2]]
    gene = str(planted_delta.train.genes[-1])

    def brought(name: str) -> dict[str, float]:
        found = model.evidence(name, gene)
        return dict(zip(found.perturbations.tolist(), found.contribution.tolist(), strict=True))

    first, second, both = (brought(name) for name in (*measured, "+".join(measured)))
    for name in both:
        assert both[name] == pytest.approx(first.get(name, 0.0) + second.get(name, 0.0), abs=1e-5)
    assert abs(first[measured[0]]) > 0


def test_what_the_graph_does_not_know_rests_on_its_own_measurement(planted_delta) -> None:
    train = planted_delta.train
    model = Propagation().fit(renamed(train, ["NOWHERE", *train.perturbations[1:]]), planted_delta.graph)
    found = model.evidence("NOWHERE", str(train.genes[-1]))
    assert found.perturbations.tolist() == ["NOWHERE"]
    assert found.contribution[0] != 0


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
    model = Propagation().fit(both, graph)
    first = train.perturbations[:2]
    for context in ("a", "b"):
        found = model.predict(first, context=context).values
        for row, measured in enumerate(train.measured[:2]):
            assert np.corrcoef(found[row][measured], train.values[row][measured])[0, 1] > 0.9
    heard = model.evidence(str(first[0]), str(train.genes[-1]), context="b")
    assert str(heard.perturbations[np.argmax(heard.weight)]) == str(first[0])
