"""Effects with intervals and abstentions, of a model of cells and of an ensemble, by Python and by the command."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from gnnvcell.cli.main import main
from gnnvcell.data import EffectTable
from gnnvcell.data.cells import Cells
from gnnvcell.data.pseudobulk import cell_effects
from gnnvcell.errors import ConfigError, ModelError
from gnnvcell.models.uncertainty.calibrated import calibrate
from gnnvcell.models.uncertainty.predicted_effects import abstained, predicted_effects

from .conftest import GENES, screen

HELD_OUT = ("P0", "P4", "P8", "P12", "P16", "P17")  # P17 is not in the graph


@pytest.fixture(scope="module")
def files(tmp_path_factory, make):
    """Two models, and cells of the perturbations that they did not see."""
    folder = tmp_path_factory.mktemp("uncertain")
    cells = Cells.of(screen(left_out=HELD_OUT))
    for seed in (0, 1):
        make(encoders=("graph",), validation=0).fit(cells, seed=seed).save(folder / f"m{seed}")
    both = screen()
    both[both.obs["target_gene"].isin([*HELD_OUT, "non-targeting"])].write_h5ad(folder / "val.h5ad")
    return folder


def run(files, *options: str, out: str = "p.h5ad", models: tuple[str, ...] = ("m0",)) -> int:
    folders = [str(files / model) for model in models]
    data, path = str(files / "val.h5ad"), str(files / out)
    return main(["predict", *folders, data, "--out", path, "--quiet", *options])


def test_intervals_hold_the_truth(files) -> None:
    options = ("--output", "effects", "--intervals", "0.8", "--calibrate", str(files / "val.h5ad"))
    assert run(files, *options, "--perturbations", "P1", "P2+P4") == 0
    found = ad.read_h5ad(files / "p.h5ad")
    assert found.obs["perturbation"].tolist() == ["P1", "P2+P4"]
    assert found.var_names.tolist() == GENES
    lower, upper, spread = (np.asarray(found.layers[name]) for name in ("lower", "upper", "spread"))
    assert (lower <= found.X).all()
    assert (upper >= found.X).all()
    assert (spread > 0).all()
    assert found.uns["intervals"] == {"level": 0.8, "over": "gene", "calibrated_on": 6}
    assert (found.obs["error_bound"] > 0).all()
    truth = cell_effects(Cells.open(files / "val.h5ad"))
    assert run(files, *options) == 0
    found = ad.read_h5ad(files / "p.h5ad")
    rows = [found.obs["perturbation"].tolist().index(name) for name in truth.perturbations]
    lower, upper = (np.asarray(found.layers[name])[rows] for name in ("lower", "upper"))
    inside = (lower <= truth.values) & (truth.values <= upper)
    assert inside[truth.measured].mean() >= 0.8  # the calibration perturbations themselves: ceil(7 * .8) of 6


def test_an_ensemble_of_runs_knows_more(files) -> None:
    assert run(files, "--output", "effects", models=("m0", "m1")) == 0
    both = ad.read_h5ad(files / "p.h5ad")
    assert (np.asarray(both.layers["spread"]) > 0).any()
    assert run(files, "--output", "effects") == 0
    assert "spread" not in ad.read_h5ad(files / "p.h5ad").layers


def test_without_support_it_is_named_and_not_guessed(files, capsys) -> None:
    assert run(files, "--output", "effects", "--min-support", "1") == 0
    assert "abstained, for want of support in the graph: P17" in capsys.readouterr().out
    found = ad.read_h5ad(files / "p.h5ad")
    out = found.obs["abstained"].to_numpy()
    assert found.obs["perturbation"][out].tolist() == ["P17"]
    assert np.isnan(np.asarray(found.X)[out]).all()
    assert np.isfinite(np.asarray(found.X)[~out]).all()
    table = EffectTable.load(files / "p.h5ad")
    assert not table.measured[table.perturbations == "P17"].any()


def test_as_csv(files) -> None:
    options = ("--output", "effects", "--intervals", "0.8", "--calibrate", str(files / "val.h5ad"))
    assert run(files, *options, "--min-support", "1", out="p.csv") == 0
    table = pd.read_csv(files / "p.csv")
    numbers = ["effect", "lower", "upper", "spread"]
    assert table.columns.tolist() == ["perturbation", "cell_type", "support", "abstained", "gene", *numbers]
    named = table[table["abstained"]]
    assert named["perturbation"].tolist() == ["P17"]
    assert all(pd.isna(named[name]).all() for name in ("gene", *numbers))
    assert len(table) == 5 * len(GENES) + 1
    assert not table[~table["abstained"]].isna().to_numpy().any()


def test_several_cell_types_and_zarr(make, tmp_path) -> None:
    adata = screen(contexts=("a", "b"))
    model = make(encoders=("graph",), validation=0).fit(Cells.of(adata))
    found = predicted_effects(model, ["P1", "P2"], contexts=["a", "b"], min_support=1.0)
    assert found.contexts.tolist() == ["a", "a", "b", "b"]
    found.save(tmp_path / "p.zarr")
    again = ad.read_zarr(tmp_path / "p.zarr")
    assert again.obs_names.tolist() == ["P1@a", "P2@a", "P1@b", "P2@b"]
    np.testing.assert_array_equal(np.asarray(again.X)[2:], model.predict(["P1", "P2"], context="b").values)


def test_the_model_knows_what_it_saw(files, capsys) -> None:
    screen().write_h5ad(files / "all.h5ad")
    assert run(files, "--output", "effects", "--calibrate", str(files / "all.h5ad")) == 2
    assert "12 of these perturbations were trained on, for example 'P1'" in capsys.readouterr().err


def test_options_that_do_not_fit(files, capsys, fitted) -> None:
    for options, message in (
        (("--intervals", "0.9"), "--intervals is of effects, and cells are written"),
        (("--min-support", "1", "--output", "counts"), "--min-support is of effects"),
        (("--output", "effects", "--intervals", "0.9"), "how wrong the model is"),
    ):
        assert run(files, *options) == 2
        assert message in capsys.readouterr().err
    calibrate_file = ("--output", "effects", "--calibrate", str(files / "val.h5ad"))
    assert run(files, *calibrate_file, "--intervals", "0.9") == 2
    assert "at least 9\n  found: 6" in capsys.readouterr().err
    assert run(files, *calibrate_file, out="p.txt") == 2
    assert ".h5ad or .zarr or .csv" in capsys.readouterr().err
    assert run(files, models=("m0", "m1")) == 2
    assert "several models make no cells together" in capsys.readouterr().err
    with pytest.raises(ModelError, match="is not calibrated"):
        predicted_effects(fitted, ["P1"], level=0.9)
    with pytest.raises(ConfigError, match="cannot be written"):
        predicted_effects(fitted, ["P1"]).save("p.xlsx")


def test_calibrated_in_python(make, cells, tmp_path) -> None:
    train, other = Cells.of(screen(left_out=HELD_OUT)), Cells.of(screen(seed=1))
    truth = cell_effects(other)
    truth = truth.take(np.isin(truth.perturbations, HELD_OUT))
    model = calibrate(make(encoders=("graph",), validation=0).fit(train), truth)
    found = model.intervals(["P17"], 0.8)
    assert (found.context, found.lower.shape) == ("a", (1, len(GENES)))
    assert abstained(model.predict(["P17", "P1"]).support, 1.0).tolist() == [True, False]
