import numpy as np
import pandas as pd
import pytest

from gnnvcell.data.splits import (
    Conditions,
    Identity,
    Split,
    by_cell_type,
    by_complexes,
    by_doubles,
    by_few_shot,
    by_perturbation,
    check_leaks,
    find_leaks,
    groups_of_sets,
)
from gnnvcell.errors import ConfigError, DataError, FileFormatError
from gnnvcell.genes import GeneVocab


def conditions(names, cell_types=("k562",), dataset="a", **columns) -> Conditions:
    rows = [(dataset, cell_type, name) for cell_type in cell_types for name in names]
    table = pd.DataFrame(rows, columns=np.array(["dataset", "cell_type", "perturbation"]))
    return Conditions(table.assign(**{name: np.tile(values, len(cell_types)) for name, values in columns.items()}))


GENES = [f"G{i}" for i in range(1000)]


def sides(split: Split) -> dict[str, str]:
    return dict(zip(split.conditions.names.tolist(), split.parts.tolist(), strict=True))


def of(parts: dict[str, str], *, strategy: str = "perturbation", cell_types=None) -> Split:
    table = pd.DataFrame({"dataset": "a", "cell_type": cell_types or "k562", "perturbation": list(parts)})
    return Split(Conditions(table), list(parts.values()), strategy=strategy)


def test_fractions_are_exact_and_seeds_differ() -> None:
    one, again, other = (by_perturbation(conditions(GENES), seed=seed) for seed in (0, 0, 1))
    assert [int((one.parts == part).sum()) for part in ("train", "val", "test")] == [640, 160, 200]
    assert one.digest == again.digest != other.digest


def test_the_same_names_on_every_machine() -> None:
    found = by_perturbation(conditions(GENES[:20]), seed=3)
    assert sorted(name for name, part in sides(found).items() if part == "test") == PINNED


PINNED = ["G10", "G12", "G16", "G19"]


@pytest.mark.parametrize("stratify", [None, "effect"])
def test_dropping_five_percent_moves_few(stratify) -> None:
    effect = np.random.default_rng(0).lognormal(size=len(GENES))
    moved = []
    for seed in range(5):
        keep = np.sort(np.random.default_rng(seed).permutation(1000)[:950])
        whole = sides(by_perturbation(conditions(GENES, effect=effect), seed=seed, stratify=stratify))
        less = conditions([GENES[i] for i in keep], effect=effect[keep])
        rest = sides(by_perturbation(less, seed=seed, stratify=stratify))
        moved.append(np.mean([whole[name] != part for name, part in rest.items()]))
    # Independent draws would move half of them.
    assert np.mean(moved) < 0.02
    assert max(moved) < 0.04


def test_each_stratum_has_its_fractions() -> None:
    effect = np.arange(100.0)
    split = by_perturbation(conditions(GENES[:100], effect=effect), stratify="effect", bins=5)
    for low in range(0, 100, 20):
        assert (split.parts[low : low + 20] == "test").sum() == 4
        assert 3 <= (split.parts[low : low + 20] == "val").sum() <= 4


def test_named_and_numbered_test_sets() -> None:
    named = by_perturbation(conditions(GENES[:50]), test=["G7", "G9"])
    assert {name for name, part in sides(named).items() if part == "test"} == {"G7", "G9"}
    assert (named.parts == "val").sum() == round(48 * 0.16 / 0.80)
    assert (by_perturbation(conditions(GENES[:100]), test=30).parts == "test").sum() == 30
    with pytest.raises(DataError, match=r"1 of 2 named perturbations[\s\S]*did you mean"):
        by_perturbation(conditions(GENES[:50]), test=["G7", "GG8"])


