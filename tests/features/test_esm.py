import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gnnvcell.cli.main import main
from gnnvcell.errors import ConfigError, DownloadError, FileFormatError, MissingFileError
from gnnvcell.features import EsmConfig, FeatureTable, Isoforms, embed_proteins, read_features
from gnnvcell.features.esm_model import EsmModel, load_esm
from gnnvcell.files import sha256_of
from gnnvcell.genes import GeneVocab

fair_esm = pytest.importorskip("esm")
RESIDUES = np.array(list("ACDEFGHIKLMNPQRSTVWY"))


def random_protein(rng: np.random.Generator, length: int) -> str:
    return "".join(rng.choice(RESIDUES, length))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny ESM-2 of random weights in fair-esm's own format: cfg, and a state with the prefixes of training."""
    torch.manual_seed(0)
    module = fair_esm.ESM2(num_layers=2, embed_dim=16, attention_heads=2, alphabet="ESM-1b", token_dropout=True)
    state = {
        ("encoder." if key.startswith("lm_head") else "encoder.sentence_encoder.") + key: value
        for key, value in module.state_dict().items()
        if not key.startswith("contact_head.regression")
    }
    sizes = {"encoder_layers": 2, "encoder_embed_dim": 16, "encoder_attention_heads": 2, "token_dropout": True}
    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    torch.save({"cfg": {"model": argparse.Namespace(**sizes)}, "model": state}, path)
    return path


@pytest.fixture(scope="module")
def proteins() -> dict[str, str]:
    rng = np.random.default_rng(1)
    return {f"GENE{at}": random_protein(rng, int(rng.integers(5, 60))) for at in range(12)}


def write_fasta(path: Path, proteins: dict[str, str]) -> Path:
    path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in proteins.items()))
    return path


@pytest.fixture
def fasta(tmp_path: Path, proteins: dict[str, str]) -> Path:
    return write_fasta(tmp_path / "p.fasta", proteins)


def reference(checkpoint: Path, sequence: str, layer: int = 2) -> torch.Tensor:
    """(residues, width): one protein at a time, with fair-esm's own batch converter."""
    with torch.serialization.safe_globals([argparse.Namespace]):
        content = torch.load(checkpoint, weights_only=True)
    module, alphabet = fair_esm.pretrained.load_model_and_alphabet_core("esm2_tiny", content, None)
    tokens = alphabet.get_batch_converter()([("p", sequence)])[2]
    with torch.no_grad():
        return module.eval()(tokens, repr_layers=[layer])["representations"][layer][0, 1:-1]


@pytest.mark.parametrize("layer", [None, 0, 1])
def test_equals_one_protein_at_a_time(tmp_path, fasta, proteins, checkpoint, layer) -> None:
    config = EsmConfig(checkpoint=checkpoint, layer=layer, batch_tokens=200, device="cpu")
    table = embed_proteins(fasta, tmp_path / "t.npz", config, progress=False).table
    assert table.names.tolist() == list(proteins)
    expected = [reference(checkpoint, text, 2 if layer is None else layer).mean(dim=0) for text in proteins.values()]
    np.testing.assert_allclose(table.values, torch.stack(expected), atol=1e-5)
    assert table.values.std() > 0.01


@pytest.mark.parametrize("batch_tokens", [1, 40, 10_000])
def test_long_proteins_are_read_in_windows(tmp_path, checkpoint, batch_tokens) -> None:
    sequence = random_protein(np.random.default_rng(3), 25)
    fasta = write_fasta(tmp_path / "p.fasta", {"LONG": sequence, "SHORT": sequence[:6]})
    config = EsmConfig(checkpoint=checkpoint, max_length=10, overlap=4, batch_tokens=batch_tokens)
    table = embed_proteins(fasta, tmp_path / "t.npz", config, progress=False).table
    # Each residue is the average over the windows that hold it, then the residues are averaged.
    spans = [(0, 10), (6, 16), (12, 22), (15, 25)]
    seen: list[list[torch.Tensor]] = [[] for _ in sequence]
    for start, stop in spans:
        for at, embedding in zip(range(start, stop), reference(checkpoint, sequence[start:stop]), strict=True):
            seen[at].append(embedding)
    expected = torch.stack([torch.stack(found).mean(dim=0) for found in seen]).mean(dim=0)
    np.testing.assert_allclose(table.values[0], expected, atol=1e-5)
    np.testing.assert_allclose(table.values[1], reference(checkpoint, sequence[:6]).mean(dim=0), atol=1e-5)


