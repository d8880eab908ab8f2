"""scGPT-derived edges: hand-computed cosine, attention and tables, every mode, damaged input, the real table."""

import gzip
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gnnvcell.errors import ConfigError, EmptyGraphError, FileFormatError, MissingFileError
from gnnvcell.graphs.sources.base import SOURCES, SourceContext
from gnnvcell.graphs.sources.scgpt import Scgpt

GENES = ["A", "B", "C", "D"]
# Unit vectors at 0, 30, 90 and 180 degrees: cosines AB .866, BC .5, AC 0, AD -1, BD -.866, CD 0.
VECTORS = np.array([[1, 0], [np.cos(np.pi / 6), 0.5], [0, 1], [-1, 0]], dtype=np.float32)


def edges_of(reading):
    table = reading.tables[0]
    assert table.etype == ("gene", "scgpt", "gene")
    assert not table.directed
    return {
        (str(table.src_names[u]), str(table.dst_names[v])): round(float(w), 4)
        for u, v, w in zip(table.src, table.dst, table.weight, strict=True)
    }


def checkpoint(folder, vectors=VECTORS, *, key="encoder.embedding.weight", name="best_model.pt", extra=None):
    folder.mkdir(exist_ok=True)
    vocab = {"<pad>": 0, **{gene: i + 1 for i, gene in enumerate(GENES[: len(vectors)])}, "<cls>": len(vectors) + 1}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    padded = np.vstack([np.full(2, 9), vectors, np.full(2, 7)]).astype(np.float32)
    tensors = {key: torch.from_numpy(padded), "batch_encoder.embedding.weight": torch.ones(9, 2), **(extra or {})}
    save_file(tensors, folder / name) if name.endswith("safetensors") else torch.save(tensors, folder / name)
    return folder


def context(folder):
    return SourceContext(source_dir=folder)


# --- embeddings


@pytest.mark.parametrize("name", ["best_model.pt", "model.safetensors", "finetuned.pt"])
@pytest.mark.parametrize("key", ["encoder.embedding.weight", "module.encoder.embedding.weight"])
def test_cosine_by_hand(tmp_path, name, key) -> None:
    reading = Scgpt(mode="top_2", path=checkpoint(tmp_path / "model", key=key, name=name)).read(SourceContext())
    assert edges_of(reading) == {("A", "B"): 0.866, ("B", "C"): 0.5}
    assert {path.name for path in reading.files} == {"vocab.json", name}
    assert any("2 special tokens left out" in note for note in reading.notes)
    assert any("used as they are" in note for note in reading.notes)


def test_a_checkpoint_is_found_in_the_source_dir(tmp_path) -> None:
    checkpoint(tmp_path / "scGPT_human")
    assert edges_of(Scgpt(mode="top_1").read(context(tmp_path))) == {("A", "B"): 0.866, ("B", "C"): 0.5}


def test_every_mode_changes_the_result(tmp_path) -> None:
    folder = checkpoint(tmp_path / "model")
    found = {
        mode: edges_of(Scgpt(mode=mode, path=folder).read(SourceContext()))
        for mode in ("threshold_0.3", "threshold_0.6", "percentile_60", "percentile_90")
    }
    assert found["threshold_0.3"] == {("A", "B"): 0.866, ("B", "C"): 0.5}
    assert found["threshold_0.6"] == {("A", "B"): 0.866}
    # Cosines of the six pairs, sorted: -1, -.866, 0, 0, .5, .866. The 60th percentile is 0, the 90th .683.
    assert found["percentile_60"] == {("A", "B"): 0.866, ("B", "C"): 0.5}
    assert found["percentile_90"] == {("A", "B"): 0.866}


