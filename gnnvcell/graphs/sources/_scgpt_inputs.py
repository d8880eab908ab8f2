"""The three forms in which scGPT's view of genes comes: a checkpoint's embeddings, attention maps, or an edge table."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import ConfigError, FileFormatError, MissingFileError, did_you_mean
from gnnvcell.files import open_text, require_file

_EMBEDDING_KEY = re.compile(r"(^|.*\.)encoder\.embedding\.weight")
_SPECIAL = re.compile(r"<.*>")
_WEIGHT_FILES = ("best_model.pt", "model.pt", "best_model.safetensors", "model.safetensors")
_NORM_EPS = 1e-5
_MOSTLY = 0.5


@dataclass(frozen=True)
class EmbeddingTable:
    """Gene embeddings of a checkpoint.

    Args:
        genes: (genes,) names, special tokens left out.
        vectors: (genes, d) float32.
        files: the files read.
        notes: what was found.
    """

    genes: NDArray
    vectors: NDArray[np.float32]
    files: tuple[Path, ...]
    notes: tuple[str, ...]


def read_embeddings(vocab_file: Path, embedding_key: str | None, *, layer_norm: bool) -> EmbeddingTable:
    """The embeddings of the genes in a checkpoint folder, as scGPT's gene encoder gives them.

    Args:
        vocab_file: ``vocab.json``; the weights are looked for beside it.
        embedding_key: name of the embedding tensor; found by itself when None.
        layer_norm: whether to apply the encoder's LayerNorm, which follows the embedding in scGPT.

    Raises:
        FileFormatError: a file is damaged, or the two files do not fit together.
        MissingFileError: no weights beside the vocabulary.
        ConfigError: no tensor, or several, could be the embedding.
    """
    vocab = _read_vocab(vocab_file)
    weights_file = _weights_beside(vocab_file)
    tensors = _read_weights(weights_file)
    key = _embedding_key(tensors, embedding_key, weights_file, len(vocab))
    vectors = tensors[key].float().numpy()
    names = np.array(list(vocab), dtype=str)
    rows = np.fromiter(vocab.values(), dtype=np.int64, count=len(vocab))
    if vectors.ndim != 2 or rows.max() >= len(vectors):
        raise FileFormatError(
            f"{vocab_file.name} and {weights_file.name} do not belong together",
            expected=f"an embedding of at least {int(rows.max()) + 1} rows",
            found=f"{key} of shape {tuple(vectors.shape)}",
        )
    notes = [f"embedding {key}, {vectors.shape[1]} dimensions"]
    if layer_norm:
        prefix = key.removesuffix("embedding.weight")
        scale, shift = tensors.get(f"{prefix}enc_norm.weight"), tensors.get(f"{prefix}enc_norm.bias")
        if scale is None or shift is None:
            notes.append("the checkpoint has no enc_norm: embeddings are used as they are")
        else:
            vectors = _layer_norm(vectors, scale.float().numpy(), shift.float().numpy())
            notes.append("LayerNorm of the gene encoder applied")
    genes = np.array([_SPECIAL.fullmatch(name) is None for name in names.tolist()])
    kept = vectors[rows[genes]]
    if not np.isfinite(kept).all():
        raise FileFormatError(f"{key} in {weights_file} has NaN or infinite values", remedy="use another checkpoint")
    notes.append(f"{int((~genes).sum())} special tokens left out")
    return EmbeddingTable(names[genes], kept, (vocab_file, weights_file), tuple(notes))


def _read_vocab(path: Path) -> dict[str, int]:
    with open_text(path) as handle:
        try:
            vocab = json.load(handle)
        except json.JSONDecodeError as error:
            raise FileFormatError(f"{path} is not JSON", found=str(error)) from error
    right = isinstance(vocab, dict) and vocab and all(type(row) is int and row >= 0 for row in vocab.values())
    if not right or len(set(vocab.values())) != len(vocab):
        raise FileFormatError(f"{path} is no vocabulary of scGPT", expected='{"GENE": row, ...} with unique rows')
    return vocab


def _weights_beside(vocab_file: Path) -> Path:
    folder = vocab_file.parent
    for name in _WEIGHT_FILES:
        if (folder / name).is_file():
            return require_file(folder / name)
    found = sorted(path for path in folder.iterdir() if path.suffix in (".pt", ".pth", ".safetensors"))
    if len(found) == 1:
        return require_file(found[0])
    raise MissingFileError(
        f"no weights beside {vocab_file}",
        expected=f"one of {', '.join(_WEIGHT_FILES)}, or one other .pt or .safetensors file",
        found=", ".join(path.name for path in found) or "none",
    )


def _read_weights(path: Path) -> dict[str, Any]:
    """Tensors by name; nothing in the file is executed."""
    import pickle

    import torch

    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, ValueError) as error:
            raise FileFormatError(f"{path} is not a safetensors file", found=str(error)) from error
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise FileFormatError(
            f"{path} cannot be loaded safely",
            expected="a file of tensors only, as torch.save(model.state_dict()) writes",
            found=str(error).splitlines()[0],
            remedy="load it where you trust it, and save its state_dict or a safetensors file",
        ) from error
    for wrapper in ("model_state_dict", "state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    tensors = {k: v for k, v in loaded.items() if isinstance(v, torch.Tensor)} if isinstance(loaded, dict) else {}
    if not tensors:
        raise FileFormatError(f"{path} holds no named tensors", found=type(loaded).__name__)
    return tensors


def _embedding_key(tensors: dict[str, Any], wanted: str | None, path: Path, rows: int) -> str:
    if wanted is not None:
        if wanted not in tensors:
            raise ConfigError(f"{path.name} has no tensor {wanted!r}", remedy=did_you_mean(wanted, tensors))
        return wanted
    found = [key for key in tensors if _EMBEDDING_KEY.fullmatch(key)]
    if len(found) == 1:
        return found[0]
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items() if tensor.ndim == 2 and len(tensor) >= rows}
    raise ConfigError(
        f"{path.name} has {len(found)} tensors that could be the gene embedding",
        expected="encoder.embedding.weight",
        found=", ".join(f"{key} {shape}" for key, shape in list(shapes.items())[:5]) or f"no matrix of {rows} rows",
        remedy="name it with embedding_key",
    )


def _layer_norm(vectors: NDArray, scale: NDArray, shift: NDArray) -> NDArray[np.float32]:
    centred = vectors - vectors.mean(axis=1, keepdims=True)
    spread = np.sqrt((centred**2).mean(axis=1, keepdims=True) + _NORM_EPS)
    return (centred / spread * scale + shift).astype(np.float32)


def read_attention(path: Path) -> tuple[NDArray, NDArray[np.float32], tuple[str, ...]]:
    """Attention between genes, averaged over cells and over the two directions.

    Args:
        path: npz with ``genes`` (genes,) text and ``attention`` (genes, genes) or (cells, genes, genes), where
            ``attention[..., i, j]`` is what gene i pays to gene j.

    Returns:
        genes (genes,), attention (genes, genes) symmetric, and notes.

    Raises:
        FileFormatError: not such a file, shapes that do not fit, NaN or negative attention.
    """
    try:
        with np.load(require_file(path), allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files if key in ("genes", "attention")}
            found = stored.files
    except (ValueError, OSError, AttributeError) as error:
        raise FileFormatError(
            f"{path} cannot be read as npz", found=str(error), remedy="save genes as text (dtype str), not as objects"
        ) from error
    if len(arrays) < 2:
        raise FileFormatError(
            f"{path} is no attention file", expected="arrays 'genes' and 'attention'", found=", ".join(found)
        )
    genes, attention = arrays["genes"].astype(str), arrays["attention"]
    if attention.ndim not in (2, 3) or attention.shape[-2:] != (len(genes), len(genes)) or not attention.size:
        raise FileFormatError(
            f"the attention in {path} does not fit its {len(genes)} genes",
            expected="(genes, genes) or (cells, genes, genes)",
            found=str(attention.shape),
        )
    if not np.isfinite(attention).all() or (attention < 0).any():
        raise FileFormatError(f"the attention in {path} is NaN, infinite or negative", expected="values >= 0")
    notes = ()
    if attention.ndim == 3:
        notes = (f"attention averaged over {len(attention):,} cells",)
        attention = attention.mean(axis=0, dtype=np.float64)
    return genes, ((attention + attention.T) / 2).astype(np.float32), notes


@dataclass(frozen=True)
class PairTable:
    """An edge table as it is in its file.

    Args:
        first, second: (rows,) gene names.
        weight: (rows,) float.
        column: name of the weight column.
    """

    first: NDArray
    second: NDArray
    weight: NDArray[np.float64]
    column: str


def read_pairs(path: Path, weight: str | None) -> PairTable:
    """A table with a header, two columns of genes (the first two that are text) and a column of weights.

    Args:
        path: tab- or comma-separated, plain or gzipped.
        weight: name of the weight column; the first numeric one when None.

    Raises:
        FileFormatError: no such columns, rows of different lengths, missing genes, or weights that are NaN or negative.
        ConfigError: ``weight`` is not a numeric column of the file.
    """
    import pandas as pd

    with open_text(path) as handle:
        delimiter = "," if handle.readline().count(",") else "\t"
    try:
        with open_text(path) as handle:
            # Genes such as NAN or NA must stay text: no string is taken for a missing value.
            frame = pd.read_csv(handle, sep=delimiter, keep_default_na=False, na_values=[])
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise FileFormatError(f"{path} is no table", expected="tab-separated columns", found=str(error)) from error
    text = [c for c in frame.columns if not pd.api.types.is_numeric_dtype(frame[c])]
    numeric = [c for c in frame.columns if pd.api.types.is_numeric_dtype(frame[c])]
    for column in text[2:]:
        _refuse_half_numbers(path, column, frame[column].astype(str).to_numpy(), pd.to_numeric)
    if weight is not None and weight not in numeric:
        in_text = f"{weight!r} is not a number in every row of" if weight in text else f"no column {weight!r} in"
        raise ConfigError(f"{in_text} {path.name}", remedy=did_you_mean(weight, numeric))
    if len(text) < 2 or not numeric or not len(frame):
        raise FileFormatError(
            f"{path} is no edge table",
            expected="a header line, two columns of gene names and a column of weights",
            found=f"{len(frame)} rows with columns {', '.join(map(str, frame.columns))}",
            remedy="check the delimiter and the header",
        )
    column = weight or numeric[0]
    first, second = (frame[name].astype(str).to_numpy().astype(str) for name in text[:2])
    values = frame[column].to_numpy(dtype=np.float64)
    _check_rows(path, first, second, values)
    return PairTable(first, second, values, str(column))


def _refuse_half_numbers(path: Path, column: str, values: NDArray, to_numeric: Callable) -> None:
    """A column of numbers with a blank in it reads as text; passing it over would silently weigh by another column."""
    numbers = np.isfinite(to_numeric(values, errors="coerce"))
    if numbers.sum() > _MOSTLY * len(numbers):
        row = int(np.flatnonzero(~numbers)[0])
        raise FileFormatError(
            f"column {column!r} of {path} is not a number in {int((~numbers).sum())} rows",
            found=f"{values[row]!r} in data row {row + 1}",
            remedy="drop or mend these rows",
        )


def _check_rows(path: Path, first: NDArray, second: NDArray, values: NDArray) -> None:
    blank = (np.char.strip(first) == "") | (np.char.strip(second) == "")
    wrong = ~np.isfinite(values) | (values < 0)
    for bad, what in ((blank, "no gene name"), (wrong, "a weight that is NaN, infinite or negative")):
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise FileFormatError(
                f"{int(bad.sum())} rows of {path} have {what}",
                found=f"data row {row + 1}: {first[row]!r} {second[row]!r} {values[row]}",
                remedy="drop or mend these rows",
            )
