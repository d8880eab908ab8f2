"""scGPT-derived gene-gene edges: from a checkpoint's embeddings, from attention maps, or from an edge table."""

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from gnnvcell.errors import ConfigError, EmptyGraphError, FileFormatError, MissingFileError
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.filters import Percentile, Threshold, TopK, apply_filters, merge_pairs
from gnnvcell.graphs.similarity import Block, Mode, select_pairs
from gnnvcell.graphs.sources._scgpt_inputs import read_attention, read_embeddings, read_pairs
from gnnvcell.graphs.sources.base import SOURCES, Reading, Source, SourceContext
from gnnvcell.keys import GENE

Input = Literal["auto", "edges", "embeddings", "attention"]
_RELATION = "scgpt"
_EDGES = r"(?i:scgpt.*edges.*\.[ct]sv)"
_ATTENTION = r"(?i:.*attention.*\.npz)"
_VOCAB = r"vocab\.json"


@SOURCES.register("scgpt_derived", "scgpt")
class Scgpt(Source):
    """Pairs of genes that scGPT holds to be close: one relation ``scgpt``, undirected.

    Three kinds of input. "embeddings": the gene embeddings of a checkpoint (``vocab.json`` and weights beside it, after
    the gene encoder's LayerNorm), weight = cosine similarity. "attention": attention maps (npz), averaged over cells
    and over the two directions. "edges": a table with two columns of genes and one of weights. Attention and table
    weights are divided by the largest one, so that weights and thresholds are in 0..1 for every input. Pairs without a
    positive weight are never edges. The mode is applied among all genes of the input, before names are resolved.

    Args:
        mode: ``top_<k>``: pairs among the k strongest of one of their genes; ``threshold_<t>``: weight >= t;
            ``percentile_<q>``: weight at or above that percentile of the weights of all pairs (of a table: of its
            pairs).
        input: which kind; "auto" takes the one kind that is there.
        path: the checkpoint's folder, its vocab.json, the npz or the table, instead of looking in ``source_dir`` for
            ``vocab.json``, ``*attention*.npz`` or ``scgpt*edges*.tsv``.
        weight: the table's weight column; the first numeric one when None.
        embedding_key: name of the checkpoint's embedding tensor; ``encoder.embedding.weight`` is found by itself.
        layer_norm: whether to apply the gene encoder's LayerNorm to the embeddings, as scGPT does.

    Source:
        Cui et al. 2024 (scGPT); their gene-network tutorial links genes by the cosine of the same embeddings.

    Example:
        >>> Scgpt(mode="threshold_0.3").mode
        'threshold_0.3'
    """

    type: ClassVar[str] = "scgpt"
    licence: ClassVar[str] = "MIT (scGPT code and checkpoints); see their origin for derived tables"
    citation: ClassVar[str] = "Cui et al., Nature Methods 21, 1470 (2024), doi:10.1038/s41592-024-02201-0"

    mode: str = "top_20"
    input: Input = "auto"
    path: str | Path | None = None
    weight: str | None = None
    embedding_key: str | None = None
    layer_norm: bool = True

    @field_validator("mode")
    @classmethod
    def _readable(cls, value: str) -> str:
        try:
            Mode.parse(value)
        except ConfigError as error:
            raise ValueError(f"top_<k>, threshold_<score> or percentile_<q> ({error.problem})") from None
        return value

    def read(self, context: SourceContext) -> Reading:
        """Read the input and keep the pairs of the mode.

        Raises:
            MissingFileError: no input of the kind is there.
            ConfigError: several kinds are there and none is chosen, or a setting that the kind does not have.
            FileFormatError: a file is damaged or of another format.
            EmptyGraphError: no pair passes the mode.
        """
        kind, path = self._find(context)
        self._refuse_idle_settings(kind)
        if kind == "edges":
            return self._from_edges(path)
        context.report(f"{kind} from {path.name}")
        if kind == "attention":
            genes, attention, notes = read_attention(path)
            files, largest = (path,), _largest_off_diagonal(attention, path)
            block: Block = lambda start, stop: attention[start:stop] / largest  # noqa: E731
        else:
            read = read_embeddings(path, self.embedding_key, layer_norm=self.layer_norm)
            genes, files, notes = read.genes, read.files, read.notes
            block = cosine_block(read.vectors)
        _require_genes(genes, path)
        low, high, score = select_pairs(block, len(genes), Mode.parse(self.mode))
        table = EdgeTable((GENE, _RELATION, GENE), low, high, score, genes, genes)
        total = len(genes) * (len(genes) - 1) // 2
        note = f"{len(table):,} of {total:,} pairs of {len(genes):,} genes kept by {self.mode}"
        return Reading([table], files, len(genes), notes=[*notes, note])

    def _find(self, context: SourceContext) -> tuple[str, Path]:
        """The kind of input and its file."""
        if self.path is not None:
            path = Path(self.path).expanduser()
            if context.source_dir is not None and not path.is_absolute() and (context.source_dir / path).exists():
                path = context.source_dir / path
            if path.is_dir():
                path = path / "vocab.json"
            found = context.find([], what="scGPT's input", explicit=path)
            by_suffix = {".json": "embeddings", ".npz": "attention"}
            return (by_suffix.get(found.suffix, "edges") if self.input == "auto" else self.input), found
        patterns = {"edges": _EDGES, "embeddings": _VOCAB, "attention": _ATTENTION}
        if self.input != "auto":
            patterns = {self.input: patterns[self.input]}
        there = {kind: path for kind, pattern in patterns.items() if (path := context.find_optional([pattern]))}
        if len(there) > 1:
            raise ConfigError(
                f"several inputs for scGPT edges are in {context.source_dir}",
                found=", ".join(f"{kind} ({path.name})" for kind, path in there.items()),
                remedy="choose with input, or name one with path",
            )
        if not there:
            raise MissingFileError(
                f"no scGPT input is in {context.source_dir or 'source_dir (not given)'}",
                expected="scgpt*edges*.tsv, a checkpoint (vocab.json and weights) or *attention*.npz",
                remedy="name it with path",
            )
        return next(iter(there.items()))

    def _refuse_idle_settings(self, kind: str) -> None:
        defaults = Scgpt.model_fields
        for setting, where in (("weight", "edges"), ("embedding_key", "embeddings"), ("layer_norm", "embeddings")):
            if kind != where and getattr(self, setting) != defaults[setting].default:
                raise ConfigError(
                    f"the setting {setting!r} is for the input {where!r}, and the input is {kind!r}",
                    remedy="leave it out, or choose the other input",
                )

    def _from_edges(self, path: Path) -> Reading:
        pairs = read_pairs(path, self.weight)
        notes = [f"weight from column {pairs.column}, divided by its largest value {pairs.weight.max():g}"]
        positive = (pairs.weight > 0) & (pairs.first != pairs.second)
        if not positive.any():
            raise EmptyGraphError(f"no pair in {path} has a positive {pairs.column}", remedy="choose another weight")
        if not positive.all():
            notes.append(
                f"{int((~positive).sum()):,} rows without a positive weight or of one gene with itself dropped"
            )
        genes, codes = np.unique(np.concatenate([pairs.first[positive], pairs.second[positive]]), return_inverse=True)
        first, second = codes.reshape(2, -1).astype(np.int64)
        weight = (pairs.weight[positive] / pairs.weight.max()).astype(np.float32)
        rows = EdgeTable((GENE, _RELATION, GENE), first, second, weight, genes, genes)
        unique = merge_pairs(rows)
        if len(unique) < len(rows):
            notes.append(f"{len(rows) - len(unique):,} rows repeat a pair; the largest weight kept")
        mode = Mode.parse(self.mode)
        keep = {"threshold": Threshold, "percentile": Percentile}.get(mode.kind)
        table = apply_filters(unique, [TopK(int(mode.value)) if keep is None else keep(mode.value)])
        if not len(table):
            raise EmptyGraphError(f"none of {len(unique):,} pairs passes {self.mode}", remedy="choose a looser mode")
        notes.append(f"{len(table):,} of {len(unique):,} pairs kept by {self.mode}")
        return Reading([table], [path], len(pairs.weight), notes=notes)


def cosine_block(vectors: NDArray[np.float32]) -> Block:
    """Rows of the cosine similarity of (genes, d) vectors; a zero vector is similar to nothing."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    return lambda start, stop: unit[start:stop] @ unit.T


def _largest_off_diagonal(attention: NDArray[np.float32], path: Path) -> np.float32:
    off_diagonal = ~np.eye(len(attention), dtype=bool)
    largest = attention.max(initial=0.0, where=off_diagonal)
    if largest <= 0:
        raise EmptyGraphError(f"no gene in {path} pays attention to another one")
    return np.float32(largest)


def _require_genes(genes: NDArray, path: Path) -> None:
    unique, counts = np.unique(genes, return_counts=True)
    if len(genes) < 2:
        raise FileFormatError(f"{path} has {len(genes)} genes", expected="at least two")
    if len(unique) < len(genes):
        raise FileFormatError(f"genes repeat in {path}", found=str(unique[counts > 1][0]), remedy="merge them first")
