"""The recipes in graphs/: their files have an origin, and they build from small files in the official formats."""

import gzip
from pathlib import Path

import pytest

from gnnvcell.config import read_toml
from gnnvcell.graphs.build import build
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.graphs.recipe import read_recipe
from gnnvcell.graphs.urls import wanted_downloads

GRAPHS = Path(__file__).resolve().parents[2] / "graphs"
RECIPES = sorted(GRAPHS.glob("*.toml"))


def test_there_are_recipes() -> None:
    assert {"human", "mouse", "go_experimental", "string_no_textmining"} <= {path.stem for path in RECIPES}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_source_says_where_it_comes_from(path: Path) -> None:
    plan = read_recipe(path)
    assert plan.recipe.name == path.stem
    downloads, without = wanted_downloads(read_toml(path), None)
    assert all(entry.url.startswith("https://") for _, entry in downloads)
    for planned in plan.sources:
        assert planned.entry.release
        assert planned.entry.licence
        assert planned.key not in without or planned.entry.optional, "a source without urls cannot be required"


def test_the_readme_has_every_recipe_and_file() -> None:
    text = (GRAPHS / "README.md").read_text(encoding="utf-8")
    for path in RECIPES:
        assert f"`{path.name}`" in text
        for _, entry in wanted_downloads(read_toml(path), None)[0]:
            assert f"`{entry.file_name}`" in text, entry.file_name


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name.replace("__", ".")
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


OBO = """format-version: 1.2
ontology: go

[Term]
id: GO:0008150
name: biological_process
namespace: biological_process

[Term]
id: GO:0000001
name: one process
namespace: biological_process
is_a: GO:0008150 ! biological_process
"""


def gaf(prefix: str, taxon: int, *rows: tuple[str, str, str, str]) -> str:
    """Lines of (accession, symbol, term, evidence)."""
    lines = ["!gaf-version: 2.2"]
    for accession, symbol, term, evidence in rows:
        middle = (
            f"{prefix}\t{accession}\t{symbol}\tinvolved_in\t{term}\tPMID:1\t{evidence}\t\tP\t{symbol} name\t\tprotein"
        )
        lines.append(f"{middle}\ttaxon:{taxon}\t20240101\t{prefix}\t\t")
    return "\n".join(lines) + "\n"


def test_string_without_textmining(tmp_path: Path) -> None:
    head = (
        "protein1 protein2 neighborhood fusion cooccurence coexpression experimental database textmining combined_score"
    )
    pairs = {
        ("1", "2"): "0 0 0 0 900 0 0 900",  # experiments
        ("1", "3"): "0 0 0 0 0 0 950 950",  # the literature only
        ("2", "3"): "0 0 0 930 0 0 0 930",  # co-expression only
        ("3", "4"): "0 0 0 0 0 800 600 915",  # a database, and the literature
    }
    rows = [
        f"9606.ENSP0000000000{a} 9606.ENSP0000000000{b} {scores}"
        for (one, other), scores in pairs.items()
        for a, b in ((one, other), (other, one))
    ]
    info = "#string_protein_id\tpreferred_name\tprotein_size\tannotation\n" + "".join(
        f"9606.ENSP0000000000{i}\tGENE{i}\t100\tx\n" for i in range(1, 5)
    )
    links = {"9606.protein.links.detailed.v12.0.txt.gz": "\n".join([head, *rows]) + "\n"}
    write(tmp_path, **links, **{"9606.protein.info.v12.0.txt.gz": info})
    graph = build(GRAPHS / "string_no_textmining.toml", source_dir=tmp_path, progress=False)
    table = graph.table("string")
    found = {
        (str(graph.vocab.symbols[a]), str(graph.vocab.symbols[b])): float(weight)
        for a, b, weight in zip(table.src, table.dst, table.weight, strict=True)
    }
    assert found == pytest.approx({("GENE1", "GENE2"): 0.9, ("GENE3", "GENE4"): 0.8}, abs=0.002)