def test_one_side_in_all_cell_types() -> None:
    split = by_perturbation(conditions(GENES[:50], cell_types=("k562", "rpe1")))
    assert split.table.groupby("perturbation")["split"].nunique().max() == 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"fractions": (0.5, 0.2, 0.2)}, ConfigError, "bad fractions"),
        ({"fractions": (0.95, 0.01, 0.04)}, DataError, "the val part would be empty"),
        ({"stratify": "effekt"}, ConfigError, "did you mean 'effect'"),
        ({"stratify": "effect"}, DataError, "no value for 'effect'"),
        ({"stratify": "cells", "bins": 0}, DataError, "no value for 'cells'"),
        ({"combinations": "some"}, ConfigError, "refuse or own"),
        ({"test": 20}, DataError, "left to train on"),
    ],
)
def test_bad_requests(arguments, error, message) -> None:
    with pytest.raises(error, match=message):
        by_perturbation(conditions(GENES[:20]), **arguments)


def test_no_validation_part_on_request() -> None:
    assert set(by_perturbation(conditions(GENES[:20]), fractions=(0.8, 0.0, 0.2)).parts) == {"train", "test"}


def test_combinations_are_refused_or_their_own() -> None:
    both = conditions([*GENES[:20], "G1+G2"])
    with pytest.raises(DataError, match="1 perturbations have several genes"):
        by_perturbation(both)
    assert by_perturbation(both, combinations="own").strategy == "combinations"


def test_doubles_have_their_classes() -> None:
    singles = GENES[:20]
    doubles = [f"G{i}+G{j}" for i in range(20) for j in range(i)]
    split = check_leaks(by_doubles(conditions(singles + doubles), seed=1))
    held_out = set(split.settings["held_out_genes"])
    assert len(held_out) == round(20 * 0.2) + round(20 * 0.16)
    for name, part, reason in split.table[["perturbation", "split", "reason"]].itertuples(index=False):
        unseen = len(held_out & set(name.split("+")))
        if part == "train":
            assert unseen == 0
        elif "+" in name:
            assert reason == f"{2 - unseen} of 2 seen"
        else:
            assert reason == "unseen single"


def test_all_singles_to_all_doubles() -> None:
    split = by_doubles(
        conditions(["A", "B", "C", "A+B", "B+X"]), gene_fractions=(1.0, 0.0, 0.0), double_fractions=(0.0, 0.0, 1.0)
    )
    assert sides(split) == {"A": "train", "B": "train", "C": "train", "A+B": "test", "B+X": "test"}
    assert split.table["reason"].tolist() == ["", "", "", "2 of 2 seen", "1 of 2 seen"]
    with pytest.raises(DataError, match="no perturbation has several genes"):
        by_doubles(conditions(GENES[:20]))


def test_held_out_cell_types() -> None:
    data = conditions(["A", "B"], cell_types=("k562", "rpe1", "hepg2"))
    split = check_leaks(by_cell_type(data, test=["rpe1"], val=["hepg2"]))
    assert split.parts.tolist() == ["train", "train", "test", "test", "val", "val"]
    assert set(by_cell_type(data, test=["rpe1"], val=()).parts) == {"train", "test"}
    with pytest.raises(DataError, match="no validation cell type is named"):
        by_cell_type(data, test=["rpe1"])
    with pytest.raises(DataError, match="did you mean 'rpe1'"):
        by_cell_type(data, test=["rpe"], val=())
    with pytest.raises(DataError, match="is test and validation"):
        by_cell_type(data, test=["rpe1"], val=["rpe1"])
    with pytest.raises(DataError, match="left to train on"):
        by_cell_type(data, test=["rpe1", "k562"], val=["hepg2"])


@pytest.mark.parametrize(("revealed", "val", "train"), [(3, 2, 3), (0.3, 0.2, 3)])
def test_few_shot(revealed, val, train) -> None:
    data = conditions(GENES[:10], cell_types=("k562", "rpe1"))
    split = check_leaks(by_few_shot(data, cell_types=["rpe1"], revealed=revealed, val=val))
    inside = split.table["cell_type"] == "rpe1"
    assert (split.parts[~inside] == "train").all()
    assert split.table[inside]["split"].value_counts().to_dict() == {"test": 5, "train": train, "val": 2}
    with pytest.raises(DataError, match="test part would be empty"):
        by_few_shot(data, cell_types=["rpe1"], revealed=8, val=2)


