import sys
import types
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from gnnvcell.data.splits import SplitFile, by_perturbation, check_leaks, conditions_of_files, find_dataset_files
from gnnvcell.data.splits import load_split as load
from gnnvcell.data.splits import write_split as write
from gnnvcell.errors import ConfigError, DataError, FileFormatError, GnnvcellWarning, MissingFileError

PERTURBATIONS = ["A", "B", "C", "D", "E", "F+G"]


def save_cells(path: Path, cell_types=("k562", "rpe1")) -> Path:
    rows = [(c, p, b) for c in cell_types for p in ["non-targeting", *PERTURBATIONS] for b in ("b1", "b2")]
    obs = pd.DataFrame(rows, columns=np.array(["cell_type", "target_gene", "gem_group"])).astype("category")
    obs.index = pd.Index([f"cell{i}" for i in range(len(obs))])
    counts = np.random.default_rng(0).poisson(2.0, size=(len(obs), 5)).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=np.array(list("VWXYZ")))).write_h5ad(path)
    return path


HEAD = '[datasets]\nmine = "{path}"\n'
# What cell-load 0.10.4 does with this file, as test_cell_load_agrees finds it where cell-load is installed.
GIVEN = """[training]
mine = "train"
[zeroshot]
"mine.hepg2" = "test"
[fewshot."mine.rpe1"]
val = ["A", "B"]
test = ["C", "F+G"]
"""
EXPECTED = (
    {("k562", name): "train" for name in PERTURBATIONS}
    | {("hepg2", name): "test" for name in PERTURBATIONS}
    | {("rpe1", name): "val" for name in ("A", "B")}
    | {("rpe1", name): "test" for name in ("C", "F+G")}
    | {("rpe1", name): "train" for name in ("D", "E")}
)


@pytest.fixture
def folder(tmp_path) -> Path:
    save_cells(tmp_path / "data" / "one.h5ad")
    save_cells(tmp_path / "data" / "two.h5ad", cell_types=("hepg2",))
    return tmp_path


def toml(folder: Path, text: str, path: str | None = None) -> Path:
    (folder / "split.toml").write_text(HEAD.format(path=path or folder / "data") + text)
    return folder / "split.toml"


def assigned(split) -> dict[tuple[str, str], str]:
    return {(c, p): s for c, p, s in split.table[["cell_type", "label", "split"]].itertuples(index=False)}


def test_a_folder_as_people_write_it(folder) -> None:
    assert assigned(load(toml(folder, GIVEN))) == EXPECTED


def test_our_files_say_what_we_mean(folder) -> None:
    data = conditions_of_files(find_dataset_files(str(folder / "data")), "mine")
    split = by_perturbation(data, fractions=(0.5, 0.2, 0.3), combinations="own")
    path = write(split, folder / "ours.toml", {"mine": str(folder / "data")})
    after = check_leaks(load(path))
    assert (after.digest, after.strategy, after.seed) == (split.digest, "combinations", 0)
    path.write_text(path.read_text().replace('val = ["', 'val = ["A", "'))
    with pytest.raises((FileFormatError, ConfigError, DataError), match=r"was changed|is in val and in test"):
        load(path)


def cell_load_parts(path: Path) -> dict[tuple[str, str], str]:
    """What cell-load makes of a file: the perturbed cells of its subsets."""
    pytest.importorskip("cell_load", reason="cell-load is not installed")
    try:
        import lightning.pytorch  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        # It only inherits from LightningDataModule; the split does not use it.
        stub = types.ModuleType("lightning.pytorch")
        stub.LightningDataModule = type("LightningDataModule", (), {})  # type: ignore[attr-defined]
        sys.modules |= {"lightning": types.ModuleType("lightning"), "lightning.pytorch": stub}
    from cell_load.data_modules import PerturbationDataModule  # pyright: ignore[reportMissingImports]

    module = PerturbationDataModule(str(path), pert_col="target_gene", num_workers=0, output_space="all")
    module.setup()
    found = {}
    for part in ("train", "val", "test"):
        for subset in getattr(module, f"{part}_datasets"):
            cache = subset.dataset.metadata_cache
            for i in np.asarray(subset.indices, dtype=int):
                name = str(cache.pert_categories[cache.pert_codes[i]])
                if name != "non-targeting":
                    cell_type = str(cache.cell_type_categories[cache.cell_type_codes[i]])
                    assert found.setdefault((cell_type, name), part) == part
    return found


