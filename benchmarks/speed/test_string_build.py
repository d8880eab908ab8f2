"""STRING at full size to a thresholded graph: time against pandas + networkx in the same run, and peak memory.

The file is synthetic and of the size of human STRING 12.0: 13.7 million lines, 19,622 proteins, 3.6 % of the scores
at 0.7 or above. ``GNNVCELL_BENCH_LINES`` makes it smaller. The two contenders take turns, so that whatever else the
machine does hits both; the ratio is the one of the medians.

    pytest benchmarks/speed/test_string_build.py --benchmark-only -s
"""

import os
import statistics
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from gnnvcell.graphs.build import build
from gnnvcell.graphs.gene_graph import GeneGraph

LINES = int(os.environ.get("GNNVCELL_BENCH_LINES", 13_700_000))
PROTEINS = 19_622
CONFIDENCE = 0.7
ROUNDS = 5
LEAST_RATIO = 5.0
MOST_BYTES = 2 << 30
FULL_SIZE = 5_000_000  # from here on the ratio and the memory are held to their bounds


def random_pairs(lines: int, proteins: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """``lines // 2`` different pairs (first < second) with a heavy-tailed distribution of degrees."""
    share = np.cumsum(rng.pareto(2.5, proteins) + 0.3)
    keys = np.zeros(0, np.int64)
    while len(keys) < lines // 2:
        draws = np.searchsorted(share, rng.random((2, lines)) * share[-1]).clip(max=proteins - 1)
        low, high = draws.min(axis=0), draws.max(axis=0)
        keys = np.union1d(keys, (low * proteins + high)[low != high])
    keys = rng.permutation(keys)[: lines // 2]
    return keys // proteins, keys % proteins


def text_blocks(lines: int, ids: np.ndarray, rng: np.random.Generator) -> Iterator[bytes]:
    """The lines of the links file, each pair in both directions, sorted by the first protein."""
    low, high = random_pairs(lines, len(ids), rng)
    score = (150 + rng.exponential(165, len(low))).clip(max=999).astype(np.int64)
    src, dst, score = np.concatenate([low, high]), np.concatenate([high, low]), np.concatenate([score, score])
    order = np.lexsort((rng.random(len(src)), src))
    yield b"protein1 protein2 combined_score\n"
    for rows in np.array_split(order, max(1, len(order) // 500_000)):
        text = np.full((len(rows), 46), ord(" "), np.uint8)
        text[:, :20], text[:, 21:41] = ids[src[rows]], ids[dst[rows]]
        for place, power in enumerate((100, 10, 1)):
            text[:, 42 + place] = ord("0") + score[rows] // power % 10
        text[:, 45] = ord("\n")
        yield text.tobytes()


def write_string(folder: Path, lines: int, proteins: int, *, seed: int) -> None:
    """Links and info in STRING's own format."""
    rng = np.random.default_rng(seed)
    numbers = np.sort(rng.choice(600_000, proteins, replace=False) + 1)
    ids = [f"9606.ENSP{number:011d}" for number in numbers]
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    with open(folder / "9606.protein.links.v12.0.txt.gz", "wb") as handle:
        for block in text_blocks(lines, np.frombuffer("".join(ids).encode(), np.uint8).reshape(-1, 20), rng):
            handle.write(packer.compress(block))
        handle.write(packer.flush())
    info = [f"{name}\tGENE{place}\t300\tsynthetic" for place, name in enumerate(ids)]
    header = "#string_protein_id\tpreferred_name\tprotein_size\tannotation"
    (folder / "9606.protein.info.v12.0.txt").write_text("\n".join([header, *info]) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("string")
    write_string(path, LINES, min(PROTEINS, max(200, LINES // 50)), seed=0)
    return path


def ours(folder: Path, confidence: float = CONFIDENCE) -> GeneGraph:
    recipe = {"string_db": {"type": "string", "args": {"confidence": confidence}}}
    return build(recipe, source_dir=folder, progress=False)


def pandas_networkx(folder: Path) -> nx.Graph:
    links = pd.read_csv(folder / "9606.protein.links.v12.0.txt.gz", sep=" ")
    links = links[links["combined_score"] >= 1000 * CONFIDENCE]
    info = pd.read_csv(folder / "9606.protein.info.v12.0.txt", sep="\t", index_col=0)
    names = info["preferred_name"].to_dict()
    links = links.assign(source=links.protein1.map(names), target=links.protein2.map(names))
    return nx.from_pandas_edgelist(links, edge_attr="combined_score")


def same_graph(folder: Path) -> int:
    """The number of edges if both contenders give the same edges and weights, else -1: fast and wrong is no use."""
    graph, peer = ours(folder), pandas_networkx(folder)
    src, dst, weight, _ = graph.edges("string")
    names = [str(symbol) for symbol in graph.vocab.symbols]
    mine = {
        frozenset((names[a], names[b])): round(1000 * w)
        for a, b, w in zip(src.tolist(), dst.tolist(), weight.tolist(), strict=True)
    }
    theirs = {frozenset((a, b)): score for a, b, score in peer.edges(data="combined_score")}
    return len(mine) if mine == theirs else -1


def peak_bytes() -> int:
    """High-water mark of this process. Not ``ru_maxrss``: a child starts with that of the parent it was forked from."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(status["VmHWM"].split()[0])


class Worker:
    """A process of its own that runs a contender when asked: without pytest's type checks, and with its own memory."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, __file__, str(folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, what: str) -> float:
        """Run it there, and wait for the number it answers."""
        pipes = self._process.stdin, self._process.stdout
        assert pipes[0] is not None
        assert pipes[1] is not None
        pipes[0].write(what + "\n")
        pipes[0].flush()
        answer = pipes[1].readline()
        assert answer, f"the worker died on {what!r}"
        return float(answer)

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture
def worker(folder: Path) -> Iterator[Worker]:
    made = Worker(folder)
    yield made
    made.close()


@pytest.mark.benchmark(group="string build")
def test_time_against_pandas_and_networkx(worker: Worker, benchmark):
    edges = worker.ask("same")  # warm-up too: compiled kernels are loaded once per process
    assert edges > 0
    peer_times: list[float] = []

    def peer_first():
        start = time.perf_counter()
        worker.ask("peer")
        peer_times.append(time.perf_counter() - start)

    benchmark.pedantic(worker.ask, args=("ours",), setup=peer_first, rounds=ROUNDS, iterations=1)
    peer, mine = statistics.median(peer_times), benchmark.stats.stats.median
    ratio = peer / mine
    benchmark.extra_info.update(
        lines=LINES, edges=edges, pandas_networkx_seconds=peer, ratio=ratio, cpus=os.cpu_count()
    )
    print(f"\n{LINES:,} lines: gnnvcell {mine:.2f} s, pandas + networkx {peer:.2f} s, {ratio:.1f} times as fast")
    if LINES >= FULL_SIZE:
        assert ratio >= LEAST_RATIO


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.benchmark(group="string memory")
@pytest.mark.parametrize("confidence", [CONFIDENCE, 0.15])
def test_peak_memory(worker: Worker, benchmark, confidence: float):
    """A process that does nothing but build the graph once; 0.15 keeps every line of the file."""
    peak = benchmark.pedantic(worker.ask, args=(f"memory {confidence}",), rounds=1)
    benchmark.extra_info.update(lines=LINES, peak_bytes=peak)
    print(f"\n{LINES:,} lines, confidence {confidence}: peak {peak / 2**20:,.0f} MiB")
    if LINES >= FULL_SIZE:
        assert peak <= MOST_BYTES


def answer(what: str, folder: Path) -> float:
    if what == "same":
        return same_graph(folder)
    if what.startswith("memory"):
        ours(folder, float(what.split()[1]))
        return peak_bytes()
    graph = ours(folder) if what == "ours" else pandas_networkx(folder)
    return graph.graph.num_edges() if isinstance(graph, GeneGraph) else graph.number_of_edges()


if __name__ == "__main__":
    for request in sys.stdin:
        print(answer(request.strip(), Path(sys.argv[1])), flush=True)
