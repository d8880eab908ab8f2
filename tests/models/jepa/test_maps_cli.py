"""gnnvcell maps, and its picture."""

import numpy as np

from gnnvcell.cli.main import main
from gnnvcell.report.map_chart import map_chart


def test_from_the_command_line(new, cells, gene_sets, tmp_path, capsys):
    run = new("graph").fit(cells).save(tmp_path / "model")
    given = ["maps", str(run), "--out", str(tmp_path / "maps"), "--gene-sets", str(gene_sets), "--genes", "G1", "G7"]
    assert main(given) == 0
    said = capsys.readouterr().out
    for name, size in (("interactions", "2 x 14"), ("attention", "2 x 14"), ("interactions_pathways", "2 x 3")):
        assert f"{name}: {size}" in said
        for suffix in ("csv", "npz", "png"):
            assert (tmp_path / "maps" / f"{name}.{suffix}").is_file()
    assert main(["maps", str(run), "--out", str(tmp_path / "other"), "--genes", "G99"]) == 2
    assert "G99" in capsys.readouterr().err


def test_the_picture_shows_the_most_pronounced(tmp_path):
    values = np.zeros((3, 4), dtype=np.float32)
    values[1, 2], values[2, 0] = -3.0, 1.0
    figure = map_chart(values, np.array(list("abc")), np.array(list("wxyz")), what="x", most=2)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["b", "c"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["w", "y"]
    assert axes.images[0].get_clim() == (-3.0, 3.0)
