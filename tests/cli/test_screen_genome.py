import anndata as ad
import numpy as np
import pytest

from gnnvcell import keys
from gnnvcell.cli.main import main
from gnnvcell.data.simulator import SimulatorConfig, simulate
from gnnvcell.graphs.build import build
from gnnvcell.models import Knn, KnnConfig


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with effects.h5ad, cells.h5ad and graph/, and the objects that are in it."""
    folder = tmp_path_factory.mktemp("world")
    world = simulate(SimulatorConfig(genes=60, modules=3, targets=20, control_cells=60, cells_per_target=10))
    world.write(folder / "world")
    graph = build(folder / "world" / "recipe.toml", progress=False)
    graph.save(folder / "graph")
    effects = world.effects("delta")
    effects.save(folder / "effects.h5ad")
    return folder, effects, graph


def test_all_genes_of_the_graph(world, capsys):
    folder, effects, graph = world
    command = ["screen", "genome", "knn", "--data", f"{folder}/effects.h5ad", "--graph", f"{folder}/graph"]
    command += ["--out", f"{folder}/screen.zarr", "--rows", "16", "--quiet", "--set", "k=5"]
    assert main(command) == 0
    assert f"{graph.num_genes} perturbations" in capsys.readouterr().out
    found = ad.read_zarr(folder / "screen.zarr")
    expected = Knn(KnnConfig(k=5)).fit(effects, graph).predict(graph.vocab.symbols)
    np.testing.assert_allclose(np.asarray(found.X), expected.values, atol=1e-6)
    np.testing.assert_allclose(found.obs[keys.SUPPORT], expected.support, rtol=1e-5)
    assert main(command) == 0  # complete: nothing is done again
    assert main([*command, "k=6"]) == 2
    assert "begun with other model" in capsys.readouterr().err


def test_a_model_fitted_to_cells_and_some_perturbations(world, tmp_path):
    folder, _, _ = world
    (tmp_path / "names.txt").write_text("GEN0001\nGEN0002+GEN0003\n")
    command = ["screen", "genome", "knn", "--data", f"{folder}/world/cells.h5ad", "--graph", f"{folder}/graph"]
    command += ["--out", f"{tmp_path}/s.zarr", "--perturbations", f"{tmp_path}/names.txt", "--quiet"]
    assert main(command) == 0
    assert ad.read_zarr(tmp_path / "s.zarr").obs_names.tolist() == ["GEN0001", "GEN0002+GEN0003"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["prop"], "neither the folder of a model nor the name of one"),
        (["knn"], "has nothing to learn from"),
        (["knn", "--data", "no.h5ad", "--graph", "GRAPH"], "no file no.h5ad"),
        (["knn", "--data", "EFFECTS", "--graph", "GRAPH", "--dtype", "int8"], "bad value for 'dtype'"),
        (["knn", "--data", "EFFECTS", "--graph", "GRAPH", "--context", "K562"], "not trained in the context 'K562'"),
    ],
)
def test_bad_input(world, tmp_path, capsys, change, message):
    folder, _, _ = world
    places = {"GRAPH": f"{folder}/graph", "EFFECTS": f"{folder}/effects.h5ad"}
    arguments = ["screen", "genome", *(places.get(part, part) for part in change), "--out", f"{tmp_path}/s.zarr"]
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "s.zarr").exists()
