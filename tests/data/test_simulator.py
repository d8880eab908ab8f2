import csv
import gzip
from pathlib import Path

import numpy as np
import obonet
import pytest
import scipy.sparse as sp

from gnnvcell.data.labels import read_label_folder
from gnnvcell.data.simulator import KnowledgeConfig, SimulatorConfig, World, simulate
from gnnvcell.data.simulator.knowledge.string_files import CHANNELS, known_interactions
from gnnvcell.data.simulator.response import steady_state
from gnnvcell.data.simulator.wiring import make_wiring, spectral_radius
from gnnvcell.errors import ConfigError, DataError

SMALL = SimulatorConfig.example()


@pytest.fixture(scope="module")
def world() -> World:
    return simulate(SMALL)


@pytest.fixture(scope="module")
def folder(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.write(tmp_path_factory.mktemp("world") / "w")


def read(path: Path) -> list[str]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return content.decode().splitlines()


def differing(first, second) -> int:
    return (first != second).nnz


def test_counts_are_sparse_integers_with_the_fields_obs(world: World) -> None:
    cells = world.cells
    assert cells.shape == (SMALL.control_cells + SMALL.targets * SMALL.cells_per_target, SMALL.genes)
    assert np.issubdtype(cells.X.dtype, np.integer)  # type: ignore[union-attr]
    assert cells.X.min() >= 0  # type: ignore[union-attr]
    assert list(cells.obs.columns) == ["target_gene", "batch", "cell_type"]
    assert (cells.obs["target_gene"] == "non-targeting").sum() == SMALL.control_cells
    assert cells.obs["batch"].nunique() == SMALL.batches


def test_depth_and_dispersion_are_as_asked(world: World) -> None:
    control = world.cells[world.cells.obs["target_gene"] == "non-targeting"].X.toarray()  # type: ignore[union-attr]
    depth = control.sum(axis=1)
    assert depth.mean() == pytest.approx(SMALL.mean_depth, rel=0.05)
    # Beyond Poisson: dispersion, depth and module activity all add variance of the order of mean^2.
    mean, variance = control.mean(axis=0), control.var(axis=0, ddof=1)
    high = mean > 5
    excess = np.median((variance[high] - mean[high]) / mean[high] ** 2)
    expected = (1 + SMALL.dispersion) * (1 + SMALL.depth_spread**2) - 1
    assert expected < excess < expected + 0.15


def test_knockdown_lowers_the_target(world: World) -> None:
    measured, residual = world.measured, world.truth.knockdowns.residual
    own = measured.delta[np.arange(SMALL.targets), np.searchsorted(measured.genes, measured.perturbations)]
    assert (own < 0).mean() > 0.99
    strong = residual < 0.3
    assert own[strong].mean() < own[~strong].mean() - 0.1


def test_same_seed_same_bits_and_other_seed_other_world(world: World, folder: Path, tmp_path: Path) -> None:
    again = simulate(SMALL)
    assert differing(world.cells.X, again.cells.X) == 0
    assert world.cells.obs.equals(again.cells.obs)
    second = again.write(tmp_path / "again", cells=False)
    for path in sorted(p for p in second.rglob("*") if p.is_file()):
        assert path.read_bytes() == (folder / path.relative_to(second)).read_bytes(), path.name
    other = simulate(SMALL.model_copy(update={"seed": 1}))
    assert differing(world.truth.graph, other.truth.graph) > 0


def test_a_knob_of_the_measurement_leaves_the_wiring(world: World) -> None:
    deeper = simulate(SMALL.model_copy(update={"mean_depth": 1000.0, "batches": 1}))
    assert differing(world.truth.graph, deeper.truth.graph) == 0
    np.testing.assert_array_equal(world.truth.effects, deeper.truth.effects)


def test_steady_state_of_a_chain_by_hand() -> None:
    chain = sp.csr_array(np.array([[0, 0.5, 0], [0, 0, -2.0], [0, 0, 0]]))
    x = steady_state(chain, np.array([0, 1]), np.array([0.1, 0.5]), saturation=1.5)
    b = 1.5 * np.tanh(0.5 * np.log(0.1) / 1.5)
    np.testing.assert_allclose(x[0], [np.log(0.1), b, 1.5 * np.tanh(-2 * b / 1.5)])
    np.testing.assert_allclose(x[1], [0, np.log(0.5), 1.5 * np.tanh(-2 * np.log(0.5) / 1.5)])


def test_steady_state_that_does_not_exist_is_refused() -> None:
    # A negative loop stronger than 1 swings for ever.
    loop = sp.csr_array(np.array([[0, 1.0, 0], [0, 0, 3.0], [0, -3.0, 0]]))
    with pytest.raises(ConfigError, match="no steady state"):
        steady_state(loop, np.array([0]), np.array([0.5]), saturation=1.5)


def test_regulation_is_stable_and_hubs_have_high_degree() -> None:
    wiring = make_wiring(SMALL)
    dense = np.abs(wiring.regulation.toarray())
    assert np.abs(np.linalg.eigvals(dense)).max() <= SMALL.gain * 1.02
    assert spectral_radius(abs(wiring.regulation)) <= SMALL.gain
    degree = (dense > 0).sum(axis=1)
    assert np.median(degree[wiring.hub]) > 2 * np.median(degree[~wiring.hub])
    assert (np.diag(dense) == 0).all()
    assert (wiring.regulation.data > 0).any()
    assert (wiring.regulation.data < 0).any()


def test_complex_partners_have_correlated_effects_and_strangers_have_not(world: World) -> None:
    """In the truth and in the cells: what graph diffusion lives on."""
    truth = world.truth
    active = ~truth.knockdowns.null & (truth.wiring.complex[truth.knockdowns.targets] >= 0)
    home = truth.wiring.complex[truth.knockdowns.targets[active]]
    first, second = np.triu_indices(len(home), k=1)
    same = home[first] == home[second]
    for effects in (truth.effects[active], world.measured.delta[active]):
        similarity = np.asarray(np.corrcoef(effects))[first, second]
        assert same.sum() > 20
        assert similarity[same].mean() > similarity[~same].mean() + 0.25


def test_labels_come_from_the_cells(world: World) -> None:
    """Labels agree with the truth where effects are large, are rare for null targets, and are not the truth itself."""
    table, truth = world.effects("de"), world.truth
    assert table.perturbations.tolist() == truth.targets.tolist()
    large = (np.abs(truth.effects) > 0.7) & table.measured
    assert table.values[large].mean() > 0.8
    null = truth.knockdowns.null
    assert null.sum() == round(SMALL.null_targets * SMALL.targets)
    assert table.values[null].sum(axis=1).mean() < 1.0
    assert table.values[~null].sum(axis=1).mean() > 10
    assert table.values[large].mean() < 1.0


def test_split_holds_out_perturbations(world: World) -> None:
    for kind in ("de", "direction", "delta"):
        table = world.effects(kind)
        assert (table.split == "test").sum() == round(SMALL.test_share * SMALL.targets)
        assert table.context == "sim"
    with pytest.raises(DataError, match="unknown kind"):
        world.effects("de_novo")


def test_label_files_are_what_the_reader_reads(world: World, folder: Path) -> None:
    de, direction = read_label_folder(folder / "labels", ["sim"], ["de", "dir"])
    expected = world.effects("de")
    assert (de.kind, direction.kind) == ("de", "direction")
    assert de.perturbations.tolist() == expected.perturbations.tolist()
    columns = np.searchsorted(de.genes, expected.genes)
    np.testing.assert_array_equal(de.values[:, columns], expected.values)
    np.testing.assert_array_equal(de.measured[:, columns], expected.measured)
    assert dict(zip(de.perturbations, de.split, strict=True)) == dict(
        zip(expected.perturbations, expected.split, strict=True)
    )
    assert direction.measured.sum() == (expected.values * expected.measured).sum()


def test_string_files_follow_strings_format_and_rule(folder: Path) -> None:
    plain = [line.split(" ") for line in read(folder / "9606.protein.links.v12.0.txt.gz")]
    detailed = [line.split(" ") for line in read(folder / "9606.protein.links.detailed.v12.0.txt.gz")]
    assert plain[0] == ["protein1", "protein2", "combined_score"]
    assert detailed[0] == ["protein1", "protein2", *CHANNELS, "combined_score"]
    pairs = {(a, b) for a, b, _ in plain[1:]}
    assert {(b, a) for a, b in pairs} == pairs
    assert all(a.startswith("9606.ENSP") and a != b for a, b in pairs)
    for row in detailed[1:200]:
        # STRING's own arithmetic, by hand: take the prior off, combine, put it back once.
        rest = 1.0
        for score in map(int, row[2:-1]):
            rest *= 1 - max(score / 1000 - 0.041, 0) / (1 - 0.041)
        assert int(row[-1]) == pytest.approx(1000 * (1 - rest * (1 - 0.041)), abs=1.001)
    assert [row[-1] for row in detailed] == [row[-1] for row in plain]
    info = [line.split("\t") for line in read(folder / "9606.protein.info.v12.0.txt.gz")]
    assert info[0] == ["#string_protein_id", "preferred_name", "protein_size", "annotation"]
    assert {p for pair in pairs for p in pair} <= {row[0] for row in info}


def test_go_files_parse_with_obonet_and_as_gaf(folder: Path) -> None:
    ontology = obonet.read_obo(str(folder / "go-basic.obo"), ignore_obsolete=False)
    assert {"is_a", "part_of", "regulates"} <= {key for *_, key in ontology.edges(keys=True)}
    lines = read(folder / "goa_human.gaf.gz")
    assert lines[0] == "!gaf-version: 2.2"
    rows = [line.split("\t") for line in lines if not line.startswith("!")]
    assert {len(row) for row in rows} == {17}
    known = set(ontology.nodes) | {"GO:8000001"}
    assert {row[4] for row in rows} <= known
    # Every trap is there: NOT, an accession for a symbol, another species, an obsolete and an alternative term.
    assert any(row[3].startswith("NOT|") for row in rows)
    assert any(row[1] == row[2] for row in rows)
    assert {"taxon:9606", "taxon:10090"} == {row[12] for row in rows}
    obsolete = {node for node, data in ontology.nodes(data=True) if data.get("is_obsolete") == "true"}
    assert obsolete & {row[4] for row in rows}
    assert "GO:8000001" in {row[4] for row in rows}


def test_reactome_and_scgpt_files_parse(folder: Path) -> None:
    pathways = [line.split("\t") for line in read(folder / "ReactomePathways.gmt")]
    assert all(row[1].startswith("R-HSA-") and len(row) >= 3 for row in pathways)
    relations = [tuple(line.split("\t")) for line in read(folder / "ReactomePathwaysRelation.txt")]
    members = {row[1]: set(row[2:]) for row in pathways}
    for parent, child in relations:
        if child.startswith("R-MMU-"):
            continue
        assert members[child] <= members[parent]
    assert any(parent.startswith("R-MMU-") for parent, _ in relations)
    with gzip.open(folder / "scgpt_edges.tsv.gz", "rt") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    assert list(rows[0]) == ["gene_a", "gene_b", "weight"]
    assert all(0 < float(row["weight"]) <= 1 for row in rows)


def test_isolated_genes_are_in_no_database(world: World, folder: Path) -> None:
    visibility = world.truth.visibility
    hidden = set(world.truth.wiring.genes[visibility.isolated])
    assert len(hidden) == round(SMALL.knowledge.isolated * SMALL.genes)
    assert hidden & set(world.truth.targets)
    info = {row[0]: row[1] for row in (line.split("\t") for line in read(folder / "9606.protein.info.v12.0.txt.gz"))}
    linked = {info[line.split(" ")[0]] for line in read(folder / "9606.protein.links.v12.0.txt.gz")[1:]}
    annotated = {line.split("\t")[2] for line in read(folder / "goa_human.gaf.gz") if not line.startswith("!")}
    assert not hidden & linked
    assert not hidden & annotated


def test_knowledge_knobs_turn() -> None:
    def pairs(**knobs) -> set[tuple[int, int]]:
        config = SMALL.model_copy(update={"knowledge": KnowledgeConfig(**knobs)})
        world = simulate(config.model_copy(update={"targets": 8, "control_cells": 40, "cells_per_target": 5}))
        known = known_interactions(config, world.truth.wiring, world.truth.visibility)
        return set(zip(known.first.tolist(), known.second.tolist(), strict=True))

    usual = pairs()
    assert len(pairs(missed_edges=0.8)) < 0.6 * len(usual)
    assert len(pairs(false_edges=2.0)) > 1.5 * len(usual)
    assert len(pairs(isolated=0.5)) < 0.5 * len(usual)

    def largest_degree(found: set[tuple[int, int]]) -> int:
        return int(np.bincount(np.array(list(found)).ravel()).max())

    assert largest_degree(pairs(hub_bias=1.5)) > 1.3 * largest_degree(pairs(hub_bias=0.0))


def test_traps_can_be_left_out(tmp_path: Path) -> None:
    config = SMALL.model_copy(update={"knowledge": KnowledgeConfig(traps=False), "targets": 8})
    folder = simulate(config).write(tmp_path / "w", cells=False, truth=False)
    rows = [line.split("\t") for line in read(folder / "goa_human.gaf.gz") if not line.startswith("!")]
    assert all(row[2].startswith("GEN") and row[12] == "taxon:9606" and "NOT" not in row[3] for row in rows)
    assert "OLDGEN" not in "".join(read(folder / "scgpt_edges.tsv.gz"))
    assert not (folder / "truth").exists()
    assert not (folder / "cells.h5ad").exists()


def test_only_a_world_is_replaced(world: World, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="is not a simulated world"):
        world.write(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").exists()
    again = world.write(tmp_path / "w", cells=False, truth=False)
    (again / "stale.txt").write_text("")
    world.write(tmp_path / "w", cells=False, truth=False)
    assert not (again / "stale.txt").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gens": 100}, "did you mean 'genes'"),
        ({"targets": 700}, "more targets than genes"),
        ({"genes": 100}, "modules are too small"),
        ({"residual": 1.5}, "residual"),
        ({"gain": 1.0}, "gain"),
        ({"line": "a b"}, "line"),
        ({"knowledge": {"missed_edges": -0.1}}, "missed_edges"),
        ({"targets": 5, "test_share": 0.01}, "nothing to test"),
        ({"knowledge": {"embedding_neighbours": 600}}, "embedding_neighbours"),
    ],
)
def test_impossible_settings_are_refused(values: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SimulatorConfig.parse(values)
