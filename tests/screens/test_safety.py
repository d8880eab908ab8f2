"""Gene sets against random ones, and the safety screen."""

import numpy as np
import pytest

from gnnvcell.errors import ConfigError, DataError, FileFormatError, ModelError, PerturbationError
from gnnvcell.screens.enrichment import q_values, set_changes
from gnnvcell.screens.goal import Goal
from gnnvcell.screens.programmes import Programme, members, read_programmes, stress_programmes
from gnnvcell.screens.safety import SafetyConfig, safety_screen, with_amounts

from .conftest import TableModel

OTHERS = [f"R{at:03d}" for at in range(300)]
SETS = {one.name: one for one in stress_programmes()}
GENES = np.array(list(dict.fromkeys([*(gene for one in SETS.values() for gene in one.genes), *OTHERS])))


def effect_on(name: str, size: float) -> np.ndarray:
    return np.where(np.isin(GENES, SETS[name].genes), size, 0.0)


@pytest.fixture
def model() -> TableModel:
    rng = np.random.default_rng(0)
    noise = 0.02 * rng.normal(size=(4, len(GENES)))
    effects = {
        "HARMLESS": noise[0],
        "DAMAGE": effect_on("p53_targets", 0.8) + noise[1],
        "ARREST": effect_on("mitosis", -0.5) + noise[2],
        "GROWTH": effect_on("mitosis", 0.5) + noise[3],
    }
    return TableModel(effects, GENES, by_context={"liver": 1.0, "heart": 2.0})


def test_shipped_sets_are_what_they_say() -> None:
    assert len(SETS) == 11
    assert {one.harm for one in SETS.values()} == {"up", "down"}
    assert all(len(one.genes) >= 20 and len(one.source) > 30 for one in SETS.values())
    assert "CDKN1A" in SETS["p53_targets"].genes
    assert SETS["mitosis"].harm == "down"


def test_set_changes_by_hand() -> None:
    values = np.array([[1.0, 1, 0, 0, 0, 0, 0, 9]])
    counted = np.array([[True] * 7 + [False]])
    found = set_changes(values, counted, [np.array([0, 1]), np.array([0, 7]), np.array([7])], draws=2000)
    assert found.change[0].tolist() == [1, 1, 0]
    # A random pair out of eight, of which one does not count: each gene is as likely, so the mean is that of 7.
    assert found.change[0, 0] - found.excess[0, 0] == pytest.approx(2 / 7, abs=0.03)
    assert found.p[0, 0] < 0.2 < found.p[0, 2]


def test_null_of_random_sets_is_that_of_sampling_without_replacement() -> None:
    rng = np.random.default_rng(1)
    y = rng.normal(size=(1, 500))
    found = set_changes(y, np.ones((1, 500), bool), [np.arange(20)], draws=4000)
    sd = y.std(ddof=1) / np.sqrt(20) * np.sqrt((500 - 20) / 500)
    assert found.excess[0, 0] / found.z[0, 0] == pytest.approx(sd, rel=0.04)
    assert found.excess[0, 0] == pytest.approx(y[0, :20].mean() - y.mean(), abs=0.01)


def test_p_values_of_random_sets_are_uniform() -> None:
    rng = np.random.default_rng(2)
    y = rng.normal(size=(1, 400))
    sets = [rng.choice(400, 15, replace=False) for _ in range(300)]
    p = set_changes(y, np.ones((1, 400), bool), sets)[3][0]
    assert np.quantile(p, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.08)


def test_q_values_by_hand() -> None:
    assert q_values(np.array([[0.04, 0.01], [0.03, 0.9]])).tolist() == pytest.approx(
        np.array([[4 / 3 * 0.04, 0.04], [4 / 3 * 0.04, 0.9]])
    )


def test_harm_is_found_and_ranked(model: TableModel) -> None:
    found = safety_screen(model, list(model.effects), contexts=["liver", "heart"])
    table = found.table.set_index("perturbation")
    assert set(table.index[:2]) == {"HARMLESS", "GROWTH"}
    assert table.index[-1] == "DAMAGE"
    assert table.loc["DAMAGE", ["worst", "worst_context"]].tolist() == ["p53_targets", "heart"]
    assert table.loc["ARREST", "worst"] == "mitosis"
    assert table.loc["HARMLESS", "harm"] == 0
    long = found.more["programmes"]
    verdicts = {
        (row["perturbation"], row["programme"]): row["verdict"]
        for _, row in long.iterrows()
        if row["context"] == "liver"
    }
    assert verdicts["DAMAGE", "p53_targets"] == "harmful"
    assert verdicts["GROWTH", "mitosis"] == "opposite"
    assert verdicts["HARMLESS", "heat_shock"] == ""
    assert len(long) == 4 * 2 * 11