def test_complexes_stay_together() -> None:
    sets = {f"complex {i}": GENES[i : i + 4] for i in range(0, 100, 4)}
    groups = groups_of_sets(sets)
    split = check_leaks(by_complexes(conditions(GENES[:100]), groups, seed=2), groups=groups)
    parts = sides(split)
    assert all(len({parts[gene] for gene in genes}) == 1 for genes in sets.values())
    assert abs((split.parts == "test").sum() - 20) <= 5
    parts["G0"] = "test" if parts["G0"] == "train" else "train"
    moved = Split(split.conditions, list(parts.values()), strategy="complexes")
    with pytest.raises(DataError, match="both in complex 0"):
        check_leaks(moved, groups=groups)
    with pytest.raises(DataError, match="checked against complexes"):
        check_leaks(moved)


def test_a_giant_component_is_an_error_until_large_sets_are_left_out() -> None:
    groups = groups_of_sets({"all": GENES[:90], "small": GENES[:4]})
    with pytest.raises(DataError, match=r"component of 90 of 100[\s\S]*all \(90\)[\s\S]*max_set_size"):
        by_complexes(conditions(GENES[:100]), groups)
    by_complexes(conditions(GENES[:100]), groups, max_set_size=10)
    with pytest.raises(DataError, match="no perturbed gene is in a group"):
        by_complexes(conditions(GENES[:100]), {"other": {"set"}})


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"A+B": "train", "B+A": "test", "C": "train"}, r"A\+B is train as 'A\+B' .* and test as 'B\+A'"),
        ({"A": "train", "A+ctrl": "test"}, r"A is train as 'A' .* and test as 'A\+ctrl'"),
        ({"A": "test", "A+B": "train"}, r"A is held out and A\+B is in train"),
    ],
)
def test_leaks_are_found(parts, message) -> None:
    with pytest.raises(DataError, match=message):
        check_leaks(of(parts))


def test_alias_spellings_leak_with_a_vocabulary() -> None:
    split = of({"AARS": "train", "AARS1": "test"})
    assert find_leaks(split) == []
    identity = Identity(GeneVocab(["AARS1"], {"previous": [("AARS", 0)]}))
    assert len(find_leaks(split, identity=identity)) == 1


def test_another_cell_type_leaks_unless_the_strategy_allows_it() -> None:
    table = pd.DataFrame({"dataset": "a", "cell_type": ["k562", "rpe1"], "perturbation": "A"})
    split = Split(Conditions(table), ["train", "test"], strategy="given")
    with pytest.raises(DataError, match=r"A is train .*a\.k562 and test .*a\.rpe1"):
        check_leaks(split)
    check_leaks(split, strategy="few-shot")


def test_a_wrong_class_is_found() -> None:
    table = pd.DataFrame({"dataset": "a", "cell_type": "k", "perturbation": ["A", "A+B"]})
    split = Split(Conditions(table), ["train", "test"], strategy="doubles", reasons=["", "2 of 2 seen"])
    assert find_leaks(split) == ["A+B is called '2 of 2 seen' and is '1 of 2 seen'"]


def test_csv_round_trip_and_damage(tmp_path) -> None:
    split = by_perturbation(conditions(GENES[:20], cells=np.arange(20)), seed=4)
    path = split.to_csv(tmp_path / "split.csv")
    after = Split.from_csv(path)
    assert (after.digest, after.settings) == (split.digest, split.settings)
    assert (after.seed, after.strategy) == (4, "perturbation")
    pd.testing.assert_frame_equal(after.table, split.table, check_dtype=False)
    path.write_text(path.read_text().replace(",test,", ",train,", 1))
    with pytest.raises(FileFormatError, match="was changed"):
        Split.from_csv(path)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(FileFormatError, match="no column 'dataset'"):
        Split.from_csv(tmp_path / "other.csv")


@pytest.mark.parametrize(
    ("names", "message"),
    [([], "no condition"), (["A", "A"], "there twice"), (["A", "ctrl"], "a control is no condition")],
)
def test_bad_conditions(names, message) -> None:
    with pytest.raises(DataError, match=message):
        conditions(names)
