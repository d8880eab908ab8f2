import gzip
from pathlib import Path

import pytest

from gnnvcell.errors import FileFormatError
from gnnvcell.genes import GeneVocab

HEADER = ["hgnc_id", "symbol", "name", "status", "alias_symbol", "prev_symbol"]
HEADER += ["entrez_id", "ensembl_gene_id", "uniprot_ids"]
ROWS = [
    ["HGNC:20", "AARS1", 'alanyl-tRNA synthetase "1"', "Approved", "", "AARS", "16", "ENSG00000090861", "P49588"],
    ["HGNC:11998", "TP53", "tumor protein p53", "Approved", '"p53|LFS1"', "", "7157", "ENSG00000141510", "P04637"],
    ["HGNC:7132", "KMT2A", "x", "Approved", '"ALL-1|HRX"', '"MLL|TRX1"', "4297", "ENSG00000118058", "Q03164"],
    ["HGNC:1", "OLDGENE", "x", "Entry Withdrawn", "LFS1", "MLL", "", "", ""],
    ["HGNC:4", "H4C1", "x", "Approved", "", "HIST1H4A", "8359", "ENSG00000278637", "P62805"],
    ["HGNC:5", "H4C2", "x", "Approved", "", '"HIST1H4B|AARS1"', "8366", "ENSG00000278705", "P62805"],
]


def write(path: Path, rows=ROWS, header=HEADER, delimiter="\t") -> Path:
    path.write_text("\n".join(delimiter.join(row) for row in [header, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_names_and_ids_of_the_complete_set(tmp_path, compressed) -> None:
    path = write(tmp_path / "hgnc_complete_set.txt")
    if compressed:
        packed = tmp_path / "hgnc_complete_set.txt.gz"
        packed.write_bytes(gzip.compress(path.read_bytes()))
        path = packed
    vocab = GeneVocab.from_hgnc(path)
    assert vocab.symbols.tolist() == ["AARS1", "TP53", "KMT2A", "H4C1", "H4C2"]
    names = {
        "AARS": (0, "previous"),
        "AARS1": (0, "symbol"),  # also a previous symbol of H4C2
        "p53": (1, "alias"),
        "LFS1": (1, "alias"),
        "MLL": (2, "previous"),
        "TRX1": (2, "previous"),
        "HRX": (2, "alias"),
        "ENSG00000118058.24": (2, "ensembl"),
        "Q03164-3": (2, "uniprot"),
        "4297": (2, "entrez"),
        "P62805": (-1, "ambiguous"),
        "OLDGENE": (-1, "unknown"),
    }
    aligned = vocab.align(list(names))
    found = list(zip(aligned.index.tolist(), aligned.reasons.tolist(), strict=True))
    assert dict(zip(names, found, strict=True)) == names


def test_columns_may_be_in_any_order(tmp_path) -> None:
    rows = [row[::-1] for row in ROWS]
    assert GeneVocab.from_hgnc(write(tmp_path / "a.txt", rows, HEADER[::-1])) == GeneVocab.from_hgnc(
        write(tmp_path / "b.txt")
    )


def test_bad_files_are_refused(tmp_path) -> None:
    def refuse(message: str, path: Path) -> None:
        with pytest.raises(FileFormatError, match=message):
            GeneVocab.from_hgnc(path)

    refuse("no file", tmp_path / "absent.txt")
    (tmp_path / "empty.txt").touch()
    refuse("is empty", tmp_path / "empty.txt")
    refuse("not HGNC's complete set", write(tmp_path / "comma.txt", delimiter=","))
    refuse("no status, prev_symbol", write(tmp_path / "custom.txt", header=["a", "symbol", "c", "Status", *HEADER[6:]]))
    refuse("no approved gene", write(tmp_path / "none.txt", rows=[ROWS[3]]))
    refuse("no approved gene", write(tmp_path / "header.txt", rows=[]))
    refuse("lists 'AARS1' again", write(tmp_path / "twice.txt", rows=[*ROWS, ROWS[0]]))
    refuse("line 3 of .* does not fit", write(tmp_path / "short.txt", rows=[ROWS[0], ROWS[1][:4]]))
    refuse("line 2 of .* does not fit", write(tmp_path / "long.txt", rows=[[*ROWS[0], "more"]]))
    packed = gzip.compress(write(tmp_path / "whole.txt", rows=ROWS).read_bytes())
    (tmp_path / "cut.txt.gz").write_bytes(packed[: len(packed) // 2])
    refuse("damaged gzip", tmp_path / "cut.txt.gz")
    (tmp_path / "latin.txt").write_bytes("\t".join(HEADER).encode() + b"\n\xff\xfe\n")
    refuse("not UTF-8", tmp_path / "latin.txt")
