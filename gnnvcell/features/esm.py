"""Embeddings of proteins by ESM: batches by length, windows over long proteins, and runs that can be taken up again."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from tqdm import tqdm

from gnnvcell.config import Config, digest_of
from gnnvcell.errors import ConfigError, DataError
from gnnvcell.features.esm_model import EsmModel, load_esm
from gnnvcell.features.esm_sequences import EsmSequences, esm_sequences
from gnnvcell.features.fasta import read_records
from gnnvcell.features.feature_table import FeatureTable, in_file, some
from gnnvcell.features.isoforms import Isoforms, for_genes
from gnnvcell.features.parts import Parts
from gnnvcell.features.windows import residue_weights, windows
from gnnvcell.features.writers import check_extension, write_features
from gnnvcell.files import require_file, sha256_of
from gnnvcell.genes.spelling import HUMAN

DEFAULT_MODEL = "esm2_t33_650M_UR50D"
_BATCH_ON_GPU, _BATCH_ON_CPU = 4096, 1024  # tokens
_RULES = 1  # of cleaning, windows and pooling; a change of these makes older parts unusable
T = TypeVar("T")


class EsmConfig(Config):
    """How proteins are embedded.

    Args:
        model: name of the model; left out with a checkpoint, the checkpoint's own.
        checkpoint: file of the weights; none: torch's hub folder, downloaded where they are not there.
        layer: whose embeddings are taken, 0 (before the first) to the last; None: the last.
        max_length: most residues that are read at once; longer proteins are read in windows.
        overlap: residues that neighbouring windows share, or more (see ``features.windows``).
        batch_tokens: most tokens of a batch, padding included; a single window may be larger. None: 4096 on a GPU, as
            in fair-esm's script; 1024 on a CPU, where larger batches are slower.
        isoforms: what becomes of several proteins of one gene.
        device: "cpu" or "cuda"; None: cuda where there is one. The report says which it was.
        species: taxon of the genes asked for, whose renamings are used.
    """

    model: str | None = None
    checkpoint: Path | None = None
    layer: int | None = Field(default=None, ge=0)
    max_length: int = Field(default=1022, ge=1)
    overlap: int = Field(default=256, ge=0)
    batch_tokens: int | None = Field(default=None, ge=1)
    isoforms: Isoforms = Isoforms.LONGEST
    device: str | None = None
    species: int = HUMAN

    @property
    def where(self) -> str:
        """The device that is used on this machine."""
        return self.device or ("cuda" if torch.cuda.is_available() else "cpu")

    @property
    def budget(self) -> int:
        """Tokens of a batch on this machine."""
        return self.batch_tokens or (_BATCH_ON_CPU if self.where == "cpu" else _BATCH_ON_GPU)


@dataclass(frozen=True, eq=False)
class EsmReport:
    """What became of the proteins of a fasta file.

    Args:
        table: the embeddings, one row for each gene (or protein, with ``Isoforms.ALL``).
        missing: genes asked for that have no protein: they have no row, and are masked wherever the table is used.
        counts: what was counted on the way; what is zero is left out.
        resumed: sequences that an earlier, interrupted run had finished.
        device: where it was computed.
    """

    table: FeatureTable
    missing: Sequence[str]
    counts: dict[str, int]
    resumed: int
    device: str

    def __str__(self) -> str:
        shape = f"{len(self.table):,} rows of {self.table.width:,} features"
        lines = [self.table.source, f"  {shape}, computed on {self.device}"]
        lines += [f"  {count:,} {what}" for what, count in self.counts.items() if count]
        if self.resumed:
            lines.append(f"  {self.resumed:,} sequences taken over from an interrupted run")
        if self.missing:
            lines.append(f"  {len(self.missing):,} genes have no protein, and no row: {some(self.missing)}")
        return "\n".join(lines)


def embed_proteins(
    fasta: str | Path,
    out: str | Path,
    config: EsmConfig | None = None,
    *,
    genes: Sequence[str] | None = None,
    progress: bool = True,
    flush_seconds: float = 30.0,
) -> EsmReport:
    """Embed the proteins of a fasta file with ESM and write them as a feature table, with a note of how (``.json``).

    A protein's row is the mean over its residues of the embeddings after a layer; special tokens and padding are not
    part of it. Proteins longer than ``max_length`` are read in overlapping windows; a residue in an overlap is one
    residue, with the average of its embeddings in the windows that hold it. Equal sequences are embedded once.

    What is finished is written to the folder ``<out>.parts`` every ``flush_seconds``; the same call goes on from there,
    and gives the same bits on the CPU as one that was never interrupted. A changed fasta file, list of genes, model,
    layer, window or treatment of isoforms is refused while that folder is there. ``batch_tokens`` and ``device`` may
    change, because they change rounding only, and too little memory is what stops runs.

    Args:
        fasta: proteins, plain or gzipped; names are those of ``features.fasta.read_records``.
        out: ``.npz``, ``.pt`` or ``.h5`` (see ``write_features``).
        config: settings.
        genes: embed the proteins of these genes alone, and name the rows so.
        progress: whether to show a bar with the time that is left, on stderr.
        flush_seconds: how often to write parts.

    Raises:
        FileFormatError: an unusable fasta file, checkpoint or part, or an unknown extension of ``out``.
        DataError: no protein of ``genes``, or none that can be embedded.
        ConfigError: settings that do not fit the model or the parts, no such device, or not enough memory.
        DownloadError: the weights cannot be downloaded.
    """
    config = config or EsmConfig()
    out, fasta = check_extension(out), require_file(fasta)
    windows(1, config.max_length, config.overlap)  # refuses an overlap that does not fit, before anything is read
    sequences, missing = _sequences(fasta, config, genes)
    model = load_esm(
        config.model or (None if config.checkpoint else DEFAULT_MODEL), config.checkpoint, device=config.where
    )
    layer = _layer(config, model)
    identity = _identity(fasta, config, genes, model, layer)
    parts = Parts(out.with_name(out.name + ".parts"), identity, len(sequences.distinct), model.width)
    resumed = int(parts.done.sum())
    _embed(sequences.distinct, model, layer, config, parts, progress, flush_seconds)
    names, values = sequences.rows(parts.values)
    label = f"{model.name} layer {layer}, mean over residues, {fasta.name}"
    table = FeatureTable(names, values, label, identity["fasta"])
    note = identity | {"source": label, "fasta_file": fasta.name, "counts": sequences.counts, "missing": missing}
    write_features(table, out, note | {"width": model.width, "rows": len(table)})
    parts.remove()
    return EsmReport(table, missing, sequences.counts, resumed, str(next(model.module.parameters()).device))


def _sequences(fasta: Path, config: EsmConfig, genes: Sequence[str] | None) -> tuple[EsmSequences, list[str]]:
    """What to embed, and the genes asked for that have nothing to embed."""
    records, asked = list(read_records(fasta)), []
    try:
        if genes is not None:
            records, asked = for_genes(records, genes, config.species)
        sequences = esm_sequences(records, config.isoforms)
    except DataError as error:
        raise in_file(fasta, error) from error
    embedded = {records[at].name for at in sequences.used}
    return sequences, [gene for gene in asked if gene not in embedded]


def _layer(config: EsmConfig, model: EsmModel) -> int:
    layer = model.layers if config.layer is None else config.layer
    if layer > model.layers:
        raise ConfigError(f"{model.name} has no layer {layer}", expected=f"0 to {model.layers}")
    if model.most_residues and config.max_length > model.most_residues:
        raise ConfigError(
            f"{model.name} cannot read {config.max_length:,} residues at once",
            expected=f"max_length of {model.most_residues:,} at most",
            remedy="longer proteins are read in windows",
        )
    return layer


def _identity(
    fasta: Path, config: EsmConfig, genes: Sequence[str] | None, model: EsmModel, layer: int
) -> dict[str, Any]:
    return {
        "fasta": sha256_of(fasta),
        "model": model.name,
        "weights": model.sha256,
        "layer": layer,
        "max_length": config.max_length,
        "overlap": config.overlap,
        "isoforms": config.isoforms.value,
        "genes": "all" if genes is None else digest_of([list(genes), config.species]),
        "pooling": "mean",
        "rules": _RULES,
    }


def _embed(
    sequences: list[str],
    model: EsmModel,
    layer: int,
    config: EsmConfig,
    parts: Parts,
    progress: bool,
    flush_seconds: float,
) -> None:
    groups = _groups(sequences, model.special_tokens, config)
    left = [[at for at in group if not parts.done[at]] for group in groups]
    total, last = sum(map(len, sequences)), time.monotonic()
    done = sum(len(sequences[at]) for at in np.flatnonzero(parts.done).tolist())
    bar = tqdm(total=total, initial=done, unit=" residues", unit_scale=True, disable=None if progress else True)
    with bar:
        try:
            for group in filter(None, left):
                parts.add(group, _pooled([sequences[at] for at in group], model, layer, config))
                bar.update(sum(len(sequences[at]) for at in group))
                if time.monotonic() - last >= flush_seconds:
                    parts.flush()
                    last = time.monotonic()
        finally:  # also when interrupted: what is finished is not lost
            parts.flush()


def _groups(sequences: list[str], special: int, config: EsmConfig) -> list[list[int]]:
    """Whole proteins that are embedded together, longest first, so that too little memory shows at once.

    They depend on the sequences and the settings alone: an interrupted run goes on with the same batches.
    """
    order = sorted(range(len(sequences)), key=lambda at: (-len(sequences[at]), at))
    sized = [(at, len(windows(len(sequences[at]), config.max_length, config.overlap))) for at in order]
    groups: list[list[int]] = []
    longest = used = 0
    for at, count in sized:
        if not groups or (used + count) * longest > config.budget:
            groups.append([])
            longest, used = min(len(sequences[at]), config.max_length) + special, 0
        groups[-1].append(at)
        used += count
    return groups


def _pooled(sequences: list[str], model: EsmModel, layer: int, config: EsmConfig) -> NDArray[np.float32]:
    """(sequences, width) means over residues; sums are kept in float64."""
    spans = [windows(len(sequence), config.max_length, config.overlap) for sequence in sequences]
    weights = [residue_weights(len(sequence), found) for sequence, found in zip(sequences, spans, strict=True)]
    jobs = [(row, start, stop) for row, found in enumerate(spans) for start, stop in found]
    longest = max(stop - start for _, start, stop in jobs) + model.special_tokens
    sums = np.zeros((len(sequences), model.width), dtype=np.float64)
    for batch in _chunks(jobs, max(config.budget // longest, 1)):
        texts = [sequences[row][start:stop] for row, start, stop in batch]
        for (row, start, stop), embedding in zip(batch, _forward(model, texts, layer, longest), strict=True):
            weight = torch.from_numpy(weights[row][start:stop]).to(embedding.device)
            sums[row] += (weight @ embedding.double()).cpu().numpy()
    return (sums / [[len(sequence)] for sequence in sequences]).astype(np.float32)


def _forward(model: EsmModel, texts: list[str], layer: int, longest: int) -> list[torch.Tensor]:
    try:
        return model.embed(texts, layer)
    except torch.OutOfMemoryError as error:
        raise ConfigError(
            f"a batch of {len(texts)} x {longest:,} tokens does not fit into the memory of the GPU",
            found=str(error).splitlines()[0][:200],
            remedy="lower batch_tokens, then max_length; the same call goes on where this one stopped "
            "(not with another max_length)",
        ) from error


def _chunks(items: list[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