@pytest.mark.parametrize("extension", ["npz", "pt", "h5"])
def test_formats_and_their_note(tmp_path, fasta, proteins, checkpoint, extension) -> None:
    out = tmp_path / f"t.{extension}"
    config = EsmConfig(checkpoint=checkpoint)
    report = embed_proteins(fasta, out, config, progress=False)
    table = read_features(out)
    assert table.names.tolist() == list(proteins)
    np.testing.assert_array_equal(table.values, report.table.values)
    note = json.loads((tmp_path / f"t.{extension}.json").read_text())
    expected = {"model": "tiny", "layer": 2, "fasta": sha256_of(fasta), "weights": sha256_of(checkpoint), "rows": 12}
    assert {key: note[key] for key in expected} == expected
    assert not (tmp_path / f"t.{extension}.parts").exists()
    if extension == "pt":
        loaded = torch.load(out, weights_only=True)
        assert loaded["GENE0"].shape == (16,)
        assert out.stat().st_size < 12 * 16 * 4 * 20  # no row drags the table along
    if extension == "npz":
        assert FeatureTable.load(out).sha256 == sha256_of(fasta)
        assert FeatureTable.load(out).source == "tiny layer 2, mean over residues, p.fasta"


class Stop(BaseException):
    """Stands for Ctrl-C and a killed process alike: nothing may catch it."""


def interrupt(monkeypatch, batches: int, *given, **settings) -> None:
    """Embed proteins, and stop after so many batches."""
    done: list[int] = []
    embed = EsmModel.embed

    def counted(self, sequences, layer):
        if len(done) == batches:
            raise Stop
        done.append(len(sequences))
        return embed(self, sequences, layer)

    with monkeypatch.context() as patch:
        patch.setattr(EsmModel, "embed", counted)
        with pytest.raises(Stop):
            embed_proteins(*given, progress=False, **settings)


def test_an_interrupted_run_goes_on(tmp_path, fasta, checkpoint, monkeypatch) -> None:
    config = EsmConfig(checkpoint=checkpoint, batch_tokens=60)
    whole = embed_proteins(fasta, tmp_path / "whole.npz", config, progress=False)
    out = tmp_path / "t.npz"
    interrupt(monkeypatch, 3, fasta, out, config, flush_seconds=0.0)
    assert not out.exists()
    assert len(list((tmp_path / "t.npz.parts").glob("part_*.npz"))) == 3
    # and once more, with one part for both batches
    interrupt(monkeypatch, 2, fasta, out, config)
    assert len(list((tmp_path / "t.npz.parts").glob("part_*.npz"))) == 4
    resumed = embed_proteins(fasta, out, config, progress=False)
    assert 0 < resumed.resumed < 12
    assert "taken over from an interrupted run" in str(resumed)
    np.testing.assert_array_equal(read_features(out).values, whole.table.values)  # the same bits


def test_less_memory_does_not_stop_a_run(tmp_path, fasta, checkpoint, monkeypatch) -> None:
    whole = embed_proteins(fasta, tmp_path / "whole.npz", EsmConfig(checkpoint=checkpoint), progress=False)
    out = tmp_path / "t.npz"
    with monkeypatch.context() as patch:

        def too_much(self, sequences, layer):
            raise torch.OutOfMemoryError("CUDA out of memory")

        patch.setattr(EsmModel, "embed", too_much)
        with pytest.raises(ConfigError, match=r"does not fit into the memory[\s\S]*lower batch_tokens"):
            embed_proteins(fasta, out, EsmConfig(checkpoint=checkpoint), progress=False)
    again = embed_proteins(fasta, out, EsmConfig(checkpoint=checkpoint, batch_tokens=64), progress=False)
    np.testing.assert_allclose(again.table.values, whole.table.values, atol=1e-6)