def annotated(graph: GeneGraph) -> list[str]:
    return sorted({str(graph.vocab.symbols[row]) for row in graph.table("annotated_bp").src})


def test_go_experimental(tmp_path: Path) -> None:
    rows = [
        ("P1", "AAA", "IDA"),
        ("P2", "BBB", "HDA"),
        ("P3", "CCC", "IEA"),
        ("P4", "DDD", "TAS"),
        ("P5", "EEE", "IMP"),
    ]
    text = gaf("UniProtKB", 9606, *((acc, symbol, "GO:0000001", code) for acc, symbol, code in rows))
    write(tmp_path, **{"go-basic.obo": OBO, "goa_human.gaf.gz": text})
    graph = build(GRAPHS / "go_experimental.toml", source_dir=tmp_path, progress=False)
    assert annotated(graph) == ["AAA", "BBB", "EEE"]
    assert graph.num_edges("annotated_bp") == 6
    stricter = build(
        GRAPHS / "go_experimental.toml",
        source_dir=tmp_path,
        overrides=['sources.gene_ontology.args.exclude_evidence=["ND", "perturbation_derived"]'],
        progress=False,
    )
    assert annotated(stricter) == ["AAA", "BBB"]


def test_mouse(tmp_path: Path) -> None:
    symbols = {"1": "Trp53", "2": "Mdm2", "3": "Actb"}
    links = "protein1 protein2 combined_score\n" + "".join(
        f"10090.ENSMUSP0000000000{a} 10090.ENSMUSP0000000000{b} {score}\n"
        for a, b, score in (("1", "2", 999), ("2", "1", 999), ("1", "3", 300), ("3", "1", 300))
    )
    info = "#string_protein_id\tpreferred_name\tprotein_size\tannotation\n" + "".join(
        f"10090.ENSMUSP0000000000{i}\t{symbol}\t100\tx\n" for i, symbol in symbols.items()
    )
    aliases = "#string_protein_id\talias\tsource\n" + "".join(
        f"10090.ENSMUSP0000000000{i}\tENSMUSG0000000000{i}\tEnsembl_gene\n" for i in symbols
    )
    members = "".join(
        f"ENSMUSG0000000000{i}\tR-MMU-1\thttps://reactome.org/x\tp53 pathway\tIEA\tMus musculus\n" for i in ("1", "2")
    )
    files = {
        "10090.protein.links.v12.0.txt.gz": links,
        "10090.protein.info.v12.0.txt.gz": info,
        "10090.protein.aliases.v12.0.txt.gz": aliases,
        "go-basic.obo": OBO,
        "mgi.gaf.gz": gaf(
            "MGI", 10090, ("MGI:1", "Trp53", "GO:0000001", "IDA"), ("MGI:2", "Actb", "GO:0000001", "IEA")
        ),
        "Ensembl2Reactome.txt": members + "ENSG00000141510\tR-HSA-1\thttps://x\tp53 pathway\tTAS\tHomo sapiens\n",
        "ReactomePathwaysRelation.txt": "R-MMU-2\tR-MMU-1\nR-HSA-2\tR-HSA-1\n",
        "ReactomePathways.txt": "R-MMU-1\tp53 pathway\tMus musculus\nR-MMU-2\tGene expression\tMus musculus\n",
    }
    write(tmp_path, **files)
    graph = build(GRAPHS / "mouse.toml", source_dir=tmp_path, progress=False)
    assert graph.manifest.species == 10090
    assert sorted(map(str, graph.vocab.symbols)) == ["Actb", "Mdm2", "Trp53"]
    assert graph.num_edges("string") == 1
    assert graph.num_edges("annotated_bp") == 4
    assert graph.num_edges("member_of") == 4
    assert sorted(map(str, graph.names("pathway"))) == ["R-MMU-1", "R-MMU-2"]