def test_layer_norm_is_that_of_the_encoder(tmp_path) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(4, 2)).astype(np.float32) * 5
    norm = {"encoder.enc_norm.weight": torch.tensor([2.0, 0.5]), "encoder.enc_norm.bias": torch.tensor([0.3, -0.1])}
    folder = checkpoint(tmp_path / "model", vectors, extra=norm)
    layer = torch.nn.LayerNorm(2)
    layer.load_state_dict({"weight": norm["encoder.enc_norm.weight"], "bias": norm["encoder.enc_norm.bias"]})
    expected = layer(torch.from_numpy(vectors)).detach().numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    cosine = expected @ expected.T
    found = edges_of(Scgpt(mode="threshold_0", path=folder).read(SourceContext()))
    assert found
    for (u, v), weight in found.items():
        assert weight == pytest.approx(cosine[GENES.index(u), GENES.index(v)], abs=1e-3)
    assert found != edges_of(Scgpt(mode="threshold_0", path=folder, layer_norm=False).read(SourceContext()))


def test_embedding_key_is_chosen_or_asked_for(tmp_path) -> None:
    folder = checkpoint(tmp_path / "model", key="weird.weight")
    with pytest.raises(ConfigError, match=r"weird.weight \(6, 2\)"):
        Scgpt(path=folder).read(SourceContext())
    found = Scgpt(path=folder, embedding_key="weird.weight").read(SourceContext())
    assert ("A", "B") in edges_of(found)
    with pytest.raises(ConfigError, match=r"did you mean 'weird.weight'"):
        Scgpt(path=folder, embedding_key="weird.weigh").read(SourceContext())


class Payload:
    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


def test_a_checkpoint_that_wants_to_run_code_is_refused(tmp_path) -> None:
    folder = checkpoint(tmp_path / "model")
    torch.save({"encoder.embedding.weight": Payload()}, folder / "best_model.pt")
    with pytest.raises(FileFormatError, match="cannot be loaded safely"):
        Scgpt(path=folder).read(SourceContext())


def test_damaged_checkpoints_are_refused(tmp_path) -> None:
    folder = checkpoint(tmp_path / "model")
    (folder / "best_model.pt").write_bytes(b"no weights")
    with pytest.raises(FileFormatError, match="cannot be loaded safely"):
        Scgpt(path=folder).read(SourceContext())
    (folder / "best_model.pt").unlink()
    with pytest.raises(MissingFileError, match="no weights beside"):
        Scgpt(path=folder).read(SourceContext())
    checkpoint(folder, VECTORS[:2])
    (folder / "vocab.json").write_text('{"A": 0, "B": 99}')
    with pytest.raises(FileFormatError, match="do not belong together"):
        Scgpt(path=folder).read(SourceContext())
    for text, message in (("{", "is not JSON"), ('["A"]', "no vocabulary"), ('{"A": 1, "B": 1}', "no vocabulary")):
        (folder / "vocab.json").write_text(text)
        with pytest.raises(FileFormatError, match=message):
            Scgpt(path=folder).read(SourceContext())
    checkpoint(folder, np.full((3, 2), np.nan))
    with pytest.raises(FileFormatError, match="NaN"):
        Scgpt(path=folder).read(SourceContext())


# --- attention


def attention_file(path, attention, genes=GENES):
    np.savez(path, attention=np.asarray(attention), genes=np.array(genes))
    return path