@pytest.mark.parametrize("change", ["fasta", "weights", "layer", "max_length", "isoforms", "genes"])
def test_parts_of_another_run_are_refused(tmp_path, fasta, proteins, checkpoint, monkeypatch, change) -> None:
    out = tmp_path / "t.npz"
    interrupt(monkeypatch, 2, fasta, out, EsmConfig(checkpoint=checkpoint, batch_tokens=120))
    settings: dict = {"checkpoint": checkpoint, "batch_tokens": 120}
    genes = None
    if change == "fasta":
        write_fasta(fasta, proteins | {"GENE0": "MKK"})
    elif change == "weights":
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(checkpoint, weights_only=True)
        next(iter(content["model"].values())).add_(1)
        torch.save(content, tmp_path / "tiny.pt")
        settings["checkpoint"] = tmp_path / "tiny.pt"
    elif change == "genes":
        genes = ["GENE1"]
    else:
        settings[change] = {"layer": 1, "max_length": 1000, "isoforms": "mean"}[change]
    with pytest.raises(ConfigError, match=rf"parts of another run: {change} differ[\s\S]*delete the folder"):
        embed_proteins(fasta, out, EsmConfig(**settings), genes=genes, progress=False)


def test_damaged_parts(tmp_path, fasta, checkpoint, monkeypatch) -> None:
    out, config = tmp_path / "t.npz", EsmConfig(checkpoint=checkpoint, batch_tokens=120)
    interrupt(monkeypatch, 2, fasta, out, config, flush_seconds=0.0)
    part = tmp_path / "t.npz.parts" / "part_000000.npz"
    part.write_bytes(part.read_bytes()[:-40])
    with pytest.raises(FileFormatError, match=r"part_000000.npz is damaged[\s\S]*delete this part"):
        embed_proteins(fasta, out, config, progress=False)
    part.unlink()
    assert len(embed_proteins(fasta, out, config, progress=False).table) == 12
    (tmp_path / "u.npz.parts").mkdir()
    (tmp_path / "u.npz.parts" / "mine.txt").write_text("keep me")
    with pytest.raises(FileFormatError, match="no folder of an interrupted run"):
        embed_proteins(fasta, tmp_path / "u.npz", config, progress=False)


def test_letters_and_stops(tmp_path, checkpoint) -> None:
    given = {"A": "mkuX*", "B": "MK*DJ", "C": "XX*", "D": "MKXDX"}
    fasta = write_fasta(tmp_path / "p.fasta", given)
    report = embed_proteins(fasta, tmp_path / "t.npz", EsmConfig(checkpoint=checkpoint), progress=False)
    table = report.table
    assert table.names.tolist() == ["A", "B", "D"]  # C has nothing known: masked
    np.testing.assert_allclose(table.values[0], reference(checkpoint, "MKUX").mean(dim=0), atol=1e-5)
    np.testing.assert_array_equal(table.values[1], table.values[2])  # the same sequence once cleaned
    assert report.counts == {
        "proteins": 4,
        "proteins with a sequence that another has too": 1,
        "stops at the end cut off": 2,
        "stops within proteins read as X": 1,
        "residues J read as X": 1,
        "residues B O U X Z, which are ESM's own tokens": 6,
        "proteins without a known residue left out": 1,
    }


ISOFORMS = """>sp|P1|A_HUMAN GN=TP53 PE=1
MKKDE
>sp|P1-2|A_HUMAN Isoform 2 GN=TP53
MKKDEWWW
>ENSP00000000001.2 pep chromosome:1 gene:ENSG00000000001.4 transcript:ENST1.1 gene_symbol:AARS description:x
MDSTL
"""


def test_isoforms(tmp_path, checkpoint) -> None:
    fasta = tmp_path / "p.fasta"
    fasta.write_text(ISOFORMS)
    tables = {}
    for kind in ("longest", "mean", "all"):
        report = embed_proteins(
            fasta, tmp_path / f"{kind}.npz", EsmConfig(checkpoint=checkpoint, isoforms=Isoforms(kind)), progress=False
        )
        assert sum(count for what, count in report.counts.items() if "isoforms" in what) == 1
        tables[kind] = dict(zip(report.table.names.tolist(), report.table.values, strict=True))
    every = tables["all"]
    assert list(every) == ["P1", "P1-2", "ENSP00000000001"]
    assert list(tables["mean"]) == list(tables["longest"]) == ["TP53", "AARS"]
    np.testing.assert_array_equal(tables["longest"]["TP53"], every["P1-2"])
    np.testing.assert_allclose(tables["mean"]["TP53"], (every["P1"] + every["P1-2"]) / 2, atol=1e-6)