def test_cell_load_agrees(folder) -> None:
    assert cell_load_parts(toml(folder, GIVEN)) == EXPECTED
    data = conditions_of_files(find_dataset_files(str(folder / "data")), "mine")
    for seed in range(3):
        split = by_perturbation(data, fractions=(0.5, 0.2, 0.3), combinations="own", seed=seed)
        assert cell_load_parts(write(split, folder / "ours.toml", {"mine": str(folder / "data")})) == assigned(split)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("data/one.h5ad", ["one"]),
        ("data/*.h5ad", ["one", "two"]),
        ("data/{one,two}.h5ad", ["one", "two"]),
        ("{data,nowhere}", ["one", "two"]),
        ("d*", ["one", "two"]),
        ("data/", ["one", "two"]),
    ],
)
def test_globs_and_braces(folder, pattern, names) -> None:
    assert [path.stem for path in find_dataset_files(pattern, folder)] == names


def test_a_missing_file(folder) -> None:
    message = r"no file of cells is at data/won\.h5ad[\s\S]*did you mean .*'one\.h5ad'"
    with pytest.raises(MissingFileError, match=message):
        find_dataset_files("data/won.h5ad", folder)
    with pytest.raises(MissingFileError, match="no file of cells"):
        load(toml(folder, GIVEN, path=str(folder / "dat")))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ('[trainning]\nmine = "train"', ConfigError, r"unknown table \[trainning\][\s\S]*'training'"),
        ('[training]\nmin = "train"', ConfigError, r"\[datasets\] has no 'min'[\s\S]*'mine'"),
        ('[training]\nmine = "test"', ConfigError, "unknown part 'test'"),
        ('[zeroshot]\n"mine.rpe1" = "tset"', ConfigError, "did you mean 'test'"),
        ('[zeroshot]\nmine.rpe1 = "test"', ConfigError, r'write "mine\.rpe1" in quotes'),
        ('[fewshot.mine.rpe1]\ntest = ["A"]', ConfigError, r'write "mine\.rpe1" in quotes'),
        ('[zeroshot]\n"mine" = "test"', ConfigError, "names no cell type"),
        ('[zeroshot]\n"mine.rpe" = "test"', DataError, r"no cell type 'rpe'[\s\S]*'rpe1'"),
        ('[fewshot."mine.rpe1"]\ntest = ["F+H"]', DataError, r"no perturbation 'F\+H'[\s\S]*F\+G"),
        ('[fewshot."mine.rpe1"]\nval = ["A"]\ntest = ["A"]', ConfigError, "'A' is in val and in test"),
        ('[fewshot."mine.rpe1"]\nval = ["F+G"]\ntest = ["G+F"]', DataError, r"in val and in test .* as 'G\+F'"),
        ('[fewshot."mine.rpe1"]\ntrain = ["A"]\ntest = ["A"]', ConfigError, "'A' is in train and in test"),
        ('[fewshot."mine.rpe1"]\ntets = ["A"]', ConfigError, r"no setting .*tets[\s\S]*did you mean 'test'"),
        (
            '[zeroshot]\n"mine.rpe1" = "test"\n[fewshot."mine.rpe1"]\ntest = ["A"]',
            ConfigError,
            r"in \[zeroshot\] and in \[fewshot\]",
        ),
        ("[training", ConfigError, "not valid TOML"),
    ],
)
def test_bad_files(folder, text, error, message) -> None:
    with pytest.raises(error, match=message):
        load(toml(folder, text))


def test_a_transfer_by_hand_must_be_named(folder) -> None:
    split = load(toml(folder, GIVEN))
    with pytest.raises(DataError, match="the split leaks"):
        check_leaks(split)
    check_leaks(split, strategy="few-shot")


def test_what_is_left_out_is_said(folder) -> None:
    path = toml(folder, '[fewshot."mine.rpe1"]\ntest = ["A"]')
    with pytest.warns(GnnvcellWarning, match="2 cell types are in no part"):
        split = load(path)
    assert split.left_out == {("mine", "k562"), ("mine", "hepg2")}


def test_names_are_quoted(tmp_path) -> None:
    text = SplitFile.parse(
        {"datasets": {"my set": 'a "b"'}, "zeroshot": {"my set.T cell": "test"}, "training": {"my set": "train"}}
    ).text()
    (tmp_path / "x.toml").write_text(text)
    assert SplitFile.read(tmp_path / "x.toml").datasets == {"my set": 'a "b"'}
