"""Interactions of pairs by hand, and the combination screen."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from gnnvcell.errors import ModelError, PerturbationError
from gnnvcell.screens.combo import ComboConfig, combo_screen
from gnnvcell.screens.interactions import InteractionConfig, interactions

from .conftest import TableModel

A, B = np.array([1.0, 0, 0, 0]), np.array([0.0, 1, 0, 0])


@pytest.mark.parametrize(
    ("a", "b", "ab", "kind"),
    [
        (A, B, A + B, "additive"),
        (A, B, 1.2 * (A + B), "additive"),
        (A, B, 1.5 * (A + B), "synergy"),
        (A, B, 0.6 * (A + B), "buffering"),
        (A, B, 0.3 * (A + B), "suppression"),
        (A, B, A, "dominance"),
        (A, A, A, "redundancy"),
        (A, A, 2 * A, "additive"),
        (A, 0 * B, A, "additive"),
        (A, 0 * B, 2 * A, "synergy"),
        (0 * A, 0 * B, 0 * A, "additive"),
        (A, B, np.array([0.0, 0, 2, 0]), "neomorphic"),
        (0 * A, 0 * B, A, "neomorphic"),
        (A, B, -(A + B), "buffering"),
    ],
)
def test_classes_by_hand(a: np.ndarray, b: np.ndarray, ab: np.ndarray, kind: str) -> None:
    assert interactions(a[None], b[None], ab[None]).kind.item() == kind


def test_numbers_by_hand() -> None:
    found = interactions(A[None], 2 * B[None], np.array([[1.5, 2, 1, 0]]))
    assert (found.first.item(), found.second.item()) == (1.5, 1)
    assert found.departure.item() == pytest.approx(np.sqrt(0.25 + 1))
    assert found.expected.item() == pytest.approx(np.sqrt(5))
    assert found.relative.item() == pytest.approx(np.sqrt(1.25 / 5))
    assert found.scale.item() == pytest.approx(5.5 / 5)
    assert found.fit.item() == pytest.approx(np.sqrt(6.25 / 7.25))
    assert found.equality.item() == pytest.approx(1.5 / 2)
    assert found.similarity.item() == 0
    assert found.size.item() == pytest.approx(np.sqrt(7.25))


def test_regression_is_that_of_numpy() -> None:
    rng = np.random.default_rng(0)
    a, b, ab = rng.normal(size=(3, 20, 8))
    a[5], b[6], b[7] = 2 * b[5], 0.0, -3 * a[7]
    found = interactions(a, b, ab)
    for row in range(20):
        expected = np.linalg.lstsq(np.stack([a[row], b[row]], axis=1), ab[row], rcond=None)[0]
        assert [found.first[row], found.second[row]] == pytest.approx(expected, abs=1e-9)


def test_limits_are_settings() -> None:
    strict = InteractionConfig(additive_within=0.1)
    assert interactions(A[None], B[None], 1.2 * (A + B)[None], strict).kind.item() == "synergy"


def planted(model: TableModel) -> TableModel:
    effects = model.effects
    model.extra = {
        "T00+T01": 0.5 * (effects["T00"] + effects["T01"]),
        "T02+T03": -0.9 * (effects["T02"] + effects["T03"]),
    }
    return model


def test_planted_interactions_come_first(random_model: TableModel) -> None:
    found = combo_screen(planted(random_model), [f"T0{i}" for i in range(5)])
    assert len(found.table) == 10
    assert set(found.table["perturbation"].head(2)) == {"T00+T01", "T02+T03"}
    kinds = dict(zip(found.table["perturbation"], found.table["interaction"], strict=True))
    assert kinds.pop("T00+T01") == "synergy"
    assert kinds.pop("T02+T03") == "suppression"
    assert set(kinds.values()) == {"additive"}
    assert found.provenance["typical_scale"] == pytest.approx(1)
    by_share = combo_screen(random_model, ["T00", "T01", "T02"], config=ComboConfig(rank_by="relative"))
    assert by_share.table["relative"].is_monotonic_decreasing


def test_the_genes_of_the_departure_are_named(random_model: TableModel) -> None:
    random_model.extra = {"T00+T01": np.eye(30)[3] * 4 - np.eye(30)[7] * 5}
    row = combo_screen(random_model, ["T00", "T01"]).table.iloc[0]
    assert row["genes"].startswith("-R07 +R03")


def test_perturbed_genes_do_not_count() -> None:
    genes = np.array(["T0", "T1", "x", "y"])
    model = TableModel(
        {"T0": np.array([-5.0, 0, 1, 0]), "T1": np.array([0.0, -5, 0, 1])}, genes, {"T0+T1": np.array([9.0, 9, 0, 0])}
    )
    assert combo_screen(model, ["T0", "T1"]).table["departure"].item() == pytest.approx(0)


def test_a_list_with_partners_and_batches(random_model: TableModel) -> None:
    model = planted(random_model)
    tables = [
        combo_screen(model, ["T00", "T01"], ["T01", "T02", "T03"], config=ComboConfig(batch=size)).table
        for size in (1, 2, 100)
    ]
    assert sorted(tables[0]["perturbation"]) == ["T00+T01", "T00+T02", "T00+T03", "T01+T02", "T01+T03"]
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0])


def test_an_interrupted_screen_goes_on(random_model: TableModel, tmp_path) -> None:
    names = ["T00", "T01", "T02", "T03"]
    whole = combo_screen(random_model, names, config=ComboConfig(batch=2), keep_in=tmp_path)
    kept = sorted(tmp_path.iterdir())
    assert len(kept) == 3
    kept[0].unlink()
    random_model.asked.clear()
    again = combo_screen(random_model, names, config=ComboConfig(batch=2), keep_in=tmp_path)
    pd.testing.assert_frame_equal(again.table, whole.table)
    assert sum("+" in name for name in random_model.asked) == 2


def test_noise_of_the_departure(random_model: TableModel) -> None:
    with pytest.raises(ModelError, match="does not know its errors"):
        combo_screen(random_model, ["T00", "T01"], config=ComboConfig(rank_by="noise"))
    random_model.spread = 0.1
    found = combo_screen(random_model, ["T00", "T01", "T02"], config=ComboConfig(rank_by="noise")).table
    assert found["noise"].to_numpy() == pytest.approx(np.sqrt(30 * 3 * 0.01))
    assert found["over_noise"].is_monotonic_decreasing


def test_pairs_without_support(random_model: TableModel) -> None:
    found = combo_screen(random_model, ["T00", "T01", "nobody"])
    assert found.table["perturbation"].tolist() == ["T00+T01"]
    assert found.abstained["perturbation"].tolist() == ["T00+nobody", "T01+nobody"]
    with pytest.raises(ModelError, match="no support for any of the 1 pairs"):
        combo_screen(random_model, ["a", "b"])


def test_bad_lists(random_model: TableModel) -> None:
    with pytest.raises(PerturbationError, match="list of perturbations is empty"):
        combo_screen(random_model, [])
    with pytest.raises(PerturbationError, match="list of partners is empty"):
        combo_screen(random_model, ["T00"], [])
    with pytest.raises(PerturbationError, match="no pair of different targets"):
        combo_screen(random_model, ["T00", "T00|KO"])
    with pytest.raises(ModelError, match=r"T00 and JQ1.drug have no name as one perturbation, and TableModel"):
        combo_screen(random_model, ["T00", "JQ1|drug"])


class Squares(TableModel):
    """A model with actions: the effect is the square of the action."""

    def actions_of(self, perturbations) -> Tensor:
        return torch.tensor(np.array([self.effects[str(name).split("|")[0]] for name in perturbations]))

    def effects_of_actions(self, actions: Tensor, *, context=None) -> Tensor:
        return actions**2


def test_a_drug_beside_a_gene_is_the_sum_of_actions() -> None:
    genes = np.array(["x", "y"])
    model = Squares({"T0": np.array([1.0, 0]), "JQ1": np.array([1.0, 2])}, genes)
    row = combo_screen(model, ["T0", "JQ1|drug@1uM"]).table.iloc[0]
    assert row["perturbation"] == "T0 & JQ1|drug@1uM"
    assert row["size"] == pytest.approx(np.sqrt(4**2 + 4**2))
    assert row["departure"] == pytest.approx(2)
