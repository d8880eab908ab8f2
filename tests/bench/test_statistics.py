from math import erfc, sqrt

import numpy as np
import pytest

from gnnvcell.bench.coalitions import coalition_name, is_single, shapley_terms, sources_named
from gnnvcell.bench.contrasts import ArmScores, Bootstrap, Contrast, TableScores, holm, sign_test
from gnnvcell.bench.statistics import MEAN_LINE, benchmark_statistics


def arm(per_gene, influence=None) -> ArmScores:
    per_gene = np.atleast_2d(np.asarray(per_gene, dtype=float))
    return ArmScores(per_gene, np.zeros((len(per_gene), 4)) if influence is None else np.atleast_2d(influence))


def table(arms, line="k562") -> TableScores:
    return TableScores(line, "de", arms)


TWO_SEEDS = table(
    {
        ("knn", "g", "real"): arm([[0.8, 0.6, 0.7], [0.8, 0.6, 0.7]]),
        ("knn", "g", "rewired"): arm([[0.5, 0.5, 0.8], [0.6, 0.6, 0.5]]),
        ("ridge", "g", "real"): arm([[0.7, 0.6, 0.5], [0.7, 0.6, 0.5]]),
    }
)


def test_differences_by_hand() -> None:
    found = benchmark_statistics([TWO_SEEDS]).set_index(["kind", "model", "against"])
    control = found.loc[("control", "knn", "rewired")]
    # Seeds: (.3 + .1 - .1) / 3 and (.2 + 0 + .2) / 3; genes: .25, .05, .05.
    assert control["value"] == pytest.approx((0.1 + 0.4 / 3) / 2)
    assert (control["seeds"], control["seeds_above"], control["seeds_sign_p"]) == (2, 2, 0.5)
    assert (control["genes"], control["genes_above"], control["genes_below"], control["genes_sign_p"]) == (
        3,
        3,
        0,
        0.25,
    )
    model = found.loc[("model", "knn", "ridge")]
    assert model["value"] == pytest.approx(0.1)
    assert (model["genes_above"], model["genes_below"]) == (2, 0)  # the tie is left out
    assert found.loc[("score", "knn", "rewired"), "value"] == pytest.approx(3.5 / 6)
    assert found.loc[("score", "knn", ""), "value"] == pytest.approx(0.7)


def test_intervals_hold_the_variance_of_seeds_genes_and_perturbations() -> None:
    rng = np.random.default_rng(0)
    genes = rng.normal(size=400)
    one = table({("m", "g", "real"): arm(np.tile(genes, (3, 1)))})
    score = Contrast("score", "m", "g", "", {("m", "g", "real"): 1.0})
    # Genes alone: the standard error of a mean.
    assert Bootstrap(one).estimate(score).sd == pytest.approx(genes.std() / 20, rel=0.06)
    influence = rng.normal(size=(1, 300))
    influence -= influence.mean()
    one = table({("m", "g", "real"): arm(np.zeros((1, 5)), influence)})
    assert Bootstrap(one).estimate(score).sd == pytest.approx(np.sqrt((influence**2).sum()), rel=0.06)
    seeds = np.array([[0.1], [0.4], [0.3]])
    one = table({("m", "g", "real"): arm(np.tile(seeds, (1, 5)), np.zeros((3, 4)))})
    # Unbiased, as few as they are.
    assert Bootstrap(one, draws=20000).estimate(score).sd == pytest.approx(seeds.std(ddof=1) / np.sqrt(3), rel=0.03)


def test_what_two_arms_share_is_not_in_their_difference() -> None:
    rng = np.random.default_rng(1)
    shared = rng.normal(0.6, 0.2, size=(1, 500))
    arms = {("a", "g", "real"): arm(shared + 0.01), ("b", "g", "real"): arm(shared)}
    found = benchmark_statistics([table(arms)]).set_index("kind")
    assert found.loc["model", "value"] == pytest.approx(0.01)
    assert found.loc["model", "high"] - found.loc["model", "low"] < 1e-9
    assert found.loc["score", "sd"].min() > 0.005


def test_intervals_cover_what_they_should() -> None:
    """Of 200 simulated benchmarks with crossed variation of seeds, genes and perturbations."""
    rng, held = np.random.default_rng(2), 0
    contrast = Contrast("control", "m", "g", "rewired", {("m", "g", "real"): 1.0})
    for repeat in range(200):
        perturbations = rng.normal(0, 0.02, size=100)  # of each, its part of the mean
        noise = perturbations.mean() + rng.normal(0, 0.002, size=(8, 1))
        by_gene = 0.1 + noise + rng.normal(0, 0.04, size=(1, 200))
        influence = np.tile((perturbations - perturbations.mean()) / 100, (8, 1))
        simulated = table({("m", "g", "real"): ArmScores(np.broadcast_to(by_gene, (8, 200)), influence)})
        low, high = Bootstrap(simulated, draws=400, seed=repeat).estimate(contrast).interval(0.9)
        held += low <= 0.1 <= high
    assert 0.84 <= held / 200 <= 0.95