def test_genes_without_a_protein_are_reported_and_masked(tmp_path, checkpoint) -> None:
    fasta = tmp_path / "p.fasta"
    fasta.write_text(ISOFORMS + ">LOST\nXXX\n")
    genes = ["MALAT1", "AARS1", "LOST", "ENSG00000000001X"]
    report = embed_proteins(fasta, tmp_path / "t.npz", EsmConfig(checkpoint=checkpoint), genes=genes, progress=False)
    assert report.table.names.tolist() == ["AARS1"]  # asked for by its new name, found by its old one
    assert list(report.missing) == ["MALAT1", "LOST", "ENSG00000000001X"]
    assert "3 genes have no protein, and no row: MALAT1" in str(report)
    _, present, _ = read_features(tmp_path / "t.npz").for_genes(GeneVocab.from_symbols(genes))
    assert present.tolist() == [False, True, False, False]
    by_id = embed_proteins(
        fasta, tmp_path / "u.npz", EsmConfig(checkpoint=checkpoint), genes=["ENSG00000000001"], progress=False
    )
    assert by_id.table.names.tolist() == ["ENSG00000000001"]
    with pytest.raises(FileFormatError, match=r"p\.fasta: none of the 1 genes asked for has a protein"):
        embed_proteins(fasta, tmp_path / "v.npz", EsmConfig(checkpoint=checkpoint), genes=["MALAT1"], progress=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("MKK", "is not fasta"),
        (">A\nM-K\n", "characters that are no residues"),
        (">A\nXX\n", "not one protein has a known residue"),
        (">A\n" + "ACGT" * 20, "are nucleotides"),
    ],
)
def test_bad_fasta_files(tmp_path, checkpoint, text, message) -> None:
    (tmp_path / "p.fasta").write_text(text)
    with pytest.raises(FileFormatError, match=message):
        embed_proteins(tmp_path / "p.fasta", tmp_path / "t.npz", EsmConfig(checkpoint=checkpoint), progress=False)
    assert not (tmp_path / "t.npz").exists()


def test_bad_checkpoints(tmp_path, checkpoint) -> None:
    cut = tmp_path / "cut.pt"
    cut.write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(FileFormatError, match="is no torch file, or is damaged or cut off"):
        load_esm(checkpoint=cut)
    torch.save({"TP53": torch.ones(3)}, tmp_path / "table.pt")
    with pytest.raises(FileFormatError, match="is not a checkpoint of fair-esm"):
        load_esm(checkpoint=tmp_path / "table.pt")
    torch.save({"cfg": Path("x"), "model": {}}, tmp_path / "objects.pt")
    with pytest.raises(FileFormatError, match="never unpickled"):
        load_esm(checkpoint=tmp_path / "objects.pt")
    with torch.serialization.safe_globals([argparse.Namespace]):
        content = torch.load(checkpoint, weights_only=True)
    content["model"].popitem()
    torch.save(content, tmp_path / "short.pt")
    with pytest.raises(FileFormatError, match=r"weights of a model that fair-esm can build[\s\S]*Missing key"):
        load_esm(checkpoint=tmp_path / "short.pt")
    with pytest.raises(MissingFileError):
        load_esm(checkpoint=tmp_path / "none.pt")
    with pytest.raises(ConfigError, match=r"is not esm2_t6_8M_UR50D[\s\S]*ESM-2 of 2 layers"):
        load_esm("esm2_t6_8M_UR50D", checkpoint)