def test_attention_is_averaged_over_cells_and_directions(tmp_path) -> None:
    cells = np.zeros((2, 4, 4))
    cells[0, 0, 1], cells[1, 0, 1], cells[0, 1, 0] = 0.4, 0.2, 0.2  # mean .3 one way and .1 the other: .2
    cells[:, 2, 3] = 0.2  # .2 and 0: .1
    cells[:, range(4), range(4)] = 5  # a gene's attention to itself is no edge, and sets no scale
    path = attention_file(tmp_path / "attention.npz", cells)
    reading = Scgpt(mode="top_2", path=path).read(SourceContext())
    assert edges_of(reading) == {("A", "B"): 1.0, ("C", "D"): 0.5}
    assert "attention averaged over 2 cells" in reading.notes
    averaged = attention_file(tmp_path / "mean_attention.npz", cells.mean(0))
    assert edges_of(Scgpt(mode="top_2", path=averaged).read(SourceContext())) == edges_of(reading)
    assert edges_of(Scgpt(mode="threshold_0.6", path=path).read(SourceContext())) == {("A", "B"): 1.0}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"genes": np.array(GENES)}, "no attention file"),
        ({"genes": np.array(GENES), "attention": np.ones((3, 3))}, "does not fit its 4 genes"),
        ({"genes": np.array(GENES), "attention": -np.ones((4, 4))}, "negative"),
        ({"genes": np.array(GENES), "attention": np.full((4, 4), np.nan)}, "NaN"),
        ({"genes": np.array(GENES, dtype=object), "attention": np.ones((4, 4))}, "cannot be read as npz"),
        ({"genes": np.array(["A", "A", "B", "C"]), "attention": np.ones((4, 4))}, "genes repeat"),
    ],
)
def test_bad_attention_files(tmp_path, arrays, message) -> None:
    np.savez(tmp_path / "attention.npz", **arrays)
    with pytest.raises(FileFormatError, match=message):
        Scgpt().read(context(tmp_path))


def test_attention_to_nobody_is_an_error(tmp_path) -> None:
    with pytest.raises(EmptyGraphError, match="pays attention"):
        Scgpt(path=attention_file(tmp_path / "a.npz", np.eye(4))).read(SourceContext())


# --- edge tables

TABLE = "gene_a\tgene_b\tn_features\tother\nA\tB\t4\t1\nA\tC\t2\t8\nB\tA\t3\t0\nNAN\tC\t1\t2\nC\tD\t0\t4\nD\tD\t4\t4\n"


def table_file(folder, text=TABLE, name="scgpt_sae_edges.tsv", *, compress=False):
    path = folder / (name + (".gz" if compress else ""))
    path.write_bytes(gzip.compress(text.encode()) if compress else text.encode())
    return path


@pytest.mark.parametrize("compress", [True, False])
def test_table_by_hand(tmp_path, compress) -> None:
    table_file(tmp_path, compress=compress)
    reading = Scgpt(mode="top_20").read(context(tmp_path))
    # Divided by 4; A-B is there twice; C-D has no weight; D-D is no pair; NAN is a gene.
    assert edges_of(reading) == {("A", "B"): 1.0, ("A", "C"): 0.5, ("C", "NAN"): 0.25}
    assert reading.lines_read == 6
    assert any("weight from column n_features" in note for note in reading.notes)
    assert any("2 rows without a positive weight" in note for note in reading.notes)
    assert any("1 rows repeat a pair" in note for note in reading.notes)


def test_table_settings_change_the_result(tmp_path) -> None:
    table_file(tmp_path)
    results = [
        edges_of(Scgpt.parse(settings).read(context(tmp_path)))
        for settings in (
            {"mode": "top_20"},
            {"mode": "threshold_0.3"},
            {"mode": "threshold_0.6"},
            {"mode": "top_20", "weight": "other"},
        )
    ]
    assert results[1] == {("A", "B"): 1.0, ("A", "C"): 0.5}
    assert results[3] == {("A", "B"): 0.125, ("A", "C"): 1.0, ("C", "D"): 0.5, ("C", "NAN"): 0.25}
    assert len({json.dumps(sorted(map(str, result.items()))) for result in results}) == 4
    assert edges_of(Scgpt(mode="percentile_90").read(context(tmp_path))) == {("A", "B"): 1.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A B 1\nC D 2\n", "no edge table"),
        ("gene_a\tgene_b\nA\tB\n", "no edge table"),
        ("gene_a\tgene_b\tw\n", "no edge table"),
        ("gene_a\tgene_b\tw\nA\tB\t-1\n", "negative"),
        ("gene_a\tgene_b\tw\nA\t\t1\n", "no gene name"),
        ("gene_a\tgene_b\tw\tcircular\nA\tB\t1\t5\nA\tC\t\t5\nA\tD\t2\t5\n", "'w' of .* is not a number in 1 rows"),
        ("gene_a\tgene_b\tw\nA\tB\t1\t2\t3\t4\nC\tD\t2\n", "table"),
    ],
)
def test_bad_tables(tmp_path, text, message) -> None:
    table_file(tmp_path, text)
    with pytest.raises(FileFormatError, match=message):
        Scgpt().read(context(tmp_path))