def test_p_and_correction_for_many() -> None:
    found = benchmark_statistics([TWO_SEEDS]).set_index(["kind", "model", "against"])
    row = found.loc[("control", "knn", "rewired")]
    assert row["p"] == pytest.approx(erfc(row["value"] / row["sd"] / sqrt(2)))
    assert row["p_holm"] == row["p"]  # the only one of its kind
    # Sorted .01, .02, .03, .04: times 4, 3, 2, 1, never falling.
    assert holm(np.array([0.04, 0.01, np.nan, 0.03, 0.02])) == pytest.approx(
        [0.06, 0.04, np.nan, 0.06, 0.06], nan_ok=True
    )
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1.0, 1.0])
    assert sign_test(np.array([1, 1, 1, 1, 1, 0, -1]), 0.0) == (5, 1, pytest.approx(14 / 64))
    assert sign_test(np.zeros(3), 0.0) == (0, 0, 1.0)


def test_arms_that_are_the_same_differ_with_p_one_and_no_variation_gives_none() -> None:
    same = arm([[0.7, 0.6]])
    found = benchmark_statistics(
        [table({("a", "g", "real"): same, ("b", "g", "real"): same, ("a", "g", "empty"): arm([[0.5, 0.4]])})]
    ).set_index("kind")
    assert found.loc["model", "p"] == 1.0
    assert np.isnan(found.loc["control", "p"])


def test_what_a_source_adds() -> None:
    values = {"g": 0.8, "g/a": 0.7, "g/b": 0.6, "g/c": 0.5, "g/all but c": 0.78, "g/all but b": 0.7, "g/all but a": 0.6}
    arms = {("m", name, "real"): arm([[value - 0.1, value + 0.1]]) for name, value in values.items()}
    found = benchmark_statistics([table(arms)]).set_index(["kind", "graph"])["value"]
    assert found["leave_one_out", "g/a"] == pytest.approx(0.2)
    # Orders abc acb bac bca cab cba; none is chance, .5.
    a = (0.2 + 0.2 + (0.78 - 0.6) + (0.8 - 0.6) + (0.7 - 0.5) + (0.8 - 0.6)) / 6
    assert found["shapley", "g/a"] == pytest.approx(a)
    assert found["shapley"].sum() == pytest.approx(0.3)
    arms["m", "g", "empty"] = arm([[0.4, 0.4]])
    found = benchmark_statistics([table(arms)]).set_index(["kind", "graph"])["value"]
    assert found["shapley"].sum() == pytest.approx(0.4)  # now of the model without any edge
    del arms["m", "g/b", "real"]
    assert "shapley" not in set(benchmark_statistics([table(arms)])["kind"])


def test_names_of_sets_of_sources() -> None:
    sources = ["a", "b", "c"]
    names = [coalition_name("g", members, sources) for members in (["c", "a", "b"], ["c", "a"], ["b"])]
    assert names == ["g", "g/all but b", "g/b"]
    assert coalition_name("g", ["b", "a"], [*sources, "d"]) == "g/a+b"
    assert coalition_name("g", ["a"], ["a", "b"]) == "g/a"
    assert [is_single(name) for name in ("g", "g/a", "g/a+b", "g/all but a")] == [False, True, False, False]
    assert sources_named("g", ["g", "g/a", "h/z", "g/all but b", "g/a+c"]) == sources
    assert sum(shapley_terms("g", "a", sources).values()) == pytest.approx(0)


def test_means_of_lines_and_the_share_of_a_ceiling() -> None:
    other = table({where: arm(scores.per_gene + 0.1) for where, scores in TWO_SEEDS.arms.items()}, line="rpe1")
    found = benchmark_statistics([TWO_SEEDS, other], ceilings={("k562", "de"): 0.9})
    scores = found[(found["kind"] == "score") & (found["model"] == "knn") & (found["against"] == "")].set_index("line")
    assert scores.loc[MEAN_LINE, "value"] == pytest.approx(0.75)
    assert scores.loc["k562", "of_ceiling"] == pytest.approx((0.7 - 0.5) / 0.4)
    assert scores.loc["k562", "floor"] == 0.5  # no permuted graph was run
    assert np.isnan(scores.loc["rpe1", "of_ceiling"])
    lines = scores["sd"].drop(MEAN_LINE)
    assert scores.loc[MEAN_LINE, "sd"] == pytest.approx(np.sqrt((lines**2).sum()) / 2, rel=0.1)


def test_the_floor_is_the_score_on_permuted_graphs() -> None:
    arms = {("m", "g", "real"): arm([[0.8, 0.6]]), ("m", "g", "permuted"): arm([[0.55, 0.53]])}
    found = benchmark_statistics([table(arms)], ceilings={("k562", "de"): 0.86})
    (row,) = [r for r in found.to_dict(orient="records") if (r["kind"], r["against"]) == ("score", "")]
    assert row["floor"] == pytest.approx(0.54)
    assert row["of_ceiling"] == pytest.approx((0.7 - 0.54) / (0.86 - 0.54))


def test_within_strata_there_are_scores_and_controls_apart_from_the_others() -> None:
    within = TableScores("k562", "de", TWO_SEEDS.arms, "effect size", "all")
    found = benchmark_statistics([TWO_SEEDS, within])
    assert set(found["kind"]) == {"score", "control", "model", "score_within", "control_within"}
    row = found[found["kind"] == "control_within"].iloc[0]
    whole = found[found["kind"] == "control"].iloc[0]
    assert (row["along"], row["stratum"], row["value"]) == ("effect size", "all", whole["value"])
    assert row["perturbations"] == whole["perturbations"] == 4
    alone = benchmark_statistics([TWO_SEEDS]).set_index(["kind", "model", "against"])
    again = found.set_index(["kind", "model", "against"])
    for where in alone.index:
        assert again.loc[where, "low"] == alone.loc[where, "low"]  # what is beside them changes no draw