def test_weights_that_cannot_be_downloaded(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def unreachable(url, path):
        raise OSError(f"no route to {url}")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(DownloadError, match=r"esm2_t6_8M_UR50D[\s\S]*--checkpoint esm2_t6_8M_UR50D\.pt"):
        load_esm("esm2_t6_8M_UR50D")
    with pytest.raises(ConfigError, match=r"unknown protein language model[\s\S]*did you mean"):
        load_esm("esm2_t6_8M")
    with pytest.raises(ConfigError, match="neither a model's name nor a checkpoint"):
        load_esm()


def test_weights_in_the_hub_folder_are_used(tmp_path, checkpoint, monkeypatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("gnnvcell.features.esm_model.MODELS", ("esm2_t2_1K_UR50D",))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "esm2_t2_1K_UR50D.pt").write_bytes(checkpoint.read_bytes())
    model = load_esm("esm2_t2_1K_UR50D")
    assert (model.name, model.layers, model.width, model.most_residues) == ("esm2_t2_1K_UR50D", 2, 16, 0)


def test_settings_that_do_not_fit(tmp_path, fasta, checkpoint) -> None:
    with pytest.raises(ConfigError, match="tiny has no layer 3"):
        embed_proteins(fasta, tmp_path / "t.npz", EsmConfig(checkpoint=checkpoint, layer=3), progress=False)
    with pytest.raises(ConfigError, match="cannot overlap by 10"):
        embed_proteins(
            fasta, tmp_path / "t.npz", EsmConfig(checkpoint=checkpoint, max_length=10, overlap=10), progress=False
        )
    with pytest.raises(FileFormatError, match=r"unknown extension '\.csv'"):
        embed_proteins(fasta, tmp_path / "t.csv", EsmConfig(checkpoint=checkpoint), progress=False)
    with pytest.raises(ConfigError, match="the device 'warp' cannot be used"):
        embed_proteins(fasta, tmp_path / "t.npz", EsmConfig(checkpoint=checkpoint, device="warp"), progress=False)


def test_esm1b(tmp_path) -> None:
    """The older format: args instead of cfg, learned positions."""
    torch.manual_seed(0)
    sizes = {"layers": 2, "embed_dim": 16, "ffn_embed_dim": 32, "attention_heads": 2, "max_positions": 32}
    args = argparse.Namespace(
        **sizes, arch="roberta_large", token_dropout=True, emb_layer_norm_before=True, final_bias=True
    )
    alphabet = fair_esm.Alphabet.from_architecture("roberta_large")
    module = fair_esm.ProteinBertModel(args, alphabet)
    state = {
        ("encoder." if key.startswith("lm_head") else "encoder.sentence_encoder.") + key: value
        for key, value in module.state_dict().items()
        if not key.startswith("contact_head.regression")
    }
    torch.save({"args": args, "model": state}, tmp_path / "esm1b.pt")
    model = load_esm(checkpoint=tmp_path / "esm1b.pt")
    assert (model.layers, model.width, model.most_residues) == (2, 16, 30)
    assert model.embed(["MKK", "MKKDE"], 2)[0].shape == (3, 16)
    fasta = write_fasta(tmp_path / "p.fasta", {"A": "MKKDE" * 10})
    with pytest.raises(ConfigError, match="cannot read 1,022 residues at once"):
        embed_proteins(fasta, tmp_path / "t.npz", EsmConfig(checkpoint=tmp_path / "esm1b.pt"), progress=False)
    config = EsmConfig(checkpoint=tmp_path / "esm1b.pt", max_length=30, overlap=10)
    assert embed_proteins(fasta, tmp_path / "t.npz", config, progress=False).table.width == 16


def test_tokens_are_those_of_fair_esm(checkpoint) -> None:
    model = load_esm(checkpoint=checkpoint)
    text = "".join(RESIDUES) + "BOUXZ"
    assert model.tokens[np.frombuffer(text.encode(), dtype=np.uint8)].tolist() == model.alphabet.encode(text)


def test_command(tmp_path, fasta, checkpoint, capsys) -> None:
    (tmp_path / "genes.txt").write_text("GENE3\nMALAT1\n")
    command = ["embed", "esm", "--fasta", str(fasta), "--checkpoint", str(checkpoint), "--out", str(tmp_path / "t.pt")]
    assert main([*command, "--genes", str(tmp_path / "genes.txt"), "--layer", "1", "--isoforms", "mean"]) == 0
    printed = capsys.readouterr().out
    assert "tiny layer 1" in printed
    assert "1 genes have no protein, and no row: MALAT1" in printed
    assert list(torch.load(tmp_path / "t.pt", weights_only=True)) == ["GENE3"]
    assert main([*command, "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert main([*command, "--batch-tokens", "0"]) == 2
    assert "bad value for 'batch_tokens'" in capsys.readouterr().err


def test_nothing_asked_for(tmp_path, fasta, checkpoint) -> None:
    with pytest.raises(FileFormatError, match="none of the 0 genes"):
        embed_proteins(fasta, tmp_path / "t.npz", EsmConfig(checkpoint=checkpoint), genes=[], progress=False)