def test_truncated_gzip(tmp_path) -> None:
    path = table_file(tmp_path, TABLE * 500, compress=True)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FileFormatError, match="damaged gzip"):
        Scgpt().read(context(tmp_path))


def test_weight_column_must_exist_and_be_a_number(tmp_path) -> None:
    table_file(tmp_path)
    with pytest.raises(ConfigError, match="did you mean 'n_features'"):
        Scgpt(weight="n_feature").read(context(tmp_path))
    with pytest.raises(ConfigError, match="'gene_b' is not a number"):
        Scgpt(weight="gene_b").read(context(tmp_path))
    table_file(tmp_path, "gene_a\tgene_b\tw\nA\tB\t0\n")
    with pytest.raises(EmptyGraphError, match="positive w"):
        Scgpt().read(context(tmp_path))


# --- which input


def test_several_inputs_need_a_choice(tmp_path) -> None:
    table_file(tmp_path)
    checkpoint(tmp_path / "model")
    with pytest.raises(ConfigError, match="several inputs"):
        Scgpt(mode="top_1").read(context(tmp_path))
    by_table = edges_of(Scgpt(mode="top_1", input="edges").read(context(tmp_path)))
    assert by_table != edges_of(Scgpt(mode="top_1", input="embeddings").read(context(tmp_path)))
    assert by_table == edges_of(Scgpt(mode="top_1", path="scgpt_sae_edges.tsv").read(context(tmp_path)))


def test_no_input_is_a_missing_file(tmp_path) -> None:
    with pytest.raises(MissingFileError, match="no scGPT input"):
        Scgpt().read(context(tmp_path))
    with pytest.raises(MissingFileError, match="no file"):
        Scgpt(path="nothing.tsv").read(context(tmp_path))


def test_settings_of_another_input_are_refused(tmp_path) -> None:
    folder = checkpoint(tmp_path / "model")
    with pytest.raises(ConfigError, match="'weight' is for the input 'edges'"):
        Scgpt(path=folder, weight="w").read(SourceContext())
    path = table_file(tmp_path)
    with pytest.raises(ConfigError, match="'layer_norm' is for the input 'embeddings'"):
        Scgpt(path=path, layer_norm=False).read(SourceContext())


@pytest.mark.parametrize("mode", ["top5", "best_3", "top_0", "percentile_100"])
def test_bad_modes_are_refused_when_the_recipe_is_read(mode) -> None:
    with pytest.raises(ConfigError, match="top_<k>, threshold_<score> or percentile_<q>"):
        Scgpt.parse({"mode": mode}, where="sources.x.args")


def test_both_names_are_registered() -> None:
    assert SOURCES.get("scgpt_derived") is SOURCES.get("scgpt") is Scgpt


@pytest.mark.shared
def test_real_table(shared_data) -> None:
    place = context(shared_data / "graphs")
    sizes = {m: len(edges_of(Scgpt(mode=m).read(place))) for m in ("top_5", "top_20", "threshold_0.3", "percentile_99")}
    assert sizes["threshold_0.3"] < sizes["percentile_99"] < sizes["top_5"] < sizes["top_20"] <= 29_959
    reading = Scgpt(mode="top_5").read(place)
    assert reading.lines_read == 29_959
    assert any("weight from column n_top5_features" in note for note in reading.notes)
    other = Scgpt(mode="top_5", weight="n_top20_annotated_features").read(place)
    assert edges_of(other) != edges_of(reading)
