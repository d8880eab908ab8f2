import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gnnvcell.bench.calibration import KEPT, abstention_table, reliability_table
from gnnvcell.bench.folder import BenchFolder, open_bench_folder
from gnnvcell.bench.strata import (
    EFFECT,
    SUPPORT,
    Stratum,
    by_measured_neighbours,
    by_partners,
    by_quarters,
    effect_sizes,
    tables_within,
)
from gnnvcell.bench.units import Units, unpack
from gnnvcell.errors import ConfigError
from gnnvcell.metrics import per_gene_auroc, reliability

_spec = importlib.util.spec_from_file_location("test_folder", Path(__file__).with_name("test_folder.py"))
assert _spec is not None
assert _spec.loader is not None
_folder = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_folder)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> BenchFolder:
    path = tmp_path_factory.mktemp("strata")
    return open_bench_folder(_folder.make_folder(path, genes=40, perturbations=80, positives=12))


def test_strata_by_hand() -> None:
    counts = by_measured_neighbours(np.array([0, 1, 19, 20, 79, 80, 500]))
    assert [one.inside.sum() for one in counts] == [1, 2, 2, 2]
    assert [one.name for one in counts] == ["no measured neighbour", "1 to 19", "20 to 79", "80 and more"]
    quarters = by_quarters(EFFECT, np.arange(8.0))
    assert [np.flatnonzero(one.inside).tolist() for one in quarters] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    same = by_quarters(EFFECT, np.array([0.0, 0.0, 0.0, 1.0]))
    assert [one.name for one in same] == ["lower", "higher"] or [one.name for one in same] == ["all"]
    assert sum(one.inside.sum() for one in same) == 4
    assert [one.name for one in by_quarters(EFFECT, np.zeros(5))] == ["all"]
    first, second = by_partners(np.array([True, False, False]))
    assert (first.inside.sum(), second.inside.sum()) == (1, 2)


def test_effect_sizes_are_changed_shares_and_numbers_of_directions() -> None:
    units = Units(["A", "B", "C"], [1, 0, 1], [0, 1, 1], ["P", "Q"], [1, 3], [2, 0, 1, 2], "1100", [])
    assert effect_sizes(units, "de").tolist() == pytest.approx([1.0, 1 / 3])
    assert effect_sizes(units, "dir-complexes").tolist() == [1.0, 3.0]


def test_scores_within_a_stratum_are_those_of_its_perturbations(bench: BenchFolder) -> None:
    inside = np.arange(80) < 40
    strata = [Stratum(SUPPORT, "first", inside), Stratum(SUPPORT, "few", np.arange(80) < 19)]
    (table,) = tables_within(bench, {("sim", "de"): strata})
    assert (table.along, table.stratum, table.shape) == (SUPPORT, "first", (2, 39, 40))
    assert {graph for _, graph, _ in table.arms} == {"g"}  # parts keep no pairs
    units = bench.units["sim", "de"]
    labels, measured = units.truth
    run = bench.runs_of("sim", "de")["knn", "g", "real"][1]
    predicted = units.dense(unpack(run, "per_pair", "score", len(units.labels)))
    expected = per_gene_auroc(predicted[:40], labels[:40], measured[:40])
    assert table.arms["knn", "g", "real"].per_gene[1] == pytest.approx(expected[:39])
    whole = Stratum(SUPPORT, "all", np.ones(80, bool))
    (table,) = tables_within(bench, {("sim", "de"): [whole]})
    (all_,) = bench.tables()
    where = ("ridge", "g", "rewired")
    assert table.arms[where].per_gene == pytest.approx(all_.arms[where].per_gene, abs=1e-3)
    assert table.arms[where].influence == pytest.approx(all_.arms[where].influence, abs=1e-4)
    with pytest.raises(ConfigError, match="strata of k562:de, which was not run"):
        list(tables_within(bench, {("k562", "de"): [whole]}))


def test_reliability_is_of_the_pairs_of_all_seeds(bench: BenchFolder) -> None:
    table = reliability_table(bench)
    assert table.groupby("model").size().tolist() == [10, 10]
    assert set(table["graph"]) == {"g"}
    assert table.groupby("model")["pairs"].sum().tolist() == [80 * 40 * 2] * 2
    units = bench.units["sim", "de"]
    runs = bench.runs_of("sim", "de")["knn", "g", "real"]
    scores = np.concatenate([unpack(run, "per_pair", "score", len(units.labels)) for run in runs])
    labels = np.array([digit == "1" for digit in units.labels * 2])
    knn: Any = table[table["model"] == "knn"]
    assert knn["error"].unique() == pytest.approx([reliability(scores, labels).error])
    assert (knn["observed"] * knn["pairs"]).sum() == pytest.approx(labels.sum())
    assert knn["predicted"].is_monotonic_increasing


def test_abstention_keeps_those_with_most_support(bench: BenchFolder) -> None:
    table = abstention_table(bench)
    knn = table[table["model"] == "knn"].reset_index()
    assert knn["kept"].tolist() == list(KEPT)
    assert knn["perturbations"].tolist() == [80, 72, 64, 56, 48, 40, 32, 24, 16]
    units = bench.units["sim", "de"]
    labels, measured = units.truth
    halves = []
    for run in bench.runs_of("sim", "de")["knn", "g", "real"]:
        predicted = units.dense(unpack(run, "per_pair", "score", len(units.labels)))
        halves.append(np.nanmean(per_gene_auroc(predicted[40:], labels[40:], measured[40:])))  # support is 0 ... 79
    assert knn.loc[5, "auroc"] == pytest.approx(np.mean(halves))
    whole = [record for record in bench.records if record["metric"] == "per_gene_auroc" and record["graph"] == "g"]
    real = [one["value"] for one in whole if (one["model"], one["control"]) == ("knn", "real")]
    assert knn.loc[0, "auroc"] == pytest.approx(np.mean(real), abs=1e-4)