def test_harm_grows_with_the_dose(model: TableModel) -> None:
    variants = with_amounts("DAMAGE|CRISPRi", ["25%", "0.5", "1"])
    assert variants == ["DAMAGE|CRISPRi@0.25", "DAMAGE|CRISPRi@0.5", "DAMAGE|CRISPRi@1.0"]
    table = safety_screen(model, variants, contexts=["liver"]).table
    assert table["perturbation"].tolist() == variants
    assert table["harm"].to_numpy() == pytest.approx(table["harm"].iloc[2] * np.array([0.25, 0.5, 1]), rel=0.05)


def test_own_targets_do_not_count() -> None:
    """Knocking down a gene of the set is no harm; that the others of the set follow is."""
    gene = SETS["mitosis"].genes[0]
    alone = TableModel({gene: np.where(gene == GENES, -30.0, 0.0) + 1e-3}, GENES)
    assert safety_screen(alone, [gene]).table["harm"].item() == 0


def test_programmes_of_the_user(model: TableModel, tmp_path) -> None:
    path = tmp_path / "mine.gmt"
    path.write_text("mine\tof my own\t" + "\t".join(OTHERS[:10]) + "\nfew\tharm=up; x\tR299\tR298\n")
    mine = read_programmes(path)
    assert (mine[0].harm, mine[1].harm, mine[1].source) == ("", "up", "x")
    model.effects["AIMED"] = np.where(np.isin(GENES, OTHERS[:10]), 1.0, 0.0)
    found = safety_screen(model, ["AIMED", "HARMLESS"], contexts=["liver"], programmes=mine)
    assert found.table.set_index("perturbation").loc["AIMED", "off_target"] == 1
    assert found.provenance["programmes_with_too_few_genes"] == ["few"]
    path.write_text("bad\tharm=sideways; x\tR1\tR2\n")
    with pytest.raises(FileFormatError, match=r"line 1 of .* says harm=sideways"):
        read_programmes(path)
    with pytest.raises(DataError, match="two gene sets are called 'mitosis'"):
        safety_screen(model, ["AIMED"], programmes=[Programme("mitosis", ("R001",))])


def test_what_the_candidate_is_for(model: TableModel) -> None:
    goal = Goal.of_signature(SETS["p53_targets"].genes)
    table = safety_screen(model, ["DAMAGE", "HARMLESS"], contexts=["liver"], goal=goal).table
    wanted = dict(zip(table["perturbation"], table["wanted"], strict=True))
    assert wanted["DAMAGE"] > 0.95
    assert abs(wanted["HARMLESS"]) < 0.5


def test_pairs_without_support(model: TableModel) -> None:
    found = safety_screen(model, ["HARMLESS", "nobody"], contexts=["liver", "heart"])
    assert found.abstained["perturbation"].tolist() == ["nobody", "nobody"]
    assert found.abstained["context"].tolist() == ["liver", "heart"]
    assert found.table["perturbation"].tolist() == ["HARMLESS"]
    with pytest.raises(ModelError, match="no support for any of the 1 variants"):
        safety_screen(model, ["nobody"])


def test_bad_input(model: TableModel) -> None:
    with pytest.raises(PerturbationError, match="list of variants is empty"):
        safety_screen(model, [])
    with pytest.raises(ConfigError, match="no cell type"):
        safety_screen(model, ["DAMAGE"], contexts=[])
    with pytest.raises(ConfigError, match="'liver' is there twice"):
        safety_screen(model, ["DAMAGE"], contexts=["liver", "liver"])
    other = TableModel({"A": np.ones(3)}, np.array(["x", "y", "z"]))
    with pytest.raises(DataError, match="none of 11 gene sets has 5 of the model's 3 genes"):
        safety_screen(other, ["A"])
    with pytest.raises(PerturbationError, match="has an amount and no mode"):
        with_amounts("DAMAGE", ["1uM"])
    config = SafetyConfig(least_genes=2)
    assert members([Programme("a", ("x", "y"))], ["x", "y"], least=config.least_genes)[0][0].name == "a"
