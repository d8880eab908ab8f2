from collections import Counter
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

from gnnvcell.data import Cells
from gnnvcell.data.cell_sets import CellSetConfig, CellSets, Shards, StreamedCellSets, gene_set_membership, open_stream
from gnnvcell.data.cell_sets.gather import dense_rows
from gnnvcell.data.cell_sets.planning import deal_controls, plan_sets
from gnnvcell.errors import ConfigError, DataError, FileFormatError

GENES = [f"G{i}" for i in range(30)]


def screen(seed: int = 0, cells: int = 400, genes=tuple(GENES)) -> ad.AnnData:
    rng = np.random.default_rng(seed)
    counts = sp.csr_matrix(rng.poisson(0.7, (cells, len(genes))).astype(np.float32))
    obs = pd.DataFrame(
        {
            "target_gene": rng.choice(["non-targeting", "G0", "G1", "G2"], cells, p=[0.3, 0.4, 0.2, 0.1]),
            "batch": rng.choice(["b0", "b1"], cells),
            "cell_type": rng.choice(["k", "r"], cells),
        },
        index=pd.Index([f"s{seed}c{i}" for i in range(cells)]),
    )
    return ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=pd.Index(list(genes))))


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Three files, one of them zarr."""
    folder = tmp_path_factory.mktemp("shards")
    paths = []
    for seed, cells in enumerate((400, 130, 57)):
        path = folder / (f"s{seed}.zarr" if seed == 1 else f"s{seed}.h5ad")
        adata = screen(seed, cells)
        adata.write_zarr(path) if seed == 1 else adata.write_h5ad(path)
        paths.append(path)
    return paths


STREAM = CellSetConfig(set_size=8, block_cells=32, window_blocks=3, control_cells=20)


def seen(items) -> Counter:
    """How often each perturbed row is in a set where it is not a filler."""
    return Counter(int(row) for item in items for row in item["rows"][item["mask"]].tolist())


def test_plan_covers_every_row_once_and_fills_the_last_set() -> None:
    rng = np.random.default_rng(0)
    rows, group = np.arange(100, 123), np.array([7] * 10 + [3] * 13)
    plan, left = plan_sets(rows, group, 4, rng, fill=True)
    assert len(left) == 0
    assert len(plan) == 3 + 4
    assert sorted(plan.rows[plan.mask].tolist()) == rows.tolist()
    for members, inside, key in zip(plan.rows, plan.mask, plan.group, strict=True):
        assert set(group[members - 100].tolist()) == {int(key)}
        assert inside.any()
    part, left = plan_sets(rows, group, 4, np.random.default_rng(0), fill=False)
    assert part.mask.all()
    assert sorted([*part.rows.ravel().tolist(), *left.tolist()]) == rows.tolist()
    assert Counter(group[left - 100].tolist()) == {7: 2, 3: 1}


def test_controls_are_dealt_like_cards() -> None:
    pools = {1: np.arange(10), 2: np.array([50, 51, 52])}
    dealt = deal_controls(np.array([1, 2, 1]), pools, 5, np.random.default_rng(0))
    assert sorted(dealt[[0, 2]].ravel().tolist()) == list(range(10))
    assert set(dealt[1].tolist()) == {50, 51, 52}


def test_dense_rows_are_the_matrix() -> None:
    matrix = sp.csr_array(sp.random(20, 7, density=0.3, random_state=0, format="csr", dtype=np.float32))  # pyright: ignore[reportCallIssue]
    rows = np.array([3, 3, 19, 0])
    np.testing.assert_array_equal(dense_rows(matrix, rows), matrix.toarray()[rows])


def test_sets_are_of_one_group_with_controls_of_the_same_batch() -> None:
    cells = Cells.of(screen())
    sets = CellSets(cells, CellSetConfig(set_size=16))
    labels = cells.obs["target_gene"].to_numpy()
    where = cells.obs[["cell_type", "batch"]].to_numpy()
    counts: Any = screen().X
    dense = counts.toarray()
    logged = np.log1p(dense / dense.sum(axis=1, keepdims=True) * 1e4)
    for item in (sets[i] for i in range(len(sets))):
        rows, controls = item["rows"].numpy(), item["control_rows"].numpy()
        assert set(labels[rows]) == {sets.perturbations[item["perturbation"]]}
        assert set(labels[controls]) == {"non-targeting"}
        place = {(sets.contexts[item["context"]], sets.batches[item["batch"]])}
        assert {tuple(row) for row in where[rows]} == {tuple(row) for row in where[controls]} == place
        np.testing.assert_allclose(item["perturbed"], logged[rows], rtol=1e-5)
        np.testing.assert_allclose(item["control"], logged[controls], rtol=1e-5)
    counted = seen(sets[i] for i in range(len(sets)))
    assert counted == dict.fromkeys(np.flatnonzero(labels != "non-targeting").tolist(), 1)


@pytest.mark.parametrize("matching", ["batch", "context"])
def test_means_are_of_all_controls_that_match(matching) -> None:
    cells = Cells.of(screen())
    sets = CellSets(cells, CellSetConfig(set_size=8, controls=matching))
    means = sets.control_means()
    assert means.shape == (2, 2, len(GENES))
    for context, batch in np.ndindex(2, 2):
        inside = sets.cells.is_control & (sets.cells.context_code == context)
        if matching == "batch":
            inside &= sets.cells.batch_code == batch
        by_hand = torch.from_numpy(dense_rows(sets.values, np.flatnonzero(inside)).mean(axis=0))
        torch.testing.assert_close(means[context, batch], by_hand)


def test_seed_and_epoch_decide_everything_and_loaders_give_batches() -> None:
    cells = Cells.of(screen())
    first, again = (CellSets(cells, CellSetConfig(set_size=8, seed=3)) for _ in range(2))
    assert all((first[5][name] == again[5][name]).all() for name in first[5])
    again.set_epoch(1)
    assert (first[0]["rows"] != again[0]["rows"]).any()
    batches = list(first.loader(4))
    assert batches[0]["perturbed"].shape == (4, 8, 30)
    assert sum(len(batch["mask"]) for batch in batches) == len(first)
    genes = CellSets(cells, CellSetConfig(set_size=8, seed=3, genes=("G5", "G2")))
    torch.testing.assert_close(genes[5]["perturbed"], first[5]["perturbed"][:, [5, 2]])


def test_a_stream_covers_every_cell_once_and_gives_what_is_in_the_files(shards) -> None:
    stream = open_stream(shards, STREAM)
    items = list(stream)
    labels = np.concatenate([screen(s, n).obs["target_gene"] for s, n in enumerate((400, 130, 57))])
    assert seen(items) == dict.fromkeys(np.flatnonzero(labels != "non-targeting").tolist(), 1)
    everything = sp.vstack([screen(s, n).X for s, n in enumerate((400, 130, 57))]).toarray()
    logged = np.log1p(everything / everything.sum(axis=1, keepdims=True) * 1e4)
    for item in items:
        np.testing.assert_allclose(item["perturbed"], logged[item["rows"]], rtol=1e-5)
        np.testing.assert_allclose(item["control"], logged[item["control_rows"]], rtol=1e-5)
        assert set(labels[item["rows"]]) == {str(stream.perturbations[item["perturbation"]])}
        assert set(labels[item["control_rows"]]) == {"non-targeting"}
    padding = sum(int((~item["mask"]).sum()) for item in items)
    assert padding < 8 * 12  # less than a set for each of 3 perturbations x 2 cell types x 2 batches


@pytest.mark.parametrize("given", [0, 1, 9, 25])
def test_a_stream_goes_on_where_it_was_with_the_same_bits(shards, given) -> None:
    whole = list(open_stream(shards, STREAM))
    first = open_stream(shards, STREAM)
    walker = iter(first)
    for _ in range(given):
        next(walker)
    second = open_stream(shards, STREAM)
    second.load_state_dict(first.state_dict())
    rest = list(second)
    assert len(rest) == len(whole) - given
    for a, b in zip(rest, whole[given:], strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a)
    assert second.state_dict() == {"epoch": 1, "given": 0}


def test_ranks_and_workers_share_the_cells(shards) -> None:
    ranks = [StreamedCellSets(Shards.open(shards), STREAM, rank=r, world_size=2) for r in range(2)]
    counts = [seen(stream) for stream in ranks]
    assert not counts[0].keys() & counts[1].keys()
    assert counts[0] + counts[1] == seen(open_stream(shards, STREAM))
    loader = torch.utils.data.DataLoader(open_stream(shards, STREAM), batch_size=None, num_workers=2)
    assert seen(loader) == seen(open_stream(shards, STREAM))
    with pytest.raises(ConfigError, match="rank 2 of 2"):
        StreamedCellSets(Shards.open(shards), STREAM, rank=2, world_size=2)


def test_a_split_in_toml_gives_the_cells_of_a_part(tmp_path) -> None:
    screen().write_h5ad(tmp_path / "a.h5ad")
    toml = '[datasets]\na = "a.h5ad"\n[training]\na = "train"\n[fewshot."a.k"]\nval = ["G2"]\ntest = ["G1"]\n'
    toml += '[fewshot."a.r"]\nval = ["G2"]\ntest = ["G1"]\n'
    (tmp_path / "split.toml").write_text(toml)
    names = {}
    for part in ("train", "val", "test"):
        stream = StreamedCellSets.from_toml(tmp_path / "split.toml", part, STREAM, folder=tmp_path)
        names[part] = {str(stream.perturbations[item["perturbation"]]) for item in stream}
    assert names == {"train": {"G0"}, "val": {"G2"}, "test": {"G1"}}


def test_bad_input_is_refused(tmp_path, shards) -> None:
    bare = screen()
    inside = (bare.obs["batch"] == "b1") & (bare.obs["cell_type"] == "k") & (bare.obs["target_gene"] == "non-targeting")
    bare = bare[~inside.to_numpy()].copy()
    with pytest.raises(DataError, match="no control cells") as error:
        CellSets(Cells.of(bare))
    assert "cell type 'k', batch 'b1'" in str(error.value)
    assert len(CellSets(Cells.of(bare), CellSetConfig(controls="context"))) > 0
    bare.write_h5ad(tmp_path / "bare.h5ad")
    with pytest.raises(DataError, match="no control cells"):
        open_stream([tmp_path / "bare.h5ad"], STREAM)
    controls = screen()[screen().obs["target_gene"].to_numpy() == "non-targeting"].copy()
    with pytest.raises(DataError, match="no perturbed cell"):
        CellSets(Cells.of(controls))
    with pytest.raises(DataError, match="lack 1 of 1 genes, 'G99'"):
        CellSets(Cells.of(screen()), CellSetConfig(genes=("G99",)))
    screen(genes=tuple(GENES[:-1])).write_h5ad(tmp_path / "fewer.h5ad")
    with pytest.raises(DataError, match="'G29' first"):
        open_stream([shards[0], tmp_path / "fewer.h5ad"], STREAM)
    half = shards[0].read_bytes()
    (tmp_path / "half.h5ad").write_bytes(half[: len(half) // 2])
    with pytest.raises(FileFormatError, match=r"half\.h5ad"):
        open_stream([shards[0], tmp_path / "half.h5ad"], STREAM)
    broken = screen()
    broken.X = broken.X.multiply(np.nan).tocsr()  # pyright: ignore
    with pytest.raises(DataError, match="NaN"):
        CellSets(Cells.of(broken))
    with pytest.raises(DataError, match="no file"):
        open_stream([], STREAM)


def test_gene_sets_of_a_gmt_file_are_attached_to_genes(tmp_path) -> None:
    (tmp_path / "sets.gmt").write_text("drug A\t\tG1\tG2\tXX\ndrug B\t\tYY\ndrug C\t\tG2\n")
    found = gene_set_membership(tmp_path / "sets.gmt", GENES)
    assert found.sets.tolist() == ["drug A", "drug C"]
    assert found.matrix.toarray()[:4].tolist() == [[False, False], [True, False], [True, True], [False, False]]
    assert (found.covered, found.left_out) == (pytest.approx(2 / 30), 1)
    with pytest.raises(DataError, match="no set of"):
        gene_set_membership(tmp_path / "sets.gmt", ["Q1"])


@pytest.mark.parametrize("world", [1, 2, 3])
def test_numbered_batches_hold_each_set_of_each_epoch_once(world) -> None:
    sets = CellSets(Cells.of(screen()), CellSetConfig(set_size=8, seed=3))
    loaders = [sets.loader(2, rank=rank, world_size=world) for rank in range(world)]
    epochs = 3
    count = loaders[0].batches_of(epochs, world)
    rounds = [torch.cat([loader.batch(number)["rows"] for loader in loaders]) for number in range(count)]
    assert all(len(one) == 2 * world for one in rounds)
    rows = torch.cat(rounds).numpy()[: epochs * len(sets)].reshape(epochs, len(sets), 8)
    for epoch, planned in enumerate(rows):
        np.testing.assert_array_equal(planned, sets.dealt(epoch).rows)
    assert (count - 1) * 2 * world < epochs * len(sets) <= count * 2 * world


def test_numbered_batches_do_not_depend_on_what_came_before() -> None:
    sets = CellSets(Cells.of(screen()), CellSetConfig(set_size=8, seed=3))
    walked = [batch["rows"] for batch in map(sets.loader(5).batch, range(20))]
    for number in (19, 0, 7):
        assert torch.equal(sets.loader(5).batch(number)["rows"], walked[number])
    alone = torch.cat([sets.loader(4).batch(6)["perturbed"]])
    shared = torch.cat([sets.loader(2, rank=rank, world_size=2).batch(6)["perturbed"] for rank in range(2)])
    assert torch.equal(alone, shared)


@pytest.mark.parametrize("world", [2, 3, 7])
def test_processes_share_one_pass(world) -> None:
    sets = CellSets(Cells.of(screen()), CellSetConfig(set_size=8))
    parts = [list(sets.loader(3, rank=rank, world_size=world)) for rank in range(world)]
    assert all(len(part) <= len(sets.loader(3, rank=0, world_size=world)) for part in parts)
    starts = [int(row) for part in parts for batch in part for row in batch["rows"][:, 0]]
    assert sorted(starts) == sorted(sets.dealt(0).rows[:, 0].tolist())


def test_bad_loaders() -> None:
    sets = CellSets(Cells.of(screen()), CellSetConfig(set_size=200))
    with pytest.raises(ConfigError, match="batches of 0 sets"):
        sets.loader(0)
    with pytest.raises(ConfigError, match="rank 2 of 2"):
        sets.loader(1, rank=2, world_size=2)
    with pytest.raises(DataError, match="99 processes share"):
        list(sets.loader(1, rank=0, world_size=99))
