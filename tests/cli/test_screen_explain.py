import pandas as pd
import pytest

from gnnvcell.cli.main import main
from gnnvcell.data.simulator import SimulatorConfig, simulate
from gnnvcell.graphs.build import build


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The command up to what is explained, a held-out target, and a gene."""
    folder = tmp_path_factory.mktemp("world")
    world = simulate(SimulatorConfig(genes=60, modules=3, targets=30, control_cells=60, cells_per_target=10))
    world.write(folder / "world")
    build(folder / "world" / "recipe.toml", progress=False).save(folder / "graph")
    effects = world.effects("delta")
    effects.of_split("train").save(folder / "effects.h5ad")
    start = ["screen", "explain", "knn", "--data", f"{folder}/effects.h5ad", "--graph", f"{folder}/graph"]
    return start, str(effects.of_split("test").perturbations[0]), str(effects.genes[4])


def test_tables_graph_and_picture(command, tmp_path, capsys):
    start, target, gene = command
    asked = ["--target", target, "--gene", gene, "--out", f"{tmp_path}/out", "--tested", "8", "--draws", "4"]
    assert main([*start, *asked]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"table.csv", "hops.csv", "sources.csv", "evidence.csv", "explanation.graphml", "explanation.png"}
    assert f"explanation: {tmp_path}/out" in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "out" / "table.csv").path[0].startswith(target)


@pytest.mark.parametrize(
    ("target", "gene", "more", "message"),
    [
        ("NOPE", None, [], "no target of 'NOPE' is in the graph"),
        (None, "NOPE", [], "the gene 'NOPE' is not in the graph"),
        (None, None, ["--hops", "0"], "bad value for 'hops'"),
    ],
)
def test_bad_input(command, tmp_path, capsys, target, gene, more, message):
    start, own_target, own_gene = command
    asked = ["--target", target or own_target, "--gene", gene or own_gene, "--out", f"{tmp_path}/out", *more]
    assert main([*start, *asked]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
